use super::*;
use crate::aligners::maps::toy::{self, SPEC, Toy, WIDTH, begins_with, close, fill, input};
use crate::nn::classifier::tests::alone;
use network::mean_text;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/neuron");
}

/// Made with the official modules in f64 from the weights and inputs of a generator.
#[test]
fn recorded_logits_of_the_full_width_network() {
    let network = Network::new(
        Sizes {
            channels: 256,
            text: 768,
            prototypes: 80,
            hidden: 256,
        },
        Device::Cpu,
    );
    fill(&network.state());
    let texts = |name: &str| {
        let one = |r| mean_text(&input(&format!("{name}{r}"), &[5, 10, 768]));
        (0..3).map(one).collect::<Vec<_>>()
    };
    let objective = Alignment {
        network: &network,
        spatial: texts("sp"),
        temporal: texts("tp"),
        scale: 0.1,
        fusion: Fusion::MeanProb,
    };
    let map = FeatureMap::new(input("X", &[2, 256, 16, 25])).unwrap();
    let [spatial, temporal] = objective.rounds(&map);
    let sums = [[-0.004723, 0.001891, -0.010590], [-0.002138, 0.003835, 0.002538]];
    let norms = [[0.003684, 0.005218, 0.003621], [0.001990, 0.004290, 0.002346]];
    for (stream, rounds) in [&spatial, &temporal].into_iter().enumerate() {
        for (round, logits) in rounds.iter().enumerate() {
            assert!(
                begins_with(&logits.sum(Kind::Double), &[sums[stream][round]]),
                "{stream} {round}"
            );
            assert!(
                begins_with(&logits.norm(), &[norms[stream][round]]),
                "{stream} {round}"
            );
        }
    }
    assert!(begins_with(
        &spatial[2],
        &[-0.001360, -0.000691, -0.000553, -0.000994]
    ));
    let trained = network.parameters().values().map(Tensor::numel).sum::<usize>();
    let all = network.state().values().map(Tensor::numel).sum::<usize>();
    assert_eq!((trained, all), (2_014_720, 2_277_888)); // the published count takes the templates in
}

fn tiny() -> NeuronConfig {
    NeuronConfig {
        prototypes: Some(8),
        batch: Some(16),
        lr: Some(5e-3),
        epochs: Some(15),
        milestones: Some(vec![12]),
        ..NeuronConfig::default()
    }
}

#[test]
fn unseen_classes_are_recognised_through_their_texts() {
    if !alone() {
        return;
    }
    let toy = Toy::new();
    let aligner = toy.fitted(&tiny(), 192);
    let share = toy.unseen_share(aligner.as_ref());
    assert!(share > 0.7, "{share}");
    toy::batches_are_singles(&toy, aligner.as_ref());
    toy::columns_follow_classes(&toy, aligner.as_ref());
    toy::states_survive(&toy, &tiny(), aligner.as_ref());
    toy::gradients_flow(&toy, aligner.as_ref());
}

#[test]
fn a_stream_alone_scores_its_cosines() {
    let toy = Toy::new();
    for fusion in [Fusion::Spatial, Fusion::Temporal] {
        let config = NeuronConfig {
            fusion,
            epochs: Some(2),
            ..tiny()
        };
        let aligner = toy.fitted(&config, 64);
        toy::batches_are_singles(&toy, aligner.as_ref());
        let map = toy.maps("alone", &[0, 17]);
        let logits = aligner.score(&map, &toy.anchors).unwrap().logits;
        let both = aligner.embed(&map, &toy.anchors).unwrap();
        let products = both.visual.mm(&both.classes.transpose(0, 1)) * config.logit_scale();
        assert!(close(&logits, &products));
    }
}

#[test]
fn the_fused_score_is_the_mean_of_both_posteriors() {
    let (a, b) = (toy::random("a", &[3, 4]) * 3.0, toy::random("b", &[3, 4]) * 3.0);
    let soft = |x: &Tensor| x.softmax(-1, Kind::Float);
    let want = (soft(&a) + soft(&b)) / 2.0;
    assert!(close(&soft(&score::mean_posterior(&a, &b)), &want));
}

#[test]
fn an_oracle_takes_the_stream_that_is_right() {
    let (a, b) = (
        Tensor::from_slice2(&[[2f32, 1., 0.], [2., 1., 0.], [9., 8., 0.]]),
        Tensor::from_slice2(&[[0f32, 2., 0.], [0., 2., 0.], [0., 9., 8.]]),
    );
    let labels = Tensor::from_slice(&[0i64, 1, 2]);
    let chosen = score::either(&a, &b, &labels).argmax(-1, false);
    // Right by the first, right by the second, right by neither: the first's choice.
    assert_eq!(Vec::<i64>::try_from(chosen).unwrap(), [0, 1, 0]);
}

#[test]
fn labels_are_refused_unless_asked_for_by_name() {
    let toy = Toy::new();
    let labels = OracleLabels(Tensor::from_slice(&[0i64, 1]));
    let map = toy.maps("labels", &[0, 1]);
    let refused = toy.build(&tiny()).score_with_labels(&map, &toy.anchors, &labels);
    assert!(refused.unwrap_err().to_string().contains("fusion: oracle_or"));
    let config = NeuronConfig {
        fusion: Fusion::OracleOr,
        ..tiny()
    };
    let aligner = toy.build(&config);
    assert!(aligner.capabilities().oracle_labels && config.marks()[0].uses_test_labels);
    assert!(aligner.score_with_labels(&map, &toy.anchors, &labels).is_ok());
    let one = OracleLabels(Tensor::from_slice(&[0i64]));
    assert!(aligner.score_with_labels(&map, &toy.anchors, &one).is_err());
}

#[test]
fn a_stopped_fit_resumes_bit_for_bit() {
    let config = NeuronConfig {
        epochs: Some(3),
        ..tiny()
    };
    toy::stopped_fits_resume(&Toy::new(), &config);
}

#[test]
fn the_paper_has_ten_texts_a_round() {
    let config = NeuronConfig {
        preset: Preset::Paper,
        ..NeuronConfig::default()
    };
    let texts = config.capabilities().granularities;
    assert_eq!(texts.len(), 60);
    assert_eq!(
        (texts[0].as_str(), texts[59].as_str()),
        ("spatial_cg_1", "temporal_fstp_10")
    );
}

#[test]
fn mistakes_are_refused() {
    let toy = Toy::new();
    toy::mistakes_are_refused(&toy, &tiny());
    let lacking = Neuron::new(&tiny(), &SPEC, &[Granularity::GLOBAL], WIDTH, Device::Cpu);
    let error = lacking.err().unwrap().to_string();
    assert!(error.contains("unknown granularity `head`"), "{error}");
    let odd = NeuronConfig {
        prototypes: Some(3),
        spatial: Some([vec![], vec![], vec![]]),
        ..tiny()
    };
    let mut problems = szar_core::Problems::new();
    odd.validate(&mut problems);
    assert_eq!(problems.len(), 4, "{problems}");
}
