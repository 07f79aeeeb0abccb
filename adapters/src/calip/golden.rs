//! Replays the recorded streams through the adapter itself.

use szar_core::conform::{Case, Driver};
use szar_core::testing;
use szar_core::{
    AdapterConfig, Aligner, Capabilities, Embedding, FeatureMap, FitContext, FitSummary, Granularity,
    NamedTensors, Observation, Result, SampleRef, Scores, SeenFeatures, SemanticAnchors, Task,
};
use tch::{Kind, Tensor};

use super::{Base, CalipConfig, attend};

inventory::submit! {
    Driver { kind: "adapter", component: "calip", run }
}

/// Maps `[B, D, 1, 1 + P]` whose first node is the sample as a whole and whose others are its nodes.
struct Recorded {
    scale: f64,
}

impl Aligner for Recorded {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            visual_embeddings: true,
            node_embeddings: true,
            ..Capabilities::default()
        }
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        let Embedding { visual, classes } = self.embed(features, anchors)?;
        Ok(Scores {
            logits: visual.f_matmul(&classes.transpose(0, 1))? * self.scale,
        })
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        Ok(Embedding {
            visual: features.values.select(3, 0).squeeze_dim(2),
            classes: anchors.granularity(&Granularity::GLOBAL)?,
        })
    }

    fn embed_nodes(&self, features: &FeatureMap, _: &SemanticAnchors) -> Result<Tensor> {
        let nodes = features.dims().3 - 1;
        Ok(features.values.squeeze_dim(2).narrow(2, 1, nodes).transpose(1, 2))
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}

/// A task with one text per class.
fn task(classes: &Tensor, width: i64) -> Result<Task> {
    let count = classes.size()[0].unsigned_abs() as usize;
    let list = testing::classes(count);
    Ok(Task {
        anchors: SemanticAnchors::new(classes.unsqueeze(1), vec![Granularity::GLOBAL], list)?,
        ..testing::task(count, width, 1, 1)
    })
}

/// The answer to the whole stream, through aligner and adapter.
fn answer(options: &CalipConfig, map: &FeatureMap, scores: &Scores, task: &Task) -> Result<Tensor> {
    let mut adapter = options.build(&testing::build_context())?;
    adapter.begin(task)?;
    let model = Recorded {
        scale: options.logit_scale,
    };
    let samples = SampleRef::run(0, map.dims().0.unsigned_abs() as usize);
    Ok(adapter
        .step(&Observation::new(map, scores, &samples), &model)?
        .logits)
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let option = |name: &str, default: f64| case.param::<f64>(name).unwrap_or(default);
    let options = CalipConfig {
        attention_scale: option("attention_scale", 2.0),
        logit_scale: option("logit_scale", 100.0),
        beta1: option("beta1", 1.0),
        beta2: case.param("beta2")?,
        beta3: case.param("beta3")?,
        ..CalipConfig::default()
    };
    let (features, nodes) = (case.input("features")?, case.input("local_features")?);
    let (classes, labels) = (case.input("class_emb")?, case.input("labels")?);
    let map = Tensor::f_cat(&[features.unsqueeze(1), nodes.shallow_clone()], 1)?;
    let map = FeatureMap::new(map.transpose(1, 2).unsqueeze(2))?;
    let task = task(&classes, features.size()[1])?;
    let model = Recorded {
        scale: options.logit_scale,
    };
    let scores = model.score(&map, &task.anchors)?;
    let logits = answer(&options, &map, &scores, &task)?;
    let published = CalipConfig {
        base: Base::Embeddings,
        ..options.clone()
    };
    let alone = answer(&published, &map, &scores, &task)?;
    if !logits.f_allclose(&alone, 1e-4, 1e-3, false)? {
        return Err(szar_core::Error::Input(
            "`base: scores` and `base: embeddings` disagree where they should not".into(),
        ));
    }
    let embedding = Embedding {
        visual: features,
        classes,
    };
    let attended = attend(&embedding, &nodes, options.attention_scale, options.normalise)?;
    let share = |z: &Tensor| {
        z.argmax(1, false)
            .eq_tensor(&labels)
            .to_kind(Kind::Float)
            .mean_dim([0i64].as_slice(), true, Kind::Float)
    };
    Ok(Some(
        [
            ("pred", logits.argmax(1, false)),
            ("accuracy", share(&logits)),
            ("logits", logits),
            ("logits_text_attended", attended.text * options.logit_scale),
            ("logits_visual_attended", attended.visual * options.logit_scale),
            ("base_pred", scores.logits.argmax(1, false)),
            ("accuracy_base", share(&scores.logits)),
            ("base_logits", scores.logits),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor))
        .into(),
    ))
}

#[cfg(test)]
#[test]
fn goldens() {
    szar_core::conform::assert_goldens("adapter/calip");
}
