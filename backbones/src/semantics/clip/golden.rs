//! Replays the recorded cases `semantics/clip-text`.

use szar_core::conform::{Case, Driver};
use szar_core::{Error, NamedTensors, Result};
use tch::Device;

use super::config::ClipTextConfig;
use super::tower::ClipText;
use crate::semantics::parameters::unit;

inventory::submit! {
    Driver { kind: "semantics", component: "clip-text", run }
}

/// The network of a case whose parameters are those of `config.json`.
pub(super) fn tower(case: &Case) -> Result<ClipText> {
    let config: ClipTextConfig = serde_json::from_value(case.params.clone())
        .map_err(|e| Error::Input(format!("parameters of {}: {e}", case.name)))?;
    ClipText::new(config, &case.weights(), Device::Cpu)
        .map_err(|why| Error::Input(format!("{}: {why}", case.name)))
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let tower = tower(case)?;
    let (ids, mask) = (case.input("input_ids")?, case.optional_input("attention_mask"));
    let states = tch::no_grad(|| tower.forward(&tower.embed(&ids)?, mask.as_ref()))?;
    let ends = tower.ends(&ids)?;
    let pooled = tower.pool(&states, &ends)?;
    let texts = tower.project(&pooled)?;
    let outputs = [
        ("text_embeds_normalised", unit(&texts)),
        ("last_hidden_state", states),
        ("eos_position", ends),
        ("pooler_output", pooled),
        ("text_embeds", texts),
    ];
    Ok(Some(outputs.map(|(name, t)| (name.to_owned(), t)).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::clip::PromptTower;
    use szar_core::PromptTower as _;
    use szar_core::conform;
    use tch::Tensor;

    #[test]
    fn goldens() {
        conform::assert_goldens("semantics/clip-text");
    }

    /// The text side of the recorded prompt tuning, before anything is tuned.
    #[test]
    fn prompts_give_the_recorded_texts() {
        let Some(folder) = conform::goldens_for_tests("adapter/tpt/text-encoder-c5") else {
            return;
        };
        let case = Case::load(&folder).unwrap();
        let n_ctx = case.param("n_ctx").unwrap();
        let prompts =
            PromptTower::new(tower(&case).unwrap(), &case.input("prompt_ids").unwrap(), n_ctx).unwrap();
        let texts = prompts.texts(&prompts.context()).unwrap();
        let close = |name: &str, got: &Tensor| {
            let (want, t) = (case.output(name).unwrap(), case.tolerance(name));
            assert!(got.allclose(&want, t.rtol, t.atol, false), "{name}: {got} {want}");
        };
        close("initial_text", &texts);
        let scale: f64 = case.param("logit_scale").unwrap();
        let view = case.input("views").unwrap().select(1, 0);
        close("base_logits", &(view.matmul(&texts.transpose(0, 1)) * scale));
    }
}
