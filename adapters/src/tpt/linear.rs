//! Tuning a residual on texts that are compared by a dot product: plain arithmetic on the host.

use pulp::{Arch, Simd, WithSimd};
use szar_core::{Linear, Result, SemanticAnchors, host, shape};
use tch::{Kind, Tensor};

use super::objective::Marginal;
use super::tuner::{BETA1, BETA2, EPSILON, Record, Rules};
use crate::rows::Rows;

/// Values that are summed side by side.
const LANES: usize = 16;

/// Lengths below this count as this.
const SHORTEST: f32 = 1e-12;

/// Everything that one sample after the other is tuned in.
#[derive(Debug)]
pub(super) struct Engine {
    rows: Rows,
    arch: Arch,
    classes: usize,
    /// G, texts of a class that are compared.
    slots: usize,
    /// d.
    width: usize,
    /// Multiplies the products.
    scale: f32,
    shared: bool,
    /// `[C, G·d]`.
    texts: Vec<f32>,
    /// `[C, G]`.
    lengths: Vec<f32>,
    /// `[C, G·d]`, the texts before anything is tuned.
    start: Vec<f32>,
    work: Work,
    marginal: Marginal,
}

/// Buffers of one sample.
#[derive(Debug, Default)]
struct Work {
    /// `[V, C]` and of the kept views.
    logits: Vec<f32>,
    kept_logits: Vec<f32>,
    /// `[k, G·d]`.
    kept: Vec<f32>,
    /// `[C, G·d]`: texts and residual, and the same with the texts' lengths.
    moved: Vec<f32>,
    vectors: Vec<f32>,
    /// `[C, G]`, one over the lengths of `moved`.
    inverse: Vec<f32>,
    /// `[G·d]`.
    pull: Vec<f32>,
    /// `[1 or C, G·d]`.
    residual: Vec<f32>,
    gradient: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Engine {
    /// # Errors
    /// When the texts' shape is not the anchors'.
    pub fn new(linear: &Linear, anchors: &SemanticAnchors, shared: bool) -> Result<Self> {
        let index: Vec<i64> = linear.granularities.iter().map(|g| *g as i64).collect();
        let index = Tensor::from_slice(&index).to_device(anchors.values.device());
        let texts = anchors.values.to_kind(Kind::Float).f_index_select(1, &index)?;
        shape::expect("texts", &texts, [Some(anchors.classes.len() as i64), None, None])?;
        let size: Vec<usize> = texts.size().iter().map(|s| *s as usize).collect();
        let lengths = texts.norm_scalaropt_dim(2, [-1i64].as_slice(), false);
        let mut engine = Self {
            rows: Rows::new(size[1] * size[2]),
            arch: Arch::new(),
            classes: size[0],
            slots: size[1],
            width: size[2],
            scale: linear.scale as f32,
            shared,
            texts: host::HostF32::new(&texts).as_slice().to_vec(),
            lengths: host::HostF32::new(&lengths).as_slice().to_vec(),
            start: Vec::new(),
            work: Work::default(),
            marginal: Marginal::default(),
        };
        let full = engine.texts.len();
        let (work, held) = (&mut engine.work, if shared { size[1] * size[2] } else { full });
        for buffer in [
            &mut work.residual,
            &mut work.gradient,
            &mut work.first,
            &mut work.second,
        ] {
            buffer.resize(held, 0.0);
        }
        work.moved.resize(full, 0.0);
        work.vectors.resize(full, 0.0);
        work.inverse.resize(engine.lengths.len(), 0.0);
        work.pull.resize(size[1] * size[2], 0.0);
        engine.place();
        engine.start = engine.work.vectors.clone();
        Ok(engine)
    }

    /// `G·d`.
    pub fn row(&self) -> usize {
        self.slots * self.width
    }

    /// Tunes one sample by its views `[V, G·d]` and writes the answer `[C]`.
    pub fn tune(
        &mut self,
        views: &[f32],
        rules: &Rules,
        answer: &mut [f32],
        record: Option<&mut Vec<Record>>,
    ) {
        let (classes, row) = (self.classes, self.row());
        let work = &mut self.work;
        work.logits.resize(views.len() / row * classes, 0.0);
        self.rows.products(views, &self.start, &mut work.logits);
        work.logits.iter_mut().for_each(|z| *z *= self.scale);
        let kept = rules
            .selection
            .kept(&work.logits, classes, rules.logit_scale, rules.min_kept);
        work.kept.clear();
        work.kept_logits.clear();
        for view in &kept {
            work.kept.extend_from_slice(&views[view * row..][..row]);
            work.kept_logits
                .extend_from_slice(&work.logits[view * classes..][..classes]);
        }
        for buffer in [&mut work.residual, &mut work.first, &mut work.second] {
            buffer.fill(0.0);
        }
        let mut loss = 0.0;
        for step in 1..=rules.steps {
            if step > 1 {
                let work = &mut self.work;
                self.rows
                    .products(&work.kept, &work.vectors, &mut work.kept_logits);
                work.kept_logits.iter_mut().for_each(|z| *z *= self.scale);
            } else {
                self.place();
            }
            loss = self
                .marginal
                .of(&self.work.kept_logits, classes, rules.logit_scale);
            self.differentiate();
            self.update(rules, step);
            self.place();
        }
        self.rows.products(&views[..row], &self.work.vectors, answer);
        answer.iter_mut().for_each(|z| *z *= self.scale);
        if let Some(record) = record {
            let shape = [-1, self.slots as i64, self.width as i64];
            let parameter = Tensor::from_slice(&self.work.residual).view(shape);
            record.push(Record {
                kept,
                loss,
                parameter,
            });
        }
    }

    /// The texts under the residual as it is.
    fn place(&mut self) {
        self.arch.dispatch(Place { engine: self });
    }

    /// The gradient of the residual from that of the kept views' logits.
    fn differentiate(&mut self) {
        self.arch.dispatch(Differentiate { engine: self });
    }

    /// One step of AdamW.
    fn update(&mut self, rules: &Rules, step: usize) {
        let correction = |beta: f64| 1.0 - beta.powi(step as i32);
        let work = &mut self.work;
        self.arch.dispatch(AdamW {
            keep: (1.0 - rules.lr * rules.weight_decay) as f32,
            rate: (rules.lr / correction(BETA1)) as f32,
            root: correction(BETA2).sqrt() as f32,
            value: &mut work.residual,
            gradient: &work.gradient,
            first: &mut work.first,
            second: &mut work.second,
        });
    }
}

/// `Σ a b`, [`LANES`] sums side by side.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let mut rest = 0.0;
    for (x, y) in a_blocks.remainder().iter().zip(b_blocks.remainder()) {
        rest += x * y;
    }
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    for sum in sums {
        rest += sum;
    }
    rest
}

struct Place<'a> {
    engine: &'a mut Engine,
}

impl WithSimd for Place<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Engine {
            work,
            texts,
            lengths,
            width,
            slots,
            shared,
            ..
        } = self.engine;
        let row = *width * *slots;
        for class in 0..lengths.len() / (*slots).max(1) {
            let residual = if *shared {
                &work.residual[..]
            } else {
                &work.residual[class * row..][..row]
            };
            for slot in 0..*slots {
                let (at, from) = (class * *slots + slot, class * row + slot * *width);
                let moved = &mut work.moved[from..][..*width];
                let text = &texts[from..][..*width];
                let residual = &residual[slot * *width..][..*width];
                for i in 0..*width {
                    moved[i] = text[i] + residual[i];
                }
                let inverse = 1.0 / dot(moved, moved).sqrt().max(SHORTEST);
                work.inverse[at] = inverse;
                let factor = inverse * lengths[at];
                let vector = &mut work.vectors[from..][..*width];
                for i in 0..*width {
                    vector[i] = moved[i] * factor;
                }
            }
        }
    }
}

struct Differentiate<'a> {
    engine: &'a mut Engine,
}

impl WithSimd for Differentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Engine {
            work,
            marginal,
            lengths,
            width,
            slots,
            shared,
            scale,
            classes,
            ..
        } = self.engine;
        let row = *width * *slots;
        work.gradient.fill(0.0);
        for class in 0..*classes {
            work.pull.fill(0.0);
            let pull = &mut work.pull[..row];
            for (view, by_logit) in work
                .kept
                .chunks_exact(row)
                .zip(marginal.gradient.chunks_exact(*classes))
            {
                let weight = by_logit[class] * *scale;
                for i in 0..row {
                    pull[i] += weight * view[i];
                }
            }
            let own = if *shared { 0 } else { class * row };
            for slot in 0..*slots {
                let (at, from) = (class * *slots + slot, class * row + slot * *width);
                let moved = &work.moved[from..][..*width];
                let pull = &work.pull[slot * *width..][..*width];
                let inverse = work.inverse[at];
                let along = dot(moved, pull) * inverse * inverse;
                let factor = lengths[at] * inverse;
                let gradient = &mut work.gradient[own + slot * *width..][..*width];
                for i in 0..*width {
                    gradient[i] += factor * (pull[i] - along * moved[i]);
                }
            }
        }
    }
}

struct AdamW<'a> {
    keep: f32,
    rate: f32,
    root: f32,
    value: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl WithSimd for AdamW<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (first_share, second_share) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        let (second_decay, epsilon) = (BETA2 as f32, EPSILON as f32);
        let count = self.value.len();
        let (gradient, first, second) = (
            &self.gradient[..count],
            &mut self.first[..count],
            &mut self.second[..count],
        );
        for i in 0..count {
            let g = gradient[i];
            first[i] += first_share * (g - first[i]);
            second[i] = second[i] * second_decay + second_share * g * g;
            let step = self.rate * first[i] / (second[i].sqrt() / self.root + epsilon);
            self.value[i] = self.value[i] * self.keep - step;
        }
    }
}
