//! What training minimises.

use tch::{Kind, Tensor};

use crate::aligners::training::unit_rows;

/// Added to probabilities before their logarithm, as in the official code.
const FLOOR: f64 = 1e-12;

/// The whole loss and its three terms.
pub(super) const TERMS: [&str; 4] = ["loss", "global", "part", "text"];

/// How much each term counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub global: f64,
    pub part: f64,
    pub text: f64,
}

/// Mapped texts of C classes and the labels of a batch.
pub(super) struct Targets<'a> {
    /// `[C, n]`.
    pub label: Tensor,
    /// `[parts, C, n]`.
    pub parts: Tensor,
    /// `[B]` i64, columns of the seen classes.
    pub labels: &'a Tensor,
    /// `[S]` i64, rows that are seen classes; `None`: all.
    pub seen: Option<&'a Tensor>,
}

impl Targets<'_> {
    fn of_seen(&self, texts: &Tensor) -> Tensor {
        match self.seen {
            Some(rows) => texts.index_select(-2, rows),
            None => texts.shallow_clone(),
        }
    }
}

/// `[4]`, as [`TERMS`], from the values `[B, parts, n]` and their sum `[B, n]`.
pub(super) fn terms(
    values: &Tensor,
    whole: &Tensor,
    targets: &Targets,
    temperature: f64,
    shares: Shares,
) -> Tensor {
    let global = against_classes(
        &whole.unsqueeze(0),
        &targets.of_seen(&targets.label).unsqueeze(0),
        targets.labels,
        temperature,
    );
    let part = against_classes(
        &values.transpose(0, 1),
        &targets.of_seen(&targets.parts),
        targets.labels,
        temperature,
    );
    let text = parts_against_labels(&targets.parts, &targets.label);
    let total = &global * shares.global + &part * shares.part + &text * shares.text;
    Tensor::stack(&[total, global, part, text], 0)
}

/// Cross entropy of the labels over the cosines of `[K, B, n]` with the seen classes `[K, S, n]`, mean over K and B.
fn against_classes(values: &Tensor, classes: &Tensor, labels: &Tensor, temperature: f64) -> Tensor {
    let cosines = unit_rows(values).matmul(&unit_rows(classes).transpose(1, 2)) / temperature;
    let probability = cosines.softmax(-1, Kind::Float); // [K, B, S]
    let own = labels.view([1, -1, 1]).expand([values.size()[0], -1, 1], false);
    -log(&probability.gather(-1, &own, false)).mean(Kind::Float)
}

/// How far the text of each class's part, among the texts of all whole classes, is from its own.
fn parts_against_labels(parts: &Tensor, label: &Tensor) -> Tensor {
    let probability = parts.matmul(&label.transpose(0, 1)).softmax(-1, Kind::Float);
    -log(&probability.diagonal(0, 1, 2)).mean(Kind::Float)
}

fn log(probability: &Tensor) -> Tensor {
    (probability + FLOOR).log()
}
