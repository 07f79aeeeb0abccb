//! What a language model can be asked about a class: the questions and the form of the answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One question about a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The motion as a whole: text `global`.
    Global,
    /// The four parts of PURLS: `head`, `hands`, `torso`, `legs`.
    Parts,
    /// The three phases of PURLS: `start`, `middle`, `end`.
    Phases,
    /// Verb and noun of the name: `verb`, `noun`.
    Words,
    /// The six parts of STAR: `head`, `hand`, `arm`, `hip`, `leg`, `foot`.
    Star,
    /// Ten sentences at each of Neuron's levels: `spatial_cg_1` to `_10`, `spatial_mg`, `spatial_fg`, `temporal_fp`,
    /// `temporal_fsp`, `temporal_fstp`; the last two add one phase each.
    Neuron,
    /// Weights of parts and phases, as Skeleton-Cache reads them.
    Prior,
}

/// How much the answers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Very short verb phrases without a subject, one question at a time, as PURLS asks.
    #[default]
    Short,
    /// One plain sentence each, as SMIE and STAR have them.
    Sentences,
}

/// Sentences at each of Neuron's levels.
const SENTENCES: usize = 10;

/// Words around the question that keep the answer to its form.
pub(super) const ROLE: &str = "You are an expert in human motion. You describe actions for a system that sees nothing \
     but the moving skeleton of a person. You answer with one JSON object and nothing else.";

impl Task {
    /// The name as written in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Parts => "parts",
            Self::Phases => "phases",
            Self::Words => "words",
            Self::Star => "star",
            Self::Neuron => "neuron",
            Self::Prior => "prior",
        }
    }

    /// The question; `{name}` is the class.
    pub fn question(self, style: Style) -> &'static str {
        match (self, style) {
            (Self::Global, Style::Short) => {
                "How does the body of a person move as a whole in the action \"{name}\"? Answer in very few words, with \
                 a verb phrase without a subject."
            }
            (Self::Global, Style::Sentences) => {
                "Describe in one plain sentence how the body of a person moves in the action \"{name}\"."
            }
            (Self::Parts, Style::Short) => {
                "What would the head, the hands (with the arms), the torso and the legs (with the feet) of a person do \
                 in the action \"{name}\"? Answer in very few words for each, with a verb phrase without a subject; a \
                 part that keeps still does that."
            }
            (Self::Parts, Style::Sentences) => {
                "Describe in one plain sentence each what the head, the hands (with the arms), the torso and the legs \
                 (with the feet) of a person do in the action \"{name}\"."
            }
            (Self::Phases, Style::Short) => {
                "Divide the action \"{name}\" into three phases, start, middle and end. What would a person do in each? \
                 Answer in very few words for each, with a verb phrase without a subject."
            }
            (Self::Phases, Style::Sentences) => {
                "Divide the action \"{name}\" into three phases, start, middle and end, and describe the motion of each \
                 in one plain sentence."
            }
            (Self::Words, _) => {
                "Which verb and which noun make up the action \"{name}\"? The verb is in its base form, with its particle \
                 (\"put on\"); the noun is what is acted on or with, in one or a few words, or null where there is none."
            }
            (Self::Star, _) => {
                "Describe for the action \"{name}\" in one sentence each what a person does with the head, the hand, the \
                 arm, the hip, the leg and the foot."
            }
            (Self::Neuron, _) => {
                "Describe the action \"{name}\" at six levels, in ten sentences each that differ in wording and in what \
                 they attend to: spatial_cg, the body as a whole; spatial_mg, limbs, torso and head; spatial_fg, single \
                 joints; temporal_fp, temporal_sp and temporal_tp, the first, second and third phase of the motion."
            }
            (Self::Prior, _) => {
                "Judge how much each part of the body and each phase of the motion tells the action \"{name}\" from \
                 others. Give (1) `spatial`: four numbers, not negative, that sum to 1, for head, torso, arms and legs, \
                 in this order; (2) `temporal`: three such numbers for beginning, middle and end; (3) `gamma`: one \
                 number between 0 and 1, 1 where only the motion as a whole tells it, 0 where single parts and phases do."
            }
        }
    }

    /// JSON schema of the answer.
    pub fn schema(self) -> Value {
        let text = json!({"type": "string", "minLength": 1, "maxLength": 1000, "pattern": "\\S"});
        let texts = |names: &[&str]| {
            let fields = names.iter().map(|n| ((*n).to_owned(), text.clone()));
            object(fields.collect())
        };
        let numbers = |n: usize| json!({"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}, "minItems": n, "maxItems": n});
        match self {
            Self::Global => texts(&["global"]),
            Self::Parts => texts(&["head", "hands", "torso", "legs"]),
            Self::Phases => texts(&["start", "middle", "end"]),
            Self::Star => texts(&["head", "hand", "arm", "hip", "leg", "foot"]),
            Self::Words => {
                let none = json!({"anyOf": [text, {"type": "null"}]});
                object(
                    [("verb".to_owned(), text.clone()), ("noun".to_owned(), none)]
                        .into_iter()
                        .collect(),
                )
            }
            Self::Neuron => {
                let list =
                    json!({"type": "array", "items": text, "minItems": SENTENCES, "maxItems": SENTENCES});
                let names = [
                    "spatial_cg",
                    "spatial_mg",
                    "spatial_fg",
                    "temporal_fp",
                    "temporal_sp",
                    "temporal_tp",
                ];
                object(names.iter().map(|n| ((*n).to_owned(), list.clone())).collect())
            }
            Self::Prior => object(
                [
                    ("spatial".to_owned(), numbers(4)),
                    ("temporal".to_owned(), numbers(3)),
                    (
                        "gamma".to_owned(),
                        json!({"type": "number", "minimum": 0, "maximum": 1}),
                    ),
                ]
                .into_iter()
                .collect(),
            ),
        }
    }
}

/// An object with exactly these fields.
fn object(fields: serde_json::Map<String, Value>) -> Value {
    let names: Vec<_> = fields.keys().cloned().collect();
    json!({"type": "object", "properties": fields, "required": names, "additionalProperties": false})
}
