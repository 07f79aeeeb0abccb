//! What the drivers of recorded cases share.

use szar_core::conform::Case;
use szar_core::{Aligner, EncoderSpec, NamedTensors, Result, Seed};
use tch::{Kind, Tensor, no_grad};

use super::super::training::set_trainable;
use super::{Activation, Batch, Common, Family, Fitting, Latents, Vae};

/// A model with the weights of a case; networks that the case does not have keep random ones. Gradients are on.
pub fn model<F: Family>(case: &Case, common: Common, make: impl FnOnce(i64, &[i64]) -> F) -> Result<Vae<F>> {
    let spec = EncoderSpec {
        channels: case.param("visual_size")?,
        frames: 1,
        joints: 1,
        classifies: false,
    };
    let texts = common.granularities();
    let mut model = Vae::new(common, &spec, &texts, case.param("text_size")?, Seed(0), make)?;
    let mut state: NamedTensors = model.state().into_iter().map(|(n, t)| (n, t.copy())).collect();
    state.extend(case.weights());
    model.load_state(&state)?;
    set_trainable(&model.family.parameters(), true);
    Ok(model)
}

/// Recorded noise of step `step`, or of the only batch, as `[B, 1]` or `[B, L]`.
pub fn noise(case: &Case, name: &str, step: Option<i64>) -> Result<Tensor> {
    let all = case.input(name)?;
    let noise = step.map_or_else(|| all.shallow_clone(), |s| all.select(0, s));
    Ok(if noise.dim() == 1 {
        noise.unsqueeze(-1)
    } else {
        noise
    })
}

/// Features, each sample's texts and labels of step `step`, or of the only batch.
pub fn batch(case: &Case, texts: &[&str], step: Option<i64>) -> Result<Batch> {
    let of_step = |t: Tensor| step.map_or_else(|| t.shallow_clone(), |s| t.select(0, s));
    let labels = of_step(case.input("labels")?);
    let texts = texts
        .iter()
        .map(|name| Ok(case.input(name)?.index_select(0, &labels)));
    Ok(Batch {
        motion: of_step(case.input("skeleton")?),
        texts: texts.collect::<Result<_>>()?,
        labels,
    })
}

/// Adds tensors as `prefix/name`, copied.
pub fn put(out: &mut NamedTensors, prefix: &str, tensors: NamedTensors) {
    let named = tensors
        .into_iter()
        .map(|(name, t)| (format!("{prefix}/{name}"), t.detach().copy()));
    out.extend(named);
}

/// Outputs under their names, without a graph.
pub fn put_all<const K: usize>(out: &mut NamedTensors, named: [(&str, &Tensor); K]) {
    out.extend(named.map(|(name, t)| (name.to_owned(), t.detach().copy())));
}

/// The terms of several steps: `loss` `[steps]` and `loss_terms` `[steps, terms]`, of which the case records the first ones.
pub fn put_terms(case: &Case, out: &mut NamedTensors, terms: &[Tensor]) -> Result<()> {
    let all = Tensor::stack(terms, 0);
    let recorded: Vec<String> = case.param("loss_terms")?;
    out.insert("loss".into(), all.select(1, 0));
    out.insert("loss_terms".into(), all.narrow(1, 1, recorded.len() as i64));
    Ok(())
}

/// The classifier of a case, trained on latents of these texts with this noise.
pub fn latent_classifier<F: Family>(
    model: &Vae<F>,
    case: &Case,
    texts: &[&str],
    noises: &[&str],
) -> Result<NamedTensors> {
    let (classes, repeats): (i64, i64) = (case.param("num_classes")?, case.param("repeats")?);
    let texts = texts
        .iter()
        .map(|name| case.input(name))
        .collect::<Result<Vec<_>>>()?;
    let posteriors = no_grad(|| model.posteriors(&texts));
    // Recorded samples have the classes in turn, ours one class after the other.
    let by_class = |name: &&str| {
        Ok(noise(case, name, None)?
            .view([repeats, classes, -1])
            .transpose(0, 1))
    };
    let noises = noises.iter().map(by_class).collect::<Result<Vec<_>>>()?;
    let latents = Latents::new(&posteriors, &noises);
    let mut out = NamedTensors::new();
    let values = latents.values().transpose(0, 1).flatten(0, 1);
    out.insert(
        "latents_first".into(),
        values.narrow(0, 0, case.output("latents_first")?.size()[0]),
    );
    let weights = case.weights();
    let (weight, bias) = (
        &weights["classifier.model.0.weight"],
        &weights["classifier.model.0.bias"],
    );
    let mut fitting = Fitting::new(latents, weight, bias, Activation::Relu);
    let iterations: u32 = case.param("iterations")?;
    let mut losses = Vec::new();
    let keep = |out: &mut NamedTensors, name: &str, fitting: &Fitting| {
        let head = fitting.head();
        put_all(
            out,
            [
                (&format!("{name}/model.0.weight"), &head.weight),
                (&format!("{name}/model.0.bias"), &head.bias),
            ],
        );
    };
    for iteration in 0..iterations {
        if [0, 1, iterations / 2, iterations - 1].contains(&iteration) {
            losses.push(fitting.loss());
        }
        fitting.step(case.param("lr")?);
        if iteration == 0 {
            keep(&mut out, "after1", &fitting);
        }
    }
    keep(&mut out, "final", &fitting);
    let motion = case.input("skeleton")?;
    let means = no_grad(|| model.means(&motion));
    let logits = fitting.head().logits(&means);
    put_all(
        &mut out,
        [
            ("loss", &Tensor::stack(&losses, 0)),
            ("test_mu", &means),
            ("test_probs", &logits.softmax(-1, Kind::Float)),
            ("test_pred", &logits.argmax(-1, false)),
            ("test_logits", &logits),
        ],
    );
    Ok(out)
}
