//! The encoder: joints into the module's layout, its result into a feature map.

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::{
    EncoderConfig, EncoderSpec, Encoding, Error, FeatureMap, FitContext, FitSummary, NamedTensors, Result,
    SeenSkeletons, SkeletonBatch, SkeletonEncoder, SkeletonLayout, shape,
};
use tch::{Device, IValue, Kind, Tensor, no_grad};

use super::axes::{Axes, meaning};
use super::config::{Input, TorchScriptConfig};
use super::module::Module;
use super::persons::Persons;
use super::pick::Pick;

/// Coordinates of a joint.
const COORDINATES: i64 = 3;
/// Samples in the batches that a new module is tried with; two sizes, because a trace may have kept the first one it met.
const PROBES: [i64; 2] = [2, 3];

/// A module from a file as an encoder.
#[derive(Debug)]
pub struct TorchScript {
    module: Module,
    config: TorchScriptConfig,
    layout: Arc<SkeletonLayout>,
    spec: EncoderSpec,
    persons: i64,
    seen_classes: i64,
    takes: Axes,
    gives: Axes,
    device: Device,
}

impl TorchScript {
    /// Loads the module onto a device and tries it with batches of zeros.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`] when the file cannot be used, or the module does not take or give what the
    /// options say.
    pub fn new(config: &TorchScriptConfig, input: &InputSpec, device: Device) -> Result<Self> {
        let sized = input.frames > 0 && input.persons > 0 && !input.layout.is_empty();
        if !sized {
            return Err(Error::Input(format!(
                "`torchscript` needs frames, joints and persons, got {}, {} and {}",
                input.frames,
                input.layout.len(),
                input.persons
            )));
        }
        let this = Self {
            module: Module::load(config.module.as_ref(), &config.method, device)?,
            config: config.clone(),
            layout: Arc::clone(&input.layout),
            spec: config.spec(input),
            persons: input.persons,
            seen_classes: input.seen_classes,
            takes: config.input_axes().map_err(Error::Input)?,
            gives: config.output_axes().map_err(Error::Input)?,
            device,
        };
        for samples in PROBES {
            this.encode(&this.probe(samples, input.frames))?;
        }
        Ok(this)
    }

    fn probe(&self, samples: i64, frames: i64) -> SkeletonBatch {
        let (v, m) = (self.layout.len() as i64, self.persons);
        SkeletonBatch {
            joints: Tensor::zeros([samples, COORDINATES, frames, v, m], (Kind::Float, self.device)),
            frames: Tensor::full([samples], frames, (Kind::Int64, self.device)),
            present: vec![true; (samples * m) as usize],
            layout: Arc::clone(&self.layout),
        }
    }

    fn check(&self, batch: &SkeletonBatch) -> Result<()> {
        let v = self.layout.len() as i64;
        let want = [None, Some(COORDINATES), None, Some(v), Some(self.persons)];
        let [samples, _, frames, ..] = shape::sizes("joints", &batch.joints, want)?;
        shape::expect("frames", &batch.frames, [Some(samples)])?;
        if samples < 1 || frames < 1 {
            return Err(Error::Shape {
                what: "joints".into(),
                got: batch.joints.size(),
                want: "at least 1 sample and 1 frame".into(),
            });
        }
        let persons = (samples * self.persons) as usize;
        if batch.present.len() != persons {
            return Err(Error::Input(format!(
                "the batch says of {} persons whether they are there, it has {persons}",
                batch.present.len()
            )));
        }
        Ok(())
    }

    /// What the method is given, and how many rows its tensors have.
    fn inputs(&self, batch: &SkeletonBatch, persons: &Persons) -> Result<(Vec<IValue>, i64)> {
        let folded = !self.takes.has('m');
        let joints = batch.joints.to_device(self.device).to_kind(Kind::Float);
        let length = joints.size()[2];
        let arranged = if folded {
            self.takes.arrange(&persons.joints(&joints), "nctv")?
        } else {
            self.takes.arrange(&joints, "nctvm")?
        };
        let frames = batch.frames.to_device(self.device);
        let frames = if folded {
            persons.lengths(&frames)
        } else {
            frames.copy()
        };
        let rows = frames.size()[0];
        let give = |input: &Input| match input {
            Input::Joints => own(&arranged, &batch.joints),
            Input::Frames => frames.copy(),
            Input::Mask => Tensor::arange(length, (Kind::Int64, self.device))
                .unsqueeze(0)
                .lt_tensor(&frames.unsqueeze(1)),
            Input::Present => Tensor::from_slice(&batch.present)
                .view([-1, self.persons])
                .to_device(self.device),
        };
        let inputs = self.config.inputs.iter().map(|i| IValue::Tensor(give(i)));
        Ok((inputs.collect(), rows))
    }

    /// One of the results as f32, if its axes are `axes` and have the sizes that `want` says.
    fn take(
        &self,
        result: &IValue,
        field: &str,
        pick: Option<&Pick>,
        axes: &Axes,
        want: impl Fn(char) -> (i64, &'static str),
    ) -> Result<Tensor> {
        let place = match pick {
            Some(pick) => format!(", `{field}` {pick}"),
            None => format!(", `{field}`"),
        };
        let refuse = |why: String| self.module.refusal(&place, why);
        let tensor = Pick::from(pick, result).map_err(refuse)?;
        let kind = tensor.f_kind().map_err(|e| refuse(e.to_string()))?;
        if !matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) || tensor.is_sparse() {
            return Err(refuse(format!(
                "is a tensor of kind {kind:?}{}, expected dense floating point",
                if tensor.is_sparse() { ", sparse" } else { "" }
            )));
        }
        if tensor.dim() != axes.len() {
            let letters: String = axes.letters().collect();
            return Err(refuse(format!(
                "has shape {:?}, expected {} axes, `{letters}`",
                tensor.size(),
                axes.len()
            )));
        }
        let size = tensor.size();
        for (letter, got) in axes.letters().zip(&size) {
            let (expected, whose) = want(letter);
            if *got != expected {
                let what = meaning(letter);
                return Err(refuse(format!(
                    "has {got} {what} (shape {size:?}), expected {expected}: {whose}"
                )));
            }
        }
        Ok(tensor.to_device(self.device).to_kind(Kind::Float))
    }

    /// `[B, N, T', V']`, averaged over persons.
    fn features(&self, result: &IValue, rows: i64, persons: &Persons) -> Result<Tensor> {
        let want = |letter| match letter {
            'c' => (self.spec.channels, "set `channels` to what the module gives"),
            't' => (self.spec.frames, "set `frames` to what the module gives"),
            'v' => (self.spec.joints, "set `joints` to what the module gives"),
            'm' => (self.persons, "as many as it was given"),
            _ => (
                rows,
                "as many as it was given; a trace may have kept the size of its example",
            ),
        };
        let map = self.take(result, "output", self.config.output.as_ref(), &self.gives, want)?;
        if self.gives.has('m') {
            return Ok(persons.mean_of_all(&self.gives.spread(&map, "nmctv")?));
        }
        let map = self.gives.spread(&map, "nctv")?;
        Ok(self.joined(map, persons))
    }

    /// `[B, S]`, averaged over persons where the module saw one at a time.
    fn logits(&self, result: &IValue, rows: i64, persons: &Persons) -> Result<Option<Tensor>> {
        let Some(pick) = self.config.logits.as_ref().filter(|_| self.spec.classifies) else {
            return Ok(None);
        };
        let axes = Axes::parse("nc", "nc").map_err(Error::Input)?;
        let want = |letter| match letter {
            'c' => (self.seen_classes, "one for each seen class"),
            _ => (rows, "as many as it was given"),
        };
        let logits = self.take(result, "logits", Some(pick), &axes, want)?;
        Ok(Some(self.joined(logits, persons)))
    }

    fn joined(&self, rows: Tensor, persons: &Persons) -> Tensor {
        if self.takes.has('m') {
            rows
        } else {
            persons.mean(&rows)
        }
    }
}

impl SkeletonEncoder for TorchScript {
    fn spec(&self) -> EncoderSpec {
        self.spec
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        self.check(batch)?;
        no_grad(|| {
            let persons = Persons::new(&batch.present, self.persons as usize);
            let (inputs, rows) = self.inputs(batch, &persons)?;
            let result = self.module.call(&inputs)?;
            let map = self.features(&result, rows, &persons)?;
            Ok(Encoding {
                features: FeatureMap::new(map.contiguous())?,
                seen_logits: self.logits(&result, rows, &persons)?,
            })
        })
    }

    /// Trains nothing: the module is used as it came.
    fn fit(
        &mut self,
        _: &dyn SeenSkeletons,
        _: &dyn SeenSkeletons,
        _: &mut FitContext,
    ) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    /// The parameters, and the SHA-256 of the file, which also covers its buffers and its program.
    fn state(&self) -> NamedTensors {
        self.module.state()
    }

    /// Takes nothing over, because a module comes with its weights: refuses the state of another file.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        self.module.must_be_of(state)
    }
}

/// A contiguous tensor that the module may write to: never the batch itself.
fn own(arranged: &Tensor, batch: &Tensor) -> Tensor {
    let given = arranged.contiguous();
    if given.data_ptr() == batch.data_ptr() {
        given.copy()
    } else {
        given
    }
}
