//! A step on the CPU: affinities by vector instructions, keys written in place.

use std::ops::Range;

use pulp::Arch;
use szar_core::host;

use super::bank::{Bank, Size};
use super::scan::{self, Batch, Entries, Placement, Rules};
use super::similarity::{Affinities, Column, Normalise, Weights};
use crate::rows::largest;

/// Weights of the slots, as the options ask for them.
#[derive(Debug)]
pub(super) struct Prior {
    /// `[C, D]`.
    pub rows: Vec<f32>,
    /// `[D, C·K]`, the row of each column's class; empty when the predicted class's row is used for all.
    pub columns: Vec<f32>,
}

impl Prior {
    /// Lays `rows` out for the columns too, when each class is to use its own.
    pub fn new(rows: Vec<f32>, size: Size, per_class: bool) -> Self {
        let column = |slot: usize| {
            let rows = rows.chunks_exact(size.slots);
            rows.flat_map(move |row| std::iter::repeat_n(row[slot], size.capacity))
        };
        let columns = if per_class {
            (0..size.slots).flat_map(column).collect()
        } else {
            Vec::new()
        };
        Self { rows, columns }
    }

    /// Does each class use its own row?
    pub fn per_class(&self) -> bool {
        !self.columns.is_empty()
    }
}

/// Buffers that live from step to step.
#[derive(Debug)]
pub(super) struct Engine {
    arch: Arch,
    queries: Vec<f32>,
    usable: Vec<bool>,
    weights: Vec<f32>,
    occupied: Vec<Range<usize>>,
    dots: Vec<f32>,
    affinity: Vec<f32>,
    out: Vec<f32>,
}

impl Engine {
    pub fn new() -> Self {
        Self {
            arch: Arch::new(),
            queries: Vec::new(),
            usable: Vec::new(),
            weights: Vec::new(),
            occupied: Vec::new(),
            dots: Vec::new(),
            affinity: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Answers a batch; stores it too unless `frozen`. `descriptors` `[B, D, N]` and `base` `[B, C]` are row-major,
    /// `positions` `[B]` or empty. The answer is `[B, C]`.
    #[expect(clippy::too_many_arguments, reason = "one call, from one place")]
    pub fn step(
        &mut self,
        bank: &mut Bank,
        rules: &Rules,
        prior: &Prior,
        beta: f32,
        descriptors: &[f32],
        base: &[f32],
        positions: &[i64],
        frozen: bool,
        placements: &mut Vec<Placement>,
    ) -> &[f32] {
        let size = bank.ledger.size;
        self.prepare(descriptors, prior, size, base);
        self.retrieve(bank, prior, beta);
        self.out.resize(base.len(), 0.0);
        let mut batch = Batch {
            base,
            affinity: &mut self.affinity,
            usable: &self.usable,
            out: &mut self.out,
            positions,
        };
        if frozen {
            scan::answer(rules, &bank.ledger, &mut batch);
            return &self.out;
        }
        let (keys, arch, queries) = (host::slice_mut(&mut bank.keys), self.arch, &self.queries);
        let mut entries = Keys {
            arch,
            size,
            beta,
            keys,
            queries,
            prior,
            weights: &self.weights,
        };
        scan::walk(rules, &mut bank.ledger, &mut batch, &mut entries, placements);
        &self.out
    }

    fn prepare(&mut self, descriptors: &[f32], prior: &Prior, size: Size, base: &[f32]) {
        self.queries.resize(descriptors.len(), 0.0);
        self.arch.dispatch(Normalise {
            width: size.width,
            slots: size.slots,
            descriptors,
            queries: &mut self.queries,
            usable: &mut self.usable,
        });
        self.weights.clear();
        if !prior.per_class() {
            for row in base.chunks_exact(size.classes) {
                let weights = &prior.rows[largest(row) * size.slots..][..size.slots];
                self.weights.extend_from_slice(weights);
            }
        }
    }

    fn retrieve(&mut self, bank: &Bank, prior: &Prior, beta: f32) {
        let size = bank.ledger.size;
        bank.ledger.occupied(&mut self.occupied);
        self.dots.resize(4 * size.columns(), 0.0);
        self.affinity.resize(self.usable.len() * size.columns(), 0.0);
        self.arch.dispatch(Affinities {
            slots: size.slots,
            columns: size.columns(),
            width: size.width,
            beta,
            queries: &self.queries,
            keys: host::slice(&bank.keys),
            occupied: &self.occupied,
            weights: if prior.per_class() {
                Weights::PerColumn(&prior.columns)
            } else {
                Weights::PerSample(&self.weights)
            },
            dots: &mut self.dots,
            out: &mut self.affinity,
        });
    }
}

/// The keys, while a batch walks by.
struct Keys<'a> {
    arch: Arch,
    size: Size,
    beta: f32,
    /// `[D, C·K, N]`.
    keys: &'a mut [f32],
    /// `[B, D, N]`.
    queries: &'a [f32],
    prior: &'a Prior,
    /// `[B, D]`, unless every class uses its own.
    weights: &'a [f32],
}

impl Entries for Keys<'_> {
    fn stored(&mut self, sample: usize, column: usize, from: usize, affinity: &mut [f32]) {
        let Size {
            slots,
            width,
            capacity,
            ..
        } = self.size;
        let columns = self.size.columns();
        let key = &self.queries[sample * slots * width..][..slots * width];
        for (slot, vector) in key.chunks_exact(width).enumerate() {
            self.keys[(slot * columns + column) * width..][..width].copy_from_slice(vector);
        }
        let weights = if self.prior.per_class() {
            &self.prior.rows[column / capacity * slots..][..slots]
        } else {
            &self.weights[from * slots..]
        };
        let queries = &self.queries[from * slots * width..];
        if queries.is_empty() {
            return;
        }
        let out = &mut affinity[from * columns + column..];
        self.arch.dispatch(Column {
            width,
            beta: self.beta,
            key,
            queries,
            weights,
            stride: columns,
            out,
        });
    }
}
