//! Replays the golden cases `aligner/smie`.

use szar_core::checkpoint::copy_into;
use szar_core::conform::{Case, Driver};
use szar_core::host::to_f64;
use szar_core::optim::{Optimiser, Rule};
use szar_core::{NamedTensors, Result};
use tch::{Device, Kind, Tensor, no_grad};

use super::config::Differences;
use super::discriminator::Discriminator;
use super::objective::{Constants, layer_norm, losses};
use super::{log_matches, mask};
use crate::aligners::pooled::replay;
use crate::aligners::training::{set_trainable, unit_rows};

inventory::submit! {
    Driver { kind: "aligner", component: "smie", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    if case.optional_input("skeleton").is_some() {
        return masking(case).map(Some);
    }
    let (channels, width) = (case.param("visual_size")?, case.param("language_size")?);
    let net = Discriminator::new(channels, width, case.param("hidden")?, Device::Cpu);
    copy_into(&net.state(), &case.weights(), |_| false)?;
    let text = unit_rows(&case.input("language")?);
    let constants = Constants {
        margin: case.param("margin")?,
        temporal_weight: 0.5,
    };
    let (plain, labels) = (case.input("visual")?, case.input("labels")?);
    let features = layer_norm(&plain);
    let masked = layer_norm(&case.input("visual_masked")?);
    if plain.dim() == 2 {
        return no_grad(|| {
            let losses = losses(&net, &features, Some(&masked), &text, &labels, &constants);
            Ok(Some(forward(&net, &plain, &text, &labels, losses)))
        });
    }
    let state = net.state();
    set_trainable(&state, true);
    let mut adam = [Optimiser::new(Rule::Adam, 0.0, &state)];
    let step = |at: i64| {
        let (labels, masked) = (labels.select(0, at), masked.select(0, at));
        let features = features.select(0, at);
        let losses = losses(&net, &features, Some(&masked), &text, &labels, &constants);
        let (part, failing) = losses.temporal.unwrap_or_default();
        Ok((losses.total, Tensor::stack(&[losses.whole, part, failing], 0)))
    };
    replay::steps(plain.size()[0], &state, &mut adam, case.param("lr")?, step).map(Some)
}

fn forward(
    net: &Discriminator,
    plain: &Tensor,
    text: &Tensor,
    labels: &Tensor,
    losses: super::objective::Losses,
) -> NamedTensors {
    let texts = net.of_texts(text);
    let score = |features: &Tensor| log_matches(net, &net.of_features(features), &texts);
    let (official, normalised) = (score(plain), score(&layer_norm(plain)));
    let (part, failing) = losses.temporal.unwrap_or_default();
    let predicted = official.argmax(-1, false);
    let right = predicted.eq_tensor(labels).to_kind(Kind::Float).mean(Kind::Float);
    let out = [
        ("dim0", losses.whole.view([1])),
        ("dim1", part.view([1])),
        ("loss1", -losses.whole.view([1])),
        ("loss2", failing.view([1])),
        ("loss", losses.total.view([1])),
        ("acc_official", right.view([1])),
        ("pred_official", predicted),
        ("pred_layernorm", normalised.argmax(-1, false)),
        ("scores_official", official),
        ("scores_layernorm", normalised),
    ];
    out.map(|(name, t)| (name.to_owned(), t)).into()
}

fn masking(case: &Case) -> Result<NamedTensors> {
    let joints = case.input("skeleton")?;
    let frames = joints.size()[2] as usize;
    let calm = frames - case.param::<usize>("mask_frame")?;
    let drawn = case.input("random_frame")?;
    let changes = to_f64(&mask::changes(&joints));
    let masked = |differences| {
        let index = changes.chunks(frames - 1).map(|changes| {
            let calm = mask::calmest(&mask::calmness(changes, frames, differences), calm);
            let calm: Vec<i64> = calm.into_iter().map(|frame| frame as i64).collect();
            Tensor::from_slice(&calm).index_select(0, &drawn)
        });
        let index = Tensor::stack(&index.collect::<Vec<_>>(), 0);
        mask::at_frames(&joints, &index)
    };
    let out = [
        ("masked_v2", masked(Differences::Both)),
        ("masked_v1", masked(Differences::Forward)),
    ];
    Ok(out.map(|(name, t)| (name.to_owned(), t)).into())
}
