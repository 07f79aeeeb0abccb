//! `recorded`: passes on features that come with the dataset, extracted by whoever made it.
//!
//! There is no network and nothing to train: what the dataset holds is what the aligner gets. It goes with datasets of
//! features alone, and is refused any skeleton.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, Encoding, Error, FitContext,
    FitSummary, Mark, NamedTensors, Problems, Result, SeenSkeletons, SkeletonBatch, SkeletonEncoder,
};

/// Options of the `recorded` encoder: it has none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecordedConfig {}

#[typetag::serde(name = "recorded")]
impl EncoderConfig for RecordedConfig {
    fn validate(&self, _: &mut Problems) {}

    fn spec(&self, _: &InputSpec) -> EncoderSpec {
        OF_SKELETONS
    }

    fn trains(&self) -> bool {
        false
    }

    fn passes_on(&self) -> bool {
        true
    }

    fn marks(&self) -> Vec<Mark> {
        vec![Mark::note(
            "the features are as they were given, not computed by this run; whether their encoder has seen the unseen \
             classes cannot be told from here",
        )]
    }

    fn build(&self, _: &InputSpec, _: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(Recorded))
    }
}

inventory::submit! {
    ComponentInfo::new::<RecordedConfig>(
        ComponentKind::Encoder,
        "recorded",
        "Passes on the features that a dataset brings in place of skeletons.",
        "",
    )
}

/// What it makes of skeletons: nothing.
const OF_SKELETONS: EncoderSpec = EncoderSpec {
    channels: 0,
    frames: 1,
    joints: 1,
    classifies: false,
};

#[derive(Debug)]
struct Recorded;

impl SkeletonEncoder for Recorded {
    fn spec(&self) -> EncoderSpec {
        OF_SKELETONS
    }

    fn encode(&self, _: &SkeletonBatch) -> Result<Encoding> {
        Err(no_network())
    }

    fn fit(
        &mut self,
        _: &dyn SeenSkeletons,
        _: &dyn SeenSkeletons,
        _: &mut FitContext,
    ) -> Result<FitSummary> {
        Err(no_network())
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        szar_core::checkpoint::copy_into(&self.state(), state, |_| false)
    }
}

fn no_network() -> Error {
    Error::Unavailable(
        "encoder `recorded` has no network: it passes on the features of a dataset that brings some".into(),
    )
}
