//! Zero-shot: the candidates are the unseen classes.

use szar_adapters::gates::entropy;
use szar_core::host::to_f64;
use szar_core::{ClassSplit, PromptTower, Result};
use tch::{Kind, Tensor};

use super::{Played, Setting, Streaming, argmax};
use crate::data::{Data, Part};
use crate::features::Features;
use crate::metrics::Confusion;
use crate::report::{Accuracy, Prediction, ZslReport};

/// Plays the unseen test stream and counts. `features` holds all rows of the store.
///
/// # Errors
/// When a component refuses, or the user stops.
pub fn zsl(
    streaming: &Streaming,
    data: &Data,
    features: &Features,
    prompts: Option<&dyn PromptTower>,
) -> Result<(ZslReport, Vec<Prediction>, Played)> {
    let classes = data.split.unseen();
    let rows = data.samples(Part::UnseenTest);
    let column = |s: &usize| classes.column(data.class(*s)).map_or(-1, |c| c.0 as i64);
    let labels: Vec<i64> = rows.iter().map(column).collect();
    let test = data.rows(Part::UnseenTest);
    let setting = Setting {
        name: "zsl",
        features: features.rows(&test),
        first: test.start,
        names: data.names(rows),
        candidates: classes,
        seen: vec![false; classes.len()],
        labels,
        prompts,
    };
    let played = streaming.play(&setting)?;
    let labels = &setting.labels;
    let ordered: Vec<i64> = played.order.iter().map(|r| labels[*r]).collect();
    let before = accuracy(&data.split, &ordered, &argmax(&played.before))?;
    let after = played
        .after
        .as_ref()
        .map(|l| accuracy(&data.split, &ordered, &argmax(l)))
        .transpose()?;
    let mean_entropy = |logits: &Tensor| entropy(logits).mean(Kind::Double).double_value(&[]);
    let report = ZslReport {
        chance: 100.0 / classes.len() as f64,
        largest_class: before.confusion.largest_class(),
        before,
        after,
        entropy: [mean_entropy(&played.before), mean_entropy(played.last())],
        adapters: played.adapters.clone(),
    };
    Ok((report, predictions(data, &played), played))
}

fn accuracy(split: &ClassSplit, labels: &[i64], predictions: &[i64]) -> Result<Accuracy> {
    let confusion = Confusion::new(split.unseen().len(), labels, predictions)?;
    let names = || split.unseen().names().iter().cloned();
    Ok(Accuracy {
        class_mean: confusion.class_mean(),
        top1: confusion.top1(),
        per_class: names().zip(confusion.per_class()).collect(),
        prediction_share: names().zip(confusion.prediction_share()).collect(),
        confusion,
    })
}

fn predictions(data: &Data, played: &Played) -> Vec<Prediction> {
    let classes = data.split.unseen();
    let (before, after) = (argmax(&played.before), argmax(played.last()));
    let (h_before, h_after) = (to_f64(&entropy(&played.before)), to_f64(&entropy(played.last())));
    let one = |(position, row): (usize, &usize)| {
        let sample = &data.dataset.samples()[data.samples(Part::UnseenTest)[*row]];
        Prediction {
            setting: "zsl",
            position,
            sample: sample.name.clone(),
            class: sample.class.0,
            class_name: classes.name(sample.class).unwrap_or_default().to_owned(),
            before: classes.ids()[before[position] as usize].0,
            after: classes.ids()[after[position] as usize].0,
            entropy_before: h_before[position],
            entropy_after: h_after[position],
            taken_for_seen: None,
        }
    };
    played.order.iter().enumerate().map(one).collect()
}
