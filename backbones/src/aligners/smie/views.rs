//! Features of masked motions for training: made beforehand, or anew in every step.

use szar_core::host::to_i64;
use szar_core::{Error, FitContext, Result, Seed, SeenMotion, SkeletonBatch, shape};
use tch::{Tensor, no_grad};

use super::config::{MaskedFrames, SmieConfig};
use super::mask::Mask;
use super::objective::layer_norm;
use crate::aligners::training::At;

/// Sequences that are encoded at a time.
const CHUNK: usize = 64;

/// Where the masked features of a step come from.
pub(super) struct Views<'a> {
    motion: &'a dyn SeenMotion,
    mask: Mask,
    channels: i64,
    seed: Seed,
    /// `[views · n, N]` normalised, view by view; `None` where every step encodes.
    made: Option<Tensor>,
    samples: usize,
    views: usize,
}

impl<'a> Views<'a> {
    /// Encodes `config.views` masked forms of all `samples` training samples.
    pub fn new(
        config: &SmieConfig,
        motion: &'a dyn SeenMotion,
        samples: usize,
        channels: i64,
        ctx: &FitContext,
    ) -> Result<Self> {
        let mut views = Self {
            motion,
            mask: Mask {
                masked: config.masked,
                kept: config.kept,
                differences: config.differences,
                frames: config.masked_frames,
            },
            channels,
            seed: ctx.seed,
            made: None,
            samples,
            views: config.views,
        };
        if config.views > 0 && samples > 0 {
            views.made = Some(views.make(ctx)?);
        }
        Ok(views)
    }

    fn make(&self, ctx: &FitContext) -> Result<Tensor> {
        let rows: Vec<usize> = (0..self.samples).collect();
        let mut made = Vec::new();
        ctx.progress
            .begin("smie: masked motions", (self.samples * self.views) as u64);
        for chunk in rows.chunks(CHUNK) {
            let batch = self.motion.skeletons(chunk)?;
            let first = chunk.first().copied().unwrap_or(0);
            let one = |view: usize| {
                ctx.cancel.check()?;
                let seed = self.seed.derive("smie-view", view as u64);
                self.encode(&batch, seed.derive("from", first as u64))
            };
            let all = (0..self.views).map(one).collect::<Result<Vec<_>>>()?;
            made.push(Tensor::stack(&all, 0));
            let done = (first + chunk.len()) * self.views;
            ctx.progress.advance(done as u64, "");
        }
        ctx.progress.end();
        Ok(Tensor::cat(&made, 1).flatten(0, 1))
    }

    /// `[b, N]` normalised: one masked form of each sequence.
    fn encode(&self, batch: &SkeletonBatch, seed: Seed) -> Result<Tensor> {
        let masked = self.mask.apply(batch, &mut seed.rng())?;
        let features = no_grad(|| self.motion.encode(&masked)).map_err(|e| match self.mask.frames {
            MaskedFrames::Compact => e.context(
                "aligner `smie`, masked motions with `masked_frames: compact` (`repeat` keeps the number of frames)",
            ),
            MaskedFrames::Repeat => e.context("aligner `smie`, masked motions"),
        })?;
        let features = features.pooled();
        let (count, channels) = (batch.len() as i64, self.channels);
        shape::expect(
            "features of masked motions",
            &features,
            [Some(count), Some(channels)],
        )?;
        Ok(layer_norm(&features))
    }

    /// `[b, N]` normalised, for the training samples `rows` `[b]`.
    pub fn draw(&self, rows: &Tensor, at: At) -> Result<Tensor> {
        let seed = self.seed.derive("smie-masked", u64::from(at.round));
        let seed = seed.derive("step", at.step);
        let Some(made) = &self.made else {
            let rows = to_i64(rows)?;
            let rows: Vec<usize> = rows.iter().filter_map(|r| usize::try_from(*r).ok()).collect();
            return self.encode(&self.motion.skeletons(&rows)?, seed);
        };
        if self.views == 1 {
            return Ok(made.index_select(0, rows));
        }
        Ok(made.index_select(0, &(rows + self.offsets(rows, seed))))
    }

    /// Which view each sample shows, as a distance in rows.
    fn offsets(&self, rows: &Tensor, seed: Seed) -> Tensor {
        use rand::RngExt;
        let mut rng = seed.rng();
        let offsets: Vec<i64> = (0..rows.numel())
            .map(|_| (rng.random_range(0..self.views) * self.samples) as i64)
            .collect();
        Tensor::from_slice(&offsets).to_device(rows.device())
    }
}

/// The error of `temporal: on` where there are only features.
pub(super) fn no_motion() -> Error {
    Error::Input(
        "aligner `smie` with `temporal: on` masks skeletons and encodes them anew, and here are only features; use `temporal: off` (or \
         `auto`)"
            .into(),
    )
}
