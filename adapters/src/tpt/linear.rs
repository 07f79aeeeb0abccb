//! Tuning a residual on texts that are compared by a dot product: plain arithmetic on the host.

use pulp::Arch;
use szar_core::{Linear, Result, SemanticAnchors, host, shape};
use tch::{Kind, Tensor};

use super::objective::Marginal;
use super::tuner::{BETA1, BETA2, Record, Rules};
use crate::rows::Rows;
use kernels::{AdamW, Differentiate, Place};

mod kernels;

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
