use szar_core::Granularity;

use super::super::vae::harness::{World, learns, names, refuses, resumes, scores_as_it_should, takes_over};
use super::config::*;
use crate::nn::classifier::tests::alone;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/synse");
}

fn world() -> World {
    World::new(&[Granularity::VERB, Granularity::NOUN])
}

fn small() -> SynseConfig {
    SynseConfig {
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
        ..SynseConfig::default()
    }
}

#[test]
fn unseen_classes_are_recognised_through_their_texts() {
    if !alone() {
        return;
    }
    let config = SynseConfig {
        steps: Some(150),
        cycles: 4,
        classifier: ClassifierConfig {
            validation_steps: 50,
            ..ClassifierConfig::default()
        },
        ..SynseConfig::default()
    };
    let others = [Similarity::Cosine, Similarity::Distance, Similarity::Dot].map(|similarity| SynseConfig {
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
    let noisy = SynseConfig {
        noise: Noise::PerDimension,
        decoder: Activation::Linear,
        ..small()
    };
    let latent = [Similarity::Cosine, Similarity::Distance, Similarity::Dot].map(|similarity| SynseConfig {
        scoring: Scoring::Latent,
        similarity,
        ..small()
    });
    for config in [small(), noisy] {
        scores_as_it_should(&world(), &config);
        resumes(&world(), &config);
    }
    for config in latent {
        scores_as_it_should(&world(), &config);
    }
}

#[test]
fn official_files_are_taken_over() {
    let files = [
        ("se", "sequence_encoder"),
        ("sd", "sequence_decoder"),
        ("tne", "n_text_encoder"),
        ("tnd", "n_text_decoder"),
        ("tve_3399", "v_text_encoder"),
        ("tvd", "v_text_decoder"),
    ];
    takes_over(&world(), &small(), &files);
}

#[test]
fn what_does_not_fit_is_refused() {
    refuses(&world(), &small(), "noun");
    let wrong = SynseConfig {
        latent: Some(15),
        batch: 1,
        noun: Granularity::VERB,
        ..small()
    };
    names(&wrong, &["latent", "batch", "noun"]);
}
