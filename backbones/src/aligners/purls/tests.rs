use std::sync::Arc;

use szar_core::testing::{anchors, build_context, classes, fit_context, layout, uniform};
use szar_core::{Cancel, ClassId, ClassSplit, SeenLabels, SeenSet};
use tch::kind::FLOAT_CPU;

use super::score::Judge;
use super::*;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/purls");
}

fn unit_input(name: &str, shape: [i64; 3]) -> Tensor {
    let values = uniform(name, &shape) * 2.0 - 1.0;
    nodes::unit_rows(&values).to_kind(Kind::Float)
}

fn filled(network: &Network) -> NamedTensors {
    let fill = |(name, like): (String, Tensor)| {
        if like.kind() == Kind::Int64 {
            return (name, like);
        }
        let v = uniform(&name, &like.size());
        let last = name.rsplit('.').next().unwrap().to_owned();
        let values = match (last.as_str(), like.dim()) {
            ("running_var", _) => v * 0.5 + 0.75,
            ("running_mean", _) => (v - 0.5) * 0.2,
            ("tmps", _) => v,
            (_, 2) => (v * 2.0 - 1.0) * (3.0 / like.size()[1] as f64).sqrt(),
            ("weight", _) => v * 0.25 + 0.25,
            _ => (v - 0.5) * 0.2,
        };
        let tenfold = if name.starts_with("attention") { 10.0 } else { 1.0 };
        (name, values * tenfold)
    };
    network.state().into_iter().map(fill).collect()
}

/// Made with the official modules in f64 from the weights and inputs of the generator above.
#[test]
fn recorded_scores_of_the_full_width_network() {
    let shape = Shape {
        channels: 256,
        width: 512,
        slots: 8,
        hidden: 1024,
        attention: Some((2, 150)),
        weighted: false,
    };
    let network = Network::new(shape, Device::Cpu);
    network.load(&filled(&network)).unwrap();
    let (seen, text) = (unit_input("G", [2, 75, 256]), unit_input("D", [5, 8, 512]));
    let near = |got: &Tensor, want: &[f64]| {
        let got = got
            .flatten(0, -1)
            .narrow(0, 0, want.len() as i64)
            .to_kind(Kind::Double);
        assert!(
            got.allclose(&Tensor::from_slice(want), 1e-4, 5e-6, false),
            "{got} {want:?}"
        );
    };
    let probes = network
        .attention()
        .unwrap()
        .probe(&text)
        .narrow(0, 0, 1)
        .expand([2, -1, -1], false);
    let fused = network.fuse(&seen, Some(&probes)).unwrap();
    near(&fused, &[0.006865, 0.001046, 0.006120, 0.003144]);
    near(&fused.sum(Kind::Double), &[0.111486]);
    near(&fused.norm(), &[0.467896]);
    let vectors = network.project(&fused, &head::Pass::Eval);
    near(&vectors, &[0.046959, -0.021513, 0.002362, -0.083495]);
    near(&vectors.norm(), &[7.892987]);
    let judge = Judge {
        network: &network,
        last: text.select(1, -1),
        text,
        slots: ScoreSlots::Global,
        similarity: Similarity::Dot,
    };
    let scores = judge.per_class(&seen).unwrap();
    near(
        &scores.select(0, 0),
        &[-0.151198, -0.044905, 0.070826, -0.093608, 0.034452],
    );
    near(
        &scores.select(0, 1),
        &[-0.153069, -0.046966, 0.071056, -0.093369, 0.034173],
    );
    let asked = judge
        .asked_by(&seen, &Tensor::zeros([2], (Kind::Int64, Device::Cpu)))
        .unwrap();
    near(&asked, &[-0.151198, -0.045127, 0.071005, -0.093630]);
}

const SPEC: EncoderSpec = EncoderSpec {
    channels: 12,
    frames: 6,
    joints: 5,
    classifies: false,
};

fn small() -> PurlsConfig {
    PurlsConfig {
        hidden: 32,
        key_width: 8,
        epochs: Some(2),
        batch: Some(8),
        ..PurlsConfig::default()
    }
}

fn built(config: &PurlsConfig) -> Purls {
    Purls::new(config, &SPEC, &Granularity::PURLS_ORDER, 8, Device::Cpu).unwrap()
}

fn maps(count: i64) -> FeatureMap {
    FeatureMap::new(Tensor::randn([count, 12, 6, 5], FLOAT_CPU)).unwrap()
}

fn seen_of(features: FeatureMap, labels: &[i64], count: usize) -> SeenSet {
    let all = classes(count + 1);
    let seen: Vec<_> = (0..count as i64).map(ClassId).collect();
    let split = ClassSplit::new("s", &all, &seen, &[ClassId(count as i64)]).unwrap();
    let ids: Vec<_> = labels.iter().map(|l| ClassId(*l)).collect();
    SeenSet {
        features,
        labels: SeenLabels::new(&split, &ids, Device::Cpu).unwrap(),
    }
}

fn random_seen(train: i64, validation: i64, count: i64) -> SeenFeatures {
    let set = |n: i64| {
        seen_of(
            maps(n),
            &(0..n).map(|i| i % count).collect::<Vec<_>>(),
            count as usize,
        )
    };
    SeenFeatures {
        train: set(train),
        validation: set(validation),
        layout: Arc::new(layout(5)),
    }
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.allclose(b, 1e-4, 1e-5, false)
}

#[test]
fn every_partition_query_and_loss_fits_and_scores() {
    let base = small;
    let variants = [
        base(),
        PurlsConfig {
            partition: Partition::Static,
            score: ScoreSlots::Mean,
            ..base()
        },
        PurlsConfig {
            partition: Partition::Global,
            loss: Loss::ClassAware,
            ..base()
        },
        PurlsConfig {
            query: Query::Pseudo,
            training_query: TrainingQuery::RandomSeen,
            ..base()
        },
        PurlsConfig {
            query: Query::MeanText,
            training_query: TrainingQuery::MeanText,
            ..base()
        },
        PurlsConfig {
            nodes: Nodes::All,
            learn_weights: true,
            rows: Rows::Bp,
            ..base()
        },
        PurlsConfig {
            nodes: Nodes::Pairs,
            similarity: Similarity::Cosine,
            rows: Rows::TpOfficial,
            ..base()
        },
    ];
    let seen = random_seen(17, 9, 4); // 17 = 8 + 9: a last batch of one would have no deviation
    let candidates = anchors(4, 8);
    for config in variants {
        let mut problems = szar_core::Problems::new();
        config.validate(&mut problems);
        assert!(problems.is_empty(), "{problems}");
        let cancel = Cancel::default();
        let mut aligner = built(&config);
        let summary = aligner
            .fit(&seen, &candidates, &mut fit_context(&cancel))
            .unwrap();
        assert_eq!((summary.epochs, summary.validation.len()), (2, 2), "{config:?}");
        let scores = aligner.score(&maps(3), &anchors(6, 8)).unwrap().logits;
        assert_eq!(scores.size(), [3, 6]);
        assert_eq!(scores.isfinite().all().int64_value(&[]), 1, "{config:?}");
        assert!(!scores.requires_grad(), "{config:?}");
    }
}

#[test]
fn a_batch_equals_its_samples_one_by_one() {
    for slots in [ScoreSlots::Global, ScoreSlots::Mean] {
        let aligner = built(&PurlsConfig {
            score: slots,
            ..small()
        });
        let (map, candidates) = (maps(9), anchors(40, 8));
        let all = aligner.score(&map, &candidates).unwrap().logits;
        for i in 0..9 {
            let one = aligner.score(&map.narrow(i, 1), &candidates).unwrap().logits;
            assert!(close(&one, &all.narrow(0, i, 1)));
        }
    }
}

#[test]
fn many_candidates_are_scored_in_parts() {
    let aligner = built(&small());
    let (map, candidates) = (maps(300), anchors(40, 8)); // 12,000 rows, three parts
    let all = aligner.score(&map, &candidates).unwrap().logits;
    let few = aligner.score(&map.narrow(290, 10), &candidates).unwrap().logits;
    assert!(close(&few, &all.narrow(0, 290, 10)));
}

#[test]
fn candidates_are_scored_independently_of_each_other() {
    let aligner = built(&small());
    let (map, candidates) = (maps(4), anchors(6, 8));
    let all = aligner.score(&map, &candidates).unwrap().logits;
    let two = candidates
        .for_classes(&classes(6).subset(&[ClassId(1), ClassId(4)]).unwrap())
        .unwrap();
    let some = aligner.score(&map, &two).unwrap().logits;
    assert!(close(
        &some,
        &all.index_select(1, &Tensor::from_slice(&[1i64, 4]))
    ));
}

#[test]
fn per_class_scoring_asks_each_candidate_as_the_oracle_asks_the_true_one() {
    let config = PurlsConfig {
        query: Query::OracleLabel,
        ..small()
    };
    let aligner = built(&config);
    let (map, candidates) = (maps(5), anchors(3, 8));
    let honest = aligner.score(&map, &candidates).unwrap().logits;
    for class in 0..3 {
        let labels = OracleLabels(Tensor::full([5], class, (Kind::Int64, Device::Cpu)));
        let told = aligner
            .score_with_labels(&map, &candidates, &labels)
            .unwrap()
            .logits;
        assert!(close(&told.select(1, class), &honest.select(1, class)));
    }
    assert!(config.marks().iter().any(|m| m.uses_test_labels) && aligner.capabilities().oracle_labels);
}

#[test]
fn attention_is_what_the_slots_are_made_with() {
    let config = PurlsConfig {
        nodes: Nodes::All,
        ..small()
    };
    let aligner = built(&config);
    let (map, candidates) = (maps(3), anchors(4, 8));
    let columns = Tensor::from_slice(&[2i64, 0, 3]);
    let attention = aligner.attention(&map, &candidates, &columns).unwrap().unwrap();
    assert_eq!(
        (attention.names.len(), attention.weights.size()),
        (8, vec![3, 8, 30])
    );
    let seen = aligner.view(&map).unwrap();
    let probes = aligner.judge(&candidates, false).unwrap().probes().unwrap();
    let slots = aligner
        .network
        .fuse(&seen, Some(&probes.index_select(0, &columns)));
    assert!(close(
        &attention.weights.bmm(&seen).flatten(1, 2),
        &slots.unwrap()
    ));
    let thirds = built(&small())
        .attention(&map, &candidates, &columns)
        .unwrap()
        .unwrap();
    let sums = thirds
        .weights
        .sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
    assert!(close(&sums, &sums.ones_like()));
    let fixed = built(&PurlsConfig {
        partition: Partition::Static,
        ..small()
    });
    assert!(fixed.attention(&map, &candidates, &columns).unwrap().is_none());
}

#[test]
fn labels_are_refused_unless_asked_for_by_name() {
    let labels = OracleLabels(Tensor::zeros([2], (Kind::Int64, Device::Cpu)));
    let error = built(&small())
        .score_with_labels(&maps(2), &anchors(3, 8), &labels)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "aligner `purls` with `query: per_class` has no use for test labels"
    );
}

#[test]
fn gradients_reach_the_anchors() {
    for config in [
        small(),
        PurlsConfig {
            query: Query::MeanText,
            score: ScoreSlots::Mean,
            ..small()
        },
    ] {
        let aligner = built(&config);
        let leaf = anchors(3, 8).values.set_requires_grad(true);
        let candidates = anchors(3, 8).with_values(leaf.shallow_clone()).unwrap();
        aligner
            .score(&maps(2), &candidates)
            .unwrap()
            .logits
            .square()
            .sum(Kind::Float)
            .backward();
        let reached = leaf
            .grad()
            .abs()
            .sum_dim_intlist([0i64, 2].as_slice(), false, Kind::Float);
        assert!(reached.min().double_value(&[]) > 0.0, "every text takes part");
    }
}

#[test]
fn official_names_and_lightning_names_load() {
    let (from, mut into) = (built(&small()), built(&small()));
    let mut state: NamedTensors = from
        .state()
        .into_iter()
        .map(|(name, t)| (format!("model.{name}"), t))
        .collect();
    state.insert("model.clip.logit_scale".into(), Tensor::zeros([1], FLOAT_CPU));
    into.load_state(&state).unwrap();
    let (map, candidates) = (maps(2), anchors(3, 8));
    let scores = [&from, &into].map(|a| a.score(&map, &candidates).unwrap().logits);
    assert!(scores[0].equal(&scores[1]));
    let names: Vec<_> = from.state().into_keys().collect();
    assert_eq!(names.len(), 17);
    assert_eq!(
        names[..2],
        ["attention.linear_k.weight", "attention.linear_q.weight"]
    );
}

#[test]
fn the_published_network_has_the_published_number_of_parameters() {
    let spec = EncoderSpec {
        channels: 256,
        frames: 3,
        joints: 25,
        classifies: false,
    };
    let count = |rows| {
        let config = PurlsConfig {
            rows,
            ..PurlsConfig::default()
        };
        let purls = Purls::new(&config, &spec, &Granularity::PURLS_ORDER, 512, Device::Cpu).unwrap();
        purls
            .network
            .parameters()
            .values()
            .map(Tensor::numel)
            .sum::<usize>()
    };
    assert_eq!((count(Rows::Full), count(Rows::G)), (6_533_128, 1_020_929));
}

#[test]
fn a_map_of_another_form_is_refused() {
    let map = FeatureMap::new(Tensor::zeros([2, 12, 6, 4], FLOAT_CPU)).unwrap();
    let error = built(&small()).score(&map, &anchors(3, 8)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`feature map` has shape [2, 12, 6, 4], expected [_, 12, 6, 5]"
    );
    let error = built(&small()).score(&maps(2), &anchors(3, 9)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`semantic anchors` has shape [3, 8, 9], expected [_, _, 8]"
    );
}

#[test]
fn pooled_features_are_refused_unless_global() {
    let spec = EncoderSpec {
        channels: 12,
        frames: 1,
        joints: 1,
        classifies: false,
    };
    let build = |partition| {
        let config = PurlsConfig { partition, ..small() };
        config.build(&spec, &Granularity::PURLS_ORDER, 8, &build_context())
    };
    assert!(build(Partition::Global).is_ok());
    assert!(
        build(Partition::Adaptive)
            .err()
            .unwrap()
            .to_string()
            .contains("the features are pooled")
    );
}

#[test]
fn a_stopped_fit_is_no_model() {
    let cancel = Cancel::default();
    cancel.request();
    let fit = built(&small()).fit(&random_seen(8, 0, 4), &anchors(4, 8), &mut fit_context(&cancel));
    assert!(matches!(fit, Err(Error::Cancelled)));
}
