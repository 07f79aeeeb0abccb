//! Replays the golden cases `aligner/purls`.

use szar_core::conform::{Case, Driver};
use szar_core::optim::{Optimiser, Rule};
use szar_core::{Error, NamedTensors, Result};
use tch::{Device, Kind, Tensor, no_grad};

use super::config::{Loss, Rows, ScoreSlots, Similarity};
use super::fit::{objective, probes_of};
use super::head::{Dropout, Pass};
use super::loss::Targets;
use super::network::{Network, Shape};
use super::score::Judge;

inventory::submit! {
    Driver { kind: "aligner", component: "purls", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    if case
        .param::<i64>("n_hidden_layers")
        .is_ok_and(|layers| layers != 0)
    {
        return Ok(None); // the official code cannot run it either
    }
    let network = network(case)?;
    if case.param::<String>("mode")? == "train" {
        steps(case, &network)
    } else {
        no_grad(|| forward(case, &network))
    }
    .map(Some)
}

fn rows(case: &Case) -> Result<Rows> {
    let intended = case.param::<String>("rows").is_ok_and(|rows| rows == "intended");
    Ok(match (case.param::<String>("local_type")?.as_str(), intended) {
        ("bp", true) => Rows::Bp,
        ("bp", false) => Rows::BpOfficial,
        ("tp", true) => Rows::Tp,
        ("tp", false) => Rows::TpOfficial,
        ("g", _) => Rows::G,
        _ => Rows::Full,
    })
}

fn network(case: &Case) -> Result<Network> {
    let shape = Shape {
        channels: case.param("input_size")?,
        width: case.param("emb_dim")?,
        slots: rows(case)?.granularities().len() as i64,
        hidden: case.param("proj_hidden_size")?,
        attention: Some((case.param("n_head")?, case.param("k_dim")?)),
        weighted: case.param("use_d")?,
    };
    let network = Network::new(shape, Device::Cpu);
    network.load(&case.weights())?;
    Ok(network)
}

/// The texts of the slots and the global text, `[C, L, d]` and `[C, d]`.
fn texts(case: &Case) -> Result<(Tensor, Tensor)> {
    let all = szar_core::Granularity::PURLS_ORDER;
    let position = |wanted| {
        let at = all.iter().position(|g| *g == wanted);
        at.map(|i| i as i64)
            .ok_or_else(|| Error::Missing("a text of the eight".into()))
    };
    let index = rows(case)?
        .granularities()
        .into_iter()
        .map(position)
        .collect::<Result<Vec<_>>>()?;
    let text = case.input("text")?;
    Ok((
        text.index_select(1, &Tensor::from_slice(&index)),
        text.select(1, 7),
    ))
}

fn forward(case: &Case, network: &Network) -> Result<NamedTensors> {
    let seen = case.input("features")?.flatten(1, 2);
    let labels = case.input("labels")?;
    let (text, global) = texts(case)?;
    let mut out = NamedTensors::new();
    let probes = probes_of(network, &text, &labels)?;
    let shape = network.shape;
    let fused = network.fuse(&seen, Some(&probes))?;
    out.insert("attention".into(), network.attention()?.weights(&probes, &seen));
    out.insert("fused".into(), fused.view([-1, shape.slots, shape.channels]));
    out.insert("projected".into(), network.project(&fused, &Pass::Eval));
    out.insert("official_out".into(), network.project(&fused, &Pass::Eval));
    let targets = Targets {
        text: &text,
        labels: &labels,
    };
    let (loss, _) = objective(
        network,
        Loss::Official,
        &seen,
        Some(&probes),
        &targets,
        &Pass::Eval,
    )?;
    out.insert("official_loss".into(), loss.view([1]));
    let own = text.select(1, -1);
    let judge = |slots, similarity, last: &Tensor| Judge {
        network,
        text: text.shallow_clone(),
        last: last.shallow_clone(),
        slots,
        similarity,
    };
    let official = judge(ScoreSlots::Global, Similarity::Dot, &global).asked_by(&seen, &labels)?;
    out.insert("official_pred".into(), official.argmax(-1, false));
    out.insert(
        "official_log_softmax".into(),
        official.log_softmax(-1, Kind::Float),
    );
    let dot = judge(ScoreSlots::Global, Similarity::Dot, &own).per_class(&seen)?;
    let cosine = judge(ScoreSlots::Global, Similarity::Cosine, &own).per_class(&seen)?;
    out.insert("leakfree_pred_dot".into(), dot.argmax(-1, false));
    out.insert("leakfree_pred_cosine".into(), cosine.argmax(-1, false));
    out.insert("leakfree_dot".into(), dot);
    out.insert("leakfree_cosine".into(), cosine);
    let mean = judge(ScoreSlots::Mean, Similarity::Cosine, &own).per_class(&seen)?;
    out.insert("leakfree_cosine_mean".into(), mean);
    Ok(out)
}

fn steps(case: &Case, network: &Network) -> Result<NamedTensors> {
    network.train(true);
    let mut optimiser = Optimiser::new(Rule::Adam, 0.0, &network.parameters());
    let (text, _) = texts(case)?;
    let (features, all_labels) = (case.input("features")?, case.input("labels")?);
    let lr = case.param("lr")?;
    let mut out = NamedTensors::new();
    let mut losses = Vec::new();
    for step in 0..features.size()[0] {
        let seen = features.select(0, step).flatten(1, 2);
        let labels = all_labels.select(0, step);
        let masks = [0, 1].map(|i| {
            case.optional_input(&format!("dropout_mask_{i}"))
                .map(|m| m.select(0, step))
        });
        let dropout = match &masks {
            [Some(first), Some(second)] => Dropout::Masks {
                keep: 1.0 - case.param::<f64>("dropout")?,
                masks: [first, second],
            },
            _ => Dropout::Share(0.0),
        };
        let probes = probes_of(network, &text, &labels)?;
        let targets = Targets {
            text: &text,
            labels: &labels,
        };
        let pass = Pass::Train(dropout);
        let (total, terms) = objective(network, Loss::Official, &seen, Some(&probes), &targets, &pass)?;
        optimiser.zero_grad();
        total.backward();
        if step == 0 {
            out.insert("loss_terms".into(), terms.detach());
            let grads = network.parameters().into_iter();
            out.extend(grads.map(|(name, p)| (format!("grad0/{name}"), p.grad().copy())));
        }
        optimiser.step(lr);
        losses.push(total.detach());
        let state = network.state().into_iter();
        out.extend(state.map(|(name, t)| (format!("after{}/{name}", step + 1), t.detach().copy())));
    }
    out.insert("loss".into(), Tensor::stack(&losses, 0));
    Ok(out)
}
