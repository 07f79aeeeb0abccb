use szar_core::{AlignerConfig, Granularity};

use super::super::vae::harness::{World, learns, names, refuses, resumes, scores_as_it_should, takes_over};
use super::config::*;
use crate::nn::classifier::tests::alone;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/cada-vae");
}

fn world() -> World {
    World::new(&[Granularity::GLOBAL, Granularity::LABEL])
}

fn small() -> CadaVaeConfig {
    CadaVaeConfig {
        with: vec![Granularity::LABEL],
        latent: Some(16),
        steps: Some(20),
        cycles: 3,
        classifier: ClassifierConfig {
            samples: 50,
            steps: 40,
            validation_samples: 10,
            validation_steps: 20,
            ..ClassifierConfig::default()
        },
        ..CadaVaeConfig::default()
    }
}

fn latent(similarity: Similarity) -> CadaVaeConfig {
    CadaVaeConfig {
        scoring: Scoring::Latent,
        similarity,
        ..small()
    }
}

#[test]
fn unseen_classes_are_recognised_through_their_texts() {
    if !alone() {
        return;
    }
    let config = CadaVaeConfig {
        with: vec![Granularity::LABEL],
        steps: Some(150),
        cycles: 4,
        classifier: ClassifierConfig {
            validation_steps: 50,
            ..ClassifierConfig::default()
        },
        ..CadaVaeConfig::default()
    };
    let others =
        [Similarity::Cosine, Similarity::Distance, Similarity::Dot].map(|similarity| CadaVaeConfig {
            scoring: Scoring::Latent,
            similarity,
            ..config.clone()
        });
    learns(&world(), &config, &others.each_ref().map(|c| c as _), 0.6);
}

#[test]
fn every_way_of_scoring_and_training_is_sound() {
    if !alone() {
        return;
    }
    let noisy = CadaVaeConfig {
        noise: Noise::PerDimension,
        decoder: Activation::Linear,
        alignment: 0.1,
        triplet: TripletConfig {
            weight: 0.1,
            ..TripletConfig::default()
        },
        ..small()
    };
    for config in [small(), noisy] {
        scores_as_it_should(&world(), &config);
        resumes(&world(), &config);
    }
    for similarity in [Similarity::Cosine, Similarity::Distance, Similarity::Dot] {
        scores_as_it_should(&world(), &latent(similarity));
    }
    resumes(&world(), &latent(Similarity::Dot));
}

#[test]
fn official_files_are_taken_over() {
    let files = [
        ("se_trip1699", "sequence_encoder"),
        ("sd_trip1699", "sequence_decoder"),
        ("te_trip1699", "text_encoder"),
        ("td_trip1699", "text_decoder"),
    ];
    takes_over(&world(), &small(), &files);
}

#[test]
fn what_does_not_fit_is_refused() {
    refuses(&world(), &small(), "global");
    let wrong = CadaVaeConfig {
        latent: Some(0),
        alignment: -1.0,
        batch: 1,
        steps: Some(0),
        cycles: 0,
        lr: Some(0.0),
        scale: f64::NAN,
        with: vec![Granularity::GLOBAL],
        classifier: ClassifierConfig {
            samples: 0,
            lr: -1.0,
            ..ClassifierConfig::default()
        },
        ..small()
    };
    let fields = [
        "latent",
        "alignment",
        "batch",
        "steps",
        "cycles",
        "lr",
        "scale",
        "with",
        "classifier.samples",
        "classifier.lr",
    ];
    names(&wrong, &fields);
}

#[test]
fn capabilities_follow_the_scoring() {
    assert!(!small().capabilities().differentiable_in_anchors);
    assert!(
        latent(Similarity::Cosine)
            .capabilities()
            .differentiable_in_anchors
    );
}
