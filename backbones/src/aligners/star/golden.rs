//! Replays the golden cases `aligner/star`.

use szar_core::conform::{Case, Driver};
use szar_core::host::to_i64;
use szar_core::optim::Optimiser;
use szar_core::{Error, FeatureMap, NamedTensors, Result};
use tch::{Device, Kind, Tensor, no_grad};

use super::loss::{self, Shares, Targets};
use super::network::{Network, Sizes};
use super::{UNUSED, View};
use crate::aligners::maps::{Descent, Objective, update};
use crate::aligners::training::{set_trainable, unit_rows};
use szar_core::checkpoint::copy_into;

inventory::submit! {
    Driver { kind: "aligner", component: "star", run }
}

/// The weights of a case, and texts of all its classes, the unseen ones included, as the official code trains with.
struct Official {
    network: Network,
    joints: Vec<Tensor>,
    class_prompts: Vec<Tensor>,
    label_text: Tensor,
    part_text: Vec<Tensor>,
    seen: Tensor,
}

impl Official {
    fn new(case: &Case) -> Result<Self> {
        let parts: usize = case.param("body_parts")?;
        let weights = case.weights();
        let text_hidden = weights
            .get("crossmodal_align1.bias")
            .map_or(0, |bias| bias.size()[0]);
        let width = case.param("text_size")?;
        let sizes = Sizes {
            channels: case.param("visual_size")?,
            text: width,
            width,
            prompts: case.param("prompts")?,
            heads: case.param("num_heads")?,
            text_hidden,
            parts,
        };
        let network = Network::new(sizes, Device::Cpu);
        let own = |name: &str| !UNUSED.iter().any(|u| name.starts_with(u));
        let tables = |name: &str| name.starts_with("body_part_index_list") || name.starts_with("pd_prompt");
        let learned = weights.iter().filter(|(name, _)| own(name) && !tables(name));
        let learned = learned
            .map(|(name, t)| (name.clone(), t.shallow_clone()))
            .collect();
        copy_into(&network.state(), &learned, |_| false)?;
        let each = |name: &str| -> Result<Vec<Tensor>> {
            let one = |p| {
                let name = format!("{name}.{p}");
                weights.get(&name).map(Tensor::copy).ok_or(Error::Missing(name))
            };
            (0..parts).map(one).collect()
        };
        let part_text = case.input("part_text")?;
        let classes: i64 = case.param("num_classes")?;
        let unseen = to_i64(&case.input("unseen_classes")?)?;
        let seen: Vec<i64> = (0..classes).filter(|c| !unseen.contains(c)).collect();
        Ok(Self {
            network,
            joints: each("body_part_index_list")?,
            class_prompts: each("pd_prompt")?,
            label_text: case.input("label_text")?,
            part_text: part_text.unbind(0),
            seen: Tensor::from_slice(&seen),
        })
    }

    fn targets<'a>(&'a self, labels: &'a Tensor) -> Targets<'a> {
        Targets {
            label: self.network.label(&self.label_text),
            parts: self.network.part_texts(&self.part_text, &self.class_prompts),
            labels,
            seen: Some(&self.seen),
        }
    }

    /// Columns of the seen classes.
    fn columns(&self, labels: &Tensor) -> Tensor {
        self.seen
            .unsqueeze(0)
            .lt_tensor(&labels.unsqueeze(1))
            .to_kind(Kind::Int64)
            .sum_dim_intlist([1i64].as_slice(), false, Kind::Int64)
    }

    fn view<'a>(&'a self, map: &'a FeatureMap) -> View<'a> {
        View {
            map,
            joints: &self.joints,
        }
    }
}

impl Objective for Official {
    fn terms(&self) -> &'static [&'static str] {
        &loss::TERMS
    }

    fn loss(&self, map: &FeatureMap, labels: &Tensor) -> Result<Tensor> {
        let columns = self.columns(labels);
        let values = self.network.values(self.view(map).nodes());
        let whole = self.network.whole(&values);
        Ok(loss::terms(&values, &whole, &self.targets(&columns), 1.0, SHARES))
    }

    fn logits(&self, map: &FeatureMap) -> Result<Tensor> {
        let whole = self.network.whole(&self.network.values(self.view(map).nodes()));
        let classes = unit_rows(&self.network.label(&self.label_text));
        Ok(unit_rows(&whole).mm(&classes.transpose(0, 1)))
    }

    fn parameters(&self) -> NamedTensors {
        let mut all = self.network.parameters();
        for (p, prompts) in self.class_prompts.iter().enumerate() {
            all.insert(format!("pd_prompt.{p}"), prompts.shallow_clone());
        }
        all
    }
}

const SHARES: Shares = Shares {
    global: 0.1,
    part: 1.0,
    text: 0.1,
};

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let official = Official::new(case)?;
    if case.param::<i64>("steps").is_ok() {
        steps(case, &official)
    } else {
        no_grad(|| forward(case, &official))
    }
    .map(Some)
}

fn forward(case: &Case, official: &Official) -> Result<NamedTensors> {
    let network = &official.network;
    let map = FeatureMap::new(case.input("features")?)?;
    let labels = case.input("labels")?;
    let view = official.view(&map);
    let values = network.values(view.nodes());
    let whole = network.whole(&values);
    let label = network.label(&official.label_text);
    let mut out = NamedTensors::new();
    let found = network.found(view.nodes());
    out.insert("part_visual".into(), found.narrow(2, 0, found.size()[2].min(3)));
    let columns = official.columns(&labels);
    let targets = official.targets(&columns);
    let own = own_texts(official, &labels);
    let terms = official.loss(&map, &labels)?;
    for (name, at) in [("loss_global_ce", 1), ("loss_part_ce", 2), ("loss_pd_label", 3)] {
        out.insert(name.into(), terms.narrow(0, at, 1));
    }
    unused_heads(case, official, &map, &values, &label, &mut out)?;
    unused_losses(&values, &own, &targets, &label, &mut out);
    let scores = official.logits(&map)?;
    let unseen = case.input("unseen_classes")?;
    out.insert(
        "pred_zsl".into(),
        scores.index_select(1, &unseen).argmax(-1, false),
    );
    out.insert("scores_all".into(), scores);
    out.insert("part_text_mapped".into(), own);
    out.insert("global_visual".into(), values);
    out.insert("global_semantic".into(), whole);
    out.insert("label_mapped".into(), label);
    Ok(out)
}

/// `[B, parts, n]`: the mapped texts of the samples' own classes, without the prompts of the classes.
fn own_texts(official: &Official, labels: &Tensor) -> Tensor {
    let nothing: Vec<_> = official.class_prompts.iter().map(Tensor::zeros_like).collect();
    let texts = official.network.part_texts(&official.part_text, &nothing);
    texts.index_select(1, labels).transpose(0, 1)
}

/// Heads that the official code computes and does not use, and their losses.
fn unused_heads(
    case: &Case,
    official: &Official,
    map: &FeatureMap,
    values: &Tensor,
    label: &Tensor,
    out: &mut NamedTensors,
) -> Result<()> {
    let weights = case.weights();
    let linear = |name: &str, x: &Tensor| {
        let get = |part: &str| {
            let name = format!("{name}.{part}");
            weights.get(&name).ok_or(Error::Missing(name))
        };
        Ok::<_, Error>(x.linear(get("weight")?, Some(get("bias")?)))
    };
    let labels = case.input("labels")?;
    let view = official.view(map);
    let parts = view.nodes().enumerate().map(|(p, nodes)| {
        let mean = nodes.mean_dim([1i64].as_slice(), false, Kind::Float);
        linear(&format!("gcn_part_classifier.{p}"), &mean)
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    out.insert("gcn_part_logits".into(), Tensor::stack(&parts, 1));
    let global = linear("gcn_flobal_classifier", &map.pooled())?;
    let fused = linear("global_fc2", &linear("global_fc1", &values.flatten(1, 2))?.relu())?;
    let entropy = |logits: &Tensor| {
        let probability = logits
            .softmax(1, Kind::Float)
            .gather(1, &labels.unsqueeze(1), false);
        (-(probability + 1e-12).log()).mean(Kind::Float).view([1])
    };
    out.insert("loss_gcn_classify".into(), entropy(&global));
    out.insert("loss_ske_ce".into(), entropy(&fused.mm(&label.transpose(0, 1))));
    out.insert("gcn_global_logits".into(), global);
    out.insert("fused".into(), fused);
    Ok(())
}

/// Losses that the official code computes and does not use.
fn unused_losses(values: &Tensor, own: &Tensor, targets: &Targets, label: &Tensor, out: &mut NamedTensors) {
    let distance =
        |a: &Tensor, b: &Tensor| (unit_rows(a) - unit_rows(b)).square().mean(Kind::Float).view([1]);
    out.insert("loss_mse_align".into(), distance(values, own));
    out.insert(
        "loss_mse_lb_pd".into(),
        distance(&targets.parts, &label.unsqueeze(0)),
    );
}

fn steps(case: &Case, official: &Official) -> Result<NamedTensors> {
    let parameters = official.parameters();
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
        let terms = update(official, &mut optimiser, &map, &labels.select(0, step), lr)?;
        if step == 0 {
            let grads = parameters.iter();
            out.extend(grads.map(|(name, p)| (format!("grad0/{name}"), p.grad().copy())));
        }
        losses.push(terms.get(0));
        let mut state = case.weights(); // what nothing moves stays
        state.extend(
            parameters
                .iter()
                .map(|(name, t)| (name.clone(), t.detach().copy())),
        );
        let named = state.into_iter();
        out.extend(named.map(|(name, t)| (format!("after{}/{name}", step + 1), t)));
    }
    out.insert("loss".into(), Tensor::stack(&losses, 0));
    Ok(out)
}
