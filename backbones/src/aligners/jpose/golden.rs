//! Replays the golden cases `aligner/jpose`.

use szar_core::checkpoint::copy_into;
use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result};
use tch::{Device, Tensor, no_grad};

use super::config::Mining;
use super::fit::optimisers;
use super::network::{Branch, Network, Sizes};
use super::objective::{Constants, Words, losses, objective, triplets};
use crate::aligners::pooled::replay;
use crate::aligners::training::{set_trainable, unit_rows};

inventory::submit! {
    Driver { kind: "aligner", component: "jpose", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let weights = case.weights();
    let deep = weights.keys().any(|name| name.ends_with("TextArch.2.weight"));
    let sizes = Sizes {
        visual: case.param("visual_size")?,
        text: case.param("text_size")?,
        hidden: deep.then(|| case.param("hidden").unwrap_or(512)),
        out: case.param("pos_size")?,
    };
    let features = unit_rows(&case.input("features")?);
    if let Ok(joint) = case.param("joint_size") {
        let network = Network::new(sizes, joint, Device::Cpu);
        copy_into(&network.state(), &weights, |_| false)?;
        return whole(case, &network, &features).map(Some);
    }
    let branch = Branch::new(sizes, Device::Cpu);
    let mut state = NamedTensors::new();
    branch.state("", &mut state);
    copy_into(&state, &weights, |_| false)?;
    let text = unit_rows(&case.input("text")?);
    let out = [
        ("visual_out", branch.visual(&features)),
        ("text_out", branch.text(&text)),
    ];
    Ok(Some(out.map(|(name, t)| (name.to_owned(), t)).into()))
}

fn whole(case: &Case, network: &Network, features: &Tensor) -> Result<NamedTensors> {
    let intended = case
        .param::<String>("triplet")
        .is_ok_and(|rule| rule == "intended");
    let constants = Constants {
        margin: case.param("margin")?,
        mining: if intended {
            Mining::Intended
        } else {
            Mining::Official
        },
        triplet_weight: 0.01,
    };
    let words = Words {
        verb: unit_rows(&case.input("verb_text")?),
        noun: unit_rows(&case.input("noun_text")?),
        verbs: case.input("verb_id")?,
        nouns: case.input("noun_id")?,
    };
    let labels = case.input("labels")?;
    if features.dim() == 2 {
        return Ok(no_grad(|| {
            forward(network, features, &words, &labels, &constants)
        }));
    }
    set_trainable(&network.state(), true);
    let mut adams = optimisers(network, 0.0, 1e-3);
    let step = |at: i64| {
        let batch = (features.select(0, at), labels.select(0, at));
        let losses = objective(network, &batch.0, &words, &batch.1, &constants);
        Ok((losses.total, Tensor::stack(&losses.terms, 0)))
    };
    replay::steps(
        features.size()[0],
        &network.state(),
        &mut adams,
        case.param("lr")?,
        step,
    )
}

fn forward(
    network: &Network,
    features: &Tensor,
    words: &Words,
    labels: &Tensor,
    constants: &Constants,
) -> NamedTensors {
    let (visual, text) = (network.visual(features), network.text(&words.verb, &words.noun));
    let losses = losses(&visual, &text, words, labels, constants);
    let own = |t: &Tensor| t.index_select(0, labels);
    let meant =
        |v: &Tensor, groups: &Tensor| triplets(v, &own(groups), constants.margin, Mining::Intended).view([1]);
    let scores = visual.joint.mm(&text.joint.transpose(0, 1));
    let [verb, noun, verbs, nouns, joint] = losses.terms;
    let out = [
        ("intended_verb_triplet", meant(&visual.verb, &words.verbs)),
        ("intended_noun_triplet", meant(&visual.noun, &words.nouns)),
        ("verb_visual", visual.verb),
        ("noun_visual", visual.noun),
        ("joint_visual", visual.joint),
        ("verb_text_out", own(&text.verb)),
        ("noun_text_out", own(&text.noun)),
        ("joint_text", own(&text.joint)),
        ("class_joint", text.joint),
        ("loss_verb_vis", verb.view([1])),
        ("loss_noun_vis", noun.view([1])),
        ("loss_verb_triplet", verbs.view([1])),
        ("loss_noun_triplet", nouns.view([1])),
        ("loss_joint", joint.view([1])),
        ("loss", losses.total.view([1])),
        ("pred", scores.argmax(-1, false)),
        ("scores", scores),
    ];
    out.map(|(name, t)| (name.to_owned(), t)).into()
}
