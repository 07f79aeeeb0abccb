//! The dataset `waves`, the semantics `class-letters`, the text encoder `letter-counts` and the gate `seen-margin`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_plugin::{
    BuildContext, ClassId, ClassList, ClassSplit, ComponentInfo, ComponentKind, Dataset, DatasetConfig,
    DatasetInfo, GateConfig, GateEvidence, Granularity, GzslGate, Part, Problems, Result, SampleInfo,
    SampleRole, SemanticAnchors, SemanticProvider, SemanticsConfig, Sequence, SkeletonLayout, TextEncoder,
    TextEncoderConfig,
};
use tch::{Device, Kind, Tensor};

const JOINTS: [&str; 6] = ["hip", "chest", "head", "left_hand", "right_hand", "foot"];

/// Which joints move, and how often a second.
const MOTIONS: [(&str, &[usize], f32); 8] = [
    ("wave left hand", &[3], 1.0),
    ("wave right hand", &[4], 1.0),
    ("shake left hand", &[3], 4.0),
    ("shake right hand", &[4], 4.0),
    ("wave both hands", &[3, 4], 1.0),
    ("shake both hands", &[3, 4], 4.0),
    ("nod the head", &[2], 1.0),
    ("shake the head", &[2], 4.0),
];

/// Classes that are unseen.
const UNSEEN: [i64; 2] = [4, 7];

/// Options of `waves`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WavesConfig {
    /// Sequences of each class, at least 2. Default: 10.
    pub samples: usize,
    /// Frames of each, at least 2, at 30 a second. Default: 30.
    pub frames: usize,
}

impl Default for WavesConfig {
    fn default() -> Self {
        Self {
            samples: 10,
            frames: 30,
        }
    }
}

#[typetag::serde(name = "waves")]
impl DatasetConfig for WavesConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, value) in [("samples", self.samples), ("frames", self.frames)] {
            problems.check(value >= 2, field, || format!("must be at least 2, got {value}"));
        }
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        Some((Arc::new(layout()), 1))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        let classes = ClassList::numbered(MOTIONS.map(|(name, ..)| name))?;
        let one = |class: usize, number: usize| SampleInfo {
            name: format!("{class}_{number}"),
            class: ClassId(class as i64),
            subject: Some(number as i64),
            role: if number.is_multiple_of(2) {
                SampleRole::Train
            } else {
                SampleRole::Test
            },
            usable: true,
        };
        let of_class = |class| (0..self.samples).map(move |number| one(class, number));
        Ok(Box::new(Waves {
            samples: (0..MOTIONS.len()).flat_map(of_class).collect(),
            frames: self.frames,
            info: DatasetInfo {
                name: "waves".into(),
                layout: Arc::new(layout()),
                classes,
                persons: 1,
                synthetic: Some(
                    "Computed waves of joints: they say whether a pipeline works, nothing of people.".into(),
                ),
            },
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<WavesConfig>(ComponentKind::Dataset, "waves", "Joints of a stick figure that move like sines.", "")
}

fn layout() -> SkeletonLayout {
    let part = |name: &str, joints: &[usize]| Part {
        name: name.into(),
        joints: joints.to_vec(),
    };
    SkeletonLayout {
        name: "stick".into(),
        joints: JOINTS.map(str::to_owned).into(),
        bones: vec![(1, 0), (2, 1), (3, 1), (4, 1), (5, 0)],
        centre: 0,
        spine: 1,
        shoulders: (3, 4),
        mirror: vec![(3, 4)],
        parts: vec![
            part("head", &[2]),
            part("hands", &[3, 4]),
            part("torso", &[0, 1]),
            part("legs", &[5]),
        ],
    }
}

struct Waves {
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
    frames: usize,
}

impl Dataset for Waves {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    /// Amplitude and phase differ from sample to sample.
    fn load(&self, sample: usize) -> Result<Sequence> {
        const REST: [[f32; 3]; 6] = [
            [0.0, 1.0, 0.0],
            [0.0, 1.4, 0.0],
            [0.0, 1.7, 0.0],
            [-0.5, 1.3, 0.0],
            [0.5, 1.3, 0.0],
            [0.1, 0.0, 0.0],
        ];
        let info = &self.samples[sample];
        let (_, moving, rate) = MOTIONS[info.class.0.unsigned_abs() as usize];
        let number = info.subject.unwrap_or(0) as f32;
        let (amplitude, phase) = (0.2 + 0.01 * number, 0.7 * number);
        let mut joints = Vec::with_capacity(self.frames * REST.len() * 3);
        for frame in 0..self.frames {
            let height = amplitude * (std::f32::consts::TAU * rate * frame as f32 / 30.0 + phase).sin();
            for (joint, [x, y, z]) in REST.into_iter().enumerate() {
                let y = if moving.contains(&joint) { y + height } else { y };
                joints.extend([x, y, z]);
            }
        }
        Ok(Sequence {
            joints,
            frames: self.frames,
            persons: 1,
            fps: 30.0,
        })
    }

    fn split(&self) -> Result<ClassSplit> {
        let (unseen, seen): (Vec<_>, Vec<_>) = self
            .info
            .classes
            .ids()
            .iter()
            .partition(|id| UNSEEN.contains(&id.0));
        ClassSplit::new("waves", &self.info.classes, &seen, &unseen)
    }
}

/// `[texts, 26]`, how often each letter stands in each text, as vectors of length 1 (0 for none).
fn letters<'a>(texts: impl Iterator<Item = &'a str>) -> Tensor {
    let mut values: Vec<f32> = Vec::new();
    for text in texts {
        let mut counts = [0f32; 26];
        for letter in text
            .bytes()
            .map(|b| b.to_ascii_lowercase())
            .filter(u8::is_ascii_lowercase)
        {
            counts[usize::from(letter - b'a')] += 1.0;
        }
        let length = counts.iter().map(|c| c * c).sum::<f32>().sqrt().max(1e-8);
        values.extend(counts.map(|c| c / length));
    }
    Tensor::from_slice(&values).view([-1, 26])
}

/// Options of `class-letters`: none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassLettersConfig {}

#[typetag::serde(name = "class-letters")]
impl SemanticsConfig for ClassLettersConfig {
    fn validate(&self, _: &mut Problems) {}

    fn granularities(&self) -> Vec<Granularity> {
        vec![Granularity::GLOBAL]
    }

    fn width(&self) -> Option<i64> {
        Some(26)
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn SemanticProvider>> {
        Ok(Box::new(ClassLetters(ctx.device)))
    }
}

inventory::submit! {
    ComponentInfo::new::<ClassLettersConfig>(
        ComponentKind::Semantics,
        "class-letters",
        "The letters of the classes' names, counted.",
        "",
    )
}

struct ClassLetters(Device);

impl SemanticProvider for ClassLetters {
    fn anchors(&mut self, classes: &ClassList) -> Result<SemanticAnchors> {
        let values = letters(classes.names().iter().map(String::as_str));
        SemanticAnchors::new(
            values.unsqueeze(1).to_device(self.0),
            vec![Granularity::GLOBAL],
            classes.clone(),
        )
    }
}

/// Options of `letter-counts`: none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LetterCountsConfig {}

#[typetag::serde(name = "letter-counts")]
impl TextEncoderConfig for LetterCountsConfig {
    fn validate(&self, _: &mut Problems) {}

    fn width(&self) -> Option<i64> {
        Some(26)
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TextEncoder>> {
        Ok(Box::new(LetterCounts))
    }
}

inventory::submit! {
    ComponentInfo::new::<LetterCountsConfig>(
        ComponentKind::TextEncoder,
        "letter-counts",
        "The letters of a text, counted.",
        "",
    )
}

struct LetterCounts;

impl TextEncoder for LetterCounts {
    fn width(&self) -> i64 {
        26
    }

    fn encode(&mut self, texts: &[String]) -> Result<Tensor> {
        Ok(letters(texts.iter().map(String::as_str)))
    }

    fn fingerprint(&self) -> String {
        "letter-counts 1".into()
    }
}

/// Options of `seen-margin`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SeenMarginConfig {
    /// Taken from the logits of seen classes; a sample is seen when one of them is still the largest. Default: 0.
    pub margin: f64,
}

#[typetag::serde(name = "seen-margin")]
impl GateConfig for SeenMarginConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(self.margin.is_finite(), "margin", || {
            format!("must be a number, got {}", self.margin)
        });
    }

    fn needs_validation(&self) -> bool {
        false
    }

    fn build(&self, _: &ClassList, _: &BuildContext) -> Result<Box<dyn GzslGate>> {
        Ok(Box::new(SeenMargin(self.margin)))
    }
}

inventory::submit! {
    ComponentInfo::new::<SeenMarginConfig>(
        ComponentKind::Gate,
        "seen-margin",
        "Seen when the best seen class leads by a margin.",
        "",
    )
}

struct SeenMargin(f64);

impl GzslGate for SeenMargin {
    fn fit(&mut self, _: &GateEvidence) -> Result<BTreeMap<String, f64>> {
        Ok(BTreeMap::from([("margin".to_owned(), self.0)]))
    }

    fn takes_for_seen(&self, evidence: &GateEvidence) -> Result<Tensor> {
        Ok(self.unseen_score(evidence)?.lt(0.0))
    }

    /// `[B]`, by how much the best unseen class leads after the margin.
    fn unseen_score(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let logits = &evidence.scores.logits;
        let best = |columns: &[szar_plugin::Column]| {
            let columns: Vec<i64> = columns.iter().map(|c| c.0 as i64).collect();
            let index = Tensor::from_slice(&columns).to_device(logits.device());
            logits
                .index_select(1, &index)
                .to_kind(Kind::Float)
                .amax([1i64].as_slice(), false)
        };
        Ok(best(evidence.unseen) - (best(evidence.seen) - self.0))
    }
}
