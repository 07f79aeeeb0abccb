//! Replays the golden cases `aligner/devise`.

use szar_core::conform::{Case, Driver};
use szar_core::optim::{Optimiser, Rule};
use szar_core::{NamedTensors, Result};
use tch::{Device, Tensor, no_grad};

use super::fit::{ranking_loss, scores};
use crate::aligners::pooled::replay;
use crate::aligners::training::{Dense, Init, set_trainable, unit_rows};

inventory::submit! {
    Driver { kind: "aligner", component: "devise", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let (inputs, width) = (case.param("visual_size")?, case.param("text_size")?);
    let projection = Dense::without_bias(inputs, width, Init::Torch, Device::Cpu);
    let mut state = NamedTensors::new();
    projection.state("projection", &mut state);
    szar_core::checkpoint::copy_into(&state, &case.weights(), |_| false)?;
    let text = unit_rows(&case.input("text")?);
    let (features, labels) = (case.input("features")?, case.input("labels")?);
    let margin: f64 = case.param("margin")?;
    if features.dim() == 2 {
        return no_grad(|| {
            let scores = scores(&projection, &features, &text);
            let loss = ranking_loss(&scores, &labels, margin, None).view([1]);
            let pred = scores.argmax(-1, false);
            let out = [("scores", scores), ("loss", loss), ("pred", pred)];
            Ok(Some(out.map(|(name, t)| (name.to_owned(), t)).into()))
        });
    }
    set_trainable(&state, true);
    let mut adam = [Optimiser::new(Rule::Adam, 0.0, &state)];
    let lr = case.param("lr")?;
    let step = |at: i64| -> Result<(Tensor, Tensor)> {
        let scores = scores(&projection, &features.select(0, at), &text);
        let loss = ranking_loss(&scores, &labels.select(0, at), margin, None);
        Ok((loss.view([1]), loss.view([1])))
    };
    replay::steps(features.size()[0], &state, &mut adam, lr, step).map(Some)
}
