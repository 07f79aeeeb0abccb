//! Held against a version that was written apart from this one: `benches/peer/diff_tpt_vector.py` made `vector.json`.

use szar_core::host::to_f64;
use szar_core::testing::{DotModel, build_context, normal, task};
use szar_core::{Granularity, Problems, SemanticAnchors, Task};
use tch::Tensor;

use super::*;

/// One recorded setting.
#[derive(Deserialize)]
struct Recorded {
    views: usize,
    classes: usize,
    width: i64,
    shared: bool,
    steps: usize,
    lr: f64,
    weight_decay: f64,
    similar: f64,
    selection: f64,
    scale: f64,
    /// `[n, V, d]` and `[C, d]`.
    features: Vec<f32>,
    texts: Vec<f32>,
    kept: Vec<Vec<usize>>,
    loss: Vec<f64>,
    /// `[n, C]`.
    logits: Vec<f32>,
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_str(include_str!("vector.json")).unwrap()
}

fn begun(case: &Recorded) -> Tuner {
    let config = DiffTptConfig {
        shared: case.shared,
        steps: case.steps,
        lr: case.lr,
        weight_decay: case.weight_decay,
        similar: case.similar,
        selection: case.selection,
        views: ViewsConfig {
            count: case.views,
            ..ViewsConfig::default()
        },
        ..DiffTptConfig::default()
    };
    let texts = Tensor::from_slice(&case.texts).view([-1, 1, case.width]);
    let task = task(case.classes, case.width, 1, 4);
    let classes = task.candidates.clone();
    let anchors = SemanticAnchors::new(texts, vec![Granularity::GLOBAL], classes).unwrap();
    let mut tuner = Tuner::new(
        "diff-tpt",
        config.rules(),
        &config.views,
        Box::new(NoiseDenoiseConfig::default()),
    );
    szar_core::TestTimeAdapter::begin(&mut tuner, &Task { anchors, ..task }).unwrap();
    tuner
}

#[test]
fn views_answers_and_losses_are_those_of_the_peer() {
    for (number, case) in recorded().iter().enumerate() {
        let rows = Tensor::from_slice(&case.features).view([-1, case.width]);
        let model = DotModel { scale: case.scale };
        let (answers, records) = begun(case).tune_recorded(&rows, &model, None).unwrap();
        let kept: Vec<_> = records.iter().map(|r| r.kept.clone()).collect();
        assert_eq!(kept, case.kept, "case {number}");
        let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let losses: Vec<f64> = records.iter().map(|r| r.loss).collect();
        assert!(
            far(&losses, &case.loss) < 1e-4,
            "case {number}: {losses:?} {:?}",
            case.loss
        );
        let want: Vec<f64> = case.logits.iter().map(|z| f64::from(*z)).collect();
        let off = far(&to_f64(&answers), &want);
        assert!(off < 2e-3, "case {number}: answers off by {off}");
    }
}

#[test]
fn the_defaults_keep_fifteen_of_sixty_four_views() {
    let config = DiffTptConfig::default();
    let mut tuner = Tuner::new(
        "diff-tpt",
        config.rules(),
        &config.views,
        Box::new(NoiseDenoiseConfig::default()),
    );
    szar_core::TestTimeAdapter::begin(&mut tuner, &task(5, 8, 1, 4)).unwrap();
    let rows = normal("rows", &[64, 8]);
    let (_, records) = tuner
        .tune_recorded(&rows, &DotModel { scale: 3.0 }, None)
        .unwrap();
    assert_eq!(records[0].kept.len(), 15); // int(0.8 · 63) = 50, and int(0.3 · 51) = 15
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let wrong = DiffTptConfig {
        similar: 0.0,
        selection: 1.5,
        lr: f64::NAN,
        steps: 0,
        ..DiffTptConfig::default()
    };
    wrong.validate(&mut problems);
    assert_eq!(problems.len(), 4);
    let mut problems = Problems::new();
    DiffTptConfig::default().validate(&mut problems);
    assert!(problems.is_empty());
    assert!(DiffTptConfig::default().build(&build_context()).is_ok());
    assert!(DiffTptConfig::default().requirements().skeletons.is_some());
}
