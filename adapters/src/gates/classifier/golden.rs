//! Replays recorded cases of the gate: the regression, the choice of its threshold, and both rules on a test set.

use szar_core::checkpoint::NamedTensors;
use szar_core::conform::{Case, Driver};
use szar_core::{Result, host};
use tch::{Kind, Tensor};

use super::choose::{Model, Samples, accuracies, first_best};
use super::config::{SeenUnseenClassifierConfig, Solver};
use super::features::features;
use super::gate::taken;

inventory::submit! { Driver { kind: "aligner", component: "logistic-gate", run } }

fn both(case: &Case) -> Result<Samples> {
    let (unseen, seen) = (case.input("fit_unseen_zs")?, case.input("fit_seen_zs")?);
    let rows = |t: &Tensor| usize::try_from(t.size()[0]).unwrap_or(0);
    let (first, second) = (rows(&unseen), rows(&seen));
    Ok(Samples {
        zero_shot: Tensor::cat(&[unseen, seen], 0),
        seen_logits: Tensor::cat(
            &[
                case.input("fit_unseen_seen_logits")?,
                case.input("fit_seen_seen_logits")?,
            ],
            0,
        ),
        seen: (0..first + second).map(|row| row >= first).collect(),
    })
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let top: usize = case.param("num_unseen")?;
    let options = SeenUnseenClassifierConfig {
        solver: Some(case.param("solver").unwrap_or(Solver::Multinomial)),
        c: Some(case.param("C")?),
        ..SeenUnseenClassifierConfig::default()
    };
    let plan = options.plan();
    let model = Model::fit(&both(case)?, case.param("temperature")?, top, plan.c)?;
    let validation = Samples {
        zero_shot: case.input("val_zs")?,
        seen_logits: case.input("val_seen_logits")?,
        seen: host::to_i64(&case.input("val_is_seen")?)?
            .iter()
            .map(|s| *s == 1)
            .collect(),
    };
    let accuracies = accuracies(&model, &validation, &plan.thresholds)?;
    let threshold = plan.thresholds[first_best(&accuracies)];
    let (zero_shot, logits) = (case.input("test_zs")?, case.input("test_seen_logits")?);
    let seen = model.seen(&zero_shot, &logits)?;
    let unseen = 1f64 - &seen;
    let scalar = |value: f64| Tensor::from_slice(&[value]);
    let mut out = NamedTensors::from([
        ("gate_weight".into(), Tensor::from_slice(&model.logistic.weights)),
        ("gate_bias".into(), scalar(model.logistic.intercept)),
        (
            "val_accuracy_per_threshold".into(),
            Tensor::from_slice(&accuracies),
        ),
        ("chosen_threshold".into(), scalar(threshold)),
        (
            "test_features".into(),
            features(&zero_shot, &logits, model.temperature, top)?,
        ),
        ("p_seen".into(), seen.shallow_clone()),
        ("p_unseen".into(), unseen.shallow_clone()),
    ]);
    let (unseen_classes, seen_classes) = (case.input("unseen_classes")?, case.input("seen_classes")?);
    let of_unseen = unseen_classes.index_select(0, &zero_shot.argmax(1, false));
    let of_seen = seen_classes.index_select(0, &logits.index_select(1, &seen_classes).argmax(1, false));
    let labels = case.input("test_labels")?;
    for (rule, legacy) in [("official", true), ("consistent", false)] {
        let taken = taken(&unseen, threshold, legacy);
        let predictions = of_seen.where_self(&taken, &of_unseen);
        out.insert(
            format!("suh_{rule}"),
            shares(&labels, &predictions, &seen_classes),
        );
        out.insert(format!("pred_{rule}"), predictions);
        out.insert(format!("gate_seen_{rule}"), taken.to_kind(Kind::Int64));
    }
    Ok(Some(out))
}

/// Share of right samples of seen and of unseen classes, and their harmonic mean.
fn shares(labels: &Tensor, predictions: &Tensor, seen: &Tensor) -> Tensor {
    let of_seen = labels
        .unsqueeze(1)
        .eq_tensor(&seen.unsqueeze(0))
        .any_dim(1, false);
    let right = labels.eq_tensor(predictions);
    let share = |side: &Tensor| {
        let count = |t: &Tensor| t.sum(Kind::Double).double_value(&[]);
        count(&right.logical_and(side)) / count(side).max(1.0)
    };
    let (s, u) = (share(&of_seen), share(&of_seen.logical_not()));
    let mean = if s + u > 0.0 { 2.0 * s * u / (s + u) } else { 0.0 };
    Tensor::from_slice(&[s, u, mean])
}
