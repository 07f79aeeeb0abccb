//! Replays the recorded cases `adapter/tpt`: residuals on recorded class vectors, and the context of a prompt that a
//! recorded text transformer reads. Here because adapters and text encoders do not know each other.

use szar_adapters::augment::SkeletonAugmentConfig;
use szar_adapters::tpt::{Record, TptConfig, Tuned, Tuner};
use szar_adapters::views::ViewsConfig;
use szar_backbones::semantics::clip::config::ClipTextConfig;
use szar_backbones::semantics::clip::{ClipText, PromptTower as Prompts};
use szar_core::checkpoint::NamedTensors;
use szar_core::conform::{Case, Driver};
use szar_core::testing::{DotModel, task};
use szar_core::{
    Aligner, Error, Granularity, PromptTower, Result, SemanticAnchors, Task, TestTimeAdapter, shape,
};
use tch::{Device, Kind, Tensor};

inventory::submit! { Driver { kind: "adapter", component: "tpt", run } }

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    if case.param::<String>("optimiser")? != "adamw" {
        return Ok(None);
    }
    let views = case.input("views")?;
    shape::expect("views", &views, [None, None, None])?;
    let prompts = case
        .params
        .get("n_ctx")
        .is_some()
        .then(|| prompts(case))
        .transpose()?;
    let texts = match &prompts {
        Some(prompts) => tch::no_grad(|| prompts.texts(&prompts.context()))?,
        None => case.input("class_emb")?,
    };
    let model = DotModel {
        scale: case.param("logit_scale")?,
    };
    let task = task_of(&views, &texts)?;
    let rows = views.flatten(0, 1);
    let base = model.score_condensed(&views.select(1, 0), &task.anchors)?.logits;
    let mut tuner = tuner(case, views.size()[1] as usize, prompts.is_some())?;
    tuner.begin(&task)?;
    let tower = prompts.as_ref().map(|prompts| prompts as &dyn PromptTower);
    let (logits, records) = tuner.tune_recorded(&rows, &model, tower)?;
    let mut out = outputs(case, &logits, &base, &records)?;
    if prompts.is_some() {
        let contexts: Vec<_> = records.iter().map(|r| r.parameter.shallow_clone()).collect();
        out.insert("ctx".into(), Tensor::stack(&contexts, 0));
        out.insert("initial_text".into(), texts);
    } else if let (Some(first), Some(last)) = (records.first(), records.last()) {
        out.insert("delta_first".into(), first.parameter.flatten(1, 2));
        out.insert("delta_last".into(), last.parameter.flatten(1, 2));
    }
    Ok(Some(out))
}

/// The recorded text transformer with the recorded prompts.
fn prompts(case: &Case) -> Result<Prompts> {
    let named = |why: Error| why.context(case.name.clone());
    let config: ClipTextConfig = serde_json::from_value(case.params.clone())
        .map_err(|e| Error::Input(format!("parameters of {}: {e}", case.name)))?;
    let tower = ClipText::new(config, &case.weights(), Device::Cpu)
        .map_err(|why| Error::Input(format!("{}: {why}", case.name)))?;
    Prompts::new(tower, &case.input("prompt_ids")?, case.param("n_ctx")?).map_err(named)
}

/// One text `[C, d]` per class, features that are vectors already.
fn task_of(views: &Tensor, texts: &Tensor) -> Result<Task> {
    let blank = task(texts.size()[0] as usize, *views.size().last().unwrap_or(&0), 1, 4);
    let classes = blank.candidates.clone();
    let anchors = SemanticAnchors::new(texts.unsqueeze(1), vec![Granularity::GLOBAL], classes)?;
    Ok(Task { anchors, ..blank })
}

fn tuner(case: &Case, views: usize, prompt: bool) -> Result<Tuner> {
    let shared = prompt
        || match case.param::<String>("prompt")?.as_str() {
            "shared" => true,
            "per-class" => false,
            other => return Err(Error::unknown("prompt", other, ["shared", "per-class"])),
        };
    let config = TptConfig {
        parameter: if prompt {
            Tuned::Prompt
        } else {
            Tuned::TextResidual
        },
        shared,
        steps: case.param("steps")?,
        lr: case.param("lr")?,
        weight_decay: case.param("weight_decay")?,
        selection: case.param("selection")?,
        views: ViewsConfig {
            count: views,
            ..ViewsConfig::default()
        },
        ..TptConfig::default()
    };
    let own = Box::new(SkeletonAugmentConfig::default());
    Ok(Tuner::new("tpt", config.rules(), &config.views, own))
}

fn outputs(case: &Case, logits: &Tensor, base: &Tensor, records: &[Record]) -> Result<NamedTensors> {
    let labels = case.input("labels")?;
    let losses: Vec<f32> = records.iter().map(|r| r.loss as f32).collect();
    let kept: Vec<i64> = records
        .iter()
        .flat_map(|r| r.kept.iter().map(|view| *view as i64))
        .collect();
    let mut out = NamedTensors::from([
        ("logits".to_owned(), logits.shallow_clone()),
        ("base_logits".into(), base.shallow_clone()),
        ("loss".into(), Tensor::from_slice(&losses)),
        (
            "selected_views".into(),
            Tensor::from_slice(&kept).reshape([records.len() as i64, -1]),
        ),
    ]);
    for (name, accuracy, scores) in [("base_pred", "accuracy_base", base), ("pred", "accuracy", logits)] {
        let answers = scores.argmax(1, false);
        let right = answers.eq_tensor(&labels).to_kind(Kind::Float).mean(Kind::Float);
        out.insert(accuracy.into(), right.reshape([1]));
        out.insert(name.into(), answers);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn goldens() {
        szar_core::conform::assert_goldens("adapter/tpt");
    }
}
