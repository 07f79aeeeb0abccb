//! Options of `ensemble`.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, Mark, Problems, Result,
    SkeletonEncoder,
};

use super::encoder::Ensemble;
use crate::encoders::gcn::Stream;
use crate::encoders::st_gcn::StGcnConfig;

/// Options of the `ensemble` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleConfig {
    /// The encoders, at least one; those with `weights` are not trained. Default: `st-gcn` on joints and `st-gcn` on bones, the published two streams.
    #[schemars(schema_with = "members_schema")]
    pub members: Vec<Arc<dyn EncoderConfig>>,
    /// What each member's logits are multiplied with before they are added, `0 ..`, not all 0. Default: 1 for each, as published for two streams; for joints, bones and their motions 0.6, 0.6, 0.4, 0.4 are published.
    pub factors: Option<Vec<f64>>,
    /// Join pooled features, for members whose maps have different frames or joints. Default: false, the maps are joined.
    pub pooled: bool,
}

fn members_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "object", "x-component": "encoder" } })
}

impl Default for EnsembleConfig {
    fn default() -> Self {
        let member = |stream| -> Arc<dyn EncoderConfig> {
            Arc::new(StGcnConfig {
                stream,
                ..StGcnConfig::default()
            })
        };
        Self {
            members: [Stream::Joint, Stream::Bone].map(member).into(),
            factors: None,
            pooled: false,
        }
    }
}

impl EnsembleConfig {
    /// A factor for each member.
    pub(super) fn factors(&self) -> Vec<f64> {
        self.factors
            .clone()
            .unwrap_or_else(|| vec![1.0; self.members.len()])
    }

    /// What is wrong with the ensemble as such.
    fn validate_own(&self, problems: &mut Problems) {
        problems.check(!self.members.is_empty(), "members", || {
            "must name at least one encoder".into()
        });
        let Some(factors) = &self.factors else { return };
        let (count, members) = (factors.len(), self.members.len());
        problems.check(count == members, "factors", || {
            format!("must be as many as there are members, {members}, got {count}")
        });
        for (i, factor) in factors.iter().enumerate() {
            let ok = factor.is_finite() && *factor >= 0.0;
            problems.check(ok, &format!("factors[{i}]"), || {
                format!("must be at least 0, got {factor}")
            });
        }
        problems.check(
            factors.is_empty() || factors.iter().any(|f| *f != 0.0),
            "factors",
            || "must not all be 0".into(),
        );
    }
}

/// What an ensemble of members with these forms gives.
pub(super) fn joined(members: impl Iterator<Item = EncoderSpec>, pooled: bool) -> EncoderSpec {
    let join = |all: EncoderSpec, one: EncoderSpec| EncoderSpec {
        channels: all.channels + one.channels,
        classifies: all.classifies && one.classifies,
        ..all
    };
    let nothing = EncoderSpec {
        channels: 0,
        frames: 1,
        joints: 1,
        classifies: false,
    };
    let spec = members.reduce(join).unwrap_or(nothing);
    let (frames, joints) = if pooled {
        (1, 1)
    } else {
        (spec.frames, spec.joints)
    };
    EncoderSpec {
        frames,
        joints,
        ..spec
    }
}

#[typetag::serde(name = "ensemble")]
impl EncoderConfig for EnsembleConfig {
    fn validate(&self, problems: &mut Problems) {
        self.validate_own(problems);
        for (i, member) in self.members.iter().enumerate() {
            problems.scoped(&format!("members[{i}]"), |p| {
                p.check(!member.passes_on(), "", || {
                    format!(
                        "`{}` encodes no skeletons and cannot be a member",
                        member.typetag_name()
                    )
                });
                member.validate(p);
            });
        }
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        joined(self.members.iter().map(|m| m.spec(input)), self.pooled)
    }

    fn members(&self) -> Vec<&dyn EncoderConfig> {
        self.members.iter().map(AsRef::as_ref).collect()
    }

    /// False when every member has weights or cannot be trained.
    fn trains(&self) -> bool {
        self.members.iter().any(|m| m.trains() && m.weights().is_none())
    }

    /// Weights of a member are read when it is built, whatever for.
    fn retrains(&self) -> bool {
        self.members.iter().all(|m| m.retrains() && m.weights().is_none())
    }

    fn marks(&self) -> Vec<Mark> {
        self.members.iter().flat_map(|m| m.marks()).collect()
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(Ensemble::new(self, input, ctx)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<EnsembleConfig>(
        ComponentKind::Encoder,
        "ensemble",
        "Several encoders as one: features of all beside each other, logits added with a factor for each.",
        "Shi, Zhang, Cheng, Lu: Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action Recognition, CVPR 2019",
    )
}
