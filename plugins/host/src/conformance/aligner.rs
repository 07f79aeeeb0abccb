//! Aligners.

use std::sync::Arc;

use serde_json::{Map, Value};
use szar_core::testing::{anchors, build_context, fit_context, layout};
use szar_core::{
    Aligner, AlignerConfig, Cancel, ClassId, ClassSplit, ComponentInfo, EncoderSpec, FeatureMap, FeatureNeed,
    NamedTensors, Result, SeenFeatures, SeenLabels, SeenSet, SemanticAnchors,
};
use tch::{Device, Kind, Tensor};

use super::{Trials, broken, close, configured, finite, refused, same, steady};

type Config = Box<dyn AlignerConfig>;

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const CLASSES: usize = 5;
const CHANNELS: i64 = 6;

struct Setting {
    form: EncoderSpec,
    anchors: SemanticAnchors,
    width: i64,
}

impl Setting {
    fn new(config: &Config) -> Self {
        tch::manual_seed(13);
        let (frames, joints) = match config.capabilities().features {
            FeatureNeed::Map => (3, 4),
            FeatureNeed::Pooled => (1, 1),
        };
        let width = config.width().unwrap_or(8);
        Self {
            form: EncoderSpec {
                channels: CHANNELS,
                frames,
                joints,
                classifies: false,
            },
            anchors: anchors(CLASSES, width),
            width,
        }
    }

    fn features(&self, count: i64, seed: i64) -> Result<FeatureMap> {
        tch::manual_seed(seed);
        FeatureMap::new(Tensor::randn(
            [count, CHANNELS, self.form.frames, self.form.joints],
            CPU,
        ))
    }

    fn set(&self, count: i64, seed: i64) -> Result<SeenSet> {
        let all = szar_core::testing::classes(CLASSES + 1);
        let seen: Vec<ClassId> = all.ids()[..CLASSES].to_vec();
        let split = ClassSplit::new("trials", &all, &seen, &all.ids()[CLASSES..])?;
        let labels: Vec<ClassId> = (0..count).map(|i| ClassId(i % CLASSES as i64)).collect();
        Ok(SeenSet {
            features: self.features(count, seed)?,
            labels: SeenLabels::new(&split, &labels, Device::Cpu)?,
        })
    }

    fn built(&self, config: &Config) -> Result<Box<dyn Aligner>> {
        config.build(
            &self.form,
            &self.anchors.granularities,
            self.width,
            &build_context(),
        )
    }

    fn fitted(&self, config: &Config) -> Result<Box<dyn Aligner>> {
        let mut model = self.built(config)?;
        let seen = SeenFeatures {
            train: self.set(40, 21)?,
            validation: self.set(10, 22)?,
            layout: Arc::new(layout(usize::try_from(self.form.joints.max(4)).unwrap_or(4))),
        };
        let cancel = Cancel::default();
        tch::manual_seed(3);
        let _ = model.fit(&seen, &self.anchors, &mut fit_context(&cancel))?;
        Ok(model)
    }
}

/// Tries an aligner.
pub(super) fn examine(info: &ComponentInfo, options: &Map<String, Value>, trials: &mut Trials) {
    let config: Config = match configured(info, options, |c: &Config, p| c.validate(p)) {
        Ok(config) => config,
        Err(error) => {
            trials.skip("everything else", &format!("the options are not enough: {error}"));
            return;
        }
    };
    let setting = Setting::new(&config);
    let fitted = setting.fitted(&config);
    trials.note(
        "it is fitted",
        fitted.as_ref().map(|_| ()).or_else(|e| broken(e.to_string())),
    );
    let Ok(model) = fitted else { return };
    let score = |model: &dyn Aligner, count: i64| -> Result<Tensor> {
        let features = setting.features(16, 31)?.narrow(0, count);
        Ok(tch::no_grad(|| model.score(&features, &setting.anchors))?.logits)
    };
    let first = score(&*model, 16);
    trials.note(
        "scores",
        first
            .as_ref()
            .map_or_else(|e| broken(e.to_string()), |s| finite("scores", s)),
    );
    let Ok(first) = first else { return };
    let again = setting.fitted(&config).and_then(|other| score(&*other, 16));
    trials.note(
        "the same fit gives the same bits",
        again.and_then(|again| same("scores", &first, &again)),
    );
    let alone = score(&*model, 1);
    trials.note("a sample's scores do not depend on its batch", {
        alone.and_then(|alone| close("scores", &first.narrow(0, 0, 1), &alone))
    });
    trials.note(
        "its state comes back",
        restored(&setting, &config, &*model, &first),
    );
    trials.note("a state without its entries is refused", {
        setting
            .built(&config)
            .and_then(|mut other| match model.state().is_empty() {
                true => Ok(()),
                false => refused("an empty state", other.load_state(&NamedTensors::new())),
            })
    });
    trials.note("features of other channels are refused", {
        let wrong = FeatureMap::new(Tensor::zeros(
            [2, CHANNELS + 1, setting.form.frames, setting.form.joints],
            CPU,
        ));
        wrong.and_then(|wrong| {
            refused(
                "features of other channels",
                model.score(&wrong, &setting.anchors),
            )
        })
    });
    match config.capabilities().differentiable_in_anchors {
        true => trials.note("gradients reach the anchors", gradient(&setting, &*model)),
        false => trials.skip("gradients reach the anchors", "not claimed"),
    }
    match config.capabilities().visual_embeddings {
        true => trials.note("embeddings", embeddings(&setting, &*model)),
        false => trials.skip("embeddings", "not claimed"),
    }
    trials.note(
        "memory over ten thousand calls",
        steady(|| score(&*model, 1).map(|_| ())),
    );
}

fn restored(setting: &Setting, config: &Config, model: &dyn Aligner, first: &Tensor) -> Result<()> {
    let mut other = setting.built(config)?;
    other.load_state(&model.state())?;
    let features = setting.features(16, 31)?;
    let again = tch::no_grad(|| other.score(&features, &setting.anchors))?.logits;
    same("scores", first, &again)
}

fn gradient(setting: &Setting, model: &dyn Aligner) -> Result<()> {
    let values = setting.anchors.values.copy().set_requires_grad(true);
    let moved = setting.anchors.with_values(values.shallow_clone())?;
    let logits = tch::with_grad(|| model.score(&setting.features(4, 33)?, &moved))?.logits;
    if !logits.requires_grad() {
        return broken("the scores do not depend on the anchors as far as gradients know");
    }
    tch::with_grad(|| logits.square().sum(Kind::Float).f_backward())?;
    let grad = values.grad();
    if !grad.defined() {
        return broken("no gradient arrived");
    }
    finite("gradients", &grad)?;
    match grad.abs().max().double_value(&[]) > 0.0 {
        true => Ok(()),
        false => broken("the gradient is zero"),
    }
}

fn embeddings(setting: &Setting, model: &dyn Aligner) -> Result<()> {
    let embedding = tch::no_grad(|| model.embed(&setting.features(3, 34)?, &setting.anchors))?;
    finite("visual embeddings", &embedding.visual)?;
    finite("class embeddings", &embedding.classes)
}
