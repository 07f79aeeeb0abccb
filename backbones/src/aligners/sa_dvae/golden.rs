//! Replays the golden cases `aligner/sa-dvae`.

use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result};
use tch::{Device, Kind, Tensor, no_grad};

use super::super::vae::{Batch, Family, Vae, replay};
use super::fit::{Factors, Mixing, Optimisers, Pass, StepNoise, discriminates, update};
use super::{SaDvae, SaDvaeConfig};

inventory::submit! {
    Driver { kind: "aligner", component: "sa-dvae", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let config = SaDvaeConfig {
        latent: Some(case.param("latent_size")?),
        style: Some(case.param("style_latent_size")?),
        dis_step: case.param("dis_step").ok(),
        beta_x: case.param("beta_x").ok(),
        beta_y: case.param("beta_y").ok(),
        ..SaDvaeConfig::default()
    };
    let make = |channels, widths: &[i64]| SaDvae::new(&config, channels, widths[0], Device::Cpu);
    let model = replay::model(case, config.common(), make)?;
    let out = if case.param::<i64>("repeats").is_ok() {
        replay::latent_classifier(&model, case, &["label_text"], &["eps_t"])
    } else if case.param::<u64>("steps").is_ok() {
        steps(case, &model)
    } else {
        forward(case, &model)
    };
    out.map(Some)
}

fn batch(case: &Case, step: Option<i64>) -> Result<(Batch, StepNoise, Mixing)> {
    let noise = |name: &str| replay::noise(case, name, step);
    let draws = StepNoise {
        meaning: noise("eps_s")?,
        style: noise("eps_i")?,
        text: noise("eps_t")?,
    };
    let orders = case.input("perm")?;
    let mixing = Mixing {
        meaning: noise("eps_ds")?,
        style: noise("eps_di1")?,
        text: noise("eps_dt")?,
        text_style: noise("eps_di2")?,
        orders: step.map_or_else(|| orders.shallow_clone(), |s| orders.select(0, s)),
    };
    Ok((replay::batch(case, &["label_text"], step)?, draws, mixing))
}

fn forward(case: &Case, model: &Vae<SaDvae>) -> Result<NamedTensors> {
    let family = &model.family;
    let (batch, noise, mixing) = batch(case, None)?;
    let factors: std::collections::BTreeMap<String, f64> = case.param("factors")?;
    let factor = |name: &str| factors.get(name).copied().unwrap_or(0.0);
    let by = Factors {
        motion: factor("kld_loss_factor"),
        second: factor("kld_loss_factor_2"),
        cross: factor("cross_alignment_loss_factor"),
    };
    let mut out = NamedTensors::new();
    no_grad(|| {
        let pass = family.encode(&batch, &noise);
        put_pass(&mut out, family, &pass);
        out.insert("inference_mu".into(), model.means(&batch.motion));
        let pairs = pass.pairs(&mixing);
        let judged = pairs.each_ref().map(|p| p.logits(&family.discriminator));
        out.insert(
            "discriminator_pairs".into(),
            Tensor::cat(judged.as_flattened(), 1).sigmoid(),
        );
        let (_, terms) = family.objective(&batch, &pass, by);
        let names = [
            "loss",
            "loss_rss",
            "loss_rtt",
            "loss_kld_s",
            "loss_kld_is",
            "loss_kld_t",
            "loss_rst",
            "loss_rts",
            "loss_tc",
        ];
        out.extend(
            (0..)
                .zip(names)
                .map(|(i, name)| (name.to_owned(), terms.narrow(0, i, 1))),
        );
        let [motion, text] = family.discriminate(&pairs);
        out.insert("loss_s_dis".into(), motion.view([1]));
        out.insert("loss_t_dis".into(), text.view([1]));
    });
    Ok(out)
}

fn put_pass(out: &mut NamedTensors, family: &SaDvae, pass: &Pass) {
    replay::put_all(
        out,
        [
            ("s_mu", &pass.meaning.mean),
            ("s_logvar", &pass.meaning.log_variance),
            ("s_z", &pass.meaning_latent),
            ("style_mu", &pass.style.mean),
            ("style_logvar", &pass.style.log_variance),
            ("style_z", &pass.style_latent),
            ("t_mu", &pass.text.mean),
            ("t_logvar", &pass.text.log_variance),
            ("t_z", &pass.text_latent),
            ("s_out", &family.motion_decoder.forward(&pass.own())),
            ("t_out", &family.text_decoder.forward(&pass.text_latent)),
            ("s_from_t", &family.motion_decoder.forward(&pass.crossed())),
            ("t_from_s", &family.text_decoder.forward(&pass.meaning_latent)),
            ("discriminator_out", &family.discriminator.judge(&pass.own())),
        ],
    );
}

/// Factors of a step: recorded ones where the case has them as input, else those of the first cycle.
fn factors(case: &Case, config: &SaDvaeConfig, step: i64, steps: i64) -> Factors {
    match case.optional_input("factors") {
        Some(recorded) => {
            let factor = |i: i64| recorded.double_value(&[step, i]);
            Factors {
                motion: factor(0),
                second: factor(1),
                cross: factor(2),
            }
        }
        None => Factors::at(
            config,
            case.param("cycle").unwrap_or(0),
            step.unsigned_abs(),
            steps.unsigned_abs(),
        ),
    }
}

fn steps(case: &Case, model: &Vae<SaDvae>) -> Result<NamedTensors> {
    let family = &model.family;
    let config = &family.config;
    let mut optimisers = Optimisers::new(family);
    let mut out = NamedTensors::new();
    let (mut terms, mut taken): (Vec<Tensor>, Vec<Tensor>) = (Vec::new(), Vec::new());
    let steps = case.param::<i64>("steps")?;
    let mut taught = false;
    for step in 0..steps {
        let (batch, noise, mixing) = batch(case, Some(step))?;
        let by = factors(case, config, step, steps);
        taken.push(Tensor::from_slice(&[by.motion, by.second, by.cross]).to_kind(Kind::Float));
        let now = discriminates(step.unsigned_abs(), config.every());
        let lr = case.param("lr")?;
        terms.push(update(
            family,
            &mut optimisers,
            &batch,
            &noise,
            now.then_some(&mixing),
            by,
            lr,
        ));
        if now && !taught {
            taught = true;
            let own = family.discriminator.parameters().into_iter();
            replay::put(
                &mut out,
                "gradd0",
                own.map(|(name, p)| (name, p.grad())).collect(),
            );
        }
        if step == 0 {
            replay::put(&mut out, "grad0", family.gradients());
        }
        replay::put(&mut out, &format!("after{}", step + 1), family.state());
    }
    out.insert("factors".into(), Tensor::stack(&taken, 0));
    replay::put_terms(case, &mut out, &terms)?;
    Ok(out)
}
