//! Views of a sample, for adapters that adapt to one sample alone.
//!
//! View 0 is the sample itself; the others are made of its skeleton by an augmentation and encoded, or, where nobody
//! has skeletons, made of its feature map by dropout. What a view is depends on the seed, the sample's position and the
//! number of the view alone: batches do not matter, and all adapters of a stream see the same views.
//!
//! | symbol | here    | shape                | meaning                                        |
//! |--------|---------|----------------------|------------------------------------------------|
//! | `V`    | `count` | scalar               | views of a sample, itself included             |
//! | `x`    | `maps`  | `[B·V, N, T', V']`   | the views' feature maps, those of a sample together |

use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Augmentation, AugmentationConfig, Error, FeatureMap, Observation, Problems, Requirements, Result,
    SampleRef, Seed, Skeletons, Task, shape,
};
use tch::{Device, Kind, Tensor};

/// Most maps that are held at once, unless one sample has more.
const HELD: usize = 256;

/// Skeletons that are encoded at once.
const ENCODED: usize = 64;

/// Most views of a sample that the options allow.
const MOST: usize = 4096;

/// What views are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ViewSource {
    /// The skeleton, changed by the augmentation and encoded again.
    #[default]
    Skeletons,
    /// The feature map, some of whose nodes and channels are dropped; for features without skeletons.
    Features,
}

/// How views of a sample are made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ViewsConfig {
    /// What they are made of. Default: skeletons.
    pub source: ViewSource,
    /// V, views of a sample, itself included; 1 to 4096. Default: 64, as published for images.
    pub count: usize,
    /// Makes the views, for `source: skeletons`. Default: the adapter's own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "szar_core::registry::augmentation_schema")]
    pub augmentation: Option<Arc<dyn AugmentationConfig>>,
    /// Share of the map's nodes (frame and joint) that a view lacks, for `source: features`; `0 ..< 1`. What remains is
    /// enlarged so that the mean over nodes is theirs. Pooled features have a single node, which stays. Default: 0.3 (ours).
    pub node_dropout: f64,
    /// Share of the channels that a view lacks, for `source: features`; `0 ..< 1`. What remains is enlarged by
    /// `1 / (1 - channel_dropout)`. Default: 0.1 (ours).
    pub channel_dropout: f64,
}

impl Default for ViewsConfig {
    fn default() -> Self {
        Self {
            source: ViewSource::default(),
            count: 64,
            augmentation: None,
            node_dropout: 0.3,
            channel_dropout: 0.1,
        }
    }
}

impl ViewsConfig {
    /// Judges the options alone.
    pub fn validate(&self, problems: &mut Problems) {
        problems.check((1..=MOST).contains(&self.count), "count", || {
            format!("must be between 1 and {MOST}, got {}", self.count)
        });
        for (field, share) in [
            ("node_dropout", self.node_dropout),
            ("channel_dropout", self.channel_dropout),
        ] {
            problems.check((0.0..1.0).contains(&share), field, || {
                format!("must be at least 0 and below 1, got {share}")
            });
        }
        if let Some(augmentation) = &self.augmentation {
            problems.scoped("augmentation", |problems| augmentation.validate(problems));
        }
    }

    /// What an adapter with these views cannot do without.
    pub fn requirements(&self) -> Requirements {
        let needed = self.source == ViewSource::Skeletons && self.count > 1;
        Requirements {
            skeletons: needed
                .then(|| "views are made of skeletons; `views.source: features` does without".into()),
            ..Requirements::default()
        }
    }
}

/// Makes the views of a stream's samples.
pub struct Views {
    config: ViewsConfig,
    augmentation: Box<dyn Augmentation>,
    seed: Seed,
}

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Views")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Views {
    /// Prepares a stream; `own` makes the views where the options name no augmentation.
    ///
    /// # Errors
    /// When the skeleton does not suit the augmentation.
    pub fn begin(config: &ViewsConfig, own: &dyn AugmentationConfig, task: &Task) -> Result<Self> {
        let chosen = config.augmentation.as_deref().unwrap_or(own);
        Ok(Self {
            augmentation: chosen.build(&task.layout)?,
            config: config.clone(),
            seed: task.seed.derive("views", 0),
        })
    }

    /// V, views of a sample, itself included.
    pub fn count(&self) -> usize {
        self.config.count
    }

    /// `[B·V, N, T', V']`, the maps of all views of a batch, those of a sample next to each other and the sample itself first.
    /// Large batches are better taken group by group, with [`Self::each`].
    ///
    /// # Errors
    /// [`Error::Missing`] without the skeletons that the options ask for; whatever augmentation and encoder refuse.
    pub fn maps(&mut self, seen: &Observation) -> Result<FeatureMap> {
        let mut parts = Vec::new();
        self.each(seen, |_, maps| {
            parts.push(maps.values.shallow_clone());
            Ok(())
        })?;
        if parts.is_empty() {
            return Ok(seen.features.narrow(0, 0));
        }
        FeatureMap::new(Tensor::cat(&parts, 0))
    }

    /// The same in groups of a few samples, so that memory does not grow with the batch: `body` is given which samples they
    /// are and their maps `[n·V, N, T', V']`.
    ///
    /// # Errors
    /// As [`Self::maps`]; whatever `body` refuses.
    pub fn each(
        &mut self,
        seen: &Observation,
        mut body: impl FnMut(Range<usize>, &FeatureMap) -> Result<()>,
    ) -> Result<()> {
        let (batch, count) = (seen.samples.len(), self.config.count);
        shape::expect(
            "features",
            &seen.features.values,
            [Some(batch as i64), None, None, None],
        )?;
        let group = (HELD / count).max(1);
        for from in (0..batch).step_by(group) {
            let range = from..(from + group).min(batch);
            let own = seen.features.narrow(range.start as i64, range.len() as i64);
            if count == 1 {
                body(range, &own)?;
                continue;
            }
            let samples = &seen.samples[range.clone()];
            let others = tch::no_grad(|| match self.config.source {
                ViewSource::Skeletons => self.encoded(seen.skeletons, &range, samples, &own),
                ViewSource::Features => Ok(self.dropped(&own, samples)),
            })?;
            let (_, n, t, v) = own.dims();
            let both = [&own.values.unsqueeze(1), &others];
            let maps = FeatureMap::new(Tensor::cat(&both, 1).reshape([-1, n, t, v]))?;
            body(range, &maps)?;
        }
        Ok(())
    }

    /// `[n, V - 1, N, T', V']`, encoded from changed skeletons.
    fn encoded(
        &mut self,
        skeletons: Option<Skeletons>,
        range: &Range<usize>,
        samples: &[SampleRef],
        own: &FeatureMap,
    ) -> Result<Tensor> {
        let skeletons = skeletons.ok_or_else(|| {
            Error::Missing("skeletons to make views of (`views.source: features` does without)".into())
        })?;
        let (n, others) = (range.len(), self.config.count - 1);
        if skeletons.batch.len() < range.end {
            return Err(Error::Input(format!(
                "{} skeletons for more samples than that",
                skeletons.batch.len()
            )));
        }
        let chosen = skeletons.batch.select(&range.clone().collect::<Vec<_>>());
        let views = self.augmentation.views(&chosen, samples, others, self.seed)?;
        let rows: Vec<usize> = (0..n * others).collect();
        let parts = rows.chunks(ENCODED).map(|rows| {
            let maps = skeletons.encoder.encode(&views.select(rows))?.features.values;
            let (_, n, t, v) = own.dims();
            shape::expect(
                "maps of views",
                &maps,
                [Some(rows.len() as i64), Some(n), Some(t), Some(v)],
            )?;
            Ok(maps)
        });
        let maps = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0).to_kind(own.values.kind());
        let (_, channels, t, v) = own.dims();
        Ok(maps.reshape([n as i64, others as i64, channels, t, v]))
    }

    /// `[n, V - 1, N, T', V']`, the maps without some nodes and channels.
    fn dropped(&self, own: &FeatureMap, samples: &[SampleRef]) -> Tensor {
        let (n, channels, t, v) = own.dims();
        let (others, nodes) = (self.config.count - 1, (t * v) as usize);
        let (mut by_node, mut by_channel) = (Vec::new(), Vec::new());
        for sample in samples {
            let seed = self.seed.derive("dropout", sample.position);
            for view in 0..others {
                let mut draws = seed.derive("view", view as u64).rng();
                let mut draw = || draws.random::<f64>();
                keep_nodes(nodes, self.config.node_dropout, &mut by_node, &mut draw);
                keep_channels(channels, self.config.channel_dropout, &mut by_channel, &mut draw);
            }
        }
        let place = |mask: &[f32]| on(own.values.device(), own.values.kind(), mask);
        let by_node = place(&by_node).reshape([n, others as i64, 1, t, v]);
        let by_channel = place(&by_channel).reshape([n, others as i64, channels, 1, 1]);
        own.values.unsqueeze(1) * by_node * by_channel
    }
}

fn on(device: Device, kind: Kind, values: &[f32]) -> Tensor {
    Tensor::from_slice(values).to_device(device).to_kind(kind)
}

/// Factors of the nodes: 0, or what makes up for those that are 0. One node at least stays.
fn keep_nodes(nodes: usize, share: f64, mask: &mut Vec<f32>, mut draw: impl FnMut() -> f64) {
    let from = mask.len();
    let mut kept = 0;
    mask.extend((0..nodes).map(|_| {
        let keeps = draw() >= share;
        kept += usize::from(keeps);
        f32::from(u8::from(keeps))
    }));
    let own = &mut mask[from..];
    if kept == 0 && nodes > 0 {
        let spared = ((draw() * nodes as f64) as usize).min(nodes - 1);
        own[spared] = 1.0;
        kept = 1;
    }
    let factor = nodes as f32 / kept.max(1) as f32;
    own.iter_mut().for_each(|m| *m *= factor);
}

fn keep_channels(channels: i64, share: f64, mask: &mut Vec<f32>, mut draw: impl FnMut() -> f64) {
    let factor = (1.0 / (1.0 - share)) as f32;
    mask.extend((0..channels).map(|_| if draw() >= share { factor } else { 0.0 }));
}

#[cfg(test)]
mod tests;
