//! Replays the golden cases `aligner/cada-vae`.

use szar_core::conform::{Case, Driver};
use szar_core::optim::{Optimiser, Rule};
use szar_core::{NamedTensors, Result};
use tch::{Device, Tensor, no_grad};

use super::super::vae::{Batch, Family, Negatives, Timetable, Triplet, Vae, replay};
use super::fit::{Factors, StepNoise, update};
use super::{CadaVae, CadaVaeConfig};

inventory::submit! {
    Driver { kind: "aligner", component: "cada-vae", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let config = CadaVaeConfig {
        latent: Some(case.param("latent_size")?),
        ..CadaVaeConfig::default()
    };
    let make = |channels, widths: &[i64]| CadaVae::new(&config, channels, widths[0], Device::Cpu);
    let model = replay::model(case, config.common(), make)?;
    let out = if case.param::<i64>("repeats").is_ok() {
        replay::latent_classifier(&model, case, &["label_text"], &["eps_t"])
    } else if case.param::<u64>("steps").is_ok() {
        steps(case, &model)
    } else {
        forward(case, &model.family)
    };
    out.map(Some)
}

fn batch(case: &Case, step: Option<i64>) -> Result<(Batch, StepNoise)> {
    let noise = StepNoise {
        motion: replay::noise(case, "eps_s", step)?,
        text: replay::noise(case, "eps_t", step)?,
    };
    Ok((replay::batch(case, &["label_text"], step)?, noise))
}

fn forward(case: &Case, family: &CadaVae) -> Result<NamedTensors> {
    let (batch, noise) = batch(case, None)?;
    let factors: std::collections::BTreeMap<String, f64> = case.param("factors")?;
    let factor = |name: &str| factors.get(name).copied().unwrap_or(0.0);
    let by = Factors {
        motion: factor("k_fact"),
        text: factor("k_fact2"),
        cross: factor("cr_fact"),
        alignment: factor("lw_fact"),
        triplet: 0.0,
    };
    let triplet = |negatives| Triplet {
        margin: 0.1,
        negatives,
    };
    let mut out = NamedTensors::new();
    no_grad(|| {
        let pass = family.encode(&batch, &noise);
        let (_, terms) = family.objective(&batch, &pass, by, triplet(Negatives::All));
        replay::put_all(
            &mut out,
            [
                ("s_mu", &pass.motion.mean),
                ("s_logvar", &pass.motion.log_variance),
                ("s_z", &pass.motion_latent),
                ("s_out", &family.motion_decoder.forward(&pass.motion_latent)),
                ("t_mu", &pass.text.mean),
                ("t_logvar", &pass.text.log_variance),
                ("t_z", &pass.text_latent),
                ("t_out", &family.text_decoder.forward(&pass.text_latent)),
                ("t_from_s", &family.text_decoder.forward(&pass.motion_latent)),
                ("s_from_t", &family.motion_decoder.forward(&pass.text_latent)),
            ],
        );
        let names = [
            "loss",
            "s_recons",
            "t_recons",
            "s_kld",
            "t_kld",
            "s_crecons",
            "t_crecons",
            "l_wass",
            "triplet_loss",
        ];
        out.extend(
            (0..)
                .zip(names)
                .map(|(i, name)| (name.to_owned(), terms.narrow(0, i, 1))),
        );
        let intended = triplet(Negatives::Others).loss(&pass.motion.mean, &batch.labels);
        out.insert("triplet_loss_intended".into(), intended.view([1]));
    });
    Ok(out)
}

/// Factors of a step: the timetable's where the case names a cycle, else the recorded ones.
fn factors(case: &Case, step: i64) -> Result<Factors> {
    if let (Ok(length), Ok(first)) = (
        case.param::<u32>("cycle_length"),
        case.param::<u64>("first_epoch_in_cycle"),
    ) {
        let at = first + step.unsigned_abs();
        return Ok(Factors::at(Timetable::synse(length), at, u64::from(length)));
    }
    let recorded = case.input("factors")?;
    let factor = |i: i64| recorded.double_value(&[step, i]);
    Ok(Factors {
        motion: factor(0),
        text: factor(1),
        cross: factor(2),
        alignment: factor(3),
        triplet: 0.0,
    })
}

fn steps(case: &Case, model: &Vae<CadaVae>) -> Result<NamedTensors> {
    let family = &model.family;
    let mut optimiser = Optimiser::new(Rule::Adam, 0.0, &family.parameters());
    let mut out = NamedTensors::new();
    let mut terms: Vec<Tensor> = Vec::new();
    for step in 0..case.param::<i64>("steps")? {
        let (batch, noise) = batch(case, Some(step))?;
        let by = factors(case, step)?;
        terms.push(update(
            family,
            &mut optimiser,
            &batch,
            &noise,
            by,
            case.param("lr")?,
        ));
        if step == 0 {
            replay::put(&mut out, "grad0", family.gradients());
        }
        replay::put(&mut out, &format!("after{}", step + 1), family.state());
    }
    replay::put_terms(case, &mut out, &terms)?;
    Ok(out)
}
