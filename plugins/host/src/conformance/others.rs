//! Datasets, semantics, text encoders and gates.

use serde_json::{Map, Value};
use szar_core::testing::{build_context, classes};
use szar_core::{
    Column, ComponentInfo, ComponentKind, DatasetConfig, GateConfig, GateEvidence, OpenEvidence,
    OracleLabels, Result, Scores, SemanticsConfig, TextEncoderConfig,
};
use tch::{Device, Kind, Tensor};

use super::{Trials, broken, configured, finite, same, steady};

type Data = Box<dyn DatasetConfig>;
type Provider = Box<dyn SemanticsConfig>;
type Texts = Box<dyn TextEncoderConfig>;
type Gate = Box<dyn GateConfig>;

/// Tries a component of one of these kinds.
pub(super) fn examine(info: &ComponentInfo, options: &Map<String, Value>, trials: &mut Trials) {
    let result = match info.kind {
        ComponentKind::Dataset => dataset(info, options, trials),
        ComponentKind::Semantics => semantics(info, options, trials),
        ComponentKind::TextEncoder => texts(info, options, trials),
        ComponentKind::Gate => gate(info, options, trials),
        _ => Ok(()),
    };
    if let Err(error) = result {
        trials.note("it is configured and built with these options", Err(error));
    }
}

fn dataset(info: &ComponentInfo, options: &Map<String, Value>, trials: &mut Trials) -> Result<()> {
    let config: Data = configured(info, options, |c: &Data, p| c.validate(p))?;
    let data = config.build(&build_context())?;
    trials.note("its layout", data.info().layout.validate());
    trials.note("its split", data.split().map(|_| ()));
    let count = data.samples().len();
    trials.note(
        "its samples",
        match data
            .samples()
            .iter()
            .find(|s| data.info().classes.name(s.class).is_none())
        {
            Some(sample) => broken(format!(
                "sample `{}` is of class {}, which there is not",
                sample.name, sample.class
            )),
            None if count == 0 => broken("there is no sample"),
            None => Ok(()),
        },
    );
    let usable: Vec<usize> = (0..count)
        .filter(|i| data.samples()[*i].usable)
        .take(32)
        .collect();
    trials.note("sequences", {
        usable.iter().try_for_each(|i| {
            let (one, again) = (data.load(*i)?, data.load(*i)?);
            match one == again && one.joints.iter().all(|v| v.is_finite()) {
                true => Ok(()),
                false => broken(format!("sample {i} is not finite, or not the same twice")),
            }
        })
    });
    Ok(())
}

fn semantics(info: &ComponentInfo, options: &Map<String, Value>, trials: &mut Trials) -> Result<()> {
    let config: Provider = configured(info, options, |c: &Provider, p| c.validate(p))?;
    let mut provider = config.build(&build_context())?;
    let list = classes(4);
    let anchors = provider.anchors(&list)?;
    trials.note("anchors", finite("anchors", &anchors.values));
    trials.note(
        "granularities as it said before",
        match anchors.granularities == config.granularities() {
            true => Ok(()),
            false => broken(format!(
                "{:?} and {:?}",
                config.granularities(),
                anchors.granularities
            )),
        },
    );
    trials.note("the same classes give the same bits", {
        provider
            .anchors(&list)
            .and_then(|again| same("anchors", &anchors.values, &again.values))
    });
    Ok(())
}

fn texts(info: &ComponentInfo, options: &Map<String, Value>, trials: &mut Trials) -> Result<()> {
    let config: Texts = configured(info, options, |c: &Texts, p| c.validate(p))?;
    let mut encoder = config.build(&build_context())?;
    let list: Vec<String> = ["wave", "walk slowly", "größe", ""].map(str::to_owned).into();
    let first = encoder.encode(&list)?;
    trials.note("vectors", finite("vectors", &first));
    trials.note("the same texts give the same bits", {
        encoder
            .encode(&list)
            .and_then(|again| same("vectors", &first, &again))
    });
    trials.note("a text's vector does not depend on its neighbours", {
        let alone = encoder.encode(&list[1..2]);
        alone.and_then(|alone| super::close("vectors", &first.narrow(0, 1, 1), &alone))
    });
    trials.note(
        "memory over ten thousand calls",
        steady(|| encoder.encode(&list[..1]).map(|_| ())),
    );
    Ok(())
}

fn gate(info: &ComponentInfo, options: &Map<String, Value>, trials: &mut Trials) -> Result<()> {
    let config: Gate = configured(info, options, |c: &Gate, p| c.validate(p))?;
    let mut gate = config.build(&classes(7), &build_context())?;
    tch::manual_seed(19);
    let scores = Scores {
        logits: Tensor::randn([32, 7], (Kind::Float, Device::Cpu)) * 3.0,
    };
    let encoder_logits = Tensor::randn([32, 4], (Kind::Float, Device::Cpu)) * 3.0;
    let (seen, unseen) = ([0, 1, 2, 3].map(Column), [4, 5, 6].map(Column));
    let labels = scores.logits.argmax(1, false);
    let truth = OracleLabels(labels.shallow_clone());
    let evidence = || GateEvidence {
        scores: &scores,
        seen: &seen,
        unseen: &unseen,
        encoder_logits: Some(&encoder_logits),
        truth: config.wants_truth().then_some(&truth),
    };
    let fitted = match config.needs_pseudo_unseen() {
        None => gate.fit(&evidence()),
        Some(_) => gate.fit_open(&OpenEvidence {
            evidence: evidence(),
            labels: &labels,
            classes: [seen.len(), unseen.len()],
        }),
    };
    let evidence = evidence();
    trials.note("it is fitted", fitted.map(|_| ()));
    trials.note(
        "decisions",
        gate.takes_for_seen(&evidence).and_then(|first| {
            let again = gate.takes_for_seen(&evidence)?;
            same(
                "decisions",
                &first.to_kind(Kind::Float),
                &again.to_kind(Kind::Float),
            )
        }),
    );
    trials.note(
        "scores of being unseen",
        gate.unseen_score(&evidence).and_then(|s| finite("scores", &s)),
    );
    trials.note(
        "logits of the seen classes",
        gate.seen_logits(&evidence).and_then(|s| finite("logits", &s)),
    );
    trials.note(
        "memory over ten thousand calls",
        steady(|| gate.takes_for_seen(&evidence).map(|_| ())),
    );
    Ok(())
}
