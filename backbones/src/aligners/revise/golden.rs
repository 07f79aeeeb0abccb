//! Replays the golden cases `aligner/revise`.

use serde::Deserialize;
use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result};
use tch::{Device, Tensor, no_grad};

use super::autoencoder::{Autoencoder, Sizes};
use super::config::{Contractive, HingeGradient, Input};
use super::fit::optimisers;
use super::objective::{Constants, losses};
use super::{Networks, inputs};
use crate::aligners::pooled::replay;
use crate::aligners::training::{set_trainable, unit_rows};

inventory::submit! {
    Driver { kind: "aligner", component: "revise", run }
}

#[derive(Deserialize)]
struct Arguments {
    input_size: i64,
    hidden_size: Option<i64>,
    output_size: i64,
    final_feature_size: i64,
}

/// `VisAE` has two layers each way, `AttAE` one.
#[derive(Deserialize)]
struct Side {
    r#type: String,
    args: Arguments,
}

impl Side {
    fn build(&self) -> Autoencoder {
        let args = &self.args;
        let deep = self.r#type == "VisAE";
        let sizes = Sizes {
            inputs: args.input_size,
            hidden: deep.then(|| args.hidden_size.unwrap_or(512)),
            code: args.output_size,
            common: args.final_feature_size,
        };
        Autoencoder::new(sizes, Device::Cpu)
    }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let networks = Networks {
        visual: case.param::<Side>("visae")?.build(),
        text: case.param::<Side>("attae")?.build(),
    };
    szar_core::checkpoint::copy_into(&networks.state(), &case.weights(), |_| false)?;
    let constants = Constants {
        margin: case.param("margin")?,
        kernel: case.param("mmd_k")?,
        contractive: Contractive::Constant,
        contractive_weight: case.param("gamma")?,
        gradient: HingeGradient::Own,
    };
    let text = unit_rows(&case.input("text")?);
    let features = inputs(&case.input("features")?, Input::Log)?;
    let labels = case.input("labels")?;
    if features.dim() == 2 {
        return no_grad(|| Ok(Some(forward(&networks, &features, &text, &labels, &constants))));
    }
    set_trainable(&networks.state(), true);
    let mut adams = optimisers(&networks, 0.0, 1e-3);
    let step = |at: i64| {
        let batch = (features.select(0, at), labels.select(0, at));
        let losses = losses(&networks, &batch.0, &text, &batch.1, &constants);
        Ok((losses.total, Tensor::stack(&losses.terms, 0)))
    };
    let lr = case.param("lr")?;
    replay::steps(features.size()[0], &networks.state(), &mut adams, lr, step).map(Some)
}

fn forward(
    networks: &Networks,
    features: &Tensor,
    text: &Tensor,
    labels: &Tensor,
    constants: &Constants,
) -> NamedTensors {
    let losses = losses(networks, features, text, labels, constants);
    let code = networks.visual.encode(features);
    let visual = networks.visual.transform(&code);
    let classes = networks.text.embed(text);
    let scores = visual.mm(&classes.transpose(0, 1));
    let own = text.index_select(0, labels);
    let text_code = networks.text.encode(&own);
    let [visual_error, text_error, discrepancy, hinge] = losses.terms;
    let out = [
        ("vis_out", networks.visual.decode(&code)),
        ("vis_hidden", code),
        ("vis_trans", visual),
        ("att_out", networks.text.decode(&text_code)),
        ("att_trans", networks.text.transform(&text_code)),
        ("att_hidden", text_code),
        ("class_emb", classes),
        (
            "jacobian_norm",
            networks.visual.slope_of_sum(features).norm().view([1]),
        ),
        ("vis_recons", visual_error.view([1])),
        ("att_recons", text_error.view([1])),
        ("mmd", discrepancy.view([1])),
        ("hinge", hinge.view([1])),
        ("loss", losses.total.view([1])),
        ("pred", scores.argmax(-1, false)),
        ("scores", scores),
    ];
    out.map(|(name, t)| (name.to_owned(), t)).into()
}
