//! The aligner: pooled features against a fixed projection of the anchors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_plugin::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec, Error,
    FeatureMap, FitContext, FitSummary, Granularity, NamedTensors, Problems, Result, Scores, SeenFeatures,
    SemanticAnchors, shape, tch,
};
use tch::{Device, Kind, Tensor};

use crate::Fault;

/// What the aligner can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlignerFault {
    /// Training fails.
    FitFails,
    /// Training panics.
    FitPanics,
    /// Scoring panics.
    ScorePanics,
    /// The scores lack a class.
    ScoresFewerClasses,
    /// It writes into the anchors.
    ScoringWritesAnchors,
    /// It writes into the features that it is trained on.
    FitWritesFeatures,
    /// Its weights cannot be read.
    WeightsPanic,
    /// Its weights have no name.
    WeightsNameless,
}

/// Options of `faulty-aligner`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FaultyAlignerConfig {
    /// What goes wrong.
    pub fault: Fault<AlignerFault>,
}

#[typetag::serde(name = "faulty-aligner")]
impl AlignerConfig for FaultyAlignerConfig {
    fn validate(&self, _: &mut Problems) {}

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            granularities: vec![Granularity::GLOBAL],
            ..Capabilities::default()
        }
    }

    fn build(
        &self,
        features: &EncoderSpec,
        _: &[Granularity],
        width: i64,
        _: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        let (channels, options) = (features.channels, (Kind::Float, Device::Cpu));
        let projection = Tensor::arange(channels * width, options)
            .sin()
            .view([channels, width]);
        Ok(Box::new(FaultyAligner {
            fault: self.fault.now(),
            capabilities: self.capabilities(),
            projection,
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<FaultyAlignerConfig>(
        ComponentKind::Aligner,
        "faulty-aligner",
        "Scores by a fixed projection, and misbehaves on demand.",
        "",
    )
}

/// The runtime part.
#[derive(Debug)]
struct FaultyAligner {
    fault: Option<AlignerFault>,
    capabilities: Capabilities,
    /// `[N, d]`.
    projection: Tensor,
}

impl Aligner for FaultyAligner {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn fit(&mut self, seen: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        match self.fault {
            Some(AlignerFault::FitFails) => Err(Error::Input("this training fails".into())),
            Some(AlignerFault::FitPanics) => panic!("training panicked"),
            Some(AlignerFault::FitWritesFeatures) => {
                let _ = seen.train.features.values.shallow_clone().fill_(0.0);
                Ok(FitSummary::default())
            }
            _ => Ok(FitSummary::default()),
        }
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        if self.fault == Some(AlignerFault::ScorePanics) {
            panic!("scoring panicked");
        }
        if self.fault == Some(AlignerFault::ScoringWritesAnchors) {
            let _ = anchors.values.shallow_clone().fill_(0.0);
        }
        let texts = anchors.granularity(&Granularity::GLOBAL)?.to_kind(Kind::Float);
        let rows = features.pooled().f_matmul(&self.projection)?;
        let logits = rows.f_matmul(&texts.transpose(0, 1))?;
        Ok(Scores {
            logits: match self.fault {
                Some(AlignerFault::ScoresFewerClasses) => logits.narrow(1, 0, 1),
                _ => logits,
            },
        })
    }

    fn state(&self) -> NamedTensors {
        let name = match self.fault {
            Some(AlignerFault::WeightsPanic) => panic!("the weights cannot be read"),
            Some(AlignerFault::WeightsNameless) => "",
            _ => "projection",
        };
        NamedTensors::from([(name.to_owned(), self.projection.shallow_clone())])
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let projection = state.get("projection");
        let projection = projection.ok_or_else(|| Error::Missing("`projection`".into()))?;
        let own = self.projection.size();
        shape::expect("projection", projection, [Some(own[0]), Some(own[1])])?;
        self.projection = projection.copy();
        Ok(())
    }
}
