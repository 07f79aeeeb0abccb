//! `diff-tpt`: as [`crate::tpt`], with views that a generator makes, and those dropped that strayed from the sample.
//!
//! Source: Feng et al., "Diverse Data Augmentation with Diffusions for Effective Test-time Prompt Tuning" (DiffTPT),
//! ICCV 2023, eq. 4 to 7; released code chunmeifeng/DiffTPT. Its generator is a diffusion model of images. None of
//! skeletons is published: the augmentation `noise-denoise` stands in for it, and any other can be named.
//!
//! | symbol | here        | shape    | meaning                                                                     |
//! |--------|-------------|----------|-----------------------------------------------------------------------------|
//! | `z`    | `logits`    | `[V, C]` | logits of the views; view 0 is the sample                                   |
//! | `ρ_C`  | `similar`   | scalar   | `int(ρ_C (V − 1))` other views stay, by the cosine of their logits with `z₀` |
//! | `ρ_H`  | `selection` | scalar   | `int(ρ_H n)` of the sample and these are kept, those of lowest entropy      |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Problems, Requirements, Result,
    TestTimeAdapter,
};

use crate::augment::NoiseDenoiseConfig;
use crate::tpt::{self, Rules, Selection, Tuned, Tuner};
use crate::views::ViewsConfig;

#[cfg(test)]
mod tests;

/// Options of the `diff-tpt` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiffTptConfig {
    /// What is tuned. Default: text_residual (ours), since few pipelines have a text encoder with prompts; published: prompt.
    pub parameter: Tuned,
    /// One residual for all classes, as all classes share a prompt's context, or one for each. Default: true (ours).
    pub shared: bool,
    /// Steps of the optimiser, 1 to 1000. Default: the released code's 4.
    pub steps: usize,
    /// Learning rate, above 0. Default: the released code's 0.005.
    pub lr: f64,
    /// Weight decay of AdamW, `0 ..`, not coupled to the gradient. Default: 0.01, that of the released code.
    pub weight_decay: f64,
    /// ρ_C, share of the other views that stays, those whose logits are most like the sample's, rounded down; above 0, at
    /// most 1. Default: the paper's 0.8.
    pub similar: f64,
    /// ρ_H, share of the sample and these that is kept, those of lowest entropy, rounded down; above 0, at most 1.
    /// Default: the paper's 0.3.
    pub selection: f64,
    /// Views that are kept at least, where the shares give fewer. With 0 the published rule holds: shares that give none
    /// leave nothing to tune by. Default: 1 (ours).
    pub min_kept: usize,
    /// Multiplies the aligner's logits wherever a posterior is needed, above 0, no unit; the answers keep the aligner's
    /// scale. CLIP's is 100 for cosines. Default: 1.
    pub logit_scale: f64,
    /// How the views are made. Default: 64 views by `noise-denoise`.
    pub views: ViewsConfig,
}

impl Default for DiffTptConfig {
    fn default() -> Self {
        Self {
            parameter: Tuned::default(),
            shared: true,
            steps: 4,
            lr: 0.005,
            weight_decay: 0.01,
            similar: 0.8,
            selection: 0.3,
            min_kept: 1,
            logit_scale: 1.0,
            views: ViewsConfig::default(),
        }
    }
}

impl DiffTptConfig {
    /// The rules that the options stand for.
    pub fn rules(&self) -> Rules {
        Rules {
            parameter: self.parameter,
            shared: self.shared,
            steps: self.steps,
            lr: self.lr,
            weight_decay: self.weight_decay,
            selection: Selection::SimilarThenConfident {
                similar: self.similar,
                share: self.selection,
            },
            min_kept: self.min_kept,
            logit_scale: self.logit_scale,
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<DiffTptConfig>(
        ComponentKind::Adapter,
        "diff-tpt",
        "Tunes the texts for each sample alone by generated views that stayed close to it, then forgets.",
        "Diverse Data Augmentation with Diffusions for Effective Test-time Prompt Tuning (Feng et al., ICCV 2023)",
    )
}

#[typetag::serde(name = "diff-tpt")]
impl AdapterConfig for DiffTptConfig {
    fn validate(&self, problems: &mut Problems) {
        tpt::judge(&self.rules(), &self.views, problems);
    }

    fn requirements(&self) -> Requirements {
        tpt::needs(self.parameter, &self.views)
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        let own = NoiseDenoiseConfig::default();
        Ok(Box::new(Tuner::new(
            "diff-tpt",
            self.rules(),
            &self.views,
            Box::new(own),
        )))
    }
}
