//! The linear classifier on sampled text latents, trained in closed-form steps: no graph, and where the noise is one number
//! a sample, products whose size does not grow with the number of samples.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};
use szar_core::host::{HostF32, tensor};
use szar_core::optim::{Optimiser, Rule};
use szar_core::{NamedTensors, Seed};
use tch::{Device, Kind, Tensor, no_grad};

use super::{Activation, ClassifierConfig, Noise, Posterior};

/// Half the width of Xavier's uniform distribution with official code's gain.
fn xavier(inputs: i64, outputs: i64) -> f64 {
    0.5 * (6.0 / (inputs + outputs) as f64).sqrt()
}

/// R samples of the text latent of each of C classes, as `design · basis`, with a column of ones at the end.
///
/// One number of noise a sample puts all samples of a class on a line (a plane, with two encoders), so that the design holds
/// the noise and the basis mean and deviation of the class; else the design holds the samples themselves.
#[derive(Debug)]
pub struct Latents {
    /// `[C, R, 1 + encoders]`, or `[1, C·R, L + 1]`.
    design: Tensor,
    /// `[C, 1 + encoders, L + 1]`, or the identity `[1, L + 1, L + 1]`.
    basis: Tensor,
    classes: i64,
}

impl Latents {
    /// Samples of the posteriors (one per text encoder, `[C, Lᵢ]`) with noise `[C, R, 1]` or `[C, R, Lᵢ]` for each.
    pub fn new(posteriors: &[Posterior], noise: &[Tensor]) -> Self {
        let classes = posteriors.first().map_or(0, |p| p.mean.size()[0]);
        if noise.iter().all(|n| n.size()[2] == 1) {
            let mut design: Vec<_> = noise.iter().take(1).map(Tensor::ones_like).collect();
            design.extend(noise.iter().map(Tensor::shallow_clone));
            return Self {
                design: Tensor::cat(&design, 2),
                basis: lines(posteriors),
                classes,
            };
        }
        let drawn = posteriors.iter().zip(noise);
        let drawn = drawn.map(|(p, n)| p.mean.unsqueeze(1) + n * p.deviation.unsqueeze(1));
        let values = Tensor::cat(&drawn.collect::<Vec<_>>(), 2).flatten(0, 1);
        let options = (Kind::Float, values.device());
        let ones = Tensor::ones([values.size()[0], 1], options);
        Self {
            design: Tensor::cat(&[&values, &ones], 1).unsqueeze(0),
            basis: Tensor::eye(values.size()[1] + 1, options).unsqueeze(0),
            classes,
        }
    }

    /// The samples, `[C, R, L]`.
    pub fn values(&self) -> Tensor {
        let width = self.basis.size()[2];
        let all = self.design.bmm(&self.basis).narrow(2, 0, width - 1);
        all.reshape([self.classes, -1, width - 1])
    }
}

/// `[C, 1 + encoders, L + 1]`: the means with a one, and each encoder's deviations with a zero.
fn lines(posteriors: &[Posterior]) -> Tensor {
    let row = |own: Option<usize>| {
        let part = |(i, p): (usize, &Posterior)| match own {
            None => p.mean.shallow_clone(),
            Some(at) if at == i => p.deviation.shallow_clone(),
            Some(_) => p.mean.zeros_like(),
        };
        let mut parts: Vec<_> = posteriors.iter().enumerate().map(part).collect();
        let last = parts[0].narrow(1, 0, 1);
        parts.push(if own.is_none() {
            last.ones_like()
        } else {
            last.zeros_like()
        });
        Tensor::cat(&parts, 1)
    };
    let rows: Vec<_> = [None]
        .into_iter()
        .chain((0..posteriors.len()).map(Some))
        .map(row)
        .collect();
    Tensor::stack(&rows, 1)
}

/// A classifier in training: all samples in every step, cross entropy, Adam.
pub struct Fitting {
    latents: Latents,
    /// `[C, L + 1]`, the bias last.
    weights: Tensor,
    optimiser: Optimiser,
    output: Activation,
}

impl Fitting {
    /// Begins with these weights `[C, L]` and biases `[C]`.
    pub fn new(latents: Latents, weight: &Tensor, bias: &Tensor, output: Activation) -> Self {
        let weights = Tensor::cat(&[weight, &bias.unsqueeze(1)], 1).set_requires_grad(true);
        let named = NamedTensors::from([("weights".to_owned(), weights.shallow_clone())]);
        Self {
            optimiser: Optimiser::new(Rule::Adam, 0.0, &named),
            latents,
            weights,
            output,
        }
    }

    /// `[G, n, C]` before what follows the layer.
    fn products(&self) -> Tensor {
        let coefficients = self.latents.basis.matmul(&self.weights.transpose(0, 1));
        self.latents.design.bmm(&coefficients)
    }

    /// Mean cross entropy of all samples, a scalar.
    pub fn loss(&self) -> Tensor {
        no_grad(|| {
            let log = self.output.apply(self.products()).log_softmax(-1, Kind::Float);
            let classes = self.latents.classes;
            -log.view([classes, -1, classes])
                .diagonal(0, 0, 2)
                .mean(Kind::Float)
        })
    }

    /// One step. With G the gradient of the logits (posterior less target, and 0 where the output's ReLU cut), the weights'
    /// is `(designᵀ G)ᵀ basis`.
    pub fn step(&mut self, lr: f64) {
        let gradient = no_grad(|| {
            let products = self.products();
            let classes = self.latents.classes;
            let mut logits = self
                .output
                .apply(products.shallow_clone())
                .softmax(-1, Kind::Float);
            let _ = logits
                .view([classes, -1, classes])
                .diagonal(0, 0, 2)
                .g_sub_scalar_(1.0);
            if self.output == Activation::Relu {
                logits = products.threshold_backward(&logits, 0.0);
            }
            let rows = logits.numel() as i64 / classes;
            let coefficients = self.latents.design.transpose(1, 2).bmm(&logits);
            let basis = self.latents.basis.flatten(0, 1);
            coefficients.flatten(0, 1).transpose(0, 1).mm(&basis) / rows as f64
        });
        self.optimiser.step_with(&[gradient], lr);
    }

    /// Weights `[C, L]` and biases `[C]` as they are now.
    pub fn head(&self) -> Head {
        let weights = self.weights.detach();
        let latent = weights.size()[1] - 1;
        Head {
            weight: weights.narrow(1, 0, latent).copy(),
            bias: weights.select(1, latent).copy(),
            output: self.output,
        }
    }
}

/// A trained classifier.
#[derive(Debug)]
pub struct Head {
    /// `[C, L]`.
    pub weight: Tensor,
    /// `[C]`.
    pub bias: Tensor,
    output: Activation,
}

impl Head {
    /// Logits `[B, C]` of latent means `[B, L]`.
    pub fn logits(&self, means: &Tensor) -> Tensor {
        self.output.apply(means.linear(&self.weight, Some(&self.bias)))
    }
}

/// Trains a classifier for classes with these texts `[C, ·]` and posteriors `[C, Lᵢ]`, one per text encoder.
///
/// Random numbers of a class come from its texts, and classes are trained in an order that their texts give: the result
/// depends neither on the order of candidates, nor on other random numbers drawn before.
pub fn train(
    posteriors: &[Posterior],
    texts: &[Tensor],
    noise: Noise,
    config: &ClassifierConfig,
    seed: Seed,
) -> Head {
    no_grad(|| {
        let device = posteriors[0].mean.device();
        let mut seeds: Vec<(Seed, i64)> = seeds(texts, seed).into_iter().zip(0..).collect();
        seeds.sort_by_key(|(seed, column)| (seed.0, *column));
        let order: Vec<i64> = seeds.iter().map(|(_, column)| *column).collect();
        let sorted = Tensor::from_slice(&order).to_device(device);
        let widths: Vec<i64> = posteriors.iter().map(|p| p.mean.size()[1]).collect();
        let drawn = draw(&seeds, &widths, noise, config.samples, device);
        let posteriors: Vec<_> = posteriors.iter().map(|p| p.select(&sorted)).collect();
        let latents = Latents::new(&posteriors, &drawn.noise);
        let bias = Tensor::zeros([order.len() as i64], (Kind::Float, device));
        let mut fitting = Fitting::new(latents, &drawn.weight, &bias, config.output);
        for _ in 0..config.steps {
            fitting.step(config.lr);
        }
        let back = sorted.argsort(0, false);
        let head = fitting.head();
        Head {
            weight: head.weight.index_select(0, &back),
            bias: head.bias.index_select(0, &back),
            output: head.output,
        }
    })
}

/// A seed for every class, from the values of its texts.
fn seeds(texts: &[Tensor], seed: Seed) -> Vec<Seed> {
    let host: Vec<_> = texts.iter().map(HostF32::new).collect();
    let classes = texts.first().map_or(0, |t| t.size()[0]) as usize;
    let of = |class: usize| {
        let mut hash = Sha256::new();
        for values in &host {
            let width = values.as_slice().len() / classes;
            for value in &values.as_slice()[class * width..(class + 1) * width] {
                hash.update(value.to_le_bytes());
            }
        }
        let digest = hash.finalize();
        let purpose: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
        seed.derive(&purpose, 0)
    };
    (0..classes).map(of).collect()
}

struct Drawn {
    /// `[C, L]`, what the classifier begins with.
    weight: Tensor,
    /// Per encoder `[C, R, 1]` or `[C, R, Lᵢ]`.
    noise: Vec<Tensor>,
}

fn draw(seeds: &[(Seed, i64)], widths: &[i64], noise: Noise, samples: i64, device: Device) -> Drawn {
    let classes = seeds.len() as i64;
    let latent = widths.iter().sum::<i64>();
    let bound = xavier(latent, classes) as f32;
    let mut weight = Vec::with_capacity((classes * latent) as usize);
    let mut all: Vec<Vec<f32>> = widths.iter().map(|_| Vec::new()).collect();
    for (seed, _) in seeds {
        let mut rng = seed.rng();
        weight.extend((0..latent).map(|_| rng.random_range(-bound..=bound)));
        for (values, width) in all.iter_mut().zip(widths) {
            let count = samples * noise.columns(*width);
            values.extend((0..count).map(|_| -> f32 { StandardNormal.sample(&mut rng) }));
        }
    }
    let blocks = all.iter().zip(widths);
    let blocks = blocks.map(|(v, w)| tensor(v, &[classes, samples, noise.columns(*w)]).to_device(device));
    Drawn {
        weight: tensor(&weight, &[classes, latent]).to_device(device),
        noise: blocks.collect(),
    }
}
