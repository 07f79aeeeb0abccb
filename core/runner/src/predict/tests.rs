//! Signatures and posteriors; whole runs are asked through the command line.

use szar_core::{ClassId, EncoderSpec, FeatureMap, Granularity, testing};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::signature::{Signature, Texts};
use super::*;

fn signature(descriptors: bool) -> Signature {
    Signature {
        layout: testing::layout(4),
        frames: 8,
        persons: 1,
        seen: vec![(ClassId(0), "walk".into()), (ClassId(3), "wave".into())],
        unseen: vec![(ClassId(1), "grüßen <b>".into())],
        features: EncoderSpec {
            channels: 5,
            frames: 1,
            joints: 1,
            classifies: true,
        },
        descriptors,
        texts: Texts {
            granularities: vec![Granularity::GLOBAL],
            width: 7,
            encoder: None,
        },
    }
}

#[test]
fn a_signature_survives_its_file_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.json");
    let signature = signature(true);
    signature.save(&path).unwrap();
    assert_eq!(Signature::load(&path).unwrap(), signature);
    assert_eq!(
        signature.classes().unwrap().names(),
        ["walk", "grüßen <b>", "wave"]
    );
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, why) in [
        ("\"persons\": 1", "\"persons\": 0", "names 0 persons"),
        ("walk", "wave", "class `wave` is listed twice"),
        ("\"frames\": 8", "\"frame\": 8", "unknown field `frame`"),
        ("\"centre\": 0", "\"centre\": 9", "names joint 9"),
        ("}", "", "at line"),
    ] {
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let error = Signature::load(&path).unwrap_err();
        assert!(
            error.is_input() && error.to_string().contains(why),
            "{why}: {error}"
        );
    }
}

#[test]
fn features_take_the_form_that_the_aligner_knows() {
    let values = Tensor::randn([1, 5, 2, 4], FLOAT_CPU);
    let map = || FeatureMap::new(values.shallow_clone()).unwrap();
    let pooled = signature(false).form(map()).unwrap();
    let mean = values.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
    assert!(pooled.is_pooled() && pooled.descriptors.is_none());
    assert!(pooled.pooled().allclose(&mean, 1e-6, 1e-6, false));
    let described = signature(true).form(map()).unwrap();
    assert_eq!(described.descriptors.unwrap().size(), [1, 8, 5]);
    let mut whole = signature(true);
    whole.features.joints = 4;
    assert!(whole.form(map()).unwrap().values.equal(&values));
}

#[test]
fn probabilities_sum_to_one_and_ties_go_to_the_lowest_column() {
    let scores = |values: &[f32]| Scores {
        logits: Tensor::from_slice(values).reshape([1, -1]),
    };
    // exp(1000) overflows; shares are 1 : 1 : 1/e.
    let prediction = Prediction {
        posterior: posterior(&scores(&[999.0, 1000.0, 1000.0]), 3).unwrap(),
        times: Times::default(),
    };
    let third = (-1.0f64).exp() / (2.0 + (-1.0f64).exp());
    assert!((prediction.posterior[0] - third).abs() < 1e-12);
    let columns: Vec<usize> = prediction.top(2).iter().map(|(column, _)| *column).collect();
    assert_eq!(columns, [1, 2]);
    assert_eq!(posterior(&scores(&[-4.0]), 1).unwrap(), [1.0]);
    assert!(posterior(&scores(&[f32::NAN, 0.0]), 2).is_err());
    assert!(posterior(&scores(&[0.0]), 2).is_err());
}
