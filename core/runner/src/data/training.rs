//! What a training may look at: training and validation samples of the seen classes, or of some of them.

use szar_core::{ClassId, ClassList, ClassSplit, Error, Result, SeenLabels, SeenSkeletons, SkeletonBatch};
use szar_data::store::SkeletonStore;
use tch::Device;

use super::{Data, Part};

/// Samples that an encoder and an aligner may be trained on. Rows are those of the store.
pub struct TrainingData<'a> {
    data: &'a Data,
    split: ClassSplit,
    train: Vec<usize>,
    validation: Vec<usize>,
}

impl<'a> TrainingData<'a> {
    /// Everything that the run may learn from.
    pub fn whole(data: &'a Data) -> Self {
        Self {
            data,
            split: data.split.clone(),
            train: data.rows(Part::Train).collect(),
            validation: data.rows(Part::Validation).collect(),
        }
    }

    /// The same without some of the seen classes, which stand for unseen ones from here on.
    ///
    /// # Errors
    /// [`Error::Input`] when a class is not seen, or no class or training sample is left.
    pub fn without(data: &'a Data, held: &[ClassId]) -> Result<Self> {
        let seen = data.split.seen();
        let left: Vec<ClassId> = seen
            .ids()
            .iter()
            .copied()
            .filter(|id| !held.contains(id))
            .collect();
        let name = format!("{}, classes held out", data.split.name());
        let split = ClassSplit::new(&name, seen, &left, held)?;
        let of_these = |part: Part| -> Vec<usize> {
            let rows = data.rows(part).zip(data.samples(part));
            rows.filter(|(_, sample)| split.seen().column(data.class(**sample)).is_some())
                .map(|(row, _)| row)
                .collect()
        };
        let (train, validation) = (of_these(Part::Train), of_these(Part::Validation));
        if train.is_empty() {
            return Err(Error::Input(format!(
                "split `{name}`: no training sample is left"
            )));
        }
        Ok(Self {
            data,
            split,
            train,
            validation,
        })
    }

    /// All data of the run.
    pub fn data(&self) -> &'a Data {
        self.data
    }

    /// Its classes; those held out stand as unseen.
    pub fn split(&self) -> &ClassSplit {
        &self.split
    }

    /// The classes that are trained on.
    pub fn classes(&self) -> &ClassList {
        self.split.seen()
    }

    /// Rows to learn from.
    pub fn train(&self) -> &[usize] {
        &self.train
    }

    /// Rows to choose on.
    pub fn validation(&self) -> &[usize] {
        &self.validation
    }

    /// Rows that the run learns from and this training does not.
    pub fn held_out(&self) -> Vec<usize> {
        let rows = self.data.rows(Part::Train);
        rows.filter(|row| self.split.unseen().column(self.data.class_of(*row)).is_some())
            .collect()
    }

    /// Labels of some rows.
    ///
    /// # Errors
    /// When one is of a class that is not trained on.
    pub fn labels(&self, rows: &[usize], device: Device) -> Result<SeenLabels> {
        let classes: Vec<ClassId> = rows.iter().map(|row| self.data.class_of(*row)).collect();
        SeenLabels::new(&self.split, &classes, device)
    }

    /// Skeletons of some rows.
    ///
    /// # Errors
    /// As [`Self::labels`], and when there are only features.
    pub fn skeletons(&self, rows: &[usize], device: Device) -> Result<SeenPart<'a>> {
        Ok(SeenPart {
            store: self.data.skeletons()?,
            rows: rows.to_vec(),
            labels: self.labels(rows, device)?,
            device,
        })
    }
}

/// Skeletons whose classes are all trained on.
pub struct SeenPart<'a> {
    store: &'a SkeletonStore,
    rows: Vec<usize>,
    labels: SeenLabels,
    device: Device,
}

impl SeenSkeletons for SeenPart<'_> {
    fn labels(&self) -> &SeenLabels {
        &self.labels
    }

    fn batch(&self, samples: &[usize]) -> Result<SkeletonBatch> {
        let row = |sample: &usize| {
            self.rows.get(*sample).copied().ok_or_else(|| {
                Error::Input(format!(
                    "training sample {sample} was asked for, there are {}",
                    self.rows.len()
                ))
            })
        };
        let rows = samples.iter().map(row).collect::<Result<Vec<_>>>()?;
        self.store.batch(&rows, self.device)
    }
}
