//! What the report says of a run besides its results.

use std::collections::BTreeMap;

use szar_core::checkpoint::NamedTensors;
use szar_core::config::{Pipeline, Resolved};
use szar_core::{FitSummary, Mark, Result, SkeletonEncoder};
use tch::{Device, Kind};

use crate::data::{Data, Part};
use crate::evaluate::argmax;
use crate::features::Features;
use crate::metrics::Confusion;
use crate::report::{DataReport, EncoderReport, Provenance};

fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(n) => format!("cuda:{n}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn git_revision() -> Option<String> {
    let output = std::process::Command::new("git")
        .args(["rev-parse", "HEAD"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| text.trim().to_owned())
}

/// Remarks of all parts, once each; those about test labels first.
pub(super) fn marks(p: &Pipeline) -> Vec<Mark> {
    let mut list: Vec<Mark> = [
        p.dataset.marks(),
        p.encoder.marks(),
        p.semantics.marks(),
        p.aligner.marks(),
    ]
    .into_iter()
    .chain(p.adapters.iter().map(|a| a.marks()))
    .chain(p.gate.iter().map(|g| g.marks()))
    .flatten()
    .collect();
    list.sort_by_key(|m| (!m.uses_test_labels, m.text.clone()));
    list.dedup();
    list
}

pub(super) fn count(state: &NamedTensors) -> u64 {
    let floats = state.values().filter(|t| t.kind() == Kind::Float);
    floats.map(|t| t.numel() as u64).sum()
}

pub(super) fn data_report(data: &Data) -> DataReport {
    let info = data.dataset.info();
    let p = &data.partition;
    let samples = [
        ("train", p.train.len()),
        ("validation", p.validation.len()),
        ("seen_test", p.seen_test.len()),
        ("unseen_test", p.unseen_test.len()),
        ("left_out", p.left_out),
    ];
    DataReport {
        name: info.name.clone(),
        synthetic: info.synthetic.clone(),
        layout: info.layout.name.clone(),
        split: data.split.name().to_owned(),
        seen: data.split.seen().names().to_vec(),
        unseen: data.split.unseen().names().to_vec(),
        samples: samples.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
    }
}

pub(super) fn encoder_report(
    encoder: &dyn SkeletonEncoder,
    fit: Option<FitSummary>,
    data: &Data,
    features: &Features,
) -> Result<EncoderReport> {
    let seen_accuracy = |part: Part| -> Result<Option<Confusion>> {
        let rows = data.rows(part);
        let Some(logits) = features.rows(&rows).seen_logits.filter(|_| !rows.is_empty()) else {
            return Ok(None);
        };
        let column = |s: &usize| {
            data.split
                .seen()
                .column(data.class(*s))
                .map_or(-1, |c| c.0 as i64)
        };
        let labels: Vec<i64> = data.samples(part).iter().map(column).collect();
        let predictions = argmax(&logits);
        Confusion::new(data.split.seen().len(), &labels, &predictions).map(Some)
    };
    let test = seen_accuracy(Part::SeenTest)?;
    Ok(EncoderReport {
        spec: data
            .dataset
            .features()
            .map_or_else(|| encoder.spec(), |features| features.spec()),
        parameters: count(&encoder.state()),
        fit,
        validation_top1: seen_accuracy(Part::Validation)?.map(|c| c.top1()),
        test_top1: test.as_ref().map(Confusion::top1),
        test_class_mean: test.as_ref().map(Confusion::class_mean),
    })
}

/// What runs, where.
pub(super) fn provenance(resolved: &Resolved, device: Device) -> Provenance {
    let p = &resolved.pipeline;
    let mut options = resolved.value.clone();
    if let Some(map) = options.as_object_mut() {
        map.shift_remove("output");
    }
    let mut components = BTreeMap::from([
        ("dataset".to_owned(), p.dataset.typetag_name().to_owned()),
        ("preprocess".to_owned(), p.preprocess.typetag_name().to_owned()),
        ("encoder".to_owned(), p.encoder.typetag_name().to_owned()),
        ("semantics".to_owned(), p.semantics.typetag_name().to_owned()),
        ("aligner".to_owned(), p.aligner.typetag_name().to_owned()),
    ]);
    for (i, adapter) in p.adapters.iter().enumerate() {
        components.insert(format!("adapters[{i}]"), adapter.typetag_name().to_owned());
    }
    if let Some(gate) = &p.gate {
        components.insert("gate".to_owned(), gate.typetag_name().to_owned());
    }
    Provenance {
        szar: env!("CARGO_PKG_VERSION").into(),
        git: git_revision(),
        config: resolved.hash(),
        options,
        seed: p.seed,
        device: device_name(device),
        threads: i64::from(tch::get_num_threads()),
        precision: match p.precision.resolve(device) {
            Kind::BFloat16 => "bf16".into(),
            _ => "f32".into(),
        },
        components,
        plugins: szar_core::registry::origins(&resolved.value)
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}
