//! Training data that can only come from seen classes.

use tch::{Device, Kind, Tensor};

use crate::types::{ClassId, ClassList, ClassSplit, FeatureMap};
use crate::{Error, Result};

/// Labels that are columns of the seen classes. The only way to make them is
/// [`SeenLabels::new`], which refuses every other class: what cannot be labelled cannot be trained on.
#[derive(Debug)]
pub struct SeenLabels {
    columns: Tensor,
    classes: ClassList,
}

impl SeenLabels {
    /// Translates dataset labels into columns of `split.seen()`.
    ///
    /// # Errors
    /// [`Error::Input`] when a label is not a seen class.
    pub fn new(split: &ClassSplit, labels: &[ClassId], device: Device) -> Result<Self> {
        let classes = split.seen().clone();
        let column = |id: &ClassId| {
            let column = classes.column(*id).map(|c| c.0 as i64);
            column.ok_or_else(|| {
                Error::Input(format!(
                    "class {id} is not a seen class of split `{}` and cannot be trained on",
                    split.name()
                ))
            })
        };
        let columns = labels.iter().map(column).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            columns: Tensor::from_slice(&columns).to_device(device),
            classes,
        })
    }

    /// Labels that were made by [`Self::new`] on the other side of a boundary: `columns` `[n]` i64 of the seen `classes`.
    ///
    /// # Errors
    /// [`Error::Input`] when a column lies outside the classes; [`Error::Shape`] when there are several axes.
    pub fn of_columns(columns: Tensor, classes: ClassList) -> Result<Self> {
        crate::shape::expect("labels", &columns, [None])?;
        let known = crate::host::to_i64(&columns)?
            .iter()
            .all(|c| usize::try_from(*c).is_ok_and(|c| c < classes.len()));
        if !known {
            return Err(Error::Input(format!(
                "labels must be columns of {} classes",
                classes.len()
            )));
        }
        Ok(Self { columns, classes })
    }

    /// `[n]` i64, columns of [`Self::classes`].
    pub fn columns(&self) -> &Tensor {
        &self.columns
    }

    /// The seen classes.
    pub fn classes(&self) -> &ClassList {
        &self.classes
    }

    /// n.
    pub fn len(&self) -> usize {
        self.columns.numel()
    }

    /// True when there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often each class occurs, `[S]` i64 on the CPU.
    pub fn counts(&self) -> Tensor {
        let none: Option<&Tensor> = None;
        self.columns
            .to_device(Device::Cpu)
            .bincount(none, self.classes.len() as i64)
            .to_kind(Kind::Int64)
    }

    /// The labels at `index` (`[k]` i64 on the same device).
    pub fn select(&self, index: &Tensor) -> Self {
        Self {
            columns: self.columns.index_select(0, index),
            classes: self.classes.clone(),
        }
    }
}

/// Features of seen-class samples with their labels.
#[derive(Debug)]
pub struct SeenSet {
    /// `[n, N, T', V']`.
    pub features: FeatureMap,
    /// n labels.
    pub labels: SeenLabels,
}

/// What an aligner may be trained on: seen classes only, training and validation part.
#[derive(Debug)]
pub struct SeenFeatures {
    /// To learn from.
    pub train: SeenSet,
    /// To choose on: stopping, constants, thresholds.
    pub validation: SeenSet,
    /// The skeleton that the V' joints belong to.
    pub layout: std::sync::Arc<crate::types::SkeletonLayout>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unseen_label_cannot_become_training_data() {
        let all = ClassList::numbered(["a", "b", "c"]).unwrap();
        let split = ClassSplit::new("s", &all, &[ClassId(0), ClassId(2)], &[ClassId(1)]).unwrap();
        let seen = SeenLabels::new(&split, &[ClassId(2), ClassId(0)], Device::Cpu).unwrap();
        assert_eq!(crate::host::to_i64(seen.columns()).unwrap(), [1, 0]);
        let error = SeenLabels::new(&split, &[ClassId(1)], Device::Cpu).unwrap_err();
        assert_eq!(
            error.to_string(),
            "class 1 is not a seen class of split `s` and cannot be trained on"
        );
    }
}
