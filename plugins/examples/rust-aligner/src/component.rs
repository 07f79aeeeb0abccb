//! An aligner: a linear map from pooled features to texts by ridge regression, then cosines. It can be
//! differentiated in its anchors, so adapters that refine anchors by gradients work on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_plugin::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, Embedding, EncoderSpec,
    Error, FeatureMap, FitContext, FitSummary, Granularity, NamedTensors, Problems, Result, Scores,
    SeenFeatures, SemanticAnchors, checkpoint, shape,
};
use tch::{Kind, Tensor};

/// Options of `ridge-cosine`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RidgeCosineConfig {
    /// Weight of the squared coefficients, above 0, relative to the sum over samples. Default: 10.
    pub ridge: f64,
    /// Logits per cosine, above 0. Default: 20.
    pub scale: f64,
}

impl Default for RidgeCosineConfig {
    fn default() -> Self {
        Self {
            ridge: 10.0,
            scale: 20.0,
        }
    }
}

#[typetag::serde(name = "ridge-cosine")]
impl AlignerConfig for RidgeCosineConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, value) in [("ridge", self.ridge), ("scale", self.scale)] {
            problems.check(value > 0.0 && value.is_finite(), field, || {
                format!("must be above 0, got {value}")
            });
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            granularities: vec![Granularity::GLOBAL],
            differentiable_in_anchors: true,
            differentiable_in_features: true,
            visual_embeddings: true,
            ..Capabilities::default()
        }
    }

    fn build(
        &self,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        if !granularities.contains(&Granularity::GLOBAL) {
            let known = granularities.iter().map(ToString::to_string);
            return Err(Error::unknown("granularity", "global", known).context("aligner `ridge-cosine`"));
        }
        Ok(Box::new(RidgeCosine {
            config: self.clone(),
            weight: Tensor::zeros([features.channels, width], (Kind::Float, ctx.device)),
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<RidgeCosineConfig>(
        ComponentKind::Aligner,
        "ridge-cosine",
        "Ridge regression from pooled features to one text per class, compared by angle.",
        "",
    )
}

/// The runtime part.
#[derive(Debug)]
struct RidgeCosine {
    config: RidgeCosineConfig,
    /// `[N, d]`.
    weight: Tensor,
}

fn unit(x: &Tensor) -> Tensor {
    let squares = x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float);
    x / squares.clamp_min(1e-16).sqrt()
}

impl RidgeCosine {
    fn text(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        let width = self.weight.size()[1];
        shape::expect("semantic anchors", &anchors.values, [None, None, Some(width)])?;
        Ok(anchors.granularity(&Granularity::GLOBAL)?.to_kind(Kind::Float))
    }

    /// `[B, d]`.
    fn mapped(&self, features: &FeatureMap) -> Result<Tensor> {
        let channels = self.weight.size()[0];
        shape::expect(
            "feature map",
            &features.values,
            [None, Some(channels), None, None],
        )?;
        Ok(features.pooled().mm(&self.weight))
    }
}

impl Aligner for RidgeCosine {
    fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    /// `W = (XᵀX + λI)⁻¹ XᵀT` with the texts T of the samples' classes, each of length 1.
    fn fit(
        &mut self,
        seen: &SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        let _no_grad = tch::no_grad_guard();
        ctx.cancel.check()?;
        let x = seen.train.features.pooled().to_kind(Kind::Double);
        let channels = self.weight.size()[0];
        shape::expect("pooled features", &x, [None, Some(channels)])?;
        let text = unit(&self.text(anchors)?).to_kind(Kind::Double);
        let targets = text.index_select(0, seen.train.labels.columns());
        let eye = Tensor::eye(channels, (Kind::Double, x.device()));
        let transposed = x.transpose(0, 1);
        let system = transposed.mm(&x) + eye * self.config.ridge;
        let solution = Tensor::f_linalg_solve(&system, &transposed.mm(&targets), true)?;
        self.weight.copy_(&solution.to_kind(Kind::Float));
        Ok(FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        let texts = unit(&self.text(anchors)?);
        Ok(Scores {
            logits: unit(&self.mapped(features)?).mm(&texts.transpose(0, 1)) * self.config.scale,
        })
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        Ok(Embedding {
            visual: self.mapped(features)?,
            classes: self.text(anchors)?,
        })
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::from([("weight".to_owned(), self.weight.shallow_clone())])
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        checkpoint::copy_into(&self.state(), state, |_| false)
    }
}
