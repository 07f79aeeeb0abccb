//! A module gives what the same computation gives directly.

use serde_json::json;
use szar_core::{EncoderConfig, SkeletonEncoder};
use tch::{Kind, Tensor};

use super::archive::{forward, script};
use super::*;

const PRESENT: [bool; 6] = [true, true, true, false, false, false];

/// `[n, 3, t, v]` to `[n, 4, t / 2, v]`, with a pooling over frames.
fn network(weight: &Tensor, x: &Tensor) -> Tensor {
    let mixed = Tensor::einsum("nctv,kc->nktv", &[x, weight], None::<&[i64]>);
    mixed
        .relu()
        .avg_pool2d([2, 1], [2, 1], [0, 0], false, true, None::<i64>)
}

/// Mean over those who are there, of one sample.
fn mean_of_present(of: impl Fn(i64, i64) -> Tensor, present: &[bool], persons: i64) -> Tensor {
    let samples = present.len() as i64 / persons;
    let sample = |b: i64| {
        let here = |m: &i64| present[(b * persons + m) as usize];
        let mut list: Vec<i64> = (0..persons).filter(here).collect();
        if list.is_empty() {
            list.push(0);
        }
        let maps: Vec<Tensor> = list.iter().map(|m| of(b, *m)).collect();
        Tensor::stack(&maps, 0).mean_dim([0i64].as_slice(), false, Kind::Float)
    };
    Tensor::stack(&(0..samples).map(sample).collect::<Vec<_>>(), 0)
}

#[test]
fn a_traced_map_equals_the_computation_person_by_person() {
    let folder = tempfile::tempdir().unwrap();
    let weight = Tensor::randn([CHANNELS, 3], CPU);
    let path = traced(folder.path(), &[1, 3, FRAMES, JOINTS], |x| network(&weight, x));
    let options = json!({"layout": "nctv", "output_layout": "nctv", "channels": 4, "frames": 3});
    for persons in [1, 2, 3] {
        let encoder = build(&config(&path, options.clone()), persons).unwrap();
        let batch = batch(persons, &PRESENT);
        let of = |b, m| network(&weight, &batch.joints.select(4, m).narrow(0, b, 1)).squeeze_dim(0);
        let want = mean_of_present(of, &PRESENT, persons);
        assert!(close(&features(&encoder, &batch), &want), "{persons} persons");
        assert_eq!(encoder.spec().frames, 3);
        assert_eq!(encoder.spec().joints, JOINTS);
    }
}

#[test]
fn a_pooled_module_in_any_axis_order_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let weight = Tensor::randn([CHANNELS, 3], CPU);
    let pool = |x: &Tensor| network(&weight, x).mean_dim([2i64, 3].as_slice(), false, Kind::Float);
    let mut seen = Vec::new();
    for (layout, shape, back) in [
        ("nctv", [2, 3, FRAMES, JOINTS], [0, 1, 2, 3]),
        ("ntvc", [2, FRAMES, JOINTS, 3], [0, 3, 1, 2]),
        ("vctn", [JOINTS, 3, FRAMES, 2], [3, 1, 2, 0]),
    ] {
        let path = traced(folder.path(), &shape, |x| pool(&x.permute(back)));
        let encoder = build(&config(&path, json!({"layout": layout, "channels": 4})), 2).unwrap();
        assert!(encoder.spec().is_pooled());
        let batch = batch(2, &PRESENT);
        let of = |b, m| pool(&batch.joints.select(4, m).narrow(0, b, 1)).squeeze_dim(0);
        let want = mean_of_present(of, &PRESENT, 2).unsqueeze(-1).unsqueeze(-1);
        let got = features(&encoder, &batch);
        assert!(close(&got, &want), "{layout}");
        seen.push(got);
    }
    assert!(close(&seen[0], &seen[1]) && close(&seen[0], &seen[2]));
}

#[test]
fn a_module_of_all_persons_gets_them_in_its_layout() {
    let folder = tempfile::tempdir().unwrap();
    let shape = [2, 2, FRAMES, JOINTS, 3];
    // `nmtvc` to `[n, t, v, c]`, the second person minus the first.
    let path = traced(folder.path(), &shape, |x| x.select(1, 1) - x.select(1, 0));
    let options = json!({"layout": "nmtvc", "output_layout": "ntvc", "channels": 3});
    let encoder = build(&config(&path, options), 2).unwrap();
    let batch = batch(2, &PRESENT);
    let want = batch.joints.select(4, 1) - batch.joints.select(4, 0);
    assert!(close(&features(&encoder, &batch), &want));
}

#[test]
fn features_of_each_person_are_averaged_over_those_who_are_there() {
    let folder = tempfile::tempdir().unwrap();
    // An absent person gives zeros divided by zeros.
    let body = "return torch.permute(torch.div(torch.mul(x, x), x), [4, 0, 1, 2, 3])";
    let path = forward(folder.path(), "Tensor", body);
    let options = json!({"output_layout": "mnctv", "channels": 3});
    let encoder = build(&config(&path, options), 2).unwrap();
    let batch = batch(2, &PRESENT);
    let got = features(&encoder, &batch);
    let of = |b, m| batch.joints.select(4, m).get(b);
    let want = mean_of_present(of, &PRESENT, 2);
    assert!(
        close(&got.narrow(0, 0, 2), &want.narrow(0, 0, 2)),
        "nobody's NaN leaks in"
    );
    assert!(
        got.get(2).isnan().all().int64_value(&[]) == 1,
        "a sample with nobody is its first person"
    );
}

#[test]
fn a_sample_that_is_not_finite_stays_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = forward(folder.path(), "Tensor", "return torch.mean(torch.log(x), [2, 3])");
    let encoder = build(&config(&path, json!({"layout": "nctv", "channels": 3})), 2).unwrap();
    let mut batch = batch(2, &[true; 4]);
    batch.joints = batch.joints.abs() + 1.0;
    let _ = batch.joints.get(1).fill_(-1.0);
    let got = features(&encoder, &batch)
        .isfinite()
        .flatten(1, -1)
        .all_dim(1, false);
    assert_eq!(szar_core::host::to_i64(&got).unwrap(), [1, 0]);
}

#[test]
fn lengths_masks_and_presence_arrive_under_their_places() {
    let folder = tempfile::tempdir().unwrap();
    // The sum of the lengths as the module sees it in three ways, beside the number of persons.
    let source = "  def measure(self: __torch__.Net, mask: Tensor, x: Tensor, frames: Tensor, present: Tensor) -> Tensor:
    a = torch.sum(torch.to(mask, 6), [1])
    b = torch.to(frames, 6)
    c = torch.sum(torch.to(present, 6), [1])
    return torch.stack([a, b, c], 1)";
    let path = script(folder.path(), source);
    let options =
        json!({"method": "measure", "inputs": ["mask", "joints", "frames", "present"], "channels": 3});
    let encoder = build(&config(&path, options), 2).unwrap();
    let got = features(&encoder, &batch(2, &PRESENT)).flatten(0, -1);
    let want = Tensor::from_slice(&[2.0f32, 2.0, 2.0, 3.0, 3.0, 1.0, 4.0, 4.0, 0.0]);
    assert!(close(&got, &want), "{got}");
}

#[test]
fn results_are_found_in_tuples_dicts_and_what_is_inside() {
    let folder = tempfile::tempdir().unwrap();
    let mean = "torch.mean(x, [2, 3, 4])";
    let tuple = format!("return (torch.neg({mean}), {{\"map\": x, \"pooled\": {mean}}})");
    let path = forward(folder.path(), "Tuple[Tensor, Dict[str, Tensor]]", &tuple);
    let batch = batch(2, &[true; 4]);
    let pooled = batch.joints.mean_dim([2i64, 3, 4].as_slice(), false, Kind::Float);
    let pooled = pooled.unsqueeze(-1).unsqueeze(-1);
    let get = |options| features(&build(&config(&path, options), 2).unwrap(), &batch);
    assert!(close(&get(json!({"output": 0, "channels": 3})), &-&pooled));
    assert!(close(&get(json!({"output": "0", "channels": 3})), &-&pooled));
    assert!(close(&get(json!({"output": "1.pooled", "channels": 3})), &pooled));
    let map = json!({"output": "1.map", "channels": 3, "output_layout": "nctvm", "frames": 6});
    let want = batch.joints.mean_dim([4i64].as_slice(), false, Kind::Float);
    assert!(close(&get(map), &want));
    let path = forward(folder.path(), "List[Tensor]", &format!("return [x, {mean}]"));
    let listed = build(&config(&path, json!({"output": 1, "channels": 3})), 2).unwrap();
    assert!(close(&features(&listed, &batch), &pooled));
}

#[test]
fn logits_of_the_seen_classes_come_along_averaged_like_the_features() {
    let folder = tempfile::tempdir().unwrap();
    let body = "return (torch.mean(x, [2, 3]), torch.amax(x, [2, 3]))";
    let path = forward(folder.path(), "Tuple[Tensor, Tensor]", body);
    let options = json!({"layout": "nctv", "output": 0, "logits": 1, "channels": 3});
    let encoder = build(&config(&path, options), 2).unwrap();
    assert!(encoder.spec().classifies);
    let batch = batch(2, &PRESENT);
    let got = encoder.encode(&batch).unwrap().seen_logits.unwrap();
    let of = |b, m| batch.joints.select(4, m).get(b).amax([1i64, 2].as_slice(), false);
    assert!(close(&got, &mean_of_present(of, &PRESENT, 2)));
}

#[test]
fn a_module_that_writes_to_its_input_leaves_the_batch_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = forward(
        folder.path(),
        "Tensor",
        "return torch.mean(torch.zero_(x), [2, 3, 4])",
    );
    let encoder = build(&config(&path, json!({"channels": 3})), 1).unwrap();
    let batch = batch(1, &[true, true]);
    let before = batch.joints.copy();
    assert_eq!(
        features(&encoder, &batch)
            .abs()
            .sum(Kind::Float)
            .double_value(&[]),
        0.0
    );
    assert!(batch.joints.equal(&before));
}

#[test]
fn dropout_is_off_and_no_gradient_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let body = "return torch.mean(torch.dropout(x, 0.5, self.training), [2, 3, 4])";
    let path = forward(folder.path(), "Tensor", body);
    let encoder = build(&config(&path, json!({"channels": 3})), 1).unwrap();
    let batch = batch(1, &[true, true]);
    let got = features(&encoder, &batch);
    assert!(got.equal(&features(&encoder, &batch)) && !got.requires_grad());
}

#[test]
fn half_precision_results_become_f32() {
    let folder = tempfile::tempdir().unwrap();
    let path = forward(
        folder.path(),
        "Tensor",
        "return torch.to(torch.mean(x, [2, 3, 4]), 15)",
    );
    let encoder = build(&config(&path, json!({"channels": 3})), 1).unwrap();
    assert_eq!(features(&encoder, &batch(1, &[true])).kind(), Kind::Float);
}

#[test]
fn the_state_names_the_file_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"channels": 3});
    let make = |body: &str| {
        let path = forward(folder.path(), "Tensor", body);
        build(&config(&path, options.clone()), 1).unwrap()
    };
    let mut first = make("return torch.mean(x, [2, 3, 4])");
    let state = first.state();
    assert!(first.load_state(&state).is_ok());
    let mut edited = make("return torch.amax(x, [2, 3, 4])");
    assert!(!edited.state()["module.sha256"].equal(&state["module.sha256"]));
    let refused = edited.load_state(&state).unwrap_err();
    assert!(
        refused.is_input() && refused.to_string().contains("has changed"),
        "{refused}"
    );
    assert!(!TorchScriptConfig::default().trains());
}
