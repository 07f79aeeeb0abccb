//! Replays the golden cases `aligner/neuron`.

use szar_core::checkpoint::copy_into;
use szar_core::conform::{Case, Driver};
use szar_core::optim::Optimiser;
use szar_core::{FeatureMap, NamedTensors, Result};
use tch::{Device, Kind, Tensor, no_grad};

use super::network::{Network, Sizes, mean_text};
use super::{Alignment, Fusion, score};
use crate::aligners::maps::{Descent, Objective, update};
use crate::aligners::training::set_trainable;

inventory::submit! {
    Driver { kind: "aligner", component: "neuron", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let channels = case.param("visual_size")?;
    let network = Network::new(
        Sizes {
            channels,
            text: case.param("text_size")?,
            prototypes: case.param("prototypes")?,
            hidden: channels,
        },
        Device::Cpu,
    );
    copy_into(&network.state(), &case.weights(), |_| false)?;
    let texts = |name: &str| -> Result<Vec<Tensor>> {
        let rounds = case.input(name)?.unbind(0);
        Ok(rounds.iter().map(mean_text).collect())
    };
    let objective = Alignment {
        network: &network,
        spatial: texts("spatial_text")?,
        temporal: texts("temporal_text")?,
        scale: 0.1,
        fusion: Fusion::MeanProb,
    };
    if case.param::<i64>("steps").is_ok() {
        steps(case, &objective)
    } else {
        no_grad(|| forward(case, &objective))
    }
    .map(Some)
}

fn forward(case: &Case, objective: &Alignment) -> Result<NamedTensors> {
    let map = FeatureMap::new(case.input("features")?)?;
    let labels = case.input("labels")?;
    let rounds = objective.rounds(&map);
    let mut out = NamedTensors::new();
    let losses = Alignment::of_rounds(&rounds, &labels);
    for (at, name) in ["loss", "loss_spatial", "loss_temporal"].into_iter().enumerate() {
        out.insert(name.into(), losses.narrow(0, at as i64, 1));
    }
    let share = |logits: &Tensor| {
        let right = logits.argmax(-1, false).eq_tensor(&labels);
        right.to_kind(Kind::Float).mean(Kind::Float).view([1])
    };
    for (stream, logits) in ["spatial", "temporal"].into_iter().zip(&rounds) {
        for (round, logits) in logits.iter().enumerate() {
            out.insert(format!("logits_{stream}_{round}"), logits.shallow_clone());
        }
        if let Some(last) = logits.last() {
            out.insert(format!("pred_{stream}"), last.argmax(-1, false));
            out.insert(format!("acc_{stream}"), share(last));
        }
    }
    if let [Some(spatial), Some(temporal)] = [rounds[0].last(), rounds[1].last()] {
        out.insert(
            "acc_official_or".into(),
            share(&score::either(spatial, temporal, &labels)),
        );
    }
    Ok(out)
}

fn steps(case: &Case, objective: &Alignment) -> Result<NamedTensors> {
    let parameters = objective.parameters();
    set_trainable(&parameters, true);
    let descent = match case.param::<String>("optimiser")?.as_str() {
        "adam" => Descent::Adam,
        _ => Descent::Sgd,
    };
    let decay = case.param("weight_decay").unwrap_or(0.0);
    let mut optimiser = Optimiser::new(descent.rule(), decay, &parameters);
    let (features, labels) = (case.input("features")?, case.input("labels")?);
    let lr = case.param("lr")?;
    let mut out = NamedTensors::new();
    let mut losses = Vec::new();
    for step in 0..features.size()[0] {
        let map = FeatureMap::new(features.select(0, step))?;
        let terms = update(objective, &mut optimiser, &map, &labels.select(0, step), lr)?;
        let state = objective.network.state();
        for (name, tensor) in &state {
            if step == 0 {
                // The templates take no part and have no gradient.
                let grad = parameters.get(name).map(Tensor::grad);
                let grad = grad.unwrap_or_else(|| tensor.zeros_like());
                out.insert(format!("grad0/{name}"), grad.copy());
            }
            out.insert(format!("after{}/{name}", step + 1), tensor.detach().copy());
        }
        losses.push(terms.get(0));
    }
    out.insert("loss".into(), Tensor::stack(&losses, 0));
    Ok(out)
}
