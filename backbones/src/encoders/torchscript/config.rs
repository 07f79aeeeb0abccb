//! Options of `torchscript`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, FilePath, Mark, Problems, Result,
    SkeletonEncoder,
};

use super::axes::{Axes, meaning};
use super::encoder::TorchScript;
use super::pick::Pick;

/// Something that a module can be given. B is the number of persons where `layout` has no `m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// The joints, f32, in metres, arranged as `layout` says.
    Joints,
    /// `[B]` i64, frames that carry data; the rest is padding.
    Frames,
    /// `[B, T]` bool, the frames that carry data.
    Mask,
    /// `[B, M]` bool, the persons who are there; for a `layout` with `m`.
    Present,
}

/// Options of the `torchscript` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TorchScriptConfig {
    /// File that `torch.jit.script(model).save(file)` or `torch.jit.trace` wrote; must be given. It is code: use files you trust.
    pub module: FilePath,
    /// Method to call. Default `forward`; others must have been exported with `@torch.jit.export`.
    pub method: String,
    /// What the method takes, in its order. Default `[joints]`.
    pub inputs: Vec<Input>,
    /// Axes of the joints that the module takes: n samples, c channels, t frames, v joints, m persons, each once. Without `m` it is given one person at a time, and those who are there are averaged. Default `nctvm`.
    pub layout: String,
    /// Which result holds the features: a number in a tuple, a key of a dict, `1.map` in nested ones; `null` (default) for the only one.
    pub output: Option<Pick>,
    /// Axes of the features, `n` and `c` at least; `nc` (default) is pooled, `nctv` a map, `nmctv` a map for each person.
    pub output_layout: String,
    /// N, channels of the features, `1 ..= 65536`. Default 256, which most published skeleton networks have.
    pub channels: i64,
    /// T', frames of the features, `1 ..= 65536`. Default: those of the input where `output_layout` has `t`, else 1.
    pub frames: Option<i64>,
    /// V', joints of the features, `1 ..= 65536`. Default: those of the input where `output_layout` has `v`, else 1.
    pub joints: Option<i64>,
    /// Which result holds logits of the seen classes, in the order of the split; `null` (default) for none.
    pub logits: Option<Pick>,
    /// How the sequences were prepared that the module was trained on, a type of `preprocess`, which must then be the pipeline's. `null` (default): not known here, and every report says so.
    pub prepared: Option<String>,
}

impl Default for TorchScriptConfig {
    fn default() -> Self {
        Self {
            module: FilePath::default(),
            method: "forward".into(),
            inputs: vec![Input::Joints],
            layout: "nctvm".into(),
            output: None,
            output_layout: "nc".into(),
            channels: 256,
            frames: None,
            joints: None,
            logits: None,
            prepared: None,
        }
    }
}

impl TorchScriptConfig {
    /// Axes of what the module takes.
    ///
    /// # Errors
    /// What is wrong with `layout`.
    pub(super) fn input_axes(&self) -> Result<Axes, String> {
        Axes::parse(&self.layout, "nctv")
    }

    /// Axes of what it gives.
    ///
    /// # Errors
    /// What is wrong with `output_layout`.
    pub(super) fn output_axes(&self) -> Result<Axes, String> {
        let axes = Axes::parse(&self.output_layout, "nc")?;
        if axes.has('m') && !self.layout.contains('m') {
            let why = "has persons, but a module whose `layout` has no `m` sees one at a time";
            return Err(format!("`{}` {why}", self.output_layout));
        }
        Ok(axes)
    }

    /// T' or V': what was declared, else `given` when the features have the axis.
    fn size(&self, letter: char, declared: Option<i64>, given: i64) -> i64 {
        let default = if self.output_layout.contains(letter) {
            given
        } else {
            1
        };
        declared.unwrap_or(default)
    }

    fn validate_inputs(&self, problems: &mut Problems) {
        let count = |wanted| self.inputs.iter().filter(|i| **i == wanted).count();
        problems.check(count(Input::Joints) > 0, "inputs", || {
            "must name `joints`; a module that does not see the skeletons encodes nothing".into()
        });
        let known = [Input::Joints, Input::Frames, Input::Mask, Input::Present];
        problems.check(known.iter().all(|i| count(*i) < 2), "inputs", || {
            "names the same input twice".into()
        });
        let fits = self.layout.contains('m') || count(Input::Present) == 0;
        problems.check(fits, "inputs", || {
            format!("`present` needs `m` in `layout`, which is `{}`", self.layout)
        });
    }

    fn validate_sizes(&self, problems: &mut Problems) {
        let sizes = [
            ('c', "channels", Some(self.channels)),
            ('t', "frames", self.frames),
            ('v', "joints", self.joints),
        ];
        for (letter, field, size) in sizes {
            let size = size.unwrap_or(1);
            problems.check((1..=65536).contains(&size), field, || {
                format!("must be between 1 and 65536, got {size}")
            });
            let fits = size <= 1 || self.output_layout.contains(letter);
            problems.check(fits, field, || {
                format!(
                    "must be 1, got {size}: `output_layout` `{}` has no axis `{letter}` ({})",
                    self.output_layout,
                    meaning(letter)
                )
            });
        }
    }
}

#[typetag::serde(name = "torchscript")]
impl EncoderConfig for TorchScriptConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(!self.module.is_empty(), "module", || {
            "must name the file of a `torch.jit` module".into()
        });
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let method = &self.method;
        let named = !method.is_empty() && method.chars().all(word);
        problems.check(named, "method", || format!("`{method}` is no name of a method"));
        for (field, axes) in [
            ("layout", self.input_axes()),
            ("output_layout", self.output_axes()),
        ] {
            if let Err(why) = axes {
                problems.add(field, why);
            }
        }
        for (field, pick) in [("output", &self.output), ("logits", &self.logits)] {
            let whole = pick.as_ref().is_none_or(Pick::is_whole);
            problems.check(whole, field, || {
                "must be a number, a key, or several of them with dots between".into()
            });
        }
        self.validate_inputs(problems);
        self.validate_sizes(problems);
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        EncoderSpec {
            channels: self.channels,
            frames: self.size('t', self.frames, input.frames),
            joints: self.size('v', self.joints, input.layout.len() as i64),
            classifies: self.logits.is_some() && input.seen_classes > 0,
        }
    }

    fn trains(&self) -> bool {
        false
    }

    fn prepared(&self) -> Option<&str> {
        self.prepared.as_deref()
    }

    fn marks(&self) -> Vec<Mark> {
        let file = self.module.0.file_name().unwrap_or_default().to_string_lossy();
        let mut marks = vec![Mark::note(format!(
            "the encoder is the module `{file}` as it was given, not trained by this run; whether it has seen the \
             unseen classes cannot be told from here"
        ))];
        if self.prepared.is_none() {
            marks.push(Mark::note(format!(
                "how the sequences were prepared that the module `{file}` was trained on is not known here \
                 (`encoder.prepared` is not set); on sequences prepared in another way it tells little"
            )));
        }
        marks
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(TorchScript::new(self, input, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<TorchScriptConfig>(
        ComponentKind::Encoder,
        "torchscript",
        "Any network that PyTorch saved as a TorchScript module, used as it is.",
        "",
    )
}
