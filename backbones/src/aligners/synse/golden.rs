//! Replays the golden cases `aligner/synse`.

use szar_core::conform::{Case, Driver};
use szar_core::optim::{Optimiser, Rule};
use szar_core::{NamedTensors, Result};
use tch::{Device, Tensor, no_grad};

use super::super::vae::{Batch, Family, Timetable, Vae, replay};
use super::fit::{Coded, Factors, StepNoise, update};
use super::{Synse, SynseConfig};

inventory::submit! {
    Driver { kind: "aligner", component: "synse", run }
}

const TEXTS: [&str; 2] = ["noun_text", "verb_text"];

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let config = SynseConfig {
        latent: Some(case.param("latent_size")?),
        ..SynseConfig::default()
    };
    let make = |channels, widths: &[i64]| Synse::new(&config, channels, widths, Device::Cpu);
    let model = replay::model(case, config.common(), make)?;
    let out = if case.param::<i64>("repeats").is_ok() {
        replay::latent_classifier(&model, case, &TEXTS, &["eps_noun", "eps_verb"])
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
        noun: replay::noise(case, "eps_noun", step)?,
        verb: replay::noise(case, "eps_verb", step)?,
    };
    Ok((replay::batch(case, &TEXTS, step)?, noise))
}

fn forward(case: &Case, family: &Synse) -> Result<NamedTensors> {
    let (batch, noise) = batch(case, None)?;
    let factors: std::collections::BTreeMap<String, f64> = case.param("factors")?;
    let factor = |name: &str| factors.get(name).copied().unwrap_or(0.0);
    let by = Factors {
        motion: factor("k_fact"),
        noun: factor("n_k_fact2"),
        verb: factor("v_k_fact2"),
        cross: factor("cr_fact"),
        noun_cross: factor("n_cr_fact"),
        verb_cross: factor("v_cr_fact"),
    };
    let mut out = NamedTensors::new();
    no_grad(|| {
        let pass = family.encode(&batch, &noise);
        let (_, terms) = family.objective(&batch, &pass, by);
        let mut coded = |name: &str, coded: &Coded, decoded: &Tensor| {
            let named = |part: &str| format!("{name}_{part}");
            replay::put_all(
                &mut out,
                [
                    (&named("mu"), &coded.posterior.mean),
                    (&named("logvar"), &coded.posterior.log_variance),
                    (&named("z"), &coded.latent),
                    (&named("out"), decoded),
                ],
            );
        };
        coded(
            "s",
            &pass.motion,
            &family.motion.decoder.forward(&pass.motion.latent),
        );
        coded(
            "noun",
            &pass.noun,
            &family.noun.decoder.forward(&pass.noun.latent),
        );
        coded(
            "verb",
            &pass.verb,
            &family.verb.decoder.forward(&pass.verb.latent),
        );
        let [noun_half, verb_half] = pass.halves();
        replay::put_all(
            &mut out,
            [
                ("noun_from_s", &family.noun.decoder.forward(&noun_half)),
                ("verb_from_s", &family.verb.decoder.forward(&verb_half)),
                ("s_from_text", &family.motion.decoder.forward(&pass.texts())),
            ],
        );
        let names = [
            "loss",
            "s_recons",
            "nt_recons",
            "vt_recons",
            "s_kld",
            "nt_kld",
            "vt_kld",
            "nt_crecons",
            "vt_crecons",
            "s_crecons",
        ];
        out.extend(
            (0..)
                .zip(names)
                .map(|(i, name)| (name.to_owned(), terms.narrow(0, i, 1))),
        );
    });
    Ok(out)
}

/// Factors of a step: the timetable's where the case names a cycle, else the recorded ones.
fn factors(case: &Case, step: i64) -> Result<Factors> {
    if let (Ok(cycle), Ok(length), Ok(first)) = (
        case.param::<u32>("cycle"),
        case.param::<u32>("cycle_length"),
        case.param::<u64>("first_epoch_in_cycle"),
    ) {
        let at = first + step.unsigned_abs();
        return Ok(Factors::at(
            Timetable::synse(length),
            cycle,
            at,
            u64::from(length),
        ));
    }
    let recorded = case.input("factors")?;
    let factor = |i: i64| recorded.double_value(&[step, i]);
    Ok(Factors {
        motion: factor(0),
        cross: factor(1),
        noun: factor(2),
        verb: factor(3),
        noun_cross: factor(4),
        verb_cross: factor(5),
    })
}

fn steps(case: &Case, model: &Vae<Synse>) -> Result<NamedTensors> {
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
