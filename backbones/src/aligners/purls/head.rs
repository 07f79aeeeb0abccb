//! The projection head: all slots of a sample in one vector, through one hidden layer, to one text vector per slot.
//!
//! Official code: BatchNorm, dropout, linear, SiLU, BatchNorm, dropout, linear, tanh, under the names
//! `skel_encoder.{0,2,5,7}`.

use szar_core::{Affine, Error, NamedTensors, Result};
use tch::{Device, Kind, Tensor};

const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;

/// Rows from which bringing a product into oneDNN's form and back costs less than it saves.
const MANY_ROWS: i64 = 32;

/// Which units a pass drops.
#[derive(Debug)]
pub(super) enum Dropout<'a> {
    /// Drawn from libtorch's generator, this share of them.
    Share(f64),
    /// Those where the keep masks `[n, L·N]` and `[n, hidden]` are 0; the rest is divided by `keep`.
    Masks {
        /// Share of the units that are kept on average.
        keep: f64,
        /// One mask per dropout.
        masks: [&'a Tensor; 2],
    },
}

impl Dropout<'_> {
    fn apply(&self, x: &Tensor, which: usize) -> Tensor {
        match self {
            Self::Share(0.0) => x.shallow_clone(),
            Self::Share(share) => x.dropout(*share, true),
            Self::Masks { keep, masks } => x * masks[which] / *keep,
        }
    }
}

/// Evaluation (running statistics, no dropout), or training.
#[derive(Debug)]
pub(super) enum Pass<'a> {
    Eval,
    Train(Dropout<'a>),
}

/// Weights from U(−√(6/n), √(6/n)) for n inputs (He et al. 2015), `[outputs, inputs]`.
pub(super) fn kaiming_uniform(outputs: i64, inputs: i64, device: Device) -> Tensor {
    let bound = (6.0 / inputs as f64).sqrt();
    Tensor::empty([outputs, inputs], (Kind::Float, device)).uniform_(-bound, bound)
}

#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn new(outputs: i64, inputs: i64, device: Device) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Self {
            weight: kaiming_uniform(outputs, inputs, device),
            bias: Tensor::empty([outputs], (Kind::Float, device)).uniform_(-bound, bound),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        product(x, &self.weight, &self.bias)
    }

    fn state(&self, name: &str, into: &mut NamedTensors) {
        into.insert(format!("{name}.weight"), self.weight.shallow_clone());
        into.insert(format!("{name}.bias"), self.bias.shallow_clone());
    }
}

/// `x Wᵀ + b`, differentiable in `x`.
///
/// Many rows with frozen weights go to oneDNN: libtorch's own choice for f32 on a CPU, MKL, leaves the widest vector
/// instructions of processors of other makers alone. On a Zen 5, 2048 rows, one thread: 45 against 86 billion products a second,
/// there and back.
pub(in crate::aligners) fn product(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let suits = x.size()[0] >= MANY_ROWS && x.device() == Device::Cpu && x.kind() == Kind::Float;
    let frozen = !weight.requires_grad() && !bias.requires_grad();
    let through_onednn = || {
        let none: Option<Kind> = None;
        let y = x.f_to_mkldnn(none)?.f_mkldnn_linear(weight, Some(bias))?;
        y.f_to_dense(none, false)
    };
    // An error says that this libtorch has no oneDNN.
    match (suits && frozen).then(through_onednn) {
        Some(Ok(y)) => y,
        _ => x.linear(weight, Some(bias)),
    }
}

#[derive(Debug)]
struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    /// Scalar i64, training passes so far.
    batches: Tensor,
}

impl BatchNorm {
    fn new(width: i64, device: Device) -> Self {
        let options = (Kind::Float, device);
        Self {
            weight: Tensor::ones([width], options),
            bias: Tensor::zeros([width], options),
            mean: Tensor::zeros([width], options),
            variance: Tensor::ones([width], options),
            batches: Tensor::zeros([0i64; 0], (Kind::Int64, device)),
        }
    }

    fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        if training {
            let _ = tch::no_grad(|| self.batches.shallow_clone().g_add_scalar_(1));
        }
        x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.mean),
            Some(&self.variance),
            training,
            MOMENTUM,
            EPSILON,
            false,
        )
    }

    fn state(&self, name: &str, into: &mut NamedTensors) {
        into.insert(format!("{name}.weight"), self.weight.shallow_clone());
        into.insert(format!("{name}.bias"), self.bias.shallow_clone());
        into.insert(format!("{name}.running_mean"), self.mean.shallow_clone());
        into.insert(format!("{name}.running_var"), self.variance.shallow_clone());
        into.insert(
            format!("{name}.num_batches_tracked"),
            self.batches.shallow_clone(),
        );
    }
}

/// The head.
#[derive(Debug)]
pub(super) struct Head {
    input_norm: BatchNorm,
    hidden: Linear,
    hidden_norm: BatchNorm,
    output: Linear,
    width: i64,
}

impl Head {
    pub fn new(slots: i64, channels: i64, hidden: i64, width: i64, device: Device) -> Self {
        Self {
            input_norm: BatchNorm::new(slots * channels, device),
            hidden: Linear::new(hidden, slots * channels, device),
            hidden_norm: BatchNorm::new(hidden, device),
            output: Linear::new(slots * width, hidden, device),
            width,
        }
    }

    pub fn state(&self, into: &mut NamedTensors) {
        self.input_norm.state("skel_encoder.0", into);
        self.hidden.state("skel_encoder.2", into);
        self.hidden_norm.state("skel_encoder.5", into);
        self.output.state("skel_encoder.7", into);
    }

    /// `[n, L, d]` in (−1, 1) from the slots `[n, L·N]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Tensor {
        let out = self.output.forward(&self.to_hidden(x, pass)).tanh();
        out.view([x.size()[0], -1, self.width])
    }

    /// `[n, d]`: the last slot of what [`Self::forward`] gives in evaluation, without computing the others.
    pub fn forward_last(&self, x: &Tensor) -> Tensor {
        let start = self.output.bias.size()[0] - self.width;
        let weight = self.output.weight.narrow(0, start, self.width);
        let bias = self.output.bias.narrow(0, start, self.width);
        product(&self.to_hidden(x, &Pass::Eval), &weight, &bias).tanh()
    }

    /// `[n, hidden]`: as the first layer makes of `[n, L·N]` whose slots are all the same row of `[n, N]`, in one product
    /// instead of L.
    pub fn hidden_of_repeated(&self, row: &Tensor, slots: i64) -> Tensor {
        let channels = row.size()[1];
        let norm = &self.input_norm;
        let scale = &norm.weight / (&norm.variance + EPSILON).sqrt();
        let shift = &norm.bias - &norm.mean * &scale;
        let by_slot = (&self.hidden.weight * &scale).view([-1, slots, channels]);
        let weight = by_slot.sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let bias = &self.hidden.bias + self.hidden.weight.mv(&shift);
        self.hidden_norm
            .forward(&row.linear(&weight, Some(&bias)).silu(), false)
    }

    /// `[n, L, d]` from the hidden layer `[n, hidden]`.
    pub fn project_hidden(&self, hidden: &Tensor) -> Tensor {
        let out = self.output.forward(hidden).tanh();
        out.view([hidden.size()[0], -1, self.width])
    }

    /// Mean and variance of the slots `[L·N]` in training.
    pub fn input_statistics(&self) -> (Tensor, Tensor) {
        (
            self.input_norm.mean.shallow_clone(),
            self.input_norm.variance.shallow_clone(),
        )
    }

    /// Copies of the scales and shifts of the two normalisations.
    pub fn affine(&self) -> Vec<Affine> {
        let copy = |(layer, norm): (&str, &BatchNorm)| Affine {
            layer: layer.to_owned(),
            weight: norm.weight.detach().copy(),
            bias: norm.bias.detach().copy(),
        };
        [
            ("skel_encoder.0", &self.input_norm),
            ("skel_encoder.5", &self.hidden_norm),
        ]
        .map(copy)
        .into()
    }

    /// `[n, L, d]`: as [`Self::forward`] with these scales and shifts and the statistics of the batch.
    ///
    /// # Errors
    /// [`Error::Input`] when they are not those of [`Self::affine`].
    pub fn forward_with(&self, x: &Tensor, affine: &[Affine]) -> Result<Tensor> {
        let [first, second] = affine else {
            let why = format!("aligner `purls` has 2 normalisation layers, got {}", affine.len());
            return Err(Error::Input(why));
        };
        let hidden = self.hidden.forward(&first.of_batch(x)?).silu();
        Ok(self.project_hidden(&second.of_batch(&hidden)?))
    }

    fn to_hidden(&self, x: &Tensor, pass: &Pass) -> Tensor {
        let training = matches!(pass, Pass::Train(_));
        let drop = |x: Tensor, which: usize| match pass {
            Pass::Eval => x,
            Pass::Train(dropout) => dropout.apply(&x, which),
        };
        let x = drop(self.input_norm.forward(x, training), 0);
        let x = self.hidden.forward(&x).silu();
        drop(self.hidden_norm.forward(&x, training), 1)
    }
}
