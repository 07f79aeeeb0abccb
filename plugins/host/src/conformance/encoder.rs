//! Encoders.

use std::sync::Arc;

use serde_json::{Map, Value};
use szar_core::testing::{build_context, fit_context, layout};
use szar_core::{
    Cancel, ClassId, ClassSplit, ComponentInfo, EncoderConfig, InputSpec, Result, SeenLabels, SeenSkeletons,
    SkeletonBatch, SkeletonEncoder,
};
use tch::{Device, Kind, Tensor};

use super::{Trials, broken, close, configured, finite, same, steady};

type Config = Box<dyn EncoderConfig>;

const CLASSES: usize = 3;
const JOINTS: usize = 5;
const FRAMES: i64 = 16;

fn input() -> InputSpec {
    InputSpec {
        layout: Arc::new(layout(JOINTS)),
        frames: FRAMES,
        persons: 2,
        seen_classes: CLASSES as i64,
    }
}

/// Two persons, the second of every other sample absent.
fn batch(count: usize, seed: i64) -> SkeletonBatch {
    tch::manual_seed(seed);
    let samples = count as i64;
    let joints = Tensor::randn([samples, 3, FRAMES, JOINTS as i64, 2], (Kind::Float, Device::Cpu));
    for sample in (1..samples).step_by(2) {
        let _ = joints.get(sample).narrow(3, 1, 1).zero_();
    }
    let frames: Vec<i64> = (0..samples).map(|i| FRAMES - (i % 4)).collect();
    SkeletonBatch {
        joints,
        frames: Tensor::from_slice(&frames),
        present: (0..count).flat_map(|i| [true, i % 2 == 0]).collect(),
        layout: input().layout,
    }
}

/// Labelled random sequences.
struct Sequences {
    all: SkeletonBatch,
    labels: SeenLabels,
}

impl Sequences {
    fn new(count: usize, seed: i64) -> Result<Self> {
        let all = szar_core::testing::classes(CLASSES + 1);
        let split = ClassSplit::new("trials", &all, &all.ids()[..CLASSES], &all.ids()[CLASSES..])?;
        let labels: Vec<ClassId> = (0..count).map(|i| ClassId((i % CLASSES) as i64)).collect();
        Ok(Self {
            all: batch(count, seed),
            labels: SeenLabels::new(&split, &labels, Device::Cpu)?,
        })
    }
}

impl SeenSkeletons for Sequences {
    fn labels(&self) -> &SeenLabels {
        &self.labels
    }

    fn batch(&self, samples: &[usize]) -> Result<SkeletonBatch> {
        Ok(self.all.select(samples))
    }
}

fn fitted(config: &Config) -> Result<Box<dyn SkeletonEncoder>> {
    let mut encoder = config.build(&input(), &build_context())?;
    if config.trains() {
        let cancel = Cancel::default();
        tch::manual_seed(17);
        let _ = encoder.fit(
            &Sequences::new(24, 41)?,
            &Sequences::new(6, 42)?,
            &mut fit_context(&cancel),
        )?;
    }
    Ok(encoder)
}

fn encode(encoder: &dyn SkeletonEncoder, batch: &SkeletonBatch) -> Result<Tensor> {
    Ok(tch::no_grad(|| encoder.encode(batch))?.features.values)
}

/// Tries an encoder.
pub(super) fn examine(info: &ComponentInfo, options: &Map<String, Value>, trials: &mut Trials) {
    let config: Config = match configured(info, options, |c: &Config, p| c.validate(p)) {
        Ok(config) => config,
        Err(error) => {
            trials.skip("everything else", &format!("the options are not enough: {error}"));
            return;
        }
    };
    let built = fitted(&config);
    trials.note(
        "it is built and fitted",
        built.as_ref().map(|_| ()).or_else(|e| broken(e.to_string())),
    );
    let Ok(encoder) = built else { return };
    let said = config.spec(&input());
    trials.note(
        "the spec before and after it is built",
        match encoder.spec() == said {
            true => Ok(()),
            false => broken(format!("{said:?} and {:?}", encoder.spec())),
        },
    );
    let eight = batch(8, 51);
    let first = encode(&*encoder, &eight);
    trials.note(
        "features",
        first
            .as_ref()
            .map_or_else(|e| broken(e.to_string()), |f| finite("features", f)),
    );
    let Ok(first) = first else { return };
    trials.note("the same batch gives the same bits", {
        encode(&*encoder, &eight).and_then(|again| same("features", &first, &again))
    });
    let again = fitted(&config).and_then(|other| encode(&*other, &eight));
    trials.note(
        "the same fit gives the same bits",
        again.and_then(|again| same("features", &first, &again)),
    );
    let alone = encode(&*encoder, &eight.select(&[3]));
    trials.note("a sample's features do not depend on its batch", {
        alone.and_then(|alone| close("features", &first.narrow(0, 3, 1), &alone))
    });
    trials.note("its state comes back", {
        config.build(&input(), &build_context()).and_then(|mut other| {
            other.load_state(&encoder.state())?;
            encode(&*other, &eight).and_then(|again| same("features", &first, &again))
        })
    });
    let one = eight.select(&[0]);
    trials.note(
        "memory over ten thousand calls",
        steady(|| encode(&*encoder, &one).map(|_| ())),
    );
}
