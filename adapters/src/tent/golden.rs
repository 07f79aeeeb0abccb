//! Replays the recorded streams through the adapter itself, on the small heads that were recorded.

use szar_core::conform::{Case, Driver};
use szar_core::testing;
use szar_core::{
    Affine, Aligner, Capabilities, Error, FeatureMap, FitContext, FitSummary, Granularity, NamedTensors,
    Observation, Result, SampleRef, Scores, SeenFeatures, SemanticAnchors, Task, TestTimeAdapter,
};
use tch::{Kind, Tensor};

use super::{Optimiser, Tent, TentConfig};

inventory::submit! {
    Driver { kind: "adapter", component: "tent", run }
}

/// Which small network comes after the normalisation.
#[derive(Debug)]
pub(super) enum Head {
    /// ReLU, mean over frames and joints, a linear layer `[C, N]`.
    Map(Tensor),
    /// This many times the dot product with the texts.
    Texts(f64),
}

/// One normalisation layer, then a head.
#[derive(Debug)]
pub(super) struct Small {
    /// `bn.weight`, `bn.bias` and, where recorded, `bn.running_mean`, `bn.running_var`.
    pub state: NamedTensors,
    pub head: Head,
}

impl Small {
    fn entry(&self, name: &str) -> Result<Tensor> {
        let found = self.state.get(name).map(Tensor::shallow_clone);
        found.ok_or_else(|| Error::Missing(format!("weight `{name}`")))
    }

    fn after(&self, normalised: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        let logits = match &self.head {
            Head::Map(linear) => normalised
                .relu()
                .mean_dim([2i64, 3].as_slice(), false, Kind::Float)
                .f_matmul(&linear.transpose(0, 1))?,
            Head::Texts(scale) => {
                let texts = anchors.granularity(&Granularity::GLOBAL)?;
                normalised.flatten(1, 3).f_matmul(&texts.transpose(0, 1))? * *scale
            }
        };
        Ok(Scores { logits })
    }
}

impl Aligner for Small {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            normalisation_layers: true,
            ..Capabilities::default()
        }
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    /// With the running statistics, where there are any.
    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        let Ok(mean) = self.entry("bn.running_mean") else {
            return self.after(&features.values, anchors);
        };
        let (weight, bias) = (self.entry("bn.weight")?, self.entry("bn.bias")?);
        let variance = self.entry("bn.running_var")?;
        let x = features.values.f_batch_norm(
            Some(&weight),
            Some(&bias),
            Some(&mean),
            Some(&variance),
            false,
            0.0,
            1e-5,
            false,
        )?;
        self.after(&x, anchors)
    }

    fn normalisation(&self) -> Vec<Affine> {
        let both = self
            .entry("bn.weight")
            .and_then(|w| Ok((w, self.entry("bn.bias")?)));
        both.map(|(weight, bias)| Affine {
            layer: "bn".into(),
            weight,
            bias,
        })
        .into_iter()
        .collect()
    }

    fn score_normalised(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        affine: &[Affine],
    ) -> Result<Scores> {
        let [layer] = affine else {
            return Err(Error::Input(format!(
                "one layer expected, {} given",
                affine.len()
            )));
        };
        self.after(&layer.of_batch(&features.values)?, anchors)
    }

    fn state(&self) -> NamedTensors {
        self.state
            .iter()
            .map(|(n, t)| (n.clone(), t.shallow_clone()))
            .collect()
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        self.state = state.iter().map(|(n, t)| (n.clone(), t.copy())).collect();
        Ok(())
    }
}

/// A task with one text per class.
pub(super) fn task(texts: &Tensor, channels: i64) -> Result<Task> {
    let count = texts.size()[0].unsigned_abs() as usize;
    let list = testing::classes(count);
    Ok(Task {
        anchors: SemanticAnchors::new(texts.unsqueeze(1), vec![Granularity::GLOBAL], list)?,
        ..testing::task(count, channels, 1, 1)
    })
}

fn options(case: &Case) -> Result<Option<TentConfig>> {
    let number = |name: &str, default: f64| case.param::<f64>(name).unwrap_or(default);
    let optimiser = match case.param::<String>("optimiser").as_deref() {
        Ok("adam") | Err(_) => Optimiser::Adam,
        Ok("sgd") => Optimiser::Sgd,
        Ok(_) => return Ok(None),
    };
    if number("eps", 1e-5) != 1e-5 {
        return Ok(None);
    }
    Ok(Some(TentConfig {
        lr: case.param("lr")?,
        steps: case.param("steps").unwrap_or(1),
        episodic: case.param("episodic").unwrap_or(false),
        weight_decay: number("weight_decay", 0.0),
        momentum: number("momentum", 0.0),
        optimiser,
        min_batch: 1, // recorded with batches of one, whose layer sees a map
        ..TentConfig::default()
    }))
}

/// The recorded head: a normalisation with a linear layer over maps, or one before the texts.
fn model(case: &Case) -> Result<Option<Small>> {
    let mut state = case.weights();
    let head = match case.param::<String>("norm")?.as_str() {
        "batchnorm2d" => {
            let linear = state.remove("fc.weight");
            Head::Map(linear.ok_or_else(|| Error::Missing("weight `fc.weight`".into()))?)
        }
        "batchnorm1d" => Head::Texts(case.param("logit_scale").unwrap_or(1.0)),
        _ => return Ok(None),
    };
    Ok(Some(Small { state, head }))
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let (Some(options), Some(model)) = (options(case)?, model(case)?) else {
        return Ok(None);
    };
    let (features, texts) = (case.input("features")?, case.input("class_emb")?);
    let map = if features.dim() == 2 {
        FeatureMap::from_pooled(&features)?
    } else {
        FeatureMap::new(features)?
    };
    let (count, channels, _, _) = map.dims();
    let task = task(&texts, channels)?;
    let mut adapter = Tent::new(&options);
    adapter.begin(&task)?;
    let base = model.score(&map, &task.anchors)?;
    let batch: i64 = case.param("batch")?;
    let mut out = NamedTensors::new();
    let mut answers = Vec::new();
    for from in (0..count).step_by(batch.max(1) as usize) {
        let len = batch.min(count - from);
        let scores = Scores {
            logits: base.logits.narrow(0, from, len),
        };
        let samples = SampleRef::run(from.unsigned_abs(), len.unsigned_abs() as usize);
        let part = map.narrow(from, len);
        answers.push(
            adapter
                .step(&Observation::new(&part, &scores, &samples), &model)?
                .logits,
        );
        if from == 0 {
            layer(&adapter, "_after_batch1", &mut out)?;
        }
    }
    layer(&adapter, "", &mut out)?;
    let logits = Tensor::f_cat(&answers, 0)?;
    let labels = case.input("labels")?;
    let share = |z: &Tensor| {
        let right = z.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Float);
        right.mean_dim([0i64].as_slice(), true, Kind::Float)
    };
    out.insert("pred".into(), logits.argmax(1, false));
    out.insert("accuracy".into(), share(&logits));
    out.insert("logits".into(), logits);
    out.insert("base_pred".into(), base.logits.argmax(1, false));
    out.insert("accuracy_base".into(), share(&base.logits));
    out.insert("base_logits".into(), base.logits);
    Ok(Some(out))
}

/// Scale and shift as they are now.
fn layer(adapter: &Tent, suffix: &str, out: &mut NamedTensors) -> Result<()> {
    let state = adapter.snapshot()?;
    for what in ["weight", "bias"] {
        let name = format!("0/0000/bn/{what}");
        let found = state
            .get(&name)
            .ok_or_else(|| Error::Missing(format!("state `{name}`")))?;
        out.insert(format!("bn_{what}{suffix}"), found.shallow_clone());
    }
    Ok(())
}

#[cfg(test)]
#[test]
fn goldens() {
    szar_core::conform::assert_goldens("adapter/tent");
}
