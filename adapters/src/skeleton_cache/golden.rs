//! Replays the recorded streams through the adapter itself.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use szar_core::conform::{Case, Driver};
use szar_core::{
    ClassList, EncoderSpec, Error, FeatureMap, Granularity, NamedTensors, Observation, Part, Result,
    SampleRef, Scores, Seed, SemanticAnchors, SkeletonLayout, Task, TestTimeAdapter, host,
};
use tch::{Device, Kind, Tensor};

use super::config::EIGHT;
use super::{Preset, Prior, Protocol, SkeletonCache, SkeletonCacheConfig};

inventory::submit! {
    Driver { kind: "adapter", component: "skeleton-cache", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let stream = Recorded::of(case)?;
    match case.param::<String>("variant")?.as_str() {
        "official" => stream.replay(case, Preset::Official).map(Some),
        "paper" => stream.replay(case, Preset::Paper).map(Some),
        "official-evaluate" => stream.evaluate(case).map(Some),
        _ => Ok(None),
    }
}

/// Our name for a recorded slot.
fn slot(name: &str) -> Granularity {
    let ours = match name {
        "arms" => "hands",
        "feet" => "legs",
        "begin" => "start",
        other => other,
    };
    Granularity(ours.to_owned().into())
}

/// The 25 Kinect joints in the four overlapping parts of the method.
fn kinect() -> SkeletonLayout {
    let part = |name: &str, joints: &[usize]| Part {
        name: name.into(),
        joints: joints.to_vec(),
    };
    SkeletonLayout {
        name: "kinect25".into(),
        joints: (0..25).map(|j| format!("joint{j}")).collect(),
        bones: Vec::new(),
        centre: 0,
        spine: 20,
        shoulders: (4, 8),
        mirror: Vec::new(),
        parts: vec![
            part("head", &[2, 3, 4, 8, 20]),
            part("torso", &[0, 1, 4, 8, 12, 16, 20]),
            part("hands", &[4, 5, 6, 7, 8, 9, 10, 11, 21, 22, 23, 24]),
            part("legs", &[0, 12, 13, 14, 15, 16, 17, 18, 19]),
        ],
    }
}

/// What a case gives to the adapter.
struct Recorded {
    logits: Tensor,
    labels: Tensor,
    /// `[N, d, T', V]` maps or `[N, 8, d]` descriptors.
    inputs: Tensor,
    prior: Prior,
    order: Vec<Granularity>,
    batches: Vec<i64>,
}

impl Recorded {
    fn of(case: &Case) -> Result<Self> {
        let maps = case.optional_input("features");
        let names: Option<Vec<String>> = case.param("descriptor_order").ok();
        Ok(Self {
            logits: case.input("base_logits")?,
            labels: case.input("labels")?,
            inputs: maps.map_or_else(|| case.input("descriptors"), Ok)?,
            prior: prior(case)?,
            order: names.map_or_else(|| EIGHT.to_vec(), |n| n.iter().map(|n| slot(n)).collect()),
            batches: case
                .param("batches")
                .or_else(|_| case.param("batch").map(|b| vec![b]))
                .unwrap_or(vec![1]),
        })
    }

    fn task(&self) -> Result<Task> {
        let classes = ClassList::numbered((0..self.logits.size()[1]).map(|c| format!("class {c}")))?;
        let count = classes.len() as i64;
        let anchors = Tensor::zeros([count, 1, 1], (Kind::Float, Device::Cpu));
        let size = self.inputs.size();
        let (channels, frames, joints) = match size[..] {
            [_, channels, frames, joints] => (channels, frames, joints),
            _ => (*size.last().unwrap_or(&0), 3, 25),
        };
        Ok(Task {
            anchors: SemanticAnchors::new(anchors, vec![Granularity::GLOBAL], classes.clone())?,
            seen: vec![false; classes.len()],
            candidates: classes,
            features: EncoderSpec {
                channels,
                frames,
                joints,
                classifies: false,
            },
            layout: Arc::new(kinect()),
            device: Device::Cpu,
            seed: Seed(0),
            streams: 1,
            expected: self.inputs.size()[0].unsigned_abs(),
        })
    }

    fn begin(&self, options: &SkeletonCacheConfig) -> Result<SkeletonCache> {
        let mut cache = SkeletonCache::with_prior(options, Some(self.prior.clone()));
        cache.begin(&self.task()?)?;
        Ok(cache)
    }

    /// Descriptors of some samples, pooled by the adapter where the case holds maps.
    fn descriptors(&self, cache: &mut SkeletonCache, from: i64, len: i64) -> Result<Tensor> {
        let inputs = self.inputs.narrow(0, from, len);
        if inputs.dim() == 3 {
            return Ok(inputs);
        }
        let scores = Scores {
            logits: self.logits.narrow(0, from, len),
        };
        let samples = SampleRef::run(from.unsigned_abs(), len.unsigned_abs() as usize);
        cache.pool(&Observation::new(&FeatureMap::new(inputs)?, &scores, &samples))
    }

    /// Feeds the stream in the case's batches; what each step gives, and where the samples went.
    fn feed(&self, cache: &mut SkeletonCache) -> Result<Fed> {
        let mut fed = Fed::default();
        let samples = self.logits.size()[0];
        let (mut from, mut sizes) = (0, self.batches.iter().cycle());
        while from < samples {
            let len = sizes.next().map_or(1, |b| (*b).max(1)).min(samples - from);
            let descriptors = self.descriptors(cache, from, len)?;
            fed.logits
                .push(cache.step_descriptors(&descriptors, &self.logits.narrow(0, from, len))?);
            let copies = cache
                .placements()
                .iter()
                .map(|p| p.runner_up.map_or(-1, |c| c as i64));
            fed.runner_up.extend(copies);
            fed.descriptors.push(descriptors);
            from += len;
        }
        Ok(fed)
    }

    fn replay(&self, case: &Case, preset: Preset) -> Result<NamedTensors> {
        let options = SkeletonCacheConfig {
            preset,
            capacity: Some(case.param("capacity")?),
            alpha: Some(case.param("alpha_s")?),
            beta: Some(case.param("beta")?),
            hedge_margin: case.param("hedge_margin").ok(),
            descriptors: self.order.clone(),
            ..SkeletonCacheConfig::default()
        };
        let mut cache = self.begin(&options)?;
        let fed = self.feed(&mut cache)?;
        let refined = Tensor::cat(&fed.logits, 0);
        let mut out = held(&cache)?;
        out.insert("runner_up".into(), Tensor::from_slice(&fed.runner_up));
        out.insert("pred".into(), refined.argmax(1, false));
        out.insert("zero_shot_pred".into(), self.logits.argmax(1, false));
        out.insert("accuracy_base".into(), self.accuracy(&self.logits));
        out.insert("accuracy_refined".into(), self.accuracy(&refined));
        out.insert("refined_logits".into(), refined);
        out.insert("fusion_weights".into(), cache.fusion_weights()?);
        let descriptors = Tensor::cat(&fed.descriptors, 0);
        if let Ok(recorded) = case.output("descriptor_logits_first3") {
            let first = self.slot_scores(&options, &descriptors, recorded.size()[0])?;
            out.insert("descriptor_logits_first3".into(), first);
        }
        out.insert("descriptors".into(), descriptors);
        Ok(out)
    }

    /// `[samples, D, C]`, what each descriptor alone says: the answer of a cache that knows only it, less the
    /// logits. What is stored depends on the zero-shot answer, so that all these caches hold the same samples.
    fn slot_scores(
        &self,
        options: &SkeletonCacheConfig,
        descriptors: &Tensor,
        samples: i64,
    ) -> Result<Tensor> {
        let alone = |(i, slot): (usize, &Granularity)| {
            let options = SkeletonCacheConfig {
                alpha: Some(1.0),
                descriptors: vec![slot.clone()],
                ..options.clone()
            };
            let mut cache = SkeletonCache::with_prior(&options, None);
            cache.begin(&self.task()?)?;
            let logits = self.logits.narrow(0, 0, samples);
            let own = descriptors.narrow(0, 0, samples).narrow(1, i as i64, 1);
            Ok(cache.step_descriptors(&own, &logits)? - logits)
        };
        let slots = options
            .descriptors
            .iter()
            .enumerate()
            .map(alone)
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&slots, 1))
    }

    /// The published evaluation: the whole grid, each with its second pass where the condition holds.
    fn evaluate(&self, case: &Case) -> Result<NamedTensors> {
        let options = SkeletonCacheConfig {
            preset: Preset::Official,
            protocol: Protocol::TestTuned,
            capacity: Some(case.param("capacity")?),
            alpha_grid: case.param("alpha_grid")?,
            beta_grid: case.param("beta_grid")?,
            descriptors: self.order.clone(),
            ..SkeletonCacheConfig::default()
        };
        let mut correct = Vec::new();
        let mut mean = 0.0;
        for variant in options.variants() {
            let mut cache = self.begin(&variant)?;
            let fed = self.feed(&mut cache)?;
            let mut logits = Tensor::cat(&fed.logits, 0);
            if cache.wants_second_pass() {
                logits = cache.rescore_descriptors(&Tensor::cat(&fed.descriptors, 0), &self.logits)?;
            }
            correct.push(self.correct(&logits));
            mean = cache
                .diagnostics()
                .remove("mean_largest_logit")
                .map_or(f64::NAN, |v| v[0]);
        }
        let best = correct.iter().max().copied().unwrap_or(0);
        let grid = [options.alpha_grid.len() as i64, options.beta_grid.len() as i64];
        Ok([
            ("correct", Tensor::from_slice(&correct).reshape(grid)),
            ("best_correct", Tensor::from_slice(&[best])),
            (
                "second_pass_condition",
                Tensor::from_slice(&[i64::from(mean > 0.85)]),
            ),
            ("mean_max_logit", Tensor::from_slice(&[mean as f32])),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor))
        .into())
    }

    fn correct(&self, logits: &Tensor) -> i64 {
        logits
            .argmax(1, false)
            .eq_tensor(&self.labels)
            .sum(Kind::Int64)
            .int64_value(&[])
    }

    fn accuracy(&self, logits: &Tensor) -> Tensor {
        let share = self.correct(logits) as f64 / self.labels.numel().max(1) as f64;
        Tensor::from_slice(&[share as f32])
    }
}

/// What a stream left behind.
#[derive(Default)]
struct Fed {
    logits: Vec<Tensor>,
    descriptors: Vec<Tensor>,
    runner_up: Vec<i64>,
}

/// The recorded weights as a prior file.
fn prior(case: &Case) -> Result<Prior> {
    let gamma = host::to_f64(&case.input("prior_gamma")?);
    let rows = |name: &str, len: usize| -> Result<Vec<Vec<f64>>> {
        let normalised = |row: &[f64]| {
            let sum: f64 = row.iter().sum();
            row.iter().map(|w| w / sum).collect()
        };
        Ok(host::to_f64(&case.input(name)?)
            .chunks_exact(len)
            .map(normalised)
            .collect())
    };
    let (spatial, temporal) = (rows("prior_spatial", 4)?, rows("prior_temporal", 3)?);
    let classes = spatial.iter().zip(&temporal).zip(&gamma).enumerate();
    let weights: serde_json::Map<_, _> = classes
        .map(|(i, ((spatial, temporal), gamma))| {
            (
                i.to_string(),
                json!({ "spatial": spatial, "temporal": temporal, "gamma": gamma }),
            )
        })
        .collect();
    let text = json!({ "num_classes": gamma.len(), "weights": weights }).to_string();
    Prior::parse(&text, Path::new(&format!("{}/input/prior", case.name)), None)
}

/// The entries at the end, class by class.
fn held(cache: &SkeletonCache) -> Result<NamedTensors> {
    let state = cache.snapshot()?;
    let entry = |name: &str| {
        state
            .get(&format!("0/{name}"))
            .ok_or_else(|| Error::Missing(format!("state `{name}`")))
    };
    let counts = host::to_i64(entry("counts")?)?;
    let capacity = entry("samples")?.size()[0] / (counts.len() as i64).max(1);
    let blocks = counts
        .iter()
        .enumerate()
        .map(|(class, held)| (class as i64, *held));
    let columns: Vec<i64> = blocks
        .clone()
        .flat_map(|(class, held)| (0..held).map(move |i| class * capacity + i))
        .collect();
    let classes: Vec<i64> = blocks
        .flat_map(|(class, held)| (0..held).map(move |_| class))
        .collect();
    let columns = Tensor::from_slice(&columns);
    let pick = |name: &str| Ok::<_, Error>(entry(name)?.index_select(0, &columns));
    Ok([
        ("cache_class", Tensor::from_slice(&classes)),
        ("cache_sample", pick("samples")?),
        ("cache_value", pick("values")?),
        ("cache_entropy", pick("entropies")?.to_kind(Kind::Float)),
        ("occupancy", Tensor::from_slice(&counts)),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into())
}

#[cfg(test)]
#[test]
fn goldens() {
    szar_core::conform::assert_goldens("adapter/skeleton-cache");
}
