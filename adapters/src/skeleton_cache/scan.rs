//! The part of a step that must go sample by sample: where each is stored, and what it is answered.

use super::bank::Ledger;
use super::choices::Behaviour;
use super::{Accumulate, Order, Signal};
use crate::rows::largest;

/// Probabilities below this count as this inside a logarithm.
const MIN_PROBABILITY: f64 = 1e-12;

/// Where a sample went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Column of the class it was judged to be.
    pub class: usize,
    /// The entry `class * capacity + i` it became there; `None` when all held are more certain.
    pub entry: Option<usize>,
    /// Column of the runner-up whose block it was offered too, by the hedge rule.
    pub runner_up: Option<usize>,
    /// The entry it became there.
    pub copy: Option<usize>,
}

/// How samples are answered and stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub behaviour: Behaviour,
    pub accumulate: Accumulate,
    pub alpha: f32,
    /// The margin below which the runner-up gets a copy; 0 is never.
    pub hedge: f64,
}

/// What the walk tells about a new entry; whoever holds the keys takes it over.
pub(super) trait Entries {
    /// Sample `sample` of the batch is now the entry in `column`: its affinities to the samples `from ..` belong
    /// in that column of `affinity`, `[B, C·K]`.
    fn stored(&mut self, sample: usize, column: usize, from: usize, affinity: &mut [f32]);
}

/// A batch on its way through the cache.
pub(super) struct Batch<'a> {
    /// `[B, C]`, logits before the cache, normalised as the options say.
    pub base: &'a [f32],
    /// `[B, C·K]`.
    pub affinity: &'a mut [f32],
    /// `[B]`, false for samples whose features are not finite: they keep their logits and are never stored.
    pub usable: &'a [bool],
    /// `[B, C]`, the answer.
    pub out: &'a mut [f32],
    /// `[B]`, positions of the samples among all streams; empty where nobody asks.
    pub positions: &'a [i64],
}

/// A posterior, as far as storing needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posterior {
    pub label: usize,
    /// Nats.
    pub entropy: f64,
    pub runner_up: usize,
    /// Largest less second largest probability.
    pub margin: f64,
}

impl Posterior {
    /// Of one row of logits.
    pub fn of(logits: &[f32]) -> Self {
        let label = largest(logits);
        let top = f64::from(logits[label]);
        let total: f64 = logits.iter().map(|z| (f64::from(*z) - top).exp()).sum();
        let log_total = total.ln();
        let (mut entropy, mut runner_up, mut second) = (0.0, label, f64::NEG_INFINITY);
        for (class, z) in logits.iter().enumerate() {
            let below = f64::from(*z) - top;
            let log = below - log_total;
            entropy -= log.exp() * log.max(MIN_PROBABILITY.ln());
            if class != label && below > second {
                (runner_up, second) = (class, below);
            }
        }
        let margin = (1.0 - second.exp()) / total;
        Self {
            label,
            entropy,
            runner_up,
            margin,
        }
    }
}

/// The largest of a row, as a number to be summed.
pub(super) fn largest_value(row: &[f32]) -> f64 {
    f64::from(row[largest(row)])
}

/// Walks over a batch in order. `placements` gets one entry per sample.
pub(super) fn walk(
    rules: &Rules,
    ledger: &mut Ledger,
    batch: &mut Batch,
    entries: &mut impl Entries,
    placements: &mut Vec<Placement>,
) {
    let classes = ledger.size.classes;
    for sample in 0..batch.usable.len() {
        let row = sample * classes..(sample + 1) * classes;
        let placed = if batch.usable[sample] {
            one(rules, ledger, batch, entries, sample)
        } else {
            batch.out[row.clone()].copy_from_slice(&batch.base[row.clone()]);
            let class = largest(&batch.base[row.clone()]);
            Placement {
                class,
                entry: None,
                runner_up: None,
                copy: None,
            }
        };
        ledger.answers[largest(&batch.out[row])] += 1;
        ledger.seen += 1;
        placements.push(placed);
    }
}

/// Answers a batch from the cache as it is.
pub(super) fn answer(rules: &Rules, ledger: &Ledger, batch: &mut Batch) {
    let classes = ledger.size.classes;
    for sample in 0..batch.usable.len() {
        if batch.usable[sample] {
            fuse(rules, ledger, batch, sample, [None, None]);
        } else {
            let row = sample * classes..(sample + 1) * classes;
            batch.out[row.clone()].copy_from_slice(&batch.base[row]);
        }
    }
}

fn one(
    rules: &Rules,
    ledger: &mut Ledger,
    batch: &mut Batch,
    entries: &mut impl Entries,
    sample: usize,
) -> Placement {
    let Behaviour {
        order,
        signal,
        exclude_self,
        ..
    } = rules.behaviour;
    let row = sample * ledger.size.classes..(sample + 1) * ledger.size.classes;
    let before = order == Order::PredictThenUpdate || signal == Signal::Refined;
    if before {
        fuse(rules, ledger, batch, sample, [None, None]);
    }
    let judged = match signal {
        Signal::ZeroShot => Posterior::of(&batch.base[row]),
        Signal::Refined => Posterior::of(&batch.out[row]),
    };
    let meets_itself = order == Order::UpdateThenPredict && !exclude_self;
    let from = if meets_itself { sample } else { sample + 1 };
    let position = batch.positions.get(sample).copied().unwrap_or(ledger.seen);
    let placed = store(rules, ledger, judged, position);
    if rules.accumulate == Accumulate::Soft {
        let own = &batch.base[sample * ledger.size.classes..][..ledger.size.classes];
        for column in [placed.entry, placed.copy].into_iter().flatten() {
            ledger.votes.put(column, own);
        }
    }
    for column in [placed.entry, placed.copy].into_iter().flatten() {
        entries.stored(sample, column, from, batch.affinity);
    }
    if order == Order::UpdateThenPredict {
        let own = if exclude_self {
            [placed.entry, placed.copy]
        } else {
            [None, None]
        };
        fuse(rules, ledger, batch, sample, own);
    }
    placed
}

/// Offers a sample to its class and, when the two best are close, to the runner-up's.
fn store(rules: &Rules, ledger: &mut Ledger, judged: Posterior, position: i64) -> Placement {
    let Posterior {
        label,
        entropy,
        runner_up,
        margin,
    } = judged;
    if !entropy.is_finite() {
        return Placement {
            class: label,
            entry: None,
            runner_up: None,
            copy: None,
        };
    }
    let entry = ledger.place(label, entropy, label, position);
    let hedged = runner_up != label && margin < rules.hedge;
    let copy = if hedged {
        ledger.place(runner_up, entropy, label, position)
    } else {
        None
    };
    ledger.hedges += i64::from(copy.is_some());
    Placement {
        class: label,
        entry,
        runner_up: hedged.then_some(runner_up),
        copy,
    }
}

/// `φ_j = φ̂_j + α Σ_i a_{j,i}` for one sample, without the entries in `skip`.
fn fuse(rules: &Rules, ledger: &Ledger, batch: &mut Batch, sample: usize, skip: [Option<usize>; 2]) {
    let (classes, capacity) = (ledger.size.classes, ledger.size.capacity);
    let affinity = &batch.affinity[sample * ledger.size.columns()..][..ledger.size.columns()];
    let base = &batch.base[sample * classes..][..classes];
    let out = &mut batch.out[sample * classes..][..classes];
    if rules.accumulate == Accumulate::Soft {
        return vote(rules, ledger, affinity, base, out, skip);
    }
    let blocks = affinity.chunks_exact(capacity).zip(&ledger.counts);
    for (class, ((block, held), (out, base))) in blocks.zip(out.iter_mut().zip(base)).enumerate() {
        let own = |i: usize| skip.contains(&Some(class * capacity + i));
        let (sum, count) = if skip == [None, None] {
            (block[..*held].iter().sum::<f32>(), *held)
        } else {
            let others = block[..*held].iter().enumerate().filter(|(i, _)| !own(*i));
            others.fold((0.0, 0), |(sum, count), (_, a)| (sum + a, count + 1))
        };
        let score = match rules.accumulate {
            Accumulate::Mean if count > 0 => sum / count as f32,
            Accumulate::Sum | Accumulate::Mean | Accumulate::Soft => sum,
        };
        *out = base + rules.alpha * score;
    }
}

/// `φ = φ̂ + α N/(N + C) Σ a B / Σ a` over the entries of all classes, B being the logits that an entry keeps.
fn vote(
    rules: &Rules,
    ledger: &Ledger,
    affinity: &[f32],
    base: &[f32],
    out: &mut [f32],
    skip: [Option<usize>; 2],
) {
    let capacity = ledger.size.capacity;
    let (mut total, mut entries) = (0.0f32, 0usize);
    out.fill(0.0);
    for (class, held) in ledger.counts.iter().enumerate() {
        let own = affinity.iter().enumerate().skip(class * capacity).take(*held);
        for (column, affinity) in own.filter(|(column, _)| !skip.contains(&Some(*column))) {
            ledger.votes.add(column, *affinity, out);
            total += affinity;
            entries += 1;
        }
    }
    let share = entries as f32 / (entries + ledger.size.classes) as f32;
    let factor = if total > 0.0 {
        rules.alpha * share / total
    } else {
        0.0
    };
    out.iter_mut()
        .zip(base)
        .for_each(|(out, base)| *out = base + factor * *out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_posterior_is_that_of_the_definition() {
        let judged = Posterior::of(&[1.0, 3.0, 2.0, 3.0 - 0.1]);
        let p: Vec<f64> = [1.0, 3.0, 2.0, 2.9f64].iter().map(|z| z.exp()).collect();
        let total: f64 = p.iter().sum();
        let want: f64 = p.iter().map(|p| -(p / total) * (p / total).ln()).sum();
        assert!((judged.entropy - want).abs() < 1e-6);
        assert_eq!((judged.label, judged.runner_up), (1, 3));
        assert!((judged.margin - (p[1] - p[3]) / total).abs() < 1e-6);
    }

    #[test]
    fn equal_logits_choose_the_first_class_and_have_no_margin() {
        let judged = Posterior::of(&[0.5; 6]);
        assert_eq!((judged.label, judged.runner_up, judged.margin), (0, 1, 0.0));
        assert!((judged.entropy - 6f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn a_single_candidate_is_certain() {
        let judged = Posterior::of(&[2.0]);
        assert_eq!((judged.label, judged.entropy), (0, 0.0));
    }
}
