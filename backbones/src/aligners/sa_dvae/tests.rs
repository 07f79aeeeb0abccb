use szar_core::Granularity;
use tch::{Device, Kind, Tensor};

use super::super::vae::harness::{World, learns, names, refuses, resumes, scores_as_it_should, takes_over};
use super::config::*;
use super::fit::Factors;
use super::*;
use crate::nn::classifier::tests::alone;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/sa-dvae");
}

fn world() -> World {
    World::new(&[Granularity::GLOBAL])
}

fn small() -> SaDvaeConfig {
    SaDvaeConfig {
        latent: Some(16),
        style: Some(4),
        steps: Some(20),
        cycles: 3,
        classifier: ClassifierConfig {
            samples: 50,
            steps: 40,
            validation_samples: 10,
            validation_steps: 20,
            ..ClassifierConfig::default()
        },
        ..SaDvaeConfig::default()
    }
}

#[test]
fn unseen_classes_are_recognised_through_their_texts() {
    if !alone() {
        return;
    }
    let config = SaDvaeConfig {
        steps: Some(150),
        cycles: 4,
        classifier: ClassifierConfig {
            validation_steps: 50,
            ..ClassifierConfig::default()
        },
        ..SaDvaeConfig::default()
    };
    let others = [Similarity::Cosine, Similarity::Distance, Similarity::Dot].map(|similarity| SaDvaeConfig {
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
    let passes = SaDvaeConfig {
        preset: Preset::SynseNtu60,
        steps: None,
        noise: Noise::PerDimension,
        decoder: Activation::Linear,
        beta_x: Some(0.2),
        beta_y: Some(0.1),
        dis_step: Some(1),
        ..small()
    };
    let latent = [Similarity::Cosine, Similarity::Distance, Similarity::Dot].map(|similarity| SaDvaeConfig {
        scoring: Scoring::Latent,
        similarity,
        ..small()
    });
    for config in [small(), passes] {
        scores_as_it_should(&world(), &config);
        resumes(&world(), &config);
    }
    for config in latent {
        scores_as_it_should(&world(), &config);
    }
}

#[test]
fn official_files_are_taken_over_though_they_lack_the_discriminator() {
    let files = [
        ("se_1699", "sequence_encoder"),
        ("sd_1699", "sequence_decoder"),
        ("te", "text_encoder"),
        ("td", "text_decoder"),
    ];
    takes_over(&world(), &small(), &files);
}

#[test]
fn what_does_not_fit_is_refused() {
    refuses(&world(), &small(), "global");
    let wrong = SaDvaeConfig {
        style: Some(0),
        dis_step: Some(0),
        beta_x: Some(-1.0),
        batch: Some(1),
        ..small()
    };
    names(&wrong, &["style", "dis_step", "beta_x", "batch"]);
}

#[test]
fn the_published_network_has_the_published_number_of_parameters() {
    let config = SaDvaeConfig {
        preset: Preset::SynseNtu60,
        ..SaDvaeConfig::default()
    };
    let state = SaDvae::new(&config, 256, 1024, Device::Cpu).state();
    let count = |network: &str| {
        let own = state.iter().filter(|(name, _)| name.starts_with(network));
        own.map(|(_, t)| t.numel()).sum::<usize>()
    };
    assert_eq!(
        (count("sequence_encoder"), count("text_encoder")),
        (86_352, 328_000)
    );
}

#[test]
fn the_second_factor_waits_for_the_third_cycle() {
    let second = |cycle, step| Factors::at(&SaDvaeConfig::default(), cycle, step, 100).second;
    assert_eq!((second(1, 99), second(2, 80)), (0.0, 0.0));
    assert!((second(2, 99) - 0.1 * 19.0 / (100.0 / 1700.0 * 3000.0)).abs() < 1e-12);
}

#[test]
fn the_discriminator_learns_what_belongs_together() {
    if !alone() {
        return;
    }
    tch::manual_seed(2);
    let family = SaDvae::new(&small(), 8, 6, Device::Cpu);
    super::super::training::set_trainable(&family.parameters(), true);
    let mut optimisers = fit::Optimisers::new(&family);
    let order = || Tensor::randperm(64, (Kind::Int64, Device::Cpu));
    let mut loss = f64::INFINITY;
    for _ in 0..300 {
        let meaning = Tensor::randn([64, 16], tch::kind::FLOAT_CPU);
        let style = meaning.narrow(1, 0, 4).copy();
        let pairs = discriminator::Pairs::new(&meaning, &style, &Tensor::stack(&[order(), order()], 0));
        let cross_entropy = discriminator::cross_entropy(&pairs.logits(&family.discriminator));
        optimisers.discriminator.zero_grad();
        cross_entropy.backward();
        optimisers.discriminator.step(3e-2);
        loss = cross_entropy.double_value(&[]);
    }
    assert!(loss < 0.5, "{loss}");
}
