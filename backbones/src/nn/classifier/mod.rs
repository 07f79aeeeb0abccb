//! Trains an encoder as a classifier of the seen classes: the loop that skeleton encoders share.
//!
//! The state after every finished epoch goes to the run's checkpoint. An interrupted training that is started again
//! goes on from there and gives, at the same thread count, the bits of one that was never interrupted: order,
//! augmentation and dropout are drawn anew for every epoch from seeds that depend on nothing but the epoch.

mod augment;
mod config;
#[cfg(test)]
pub(crate) mod tests;

pub use augment::Augmentation;
pub use config::TrainConfig;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use szar_core::checkpoint::{copies, copy_into};
use szar_core::optim::{Optimiser, is_finite};
use szar_core::{Error, FitContext, FitSummary, NamedTensors, Result, SeenSkeletons, SkeletonBatch};
use tch::{Kind, Reduction, Tensor};

/// Steps between two looks at the loss, each of which waits for the device.
const LOOK_EVERY: u64 = 10;

/// A network that tells seen classes apart.
pub trait SeenClassifier {
    /// All parameters and buffers by name, sharing memory; those that require gradients are trained.
    fn weights(&self) -> NamedTensors;

    /// Training mode with gradients: logits `[B, S]` f32, with products in `kind`.
    ///
    /// # Errors
    /// When the batch does not fit the network.
    fn train_logits(&self, batch: &SkeletonBatch, kind: Kind) -> Result<Tensor>;

    /// Evaluation mode without gradients: logits `[B, S]` f32.
    ///
    /// # Errors
    /// When the batch does not fit the network.
    fn eval_logits(&self, batch: &SkeletonBatch) -> Result<Tensor>;

    /// Before an epoch (from 0): what is trained in it.
    fn begin_epoch(&self, epoch: u32) {
        let _ = epoch;
    }

    /// After the gradients are there and before they are used: published training that changes them.
    fn after_backward(&self) {}
}

/// What the checkpoint holds besides tensors.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Options, sizes, seed and arithmetic: a checkpoint of another training is refused.
    training: String,
    epochs_done: u32,
    best: f64,
    summary: FitSummary,
}

struct Training<'a, 'c> {
    net: &'a dyn SeenClassifier,
    config: &'a TrainConfig,
    train: &'a dyn SeenSkeletons,
    validation: &'a dyn SeenSkeletons,
    ctx: &'a FitContext<'c>,
    kind: Kind,
    optimiser: Optimiser,
    best_weights: NamedTensors,
    note: Note,
}

/// Trains `net` on seen classes and leaves it with the weights of the epoch that was best on the validation part (of
/// equals the latest; the last epoch where there is no validation part).
///
/// # Errors
/// [`Error::Cancelled`] when asked to stop, the last finished epoch being saved; [`Error::Input`] when there is
/// nothing to train on, when the loss stops being a number, or when the checkpoint is of another training.
pub fn fit(
    net: &dyn SeenClassifier,
    config: &TrainConfig,
    train: &dyn SeenSkeletons,
    validation: &dyn SeenSkeletons,
    ctx: &FitContext,
) -> Result<FitSummary> {
    if train.labels().is_empty() {
        return Err(Error::Input("there is no sample to train the encoder on".into()));
    }
    let mut training = Training::start(net, config, train, validation, ctx)?;
    let steps = training.steps_per_epoch() * u64::from(config.epochs);
    ctx.progress.begin("encoder", steps);
    while training.note.epochs_done < config.epochs && !training.has_stalled() {
        training.epoch()?;
    }
    ctx.progress.end();
    copy_into(&net.weights(), &training.best_weights, |_| false)?;
    Ok(training.note.summary)
}

impl<'a, 'c> Training<'a, 'c> {
    /// From the checkpoint if there is one, else from the network as it is.
    fn start(
        net: &'a dyn SeenClassifier,
        config: &'a TrainConfig,
        train: &'a dyn SeenSkeletons,
        validation: &'a dyn SeenSkeletons,
        ctx: &'a FitContext<'c>,
    ) -> Result<Self> {
        let kind = ctx.precision.resolve(ctx.device);
        let state = net.weights();
        let mut training = Self {
            optimiser: Optimiser::new(config.optimiser, config.weight_decay, &state),
            best_weights: copies(&state),
            note: Note {
                training: about(config, train, validation, ctx, kind)?,
                epochs_done: 0,
                best: f64::NEG_INFINITY,
                summary: FitSummary {
                    validation_measure: "top1".into(),
                    ..FitSummary::default()
                },
            },
            net,
            config,
            train,
            validation,
            ctx,
            kind,
        };
        training.resume()?;
        Ok(training)
    }

    fn resume(&mut self) -> Result<()> {
        let Some((tensors, note)) = self.ctx.load::<Note>()? else {
            return Ok(());
        };
        if note.training != self.note.training {
            let path = self.ctx.checkpoint.clone().unwrap_or_default();
            let why = "is of a training with other options, data, seed or precision; remove it to start anew";
            return Err(Error::format(path, None, why));
        }
        let part = |prefix: &str| {
            let own = tensors
                .iter()
                .filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.to_owned(), t.shallow_clone())));
            own.collect::<NamedTensors>()
        };
        copy_into(&self.net.weights(), &part("net/"), |_| false)?;
        copy_into(&self.best_weights, &part("best/"), |_| false)?;
        self.optimiser.load_state(&part("optimiser/"))?;
        self.note = note;
        Ok(())
    }

    fn steps_per_epoch(&self) -> u64 {
        (self.train.labels().len() as u64).div_ceil(self.config.batch as u64)
    }

    /// Is the best epoch too long ago?
    fn has_stalled(&self) -> bool {
        let summary = &self.note.summary;
        let wait = self.note.epochs_done.saturating_sub(summary.best_epoch);
        !summary.validation.is_empty() && self.config.patience.is_some_and(|p| wait >= p)
    }

    fn epoch(&mut self) -> Result<()> {
        let epoch = self.note.epochs_done;
        let loss = self.train_epoch(epoch)?;
        let measure = if self.validation.labels().is_empty() {
            None
        } else {
            Some(self.validate()?)
        };
        self.note.epochs_done = epoch + 1;
        let summary = &mut self.note.summary;
        summary.epochs = epoch + 1;
        summary.train_loss.push(loss);
        summary.validation.extend(measure);
        if measure.is_none_or(|m| m >= self.note.best) {
            self.note.best = measure.unwrap_or(self.note.best);
            summary.best_epoch = epoch + 1;
            self.best_weights = copies(&self.net.weights());
        }
        tracing::debug!(epoch = epoch + 1, loss, validation = measure, "encoder");
        self.save()
    }

    /// One pass over the training part; the mean loss.
    fn train_epoch(&mut self, epoch: u32) -> Result<f64> {
        self.net.begin_epoch(epoch);
        let seed = self.ctx.seed.derive("classifier/epoch", u64::from(epoch));
        let mut order: Vec<usize> = (0..self.train.labels().len()).collect();
        order.shuffle(&mut seed.derive("order", 0).rng());
        let mut draws = seed.derive("augmentation", 0).rng();
        seed.derive("dropout", 0).apply();

        let steps = self.steps_per_epoch();
        let mut total = Tensor::zeros([0i64; 0], (Kind::Double, self.ctx.device));
        let mut shown = String::new();
        for (i, samples) in order.chunks(self.config.batch).enumerate() {
            self.ctx.cancel.check()?;
            let step = u64::from(epoch) * steps + i as u64;
            let mut batch = self.train.batch(samples)?.to_device(self.ctx.device);
            self.config.augmentation.apply(&mut batch, &mut draws)?;
            let loss = self.step(&batch, samples, step)?;
            let _ = total.g_add_(&(loss.to_kind(Kind::Double) * samples.len() as f64));
            if step.is_multiple_of(LOOK_EVERY) {
                shown = self.look(&loss, epoch)?;
            }
            self.ctx.progress.advance(step + 1, &shown);
        }
        let mean = total.double_value(&[]) / order.len() as f64;
        if mean.is_finite() {
            Ok(mean)
        } else {
            Err(self.diverged(epoch))
        }
    }

    /// One update; the loss, still on the device.
    fn step(&mut self, batch: &SkeletonBatch, samples: &[usize], step: u64) -> Result<Tensor> {
        let per_epoch = self.steps_per_epoch();
        let all = per_epoch * u64::from(self.config.epochs);
        let factor = self.config.schedule.factor(step, all, per_epoch);
        let logits = self.net.train_logits(batch, self.kind)?;
        let labels = self.labels(self.train, samples);
        let weight: Option<&Tensor> = None;
        let loss = logits.cross_entropy_loss(
            &labels,
            weight,
            Reduction::Mean,
            -100,
            self.config.label_smoothing,
        );
        self.optimiser.zero_grad();
        loss.backward();
        self.net.after_backward();
        if let Some(limit) = self.config.grad_clip {
            self.optimiser.clip_grad_norm(limit);
        }
        self.optimiser.step(self.config.lr * factor);
        Ok(loss.detach())
    }

    /// Text for the progress bar; the moment at which a loss that is not a number is noticed.
    fn look(&self, loss: &Tensor, epoch: u32) -> Result<String> {
        if !is_finite(loss) {
            return Err(self.diverged(epoch));
        }
        let epochs = self.config.epochs;
        let best = match self.note.best {
            best if best.is_finite() => format!(", best {best:.1} %"),
            _ => String::new(),
        };
        Ok(format!(
            "epoch {}/{epochs}, loss {:.3}{best}",
            epoch + 1,
            loss.double_value(&[])
        ))
    }

    fn diverged(&self, epoch: u32) -> Error {
        Error::Input(format!(
            "training diverged in epoch {}: the loss is not a finite number; lower `train.lr` (now {}) or `train.grad_clip`",
            epoch + 1,
            self.config.lr
        ))
    }

    /// Top-1 accuracy on the validation part, percent.
    fn validate(&self) -> Result<f64> {
        let count = self.validation.labels().len();
        let all: Vec<usize> = (0..count).collect();
        let mut hits = Tensor::zeros([0i64; 0], (Kind::Int64, self.ctx.device));
        for samples in all.chunks(self.config.batch) {
            self.ctx.cancel.check()?;
            let batch = self.validation.batch(samples)?.to_device(self.ctx.device);
            let logits = self.net.eval_logits(&batch)?;
            let right = logits
                .argmax(1, false)
                .eq_tensor(&self.labels(self.validation, samples));
            let _ = hits.g_add_(&right.sum(Kind::Int64));
        }
        Ok(100.0 * hits.double_value(&[]) / count as f64)
    }

    fn labels(&self, part: &dyn SeenSkeletons, samples: &[usize]) -> Tensor {
        let columns = part.labels().columns().to_device(self.ctx.device);
        let rows: Vec<i64> = samples.iter().map(|s| *s as i64).collect();
        columns.index_select(0, &Tensor::from_slice(&rows).to_device(self.ctx.device))
    }

    fn save(&self) -> Result<()> {
        if self.ctx.checkpoint.is_none() {
            return Ok(());
        }
        let parts = [
            ("net", self.net.weights()),
            ("best", copies(&self.best_weights)),
            ("optimiser", self.optimiser.state()),
        ];
        let named = parts.iter().flat_map(|(prefix, state)| {
            state
                .iter()
                .map(move |(name, t)| (format!("{prefix}/{name}"), t.shallow_clone()))
        });
        self.ctx.save(&named.collect(), &self.note)
    }
}

/// Names a training, so that a checkpoint is only taken up by the training that wrote it.
fn about(
    config: &TrainConfig,
    train: &dyn SeenSkeletons,
    validation: &dyn SeenSkeletons,
    ctx: &FitContext,
    kind: Kind,
) -> Result<String> {
    let options =
        serde_json::to_string(config).map_err(|e| Error::Input(format!("training options: {e}")))?;
    let (train, validation) = (train.labels().len(), validation.labels().len());
    Ok(format!(
        "{options} {train}+{validation} samples, seed {}, {kind:?}",
        ctx.seed.0
    ))
}
