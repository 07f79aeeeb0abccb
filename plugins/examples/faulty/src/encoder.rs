//! The encoder: the mean place of all joints, `[B, 3, 1, 1]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_plugin::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, Encoding, FeatureMap, FitContext,
    FitSummary, InputSpec, NamedTensors, Problems, Result, SeenSkeletons, SkeletonBatch, SkeletonEncoder,
    shape, tch,
};
use tch::{Device, Kind, Tensor};

use crate::Fault;

/// What the encoder can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderFault {
    /// Saying what it gives panics.
    SpecPanics,
    /// The features have another shape than it says.
    FeaturesMisshapen,
    /// It says that it classifies, and does not.
    NoLogits,
    /// Encoding panics.
    EncodePanics,
    /// It writes into the joints.
    WritesJoints,
    /// The features hold whole numbers.
    FeaturesIntegers,
    /// Its weights cannot be read.
    StatePanics,
}

/// Options of `faulty-encoder`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FaultyEncoderConfig {
    /// What goes wrong.
    pub fault: Fault<EncoderFault>,
}

#[typetag::serde(name = "faulty-encoder")]
impl EncoderConfig for FaultyEncoderConfig {
    fn validate(&self, _: &mut Problems) {}

    fn spec(&self, _: &InputSpec) -> EncoderSpec {
        if self.fault.now() == Some(EncoderFault::SpecPanics) {
            panic!("saying what it gives panicked");
        }
        spec(self.fault.now())
    }

    fn build(&self, _: &InputSpec, _: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(FaultyEncoder {
            fault: self.fault.now(),
            scale: Tensor::ones([3], (Kind::Float, Device::Cpu)),
        }))
    }
}

fn spec(fault: Option<EncoderFault>) -> EncoderSpec {
    EncoderSpec {
        channels: 3,
        frames: 1,
        joints: 1,
        classifies: fault == Some(EncoderFault::NoLogits),
    }
}

inventory::submit! {
    ComponentInfo::new::<FaultyEncoderConfig>(
        ComponentKind::Encoder,
        "faulty-encoder",
        "The mean place of all joints, and misbehaves on demand.",
        "",
    )
}

/// The runtime part.
#[derive(Debug)]
struct FaultyEncoder {
    fault: Option<EncoderFault>,
    /// `[3]`.
    scale: Tensor,
}

impl SkeletonEncoder for FaultyEncoder {
    fn spec(&self) -> EncoderSpec {
        spec(self.fault)
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        let axes: &[i64] = &[2, 3, 4];
        let values = batch.joints.mean_dim(axes, false, Kind::Float) * &self.scale;
        let mut values = values.unsqueeze(-1).unsqueeze(-1);
        match self.fault {
            Some(EncoderFault::FeaturesMisshapen) => values = values.narrow(1, 0, 2),
            Some(EncoderFault::EncodePanics) => panic!("encoding panicked"),
            Some(EncoderFault::WritesJoints) => drop(batch.joints.shallow_clone().fill_(0.0)),
            Some(EncoderFault::FeaturesIntegers) => values = values.to_kind(Kind::Int),
            _ => {}
        }
        Ok(Encoding {
            features: FeatureMap {
                values,
                descriptors: None,
            },
            seen_logits: None,
        })
    }

    fn fit(
        &mut self,
        _: &dyn SeenSkeletons,
        _: &dyn SeenSkeletons,
        _: &mut FitContext,
    ) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn state(&self) -> NamedTensors {
        if self.fault == Some(EncoderFault::StatePanics) {
            panic!("the weights cannot be read");
        }
        NamedTensors::from([("scale".to_owned(), self.scale.shallow_clone())])
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let scale = state.get("scale");
        let scale = scale.ok_or_else(|| szar_plugin::Error::Missing("`scale`".into()))?;
        shape::expect("scale", scale, [Some(3)])?;
        self.scale = scale.copy();
        Ok(())
    }
}
