//! Provider `embeddings`: vectors made elsewhere, one row per class of the dataset.
//!
//! Reads the `.npy` text features of the reference repositories as they are, `.npz` and `.safetensors`.
//!
//! # Shapes
//! `[C, d]` or `[C, G, d]` of floats, where row i is the class with number i.

mod array;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassList, ComponentInfo, ComponentKind, Error, FilePath, Granularity, Problems, Result,
    SemanticAnchors, SemanticProvider, SemanticsConfig,
};
use tch::{Device, Kind, Tensor};

/// Options of the `embeddings` provider.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddingsConfig {
    /// `.npy`, `.npz` or `.safetensors` file with `[C, d]` or `[C, G, d]` floats; row i is the class with number i.
    /// No default.
    pub file: FilePath,
    /// Name of the array in an `.npz`, or of the tensor in a `.safetensors`. Default: the only one there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array: Option<String>,
    /// Name of each of the G vectors of a class, in the order of the file. Default: global alone.
    pub granularities: Vec<Granularity>,
    /// Scale each vector to unit length. Default: true, as SynSE, SMIE and PURLS do when they read such files.
    pub normalise: bool,
}

impl Default for EmbeddingsConfig {
    fn default() -> Self {
        Self {
            file: FilePath::default(),
            array: None,
            granularities: vec![Granularity::GLOBAL],
            normalise: true,
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<EmbeddingsConfig>(
        ComponentKind::Semantics,
        "embeddings",
        "Reads text vectors made elsewhere, one row per class.",
        "",
    )
}

#[typetag::serde(name = "embeddings")]
impl SemanticsConfig for EmbeddingsConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(!self.file.is_empty(), "file", || {
            "no file of embeddings given".into()
        });
        super::descriptions::check_granularities(&self.granularities, problems);
        let format = array::Format::of(self.file.as_ref());
        problems.check(self.file.is_empty() || format.is_some(), "file", || {
            format!(
                "expected .npy, .npz or .safetensors, found `{}`",
                self.file.0.display()
            )
        });
        problems.check(
            self.array.is_none() || format != Some(array::Format::Npy),
            "array",
            || "an .npy file holds one array without a name".into(),
        );
    }

    fn granularities(&self) -> Vec<Granularity> {
        self.granularities.clone()
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn SemanticProvider>> {
        let values = array::read(self.file.as_ref(), self.array.as_deref())?;
        Ok(Box::new(Embeddings {
            values: self.check(values)?,
            options: self.clone(),
            device: ctx.device,
        }))
    }
}

impl EmbeddingsConfig {
    /// `[C, G, d]` f32, or what is wrong with the shape.
    fn check(&self, values: Tensor) -> Result<Tensor> {
        let (size, g) = (values.size(), self.granularities.len() as i64);
        let wrong = |why: String| Err(Error::format(&self.file, self.array.clone(), why));
        let values = match size.as_slice() {
            [_, _] if g == 1 => values.unsqueeze(1),
            [_, slots, _] if *slots == g => values,
            [_, _] | [_, _, _] => {
                let names: Vec<_> = self.granularities.iter().map(Granularity::as_str).collect();
                return wrong(format!(
                    "has shape {size:?}, but `granularities` names {g} vectors per class ({})",
                    names.join(", ")
                ));
            }
            _ => return wrong(format!("has shape {size:?}, expected [C, d] or [C, G, d]")),
        };
        if values.numel() == 0 {
            return wrong(format!("has shape {size:?}, which holds nothing"));
        }
        Ok(values.to_kind(Kind::Float))
    }
}

struct Embeddings {
    /// `[C, G, d]` f32 on the CPU, all classes of the file.
    values: Tensor,
    options: EmbeddingsConfig,
    device: Device,
}

impl Embeddings {
    /// Names the first class of `bad` (`[C, G]` bool) with its granularity.
    fn refuse(&self, bad: &Tensor, classes: &ClassList, what: &str) -> Result<()> {
        let flags = Vec::<i64>::try_from(bad.to_kind(Kind::Int64).flatten(0, -1))?;
        let Some(at) = flags.iter().position(|flag| *flag != 0) else {
            return Ok(());
        };
        let names = &self.options.granularities;
        let (class, granularity) = (at / names.len(), &names[at % names.len()]);
        let at = format!(
            "row {}, class `{}`, `{granularity}`",
            classes.ids()[class],
            classes.names()[class]
        );
        Err(Error::format(&self.options.file, at, what))
    }
}

impl SemanticProvider for Embeddings {
    fn anchors(&mut self, classes: &ClassList) -> Result<SemanticAnchors> {
        let count = self.values.size()[0];
        if let Some((id, name)) = classes.iter().find(|(id, _)| !(0..count).contains(&id.0)) {
            let why =
                format!("has {count} rows, but class `{name}` is number {id} (row i is the class number i)");
            return Err(Error::format(&self.options.file, self.options.array.clone(), why));
        }
        let rows: Vec<i64> = classes.ids().iter().map(|id| id.0).collect();
        let mut values = self.values.index_select(0, &Tensor::from_slice(&rows));
        let any = |flags: Tensor| flags.any_dim(-1, false);
        let not_finite = any(values.isfinite().logical_not());
        self.refuse(&not_finite, classes, "holds numbers that are not finite")?;
        if self.options.normalise {
            let length = values
                .square()
                .sum_dim_intlist([-1i64].as_slice(), true, Kind::Float)
                .sqrt();
            let zero = length.squeeze_dim(-1).le(1e-12);
            self.refuse(&zero, classes, "is all zeros and cannot be scaled to unit length")?;
            values /= length;
        }
        SemanticAnchors::new(
            values.to_device(self.device),
            self.options.granularities.clone(),
            classes.clone(),
        )
    }
}

#[cfg(test)]
mod tests;
