//! A step on an accelerator: affinities as matrix products there, one copy to the host, the walk on the host, one
//! copy back, and the new keys written by one indexed copy.

use szar_core::{Result, host};
use tch::{Kind, Tensor};

use super::bank::{Bank, Size};
use super::host::Prior;
use super::scan::{self, Batch, Entries, Placement, Rules};

/// What the device computed for a batch, side by side in the rows of one tensor.
struct Packed {
    /// `[B, C·K + F + 1]`: affinities to the entries, to the samples of the batch, and whether the sample is usable.
    table: Tensor,
    /// `[B, D, N]`, of length 1.
    queries: Tensor,
}

/// Answers a batch; stores it too unless `frozen`. All tensors are on the bank's device; the answer is `[B, C]` there.
#[expect(clippy::too_many_arguments, reason = "one call, from one place")]
pub(super) fn step(
    bank: &mut Bank,
    rules: &Rules,
    prior: &Prior,
    beta: f32,
    descriptors: &Tensor,
    logits: &Tensor,
    positions: &[i64],
    frozen: bool,
    placements: &mut Vec<Placement>,
) -> Result<Tensor> {
    let size = bank.ledger.size;
    let packed = compute(bank, prior, beta, descriptors, logits);
    let samples = logits.size()[0] as usize;
    let on_host = host::HostF32::new(&Tensor::cat(&[&logits.to_kind(Kind::Float), &packed.table], 1));
    let mut read = Unpacked::new(on_host.as_slice(), samples, size);
    let mut out = vec![0f32; samples * size.classes];
    let mut batch = Batch {
        base: &read.base,
        affinity: &mut read.affinity,
        usable: &read.usable,
        out: &mut out,
        positions,
    };
    let mut entries = Fresh {
        size,
        samples,
        prior,
        table: &read.fresh,
        owners: Vec::new(),
    };
    if frozen {
        scan::answer(rules, &bank.ledger, &mut batch);
    } else {
        scan::walk(rules, &mut bank.ledger, &mut batch, &mut entries, placements);
    }
    let owners = entries.last_owners();
    Ok(write_back(bank, &packed.queries, &out, &owners))
}

/// Affinities of the batch to the entries and to itself.
fn compute(bank: &Bank, prior: &Prior, beta: f32, descriptors: &Tensor, logits: &Tensor) -> Packed {
    let device = bank.keys.device();
    let values = descriptors.to_kind(Kind::Float);
    let length = values
        .square()
        .sum_dim_intlist([2i64].as_slice(), true, Kind::Float)
        .sqrt();
    let usable = length.isfinite().all_dims([1i64, 2].as_slice(), true);
    let queries =
        (values / length.clamp_min(1e-8)).where_self(&usable, &Tensor::from(0f32).to_device(device));
    let by_slot = queries.transpose(0, 1).contiguous();
    let exp = |cos: Tensor| ((cos - 1.0) * f64::from(beta)).exp();
    let old = exp(by_slot.bmm(&bank.keys.transpose(1, 2)));
    let new = exp(by_slot.bmm(&by_slot.transpose(1, 2)));
    let samples = logits.size()[0];
    let (slots, classes) = (bank.ledger.size.slots as i64, bank.ledger.size.classes as i64);
    let sum = |weighted: Tensor| weighted.sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
    let (old, new) = if prior.per_class() {
        let columns = Tensor::from_slice(&prior.columns)
            .to_device(device)
            .reshape([slots, 1, -1]);
        // Which class a new entry goes to is not known yet, so its slots stay apart.
        (sum(old * columns), new.transpose(0, 1).reshape([samples, -1]))
    } else {
        let rows = Tensor::from_slice(&prior.rows)
            .to_device(device)
            .reshape([classes, slots]);
        let own = rows
            .index_select(0, &logits.argmax(1, false))
            .transpose(0, 1)
            .unsqueeze(2);
        (sum(old * &own), sum(new * own))
    };
    let usable = usable.reshape([samples, 1]).to_kind(Kind::Float);
    Packed {
        table: Tensor::cat(&[old, new, usable], 1),
        queries,
    }
}

/// The packed table, taken apart.
struct Unpacked {
    base: Vec<f32>,
    affinity: Vec<f32>,
    fresh: Vec<f32>,
    usable: Vec<bool>,
}

impl Unpacked {
    fn new(rows: &[f32], samples: usize, size: Size) -> Self {
        let width = rows.len() / samples;
        let (base_end, affinity_end) = (size.classes, size.classes + size.columns());
        let part = |from: usize, to: usize| -> Vec<f32> {
            rows.chunks_exact(width)
                .flat_map(|row| row[from..to].iter().copied())
                .collect()
        };
        Self {
            base: part(0, base_end),
            affinity: part(base_end, affinity_end),
            fresh: part(affinity_end, width - 1),
            usable: rows.chunks_exact(width).map(|row| row[width - 1] > 0.5).collect(),
        }
    }
}

/// Entries of this batch: their affinities are looked up, their keys written later.
struct Fresh<'a> {
    size: Size,
    samples: usize,
    prior: &'a Prior,
    /// `[B, B]` with the slots summed, or `[B, D, B]`.
    table: &'a [f32],
    /// Column and sample, in the order of storing.
    owners: Vec<(usize, usize)>,
}

impl Entries for Fresh<'_> {
    fn stored(&mut self, sample: usize, column: usize, from: usize, affinity: &mut [f32]) {
        self.owners.push((column, sample));
        let (slots, columns) = (self.size.slots, self.size.columns());
        let own = &self.prior.rows[column / self.size.capacity * slots..][..slots];
        for query in from..self.samples {
            let at = |slot: usize| self.table[(query * slots + slot) * self.samples + sample];
            affinity[query * columns + column] = if self.prior.per_class() {
                own.iter().enumerate().map(|(slot, w)| w * at(slot)).sum()
            } else {
                self.table[query * self.samples + sample]
            };
        }
    }
}

impl Fresh<'_> {
    /// Each column once, with the sample that holds it in the end.
    fn last_owners(mut self) -> Vec<(usize, usize)> {
        self.owners.sort_by_key(|(column, _)| *column); // stable: the last of a column stays last
        let mut kept: Vec<(usize, usize)> = Vec::with_capacity(self.owners.len());
        for owner in self.owners {
            match kept.last_mut() {
                Some(last) if last.0 == owner.0 => *last = owner,
                _ => kept.push(owner),
            }
        }
        kept
    }
}

/// Sends answer and owners to the device in one copy, and writes the keys there.
fn write_back(bank: &mut Bank, queries: &Tensor, out: &[f32], owners: &[(usize, usize)]) -> Tensor {
    let (columns, samples): (Vec<f32>, Vec<f32>) = owners.iter().map(|(c, s)| (*c as f32, *s as f32)).unzip();
    let packed = [out, &columns, &samples].concat(); // positions below 2^24 are exact in f32
    let packed = Tensor::from_slice(&packed).to_device(bank.keys.device());
    let (answers, stored) = (out.len() as i64, owners.len() as i64);
    if stored > 0 {
        let columns = packed.narrow(0, answers, stored).to_kind(Kind::Int64);
        let samples = packed.narrow(0, answers + stored, stored).to_kind(Kind::Int64);
        let keys = queries.index_select(0, &samples).transpose(0, 1);
        let _ = bank.keys.index_copy_(1, &columns, &keys);
    }
    packed
        .narrow(0, 0, answers)
        .reshape([-1, bank.ledger.size.classes as i64])
}
