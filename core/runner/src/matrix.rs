//! Which encoder, aligner, adapter and gate go together: every combination of what is registered, judged by the same
//! rules as a pipeline, from what the components declare about themselves.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};
use szar_core::config::{Composition, Stream};
use szar_core::registry::{self, ComponentKind};
use szar_core::{
    AdapterConfig, AlignerConfig, EncoderConfig, Error, GateConfig, InputSpec, Problems, Result,
};

/// Options that change what a component offers or needs, shown in rows of their own.
const SETTINGS: [(ComponentKind, &str, &str, &str); 11] = [
    (ComponentKind::Encoder, "torchscript", "pooled", "{}"),
    (
        ComponentKind::Encoder,
        "torchscript",
        "map",
        r#"{"output_layout": "nctv"}"#,
    ),
    (
        ComponentKind::Aligner,
        "purls",
        "adaptive",
        r#"{"partition": "adaptive"}"#,
    ),
    (
        ComponentKind::Aligner,
        "purls",
        "static",
        r#"{"partition": "static"}"#,
    ),
    (
        ComponentKind::Aligner,
        "purls",
        "global",
        r#"{"partition": "global"}"#,
    ),
    (ComponentKind::Aligner, "cada-vae", "", "{}"),
    (
        ComponentKind::Aligner,
        "cada-vae",
        "latent",
        r#"{"scoring": "latent"}"#,
    ),
    (ComponentKind::Aligner, "sa-dvae", "", "{}"),
    (
        ComponentKind::Aligner,
        "sa-dvae",
        "latent",
        r#"{"scoring": "latent"}"#,
    ),
    (ComponentKind::Aligner, "synse", "", "{}"),
    (
        ComponentKind::Aligner,
        "synse",
        "latent",
        r#"{"scoring": "latent"}"#,
    ),
];

/// A component with the options under which it is judged.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// Name, and the setting where there are several: `purls static`.
    pub label: String,
    /// The block of a pipeline.
    pub block: Value,
}

/// Why some combinations do not work, and which do.
#[derive(Debug, Serialize)]
pub struct Matrix {
    /// From skeletons to features.
    pub encoders: Vec<Choice>,
    /// Score features against anchors.
    pub aligners: Vec<Choice>,
    /// Work on the scores.
    pub adapters: Vec<Choice>,
    /// Decide between seen and unseen.
    pub gates: Vec<Choice>,
    /// Everything that can be wrong.
    pub reasons: Vec<String>,
    /// Numbers of the reasons, by encoder, aligner, adapter and gate in nested order; empty where the four go together.
    pub cells: Vec<Vec<usize>>,
}

/// The choices of a kind: each registered component with its defaults, or with its settings where it has some.
pub fn choices(kind: ComponentKind) -> Vec<Choice> {
    let mut all = Vec::new();
    for component in registry::all().into_iter().filter(|c| c.kind == kind) {
        let own = SETTINGS.iter().filter(|s| s.0 == kind && s.1 == component.name);
        let mut settings: Vec<_> = own.map(|(_, _, label, options)| (*label, *options)).collect();
        settings.sort_unstable();
        if settings.is_empty() {
            settings.push(("", "{}"));
        }
        for (setting, options) in settings {
            let mut block = json!({ "type": component.name });
            if let (Value::Object(block), Ok(Value::Object(options))) =
                (&mut block, serde_json::from_str(options))
            {
                block.extend(options);
            }
            let label = format!("{} {setting}", component.name).trim_end().to_owned();
            all.push(Choice { label, block });
        }
    }
    all
}

fn built<T: for<'de> serde::Deserialize<'de>>(choice: &Choice) -> Result<T> {
    serde_json::from_value(registry::for_serde(choice.block.clone()))
        .map_err(|e| Error::Input(format!("options of `{}`: {e}", choice.label)))
}

fn all_built<T: for<'de> serde::Deserialize<'de>>(choices: &[Choice]) -> Result<Vec<T>> {
    choices.iter().map(built).collect()
}

impl Matrix {
    /// Judges every combination of what is registered, for sequences of the layout of this name and of this length. Encoders
    /// that pass on a dataset's features are not among them: their form is that dataset's.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another layout; when the defaults of a component cannot be read back.
    pub fn of_registered(layout: &str, frames: i64) -> Result<Self> {
        let layout = szar_data::layouts::by_name(layout)?;
        let mut encoders = Vec::new();
        for choice in choices(ComponentKind::Encoder) {
            let config: Box<dyn EncoderConfig> = built(&choice)?;
            if !config.passes_on() {
                encoders.push(choice);
            }
        }
        Self::of(
            encoders,
            choices(ComponentKind::Aligner),
            choices(ComponentKind::Adapter),
            choices(ComponentKind::Gate),
            &InputSpec {
                layout,
                frames,
                persons: 2,
                seen_classes: 5,
            },
        )
    }

    /// Judges every combination of these.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn of(
        encoders: Vec<Choice>,
        aligners: Vec<Choice>,
        adapters: Vec<Choice>,
        gates: Vec<Choice>,
        input: &InputSpec,
    ) -> Result<Self> {
        let stream = Stream::default();
        let built_encoders: Vec<Box<dyn EncoderConfig>> = all_built(&encoders)?;
        let built_aligners: Vec<Box<dyn AlignerConfig>> = all_built(&aligners)?;
        let built_adapters: Vec<Box<dyn AdapterConfig>> = all_built(&adapters)?;
        let built_gates: Vec<Box<dyn GateConfig>> = all_built(&gates)?;
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut cells = Vec::new();
        for encoder in &built_encoders {
            for aligner in &built_aligners {
                for adapter in &built_adapters {
                    for gate in &built_gates {
                        let mut problems = Problems::new();
                        let parts = Composition {
                            input,
                            encoder: encoder.as_ref(),
                            aligner: aligner.as_ref(),
                            adapter: Some(adapter.as_ref()),
                            gate: Some(gate.as_ref()),
                            stream: &stream,
                        };
                        parts.check(&mut problems);
                        let mut own: Vec<usize> = problems
                            .iter()
                            .map(|problem| {
                                let new = known.len();
                                *known.entry(problem.message.clone()).or_insert(new)
                            })
                            .collect();
                        own.sort_unstable();
                        cells.push(own);
                    }
                }
            }
        }
        let mut reasons = vec![String::new(); known.len()];
        for (reason, number) in known {
            reasons[number] = reason;
        }
        Ok(Self {
            encoders,
            aligners,
            adapters,
            gates,
            reasons,
            cells,
        })
    }

    /// Numbers of the reasons against a combination; none when the four go together.
    pub fn cell(&self, encoder: usize, aligner: usize, adapter: usize, gate: usize) -> &[usize] {
        let at =
            ((encoder * self.aligners.len() + aligner) * self.adapters.len() + adapter) * self.gates.len();
        self.cells.get(at + gate).map_or(&[], Vec::as_slice)
    }

    /// How many combinations go together.
    pub fn valid(&self) -> usize {
        self.cells.iter().filter(|reasons| reasons.is_empty()).count()
    }

    /// Reasons that stand against a pair whatever the other two parts are.
    pub fn against(&self, first: (Part, usize), second: (Part, usize)) -> Vec<usize> {
        let sizes = Part::ALL.map(|part| self.choices(part).len());
        let mut common: Option<Vec<usize>> = None;
        for (at, reasons) in self.cells.iter().enumerate() {
            let place = place(at, sizes);
            if place[first.0 as usize] != first.1 || place[second.0 as usize] != second.1 {
                continue;
            }
            let shared = match common {
                None => reasons.clone(),
                Some(before) => before.into_iter().filter(|r| reasons.contains(r)).collect(),
            };
            common = Some(shared);
        }
        common.unwrap_or_default()
    }

    fn choices(&self, part: Part) -> &[Choice] {
        match part {
            Part::Encoder => &self.encoders,
            Part::Aligner => &self.aligners,
            Part::Adapter => &self.adapters,
            Part::Gate => &self.gates,
        }
    }

    /// One table for each pair of kinds, with the reasons below in words.
    pub fn markdown(&self) -> String {
        let [e, l, a, g] = Part::ALL.map(|part| self.choices(part).len());
        let mut out = format!(
            "{} combinations: {e} encoders, {l} aligners, {a} adapters, {g} gates. {} go together.\n",
            self.cells.len(),
            self.valid()
        );
        let mut order = Vec::new();
        for (rows, columns) in [
            (Part::Adapter, Part::Aligner),
            (Part::Aligner, Part::Encoder),
            (Part::Adapter, Part::Encoder),
            (Part::Gate, Part::Encoder),
        ] {
            self.table(rows, columns, &mut order, &mut out);
        }
        if !order.is_empty() {
            out.push('\n');
        }
        for (number, reason) in order.iter().enumerate() {
            let _ = writeln!(out, "{}. {reason}", number + 1);
        }
        out
    }

    /// The reasons in a pair's cells are numbered as they appear, those that differ in names alone as one.
    fn table(&self, rows: Part, columns: Part, order: &mut Vec<String>, out: &mut String) {
        let heads = self.choices(columns).iter().map(|c| c.label.as_str());
        let heads: Vec<&str> = std::iter::once("").chain(heads).collect();
        let _ = writeln!(out, "\n| {} |", heads.join(" | "));
        let _ = writeln!(out, "|---|{}", ":-:|".repeat(heads.len() - 1));
        for (r, row) in self.choices(rows).iter().enumerate() {
            let mut cells = vec![row.label.clone()];
            for c in 0..self.choices(columns).len() {
                let against = self.against((rows, r), (columns, c));
                let mut numbers: Vec<usize> = against
                    .iter()
                    .map(|reason| {
                        let reason = without_names(&self.reasons[*reason]);
                        let known = order.iter().position(|o| *o == reason);
                        known.unwrap_or_else(|| {
                            order.push(reason);
                            order.len() - 1
                        }) + 1
                    })
                    .collect();
                numbers.dedup();
                let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
                cells.push(if numbers.is_empty() {
                    "yes".to_owned()
                } else {
                    numbers.join(", ")
                });
            }
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
}

/// A reason that says "the aligner" where the message names one.
fn without_names(reason: &str) -> String {
    let mut text = reason.to_owned();
    for kind in ["encoder", "aligner", "adapter", "gate"] {
        let named = format!("{kind} `");
        while let Some(start) = text.find(&named) {
            let Some(length) = text[start + named.len()..].find('`') else {
                break;
            };
            let end = start + named.len() + length + 1;
            text.replace_range(start..end, &format!("the {kind}"));
        }
    }
    text
}

/// Parts of a combination, in nested order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// From skeletons to features.
    Encoder = 0,
    /// Scores features against anchors.
    Aligner = 1,
    /// Works on the scores.
    Adapter = 2,
    /// Decides between seen and unseen.
    Gate = 3,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Encoder, Self::Aligner, Self::Adapter, Self::Gate];
}

/// Numbers of encoder, aligner, adapter and gate of a cell.
pub(crate) fn place(at: usize, sizes: [usize; 4]) -> [usize; 4] {
    let (rest, gate) = (at / sizes[3], at % sizes[3]);
    let (rest, adapter) = (rest / sizes[2], rest % sizes[2]);
    [rest / sizes[1], rest % sizes[1], adapter, gate]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered() -> Matrix {
        Matrix::of_registered("ntu25", 16).unwrap()
    }

    #[test]
    fn every_refusal_is_that_of_a_pair() {
        let matrix = registered();
        let sizes = Part::ALL.map(|part| matrix.choices(part).len());
        let mut pairs = BTreeMap::new();
        for (i, first) in Part::ALL.into_iter().enumerate() {
            for second in Part::ALL.into_iter().skip(i + 1) {
                for a in 0..sizes[first as usize] {
                    for b in 0..sizes[second as usize] {
                        let key = (first as usize, a, second as usize, b);
                        pairs.insert(key, matrix.against((first, a), (second, b)));
                    }
                }
            }
        }
        for (at, reasons) in matrix.cells.iter().enumerate() {
            let place = place(at, sizes);
            let mut union: Vec<usize> = (0..4)
                .flat_map(|i| (i + 1..4).map(move |j| (i, j)))
                .flat_map(|(i, j)| pairs[&(i, place[i], j, place[j])].clone())
                .collect();
            union.sort_unstable();
            union.dedup();
            assert_eq!(&union, reasons, "cell {place:?}");
        }
    }

    #[test]
    fn the_table_has_a_row_for_every_choice_and_a_line_for_every_reason() {
        let matrix = registered();
        let text = matrix.markdown();
        for choice in matrix
            .adapters
            .iter()
            .chain(&matrix.aligners)
            .chain(&matrix.gates)
        {
            assert!(
                text.contains(&format!("\n| {} |", choice.label)),
                "{}",
                choice.label
            );
        }
        for reason in &matrix.reasons {
            assert!(text.contains(&without_names(reason)), "{reason}");
        }
    }
}
