//! Replays the recorded streams of `dynapurls` on a `purls` aligner with the case's weights.

use szar_adapters::dynapurls::{
    DynaPurls, DynaPurlsConfig, Granule, Order, Preset, Sampling, Schedule, ThresholdScale,
};
use szar_backbones::aligners::purls::{Nodes, Partition, PurlsConfig, Query, Rows, ScoreSlots, Similarity};
use szar_core::conform::{Case, Driver};
use szar_core::testing::layout;
use szar_core::{
    Aligner, AlignerConfig, BuildContext, ClassList, EncoderSpec, Error, FeatureMap, Granularity,
    NamedTensors, Observation, OracleLabels, Result, SampleRef, Scores, Seed, SemanticAnchors, Task,
    TestTimeAdapter,
};
use tch::{Device, Kind, Tensor, no_grad};

inventory::submit! { Driver { kind: "adapter", component: "dynapurls", run } }

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let Some(rows) = rows(case)? else { return Ok(None) };
    let official = case.param::<String>("variant")? == "official";
    let replay = Replay::new(case, rows, official)?;
    if official {
        replay.official(case)
    } else {
        replay.paper(case)
    }
    .map(Some)
}

fn rows(case: &Case) -> Result<Option<Rows>> {
    Ok(match case.param::<String>("local_type")?.as_str() {
        "full" => Some(Rows::Full),
        "g" => Some(Rows::G),
        "bp" => Some(Rows::BpOfficial),
        "tp" => Some(Rows::TpOfficial),
        _ => None,
    })
}

/// A case's stream and the model that scores it.
struct Replay {
    aligner: Box<dyn Aligner>,
    anchors: SemanticAnchors,
    features: FeatureMap,
    labels: Tensor,
    task: Task,
}

impl Replay {
    fn new(case: &Case, rows: Rows, official: bool) -> Result<Self> {
        let map = case.input("features")?.permute([0, 3, 1, 2]).contiguous();
        let size = map.size();
        let features = EncoderSpec {
            channels: size[1],
            frames: size[2],
            joints: size[3],
            classifies: false,
        };
        let text = case.input("text")?;
        let names = (0..text.size()[0]).map(|c| format!("class {c}"));
        let granularities = Granularity::PURLS_ORDER.to_vec();
        let classes = ClassList::numbered(names)?;
        let anchors = SemanticAnchors::new(text, granularities.clone(), classes.clone())?;
        let similarity = match case.param::<String>("similarity") {
            Ok(word) if word == "cosine" => Similarity::Cosine,
            _ => Similarity::Dot,
        };
        let config = PurlsConfig {
            partition: Partition::Adaptive,
            rows,
            nodes: Nodes::All,
            normalise: false,
            hidden: case.param("proj_hidden_size")?,
            heads: case.param("n_head")?,
            key_width: case.param("k_dim")?,
            dropout: 0.0,
            query: if official {
                Query::OracleLabel
            } else {
                Query::PerClass
            },
            similarity,
            score: ScoreSlots::Global,
            learn_weights: case.param("use_d").unwrap_or(false),
            ..PurlsConfig::default()
        };
        let ctx = BuildContext {
            device: Device::Cpu,
            seed: Seed(0),
            cache: std::env::temp_dir(),
        };
        let mut aligner = config.build(&features, &granularities, anchors.width(), &ctx)?;
        aligner.load_state(&case.weights())?;
        Ok(Self {
            aligner,
            features: FeatureMap::new(map)?,
            labels: case.input("labels")?,
            task: Task {
                seen: vec![false; classes.len()],
                candidates: classes,
                anchors: anchors.with_values(anchors.values.shallow_clone())?,
                features,
                layout: std::sync::Arc::new(layout(features.joints.unsigned_abs() as usize)),
                device: Device::Cpu,
                seed: Seed(0),
                streams: 1,
                expected: size[0].unsigned_abs(),
            },
            anchors,
        })
    }

    /// Logits of the stream `[N, C]` in steps of `batch`; `oracle` gives the true labels, as the released code does.
    fn play(&self, adapter: &mut DynaPurls, batch: i64, oracle: bool) -> Result<Tensor> {
        let count = self.features.dims().0;
        let mut all = Vec::new();
        for from in (0..count).step_by(batch.unsigned_abs() as usize) {
            let len = batch.min(count - from);
            let features = self.features.narrow(from, len);
            let labels = OracleLabels(self.labels.narrow(0, from, len));
            let samples = SampleRef::run(from.unsigned_abs(), len.unsigned_abs() as usize);
            let scores = Scores {
                logits: Tensor::zeros([len, self.task.seen.len() as i64], (Kind::Float, Device::Cpu)),
            };
            let seen = Observation {
                oracle: oracle.then_some(&labels),
                ..Observation::new(&features, &scores, &samples)
            };
            all.push(no_grad(|| adapter.step(&seen, self.aligner.as_ref()))?.logits);
        }
        Ok(Tensor::cat(&all, 0))
    }

    fn accuracy(&self, predictions: &Tensor) -> Tensor {
        predictions
            .eq_tensor(&self.labels)
            .to_kind(Kind::Float)
            .mean(Kind::Float)
            .view([1])
    }

    fn options(case: &Case) -> Result<DynaPurlsConfig> {
        Ok(DynaPurlsConfig {
            capacity: case.param("capacity")?,
            confidence: Some(case.param("tau_conf")?),
            confidence_scale: Some(ThresholdScale::Absolute),
            lr: Some(case.param("lr")?),
            weight_decay: Some(case.param("weight_decay").unwrap_or(0.0)),
            ..DynaPurlsConfig::default()
        })
    }

    fn official(&self, case: &Case) -> Result<NamedTensors> {
        let options = DynaPurlsConfig {
            preset: Preset::Official,
            steps: case.param("steps")?,
            train_mode: Some(!case.param::<bool>("keep_eval")?),
            ..Self::options(case)?
        };
        let mut adapter = DynaPurls::new(&options);
        adapter.record();
        adapter.begin(&self.task)?;
        let batch: i64 = case.param("batch")?;
        let logits = self.play(&mut adapter, batch, true)?;
        let batches = (self.features.dims().0 + batch - 1) / batch;
        let in_force = |b: i64| {
            let before = adapter
                .updates()
                .iter()
                .filter(|u| u.position < (b * batch).unsigned_abs())
                .count();
            adapter.learning_rate(before as u64) as f32
        };
        let rates: Vec<f32> = (0..batches).map(in_force).collect();
        let held = adapter.remembered();
        let numbers = |of: fn(f64, f64) -> f64| -> Tensor {
            let values: Vec<f32> = held.iter().map(|(_, c, l)| of(*c, *l) as f32).collect();
            Tensor::from_slice(&values)
        };
        let mut out = self.common(&adapter, &logits)?;
        out.insert("accuracy".into(), self.accuracy(&out["pred"]));
        out.insert("logits".into(), logits);
        out.insert("lr_at_batch".into(), Tensor::from_slice(&rates));
        let classes: Vec<i64> = held.iter().map(|(h, ..)| h.class as i64).collect();
        out.insert("buffer_class".into(), Tensor::from_slice(&classes));
        out.insert("buffer_confidence".into(), numbers(|c, _| c));
        out.insert("buffer_loss".into(), numbers(|_, l| l));
        let state = self.aligner.state();
        for (name, key) in [
            ("mean", "skel_encoder.0.running_mean"),
            ("var", "skel_encoder.0.running_var"),
        ] {
            let buffer = state.get(key).ok_or_else(|| Error::Missing(key.into()))?;
            out.insert(format!("bn0_running_{name}"), buffer.copy());
        }
        Ok(out)
    }

    fn paper(&self, case: &Case) -> Result<NamedTensors> {
        let lr: f64 = case.param("lr")?;
        let batch: i64 = case.param("batch")?;
        let temperature: f64 = case.param("temperature")?;
        let options = DynaPurlsConfig {
            preset: Preset::Paper,
            temperature,
            min_samples: case.param("b_min")?,
            steps: case.param("steps_per_sample")?,
            lr_floor: case.param::<f64>("eta_min")? / lr,
            horizon: Some(case.param("t_max")?),
            sampling: Some(match case.param::<String>("batch_rule")?.as_str() {
                "balanced" => Sampling::Balanced,
                _ => Sampling::All,
            }),
            schedule: Some(Schedule::Cosine),
            update: Some(if batch == 1 {
                Granule::Sample
            } else {
                Granule::Batch
            }),
            order: Some(Order::PredictThenUpdate),
            ..Self::options(case)?
        };
        let mut adapter = DynaPurls::new(&options);
        adapter.record();
        adapter.begin(&self.task)?;
        let scores = self.play(&mut adapter, batch, false)?;
        let fixed = no_grad(|| self.aligner.score(&self.features, &self.anchors))?.logits;
        let mut out = self.common(&adapter, &scores)?;
        out.insert("accuracy_refined".into(), self.accuracy(&out["pred"]));
        out.insert("static_pred".into(), fixed.argmax(-1, false));
        out.insert("accuracy_static".into(), self.accuracy(&out["static_pred"]));
        out.insert("static_scores".into(), fixed);
        out.insert("probs".into(), (&scores / temperature).softmax(-1, Kind::Float));
        out.insert("scores".into(), scores);
        let count = self.features.dims().0.unsigned_abs() as usize;
        let (mut loss, mut rate) = (vec![-1.0f32; count], vec![0.0f32; count]);
        for update in adapter.updates() {
            loss[update.position as usize] = update.loss as f32;
            rate[update.position as usize] = update.lr as f32;
        }
        out.insert("loss".into(), Tensor::from_slice(&loss));
        out.insert("lr".into(), Tensor::from_slice(&rate));
        let text = adapter
            .moved_anchors()
            .ok_or_else(|| Error::Missing("refined anchors".into()))?;
        out.insert("final_text".into(), text.get(0));
        let mut held = adapter.remembered();
        held.sort_by_key(|(h, ..)| (h.class, h.sample.position));
        let classes: Vec<i64> = held.iter().map(|(h, ..)| h.class as i64).collect();
        let positions: Vec<i64> = held
            .iter()
            .map(|(h, ..)| h.sample.position.cast_signed())
            .collect();
        let confidence: Vec<f32> = held.iter().map(|(_, c, _)| *c as f32).collect();
        out.insert("bank_class".into(), Tensor::from_slice(&classes));
        out.insert("bank_sample".into(), Tensor::from_slice(&positions));
        out.insert("bank_confidence".into(), Tensor::from_slice(&confidence));
        Ok(out)
    }

    fn common(&self, adapter: &DynaPurls, logits: &Tensor) -> Result<NamedTensors> {
        let values = adapter
            .scale_and_shift()
            .ok_or_else(|| Error::Missing("a first sample".into()))?
            .get(0);
        Ok(NamedTensors::from([
            ("pred".to_owned(), logits.argmax(-1, false)),
            ("final_scale".to_owned(), values.get(0)),
            ("final_shift".to_owned(), values.get(1)),
        ]))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn goldens() {
        szar_core::conform::assert_goldens("adapter/dynapurls");
    }
}
