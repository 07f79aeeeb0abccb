//! The branches and the joint part.

use szar_core::NamedTensors;
use tch::{Device, Tensor};

use crate::aligners::training::{Dense, Init, unit_rows};

/// Sizes of a branch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub visual: i64,
    pub text: i64,
    /// Units of the middle layer of the text side; `None` for one layer.
    pub hidden: Option<i64>,
    pub out: i64,
}

/// One layer on the visual side, one or two on the text side. Official names `VisArch.0`, `TextArch.{0,2}`.
#[derive(Debug)]
pub(super) struct Branch {
    visual: Dense,
    text: Dense,
    /// The text side's second layer.
    upper: Option<Dense>,
}

impl Branch {
    pub fn new(sizes: Sizes, device: Device) -> Self {
        let layer = |from: i64, to: i64| Dense::new(from, to, Init::Torch, device);
        let (first, upper) = match sizes.hidden {
            None => (sizes.out, None),
            Some(hidden) => (hidden, Some(layer(hidden, sizes.out))),
        };
        Self {
            visual: layer(sizes.visual, sizes.out),
            text: layer(sizes.text, first),
            upper,
        }
    }

    /// `[n, N]` to `[n, out]`.
    pub fn visual(&self, x: &Tensor) -> Tensor {
        self.visual.forward(x).tanh()
    }

    /// `[n, d]` to `[n, out]`.
    pub fn text(&self, t: &Tensor) -> Tensor {
        let first = self.text.forward(t).tanh();
        match &self.upper {
            None => first,
            Some(upper) => upper.forward(&first).relu(),
        }
    }

    /// Under names that begin with `prefix`.
    pub fn state(&self, prefix: &str, into: &mut NamedTensors) {
        self.visual.state(&format!("{prefix}VisArch.0"), into);
        self.text.state(&format!("{prefix}TextArch.0"), into);
        if let Some(upper) = &self.upper {
            upper.state(&format!("{prefix}TextArch.2"), into);
        }
    }
}

/// One side's vectors, rows of length 1.
#[derive(Debug)]
pub(super) struct Vectors {
    /// `[n, branch]`.
    pub verb: Tensor,
    /// `[n, branch]`.
    pub noun: Tensor,
    /// `[n, joint]`.
    pub joint: Tensor,
}

/// Both branches and what joins them.
#[derive(Debug)]
pub(super) struct Network {
    pub verb: Branch,
    pub noun: Branch,
    pub joint: Branch,
}

impl Network {
    pub fn new(branch: Sizes, joint: i64, device: Device) -> Self {
        let both = Sizes {
            visual: 2 * branch.out,
            text: 2 * branch.out,
            hidden: None,
            out: joint,
        };
        Self {
            verb: Branch::new(branch, device),
            noun: Branch::new(branch, device),
            joint: Branch::new(both, device),
        }
    }

    /// N.
    pub fn channels(&self) -> i64 {
        self.verb.visual.weight.size()[1]
    }

    /// d.
    pub fn width(&self) -> i64 {
        self.verb.text.weight.size()[1]
    }

    /// Of inputs `[n, N]` with rows of length 1.
    pub fn visual(&self, inputs: &Tensor) -> Vectors {
        let (verb, noun) = (self.verb.visual(inputs), self.noun.visual(inputs));
        join(&verb, &noun, |both| self.joint.visual(both))
    }

    /// Of texts `[n, d]` with rows of length 1.
    pub fn text(&self, verb: &Tensor, noun: &Tensor) -> Vectors {
        let (verb, noun) = (self.verb.text(verb), self.noun.text(noun));
        join(&verb, &noun, |both| self.joint.text(both))
    }

    pub fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.verb.state("verb.", &mut state);
        self.noun.state("noun.", &mut state);
        self.joint.state("joint.", &mut state);
        state
    }
}

fn join(verb: &Tensor, noun: &Tensor, joint: impl Fn(&Tensor) -> Tensor) -> Vectors {
    let (verb, noun) = (unit_rows(verb), unit_rows(noun));
    let joint = unit_rows(&joint(&Tensor::cat(&[&verb, &noun], -1)));
    Vectors { verb, noun, joint }
}
