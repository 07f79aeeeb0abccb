//! The loss: a hinge per space, and triplets within the samples of a batch.

use std::collections::BTreeMap;

use szar_core::host::HostF32;
use tch::{Kind, Tensor};

use super::config::Mining;
use super::network::{Network, Vectors};
use crate::aligners::pooled::{hinge, pick};

/// Texts of the seen classes, and which of them share a word.
pub(super) struct Words {
    /// `[S, d]`, rows of length 1.
    pub verb: Tensor,
    /// `[S, d]`, rows of length 1.
    pub noun: Tensor,
    /// `[S]` i64, equal where classes share a verb.
    pub verbs: Tensor,
    /// `[S]` i64, equal where classes share a noun.
    pub nouns: Tensor,
}

impl Words {
    /// Classes share a word when their texts are equal, bit for bit.
    pub fn new(verb: Tensor, noun: Tensor) -> Self {
        Self {
            verbs: groups(&verb),
            nouns: groups(&noun),
            verb,
            noun,
        }
    }
}

/// `[n]` i64: the number of the first row that equals each row of `[n, d]`.
fn groups(rows: &Tensor) -> Tensor {
    let width = usize::try_from(rows.size()[1]).unwrap_or(0).max(1);
    let host = HostF32::new(rows);
    let mut first: BTreeMap<Vec<u32>, i64> = BTreeMap::new();
    let number = |(at, row): (usize, &[f32])| {
        let bits = row.iter().map(|v| v.to_bits()).collect();
        *first.entry(bits).or_insert(at as i64)
    };
    let numbers: Vec<i64> = host.as_slice().chunks(width).enumerate().map(number).collect();
    Tensor::from_slice(&numbers).to_device(rows.device())
}

/// Constants of the loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    pub margin: f64,
    pub mining: Mining,
    pub triplet_weight: f64,
}

/// The loss and its terms, all scalars.
pub(super) struct Losses {
    pub total: Tensor,
    /// Verb, noun, verb triplets, noun triplets (before their weight), joint.
    pub terms: [Tensor; 5],
}

/// For the vectors of samples with labels `[B]` and those of all seen classes.
pub(super) fn losses(
    visual: &Vectors,
    text: &Vectors,
    words: &Words,
    labels: &Tensor,
    constants: &Constants,
) -> Losses {
    let own = pick(labels, text.joint.size()[0]);
    // What a sample is compared with is held fixed; its own class learns.
    let ranked = |v: &Tensor, t: &Tensor| hinge(v, &own.mm(t), &t.detach(), constants.margin);
    let within = |v: &Tensor, groups: &Tensor| {
        triplets(
            v,
            &groups.index_select(0, labels),
            constants.margin,
            constants.mining,
        )
    };
    let terms = [
        ranked(&visual.verb, &text.verb),
        ranked(&visual.noun, &text.noun),
        within(&visual.verb, &words.verbs),
        within(&visual.noun, &words.nouns),
        ranked(&visual.joint, &text.joint),
    ];
    let [verb, noun, verbs, nouns, joint] = &terms;
    let total = verb + noun + (verbs + nouns) * constants.triplet_weight + joint;
    Losses { total, terms }
}

/// As [`losses`], from inputs `[B, N]`.
pub(super) fn objective(
    network: &Network,
    inputs: &Tensor,
    words: &Words,
    labels: &Tensor,
    constants: &Constants,
) -> Losses {
    let text = network.text(&words.verb, &words.noun);
    losses(&network.visual(inputs), &text, words, labels, constants)
}

/// Each sample is compared with what every sample of the batch finds hardest: the sample of its own group that is least like
/// it (perhaps itself), and the most alike of another group. `Σ_{i,j} max(0, v_i·n_j − v_i·p_j + margin) / B`, where nothing
/// is learned through p and n. Where the whole batch is one group, its first sample stands in for the negatives.
///
/// `vectors` `[B, D]` of length 1, `groups` `[B]`.
pub(super) fn triplets(vectors: &Tensor, groups: &Tensor, margin: f64, mining: Mining) -> Tensor {
    let fixed = vectors.detach();
    let alike = fixed.mm(&fixed.transpose(0, 1));
    let together = groups.unsqueeze(0).eq_tensor(&groups.unsqueeze(1));
    let positives = alike
        .masked_fill(&together.logical_not(), f64::INFINITY)
        .argmin(-1, false);
    let negatives = match mining {
        Mining::Official => alike.argmax(-1, false),
        Mining::Intended => {
            let there = together.logical_not().any_dim(-1, false).to_kind(Kind::Int64);
            alike.masked_fill(&together, f64::NEG_INFINITY).argmax(-1, false) * there
        }
    };
    let towards = fixed.index_select(0, &negatives) - fixed.index_select(0, &positives);
    let slack = (vectors.mm(&towards.transpose(0, 1)) + margin).relu();
    slack.sum(Kind::Float) / vectors.size()[0] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_are_one_group() {
        let rows = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 5.0]).view([4, 2]);
        assert_eq!(szar_core::host::to_i64(&groups(&rows)).unwrap(), [0, 1, 0, 3]);
    }

    #[test]
    fn triplets_by_hand() {
        // Vectors (1,0), (0,1) of one group and (0.6,0.8) of another. Alike: 0 between the first two, 0.6 and 0.8 to the third.
        // Positives: 1, 0, 2. Negatives as meant: 2, 2, 1; officially each one itself.
        let vectors = Tensor::from_slice(&[1f32, 0.0, 0.0, 1.0, 0.6, 0.8]).view([3, 2]);
        let groups = Tensor::from_slice(&[0i64, 0, 1]);
        let loss = |mining| triplets(&vectors, &groups, 0.3, mining).double_value(&[]);
        // n - p: (0.6,-0.2), (-0.4,0.8), (-0.6,0.2); rows of products plus 0.3:
        // (0.9, -0.1, -0.3), (0.1, 1.1, 0.5), (0.5, 0.7, 0.1).
        let intended = (0.9 + 0.1 + 1.1 + 0.5 + 0.5 + 0.7 + 0.1) / 3.0;
        assert!((loss(Mining::Intended) - intended).abs() < 1e-6);
        // n - p: (1,-1), (-1,1), (0,0): (1.3, -0.7, 0.3), (-0.7, 1.3, 0.3), (0.1, 0.5, 0.3).
        let official = (1.3 + 0.3 + 1.3 + 0.3 + 0.1 + 0.5 + 0.3) / 3.0;
        assert!((loss(Mining::Official) - official).abs() < 1e-6);
    }

    #[test]
    fn in_a_batch_of_one_group_the_first_sample_stands_in() {
        // (1,0) and (0,1): positives 1, 0; n - p = (1,-1), (0,0); products plus 0.3: (1.3, 0.3), (-0.7, 0.3).
        let vectors = Tensor::from_slice(&[1f32, 0.0, 0.0, 1.0]).view([2, 2]);
        let groups = Tensor::from_slice(&[3i64, 3]);
        let loss = triplets(&vectors, &groups, 0.3, Mining::Intended).double_value(&[]);
        assert!((loss - 0.95).abs() < 1e-6);
    }
}
