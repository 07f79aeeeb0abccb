//! Tensors with a meaning: skeletons, features, anchors, scores.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::types::{ClassList, SkeletonLayout};
use crate::{Error, Result, shape};

/// Preprocessed skeleton sequences.
#[derive(Debug)]
pub struct SkeletonBatch {
    /// `[B, 3, T, V, M]` f32, metres, +y up, right-handed.
    pub joints: Tensor,
    /// `[B]` i64, frames that carry data; the rest is padding.
    pub frames: Tensor,
    /// `B * M` flags on the host, sample-major: is this person anywhere in the sequence?
    pub present: Vec<bool>,
    /// What the V joints are.
    pub layout: Arc<SkeletonLayout>,
}

impl SkeletonBatch {
    /// B.
    pub fn len(&self) -> usize {
        usize::try_from(self.joints.size()[0]).unwrap_or(0)
    }

    /// True when there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the samples.
    pub fn select(&self, rows: &[usize]) -> Self {
        let persons = self.present.len() / self.len().max(1);
        let index: Vec<i64> = rows.iter().map(|r| *r as i64).collect();
        let index = Tensor::from_slice(&index).to_device(self.joints.device());
        let present = rows
            .iter()
            .flat_map(|r| &self.present[r * persons..(r + 1) * persons]);
        Self {
            joints: self.joints.index_select(0, &index),
            frames: self
                .frames
                .index_select(0, &index.to_device(self.frames.device())),
            present: present.copied().collect(),
            layout: Arc::clone(&self.layout),
        }
    }

    /// The same batch on another device.
    pub fn to_device(&self, device: Device) -> Self {
        Self {
            joints: self.joints.to_device(device),
            frames: self.frames.to_device(device),
            present: self.present.clone(),
            layout: Arc::clone(&self.layout),
        }
    }
}

/// Encoder output averaged over persons.
#[derive(Debug)]
pub struct FeatureMap {
    /// `[B, N, T', V']`; T' = V' = 1 when only pooled features exist.
    pub values: Tensor,
    /// `[B, 8, N]` f32, where they were computed when the map was there: its descriptors in the order of
    /// [`Granularity::PURLS_ORDER`], thirds rounded down. They may stand beside pooled features.
    pub descriptors: Option<Tensor>,
}

impl FeatureMap {
    /// Wraps `[B, N, T', V']` values.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other rank.
    pub fn new(values: Tensor) -> Result<Self> {
        shape::expect("feature map", &values, [None, None, None, None])?;
        Ok(Self {
            values,
            descriptors: None,
        })
    }

    /// The same features with their descriptors.
    ///
    /// # Errors
    /// [`Error::Shape`] when those are not `[B, 8, N]`.
    pub fn with_descriptors(self, descriptors: Tensor) -> Result<Self> {
        let (b, n, _, _) = self.dims();
        shape::expect("descriptors", &descriptors, [Some(b), Some(8), Some(n)])?;
        Ok(Self {
            descriptors: Some(descriptors),
            ..self
        })
    }

    /// Wraps pooled features `[B, N]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other rank.
    pub fn from_pooled(values: &Tensor) -> Result<Self> {
        shape::expect("pooled features", values, [None, None])?;
        Self::new(values.unsqueeze(-1).unsqueeze(-1))
    }

    /// `(B, N, T', V')`.
    pub fn dims(&self) -> (i64, i64, i64, i64) {
        let s = self.values.size();
        (s[0], s[1], s[2], s[3])
    }

    /// True when there is no time and no joint axis left.
    pub fn is_pooled(&self) -> bool {
        let (_, _, t, v) = self.dims();
        t == 1 && v == 1
    }

    /// `[B, N]` f32, the mean over frames and joints.
    pub fn pooled(&self) -> Tensor {
        if self.is_pooled() {
            return self.values.to_kind(Kind::Float).flatten(1, 3);
        }
        self.values
            .to_kind(Kind::Float)
            .mean_dim([2i64, 3].as_slice(), false, Kind::Float)
    }

    /// Rows `start .. start + len` without a copy.
    pub fn narrow(&self, start: i64, len: i64) -> Self {
        let rows = |t: &Tensor| t.narrow(0, start, len);
        Self {
            values: rows(&self.values),
            descriptors: self.descriptors.as_ref().map(rows),
        }
    }

    /// The rows that `index` (`[n]` i64 on the same device) names.
    pub fn select(&self, index: &Tensor) -> Self {
        let rows = |t: &Tensor| t.index_select(0, index);
        Self {
            values: rows(&self.values),
            descriptors: self.descriptors.as_ref().map(rows),
        }
    }
}

/// Name of one text of a class: the whole motion, a body part, a phase, a part of speech.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Granularity(pub Cow<'static, str>);

impl Granularity {
    /// The whole motion.
    pub const GLOBAL: Self = Self(Cow::Borrowed("global"));
    /// What the head does.
    pub const HEAD: Self = Self(Cow::Borrowed("head"));
    /// What hands and arms do.
    pub const HANDS: Self = Self(Cow::Borrowed("hands"));
    /// What the torso does.
    pub const TORSO: Self = Self(Cow::Borrowed("torso"));
    /// What legs and feet do.
    pub const LEGS: Self = Self(Cow::Borrowed("legs"));
    /// The first third of the motion.
    pub const START: Self = Self(Cow::Borrowed("start"));
    /// The second third.
    pub const MIDDLE: Self = Self(Cow::Borrowed("middle"));
    /// The last third.
    pub const END: Self = Self(Cow::Borrowed("end"));
    /// The class's name.
    pub const LABEL: Self = Self(Cow::Borrowed("label"));
    /// The verb of the class's name.
    pub const VERB: Self = Self(Cow::Borrowed("verb"));
    /// The noun of the class's name, or a word for its absence.
    pub const NOUN: Self = Self(Cow::Borrowed("noun"));
    /// The eight texts of PURLS, in the order of its official files.
    pub const PURLS_ORDER: [Self; 8] = [
        Self::HEAD,
        Self::HANDS,
        Self::TORSO,
        Self::LEGS,
        Self::START,
        Self::MIDDLE,
        Self::END,
        Self::GLOBAL,
    ];

    /// The name as written in files.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands for each class on the text side.
#[derive(Debug)]
pub struct SemanticAnchors {
    /// `[C, G, d]` f32, rows in the order of `classes`.
    pub values: Tensor,
    /// Name of each of the G texts.
    pub granularities: Vec<Granularity>,
    /// The C candidate classes.
    pub classes: ClassList,
}

impl SemanticAnchors {
    /// Checks the shape against the class list and the names.
    ///
    /// # Errors
    /// [`Error::Shape`] when they disagree.
    pub fn new(values: Tensor, granularities: Vec<Granularity>, classes: ClassList) -> Result<Self> {
        let (c, g) = (classes.len() as i64, granularities.len() as i64);
        shape::expect("semantic anchors", &values, [Some(c), Some(g), None])?;
        Ok(Self {
            values,
            granularities,
            classes,
        })
    }

    /// Text width d.
    pub fn width(&self) -> i64 {
        self.values.size()[2]
    }

    /// Position of a granularity.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names there are.
    pub fn slot(&self, granularity: &Granularity) -> Result<i64> {
        let at = self.granularities.iter().position(|g| g == granularity);
        at.map(|i| i as i64).ok_or_else(|| {
            Error::unknown(
                "granularity",
                granularity.as_str(),
                self.granularities.iter().map(|g| g.to_string()),
            )
        })
    }

    /// `[C, d]`, the texts of one granularity.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names there are.
    pub fn granularity(&self, granularity: &Granularity) -> Result<Tensor> {
        Ok(self.values.select(1, self.slot(granularity)?))
    }

    /// The given granularities only, in the given order.
    ///
    /// # Errors
    /// [`Error::Unknown`] when one is not there.
    pub fn select(&self, wanted: &[Granularity]) -> Result<Self> {
        let slots = wanted.iter().map(|g| self.slot(g)).collect::<Result<Vec<_>>>()?;
        let index = Tensor::from_slice(&slots).to_device(self.values.device());
        Self::new(
            self.values.index_select(1, &index),
            wanted.to_vec(),
            self.classes.clone(),
        )
    }

    /// The anchors of some of the classes.
    ///
    /// # Errors
    /// [`Error::Unknown`] when a class has no anchors here.
    pub fn for_classes(&self, classes: &ClassList) -> Result<Self> {
        let row = |(id, name): (crate::ClassId, &str)| {
            let column = self.classes.column(id).map(|c| c.0 as i64);
            column.ok_or_else(|| Error::Missing(format!("semantic anchors of class {id} `{name}`")))
        };
        let rows = classes.iter().map(row).collect::<Result<Vec<_>>>()?;
        let index = Tensor::from_slice(&rows).to_device(self.values.device());
        Self::new(
            self.values.index_select(0, &index),
            self.granularities.clone(),
            classes.clone(),
        )
    }

    /// The same anchors with other values of the same shape (refined ones, say).
    pub fn with_values(&self, values: Tensor) -> Result<Self> {
        Self::new(values, self.granularities.clone(), self.classes.clone())
    }

    /// The same anchors on a device.
    pub fn to_device(&self, device: Device) -> Self {
        Self {
            values: self.values.to_device(device),
            granularities: self.granularities.clone(),
            classes: self.classes.clone(),
        }
    }
}

/// Logits over the candidate classes.
#[derive(Debug)]
pub struct Scores {
    /// `[B, C]` f32, before softmax.
    pub logits: Tensor,
}
