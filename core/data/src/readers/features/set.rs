//! Parts with their labels, put together to a dataset of features.

use std::path::PathBuf;
use std::sync::Arc;

use szar_core::{
    ClassId, ClassList, ClassSplit, Dataset, DatasetInfo, EncoderSpec, Encoding, Error, FeatureMap,
    RecordedFeatures, Result, SampleInfo, SampleRole, Sequence, SkeletonLayout,
};
use tch::Tensor;

use super::array::Array;
use super::classes::Side;
use super::labels;
use super::purls::unit_nodes;

/// Where a part lies, and what is asked of it.
pub(super) struct PartFiles {
    /// Name of the part, which samples without names are called after.
    pub(super) name: &'static str,
    pub(super) features: PathBuf,
    pub(super) labels: PathBuf,
    /// Logits over all classes, `[n, C]`.
    pub(super) logits: Option<PathBuf>,
    pub(super) role: SampleRole,
    pub(super) side: Side,
}

/// What all parts have in common.
pub(super) struct Common {
    pub(super) name: String,
    pub(super) layout: Arc<SkeletonLayout>,
    pub(super) classes: ClassList,
    pub(super) split: ClassSplit,
    pub(super) spec: EncoderSpec,
    /// What PURLS does: samples that are zero throughout are not usable, nodes are brought to length 1.
    pub(super) unit_nodes: bool,
}

/// Opens the dataset of held-out classes that a gate is fitted on.
pub(super) type HeldOut = Box<dyn Fn() -> Result<Box<dyn Dataset>> + Send + Sync>;

struct Part {
    features: Array,
    logits: Option<Array>,
}

/// An opened dataset of features.
pub(super) struct FeatureSet {
    info: DatasetInfo,
    split: ClassSplit,
    spec: EncoderSpec,
    unit_nodes: bool,
    samples: Vec<SampleInfo>,
    /// Part and row of each sample.
    places: Vec<(usize, usize)>,
    parts: Vec<Part>,
    /// Columns of the seen classes in files of logits.
    seen: Vec<i64>,
    held_out: Option<HeldOut>,
}

impl FeatureSet {
    /// Opens the parts; features are read when they are asked for.
    ///
    /// # Errors
    /// When a file is missing or wrong, or files do not fit each other, the form or the classes.
    pub(super) fn open(common: Common, files: &[PartFiles], held_out: Option<HeldOut>) -> Result<Self> {
        let seen = common.split.seen().ids().iter().map(|id| id.0).collect();
        let mut this = Self {
            info: DatasetInfo {
                name: common.name,
                layout: common.layout,
                classes: common.classes,
                persons: 1,
                synthetic: None,
            },
            split: common.split,
            spec: common.spec,
            unit_nodes: common.unit_nodes,
            samples: Vec::new(),
            places: Vec::new(),
            parts: Vec::new(),
            seen,
            held_out,
        };
        for files in files {
            this.add(files)?;
        }
        Ok(this)
    }

    fn add(&mut self, files: &PartFiles) -> Result<()> {
        let features = Array::open(&files.features)?;
        self.fits(&features)?;
        let labels = labels::read(&files.labels)?;
        let count = labels.classes.len();
        let bad = |row: Option<usize>, why: String| {
            Error::format(&files.labels, row.map(|row| format!("label {row}")), why)
        };
        if count != features.len() {
            let (rows, file) = (features.len(), files.features.display());
            return Err(bad(
                None,
                format!("has {count} labels for the {rows} rows of {file}"),
            ));
        }
        for (row, class) in labels.classes.iter().enumerate() {
            if let Some(why) = files
                .side
                .refuses(ClassId(*class), &self.info.classes, &self.split)
            {
                return Err(bad(Some(row), why));
            }
        }
        for (row, class) in labels.classes.iter().enumerate() {
            self.places.push((self.parts.len(), row));
            self.samples.push(SampleInfo {
                name: match &labels.names {
                    Some(names) => names[row].clone(),
                    None => format!("{}/{row}", files.name),
                },
                class: ClassId(*class),
                subject: None,
                role: files.role,
                usable: !self.unit_nodes || !features.is_zero(row)?,
            });
        }
        let logits = files.logits.as_ref().map(|path| self.logits(path, count));
        let logits = logits.transpose()?;
        self.parts.push(Part { features, logits });
        Ok(())
    }

    /// Are rows of the form that was declared? Pooled features stand without axes of length 1.
    fn fits(&self, features: &Array) -> Result<()> {
        let EncoderSpec {
            channels,
            frames,
            joints,
            ..
        } = self.spec;
        let want = if self.spec.is_pooled() {
            vec![channels]
        } else {
            vec![channels, frames, joints]
        };
        let got: Vec<i64> = features.shape[1..].iter().map(|n| *n as i64).collect();
        if got == want {
            return Ok(());
        }
        let want: Vec<String> = want.iter().map(i64::to_string).collect();
        let why = format!(
            "has shape {:?}, expected [n, {}]",
            features.shape,
            want.join(", ")
        );
        Err(features.error(None, why))
    }

    fn logits(&self, path: &std::path::Path, count: usize) -> Result<Array> {
        let logits = Array::open(path)?;
        let classes = self.info.classes.len();
        if logits.shape != [count, classes] {
            let why = format!(
                "has shape {:?}, expected [{count}, {classes}]: logits of every sample over all classes",
                logits.shape
            );
            return Err(logits.error(None, why));
        }
        Ok(logits)
    }

    /// Rows of one part.
    fn rows(&self, part: &Part, rows: &[usize]) -> Result<Encoding> {
        let values = part.features.rows(rows)?;
        let features = if self.spec.is_pooled() {
            FeatureMap::from_pooled(&values)?
        } else {
            FeatureMap::new(if self.unit_nodes {
                unit_nodes(&values)
            } else {
                values
            })?
        };
        let seen = |logits: &Array| -> Result<Tensor> {
            Ok(logits
                .rows(rows)?
                .f_index_select(1, &Tensor::from_slice(&self.seen))?)
        };
        Ok(Encoding {
            features,
            seen_logits: part.logits.as_ref().map(seen).transpose()?,
        })
    }

    /// Classes of the test samples of unseen classes.
    pub(super) fn unseen_test(&self) -> Vec<i64> {
        let test = self
            .samples
            .iter()
            .filter(|sample| sample.role == SampleRole::Test);
        let unseen = test.filter(|sample| self.split.unseen().column(sample.class).is_some());
        unseen.map(|sample| sample.class.0).collect()
    }
}

impl Dataset for FeatureSet {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, _: usize) -> Result<Sequence> {
        Err(Error::Input(format!(
            "dataset `{}` brings features in place of skeletons: there is no sequence to read",
            self.info.name
        )))
    }

    fn split(&self) -> Result<ClassSplit> {
        Ok(self.split.clone())
    }

    fn features(&self) -> Option<&dyn RecordedFeatures> {
        Some(self)
    }
}

impl RecordedFeatures for FeatureSet {
    fn spec(&self) -> EncoderSpec {
        self.spec
    }

    fn load(&self, samples: &[usize]) -> Result<Encoding> {
        let place = |sample: &usize| {
            let count = self.places.len();
            let place = self.places.get(*sample).copied();
            place.ok_or_else(|| Error::Input(format!("sample {sample} is not there, there are {count}")))
        };
        let places = samples.iter().map(place).collect::<Result<Vec<_>>>()?;
        let runs = places.chunk_by(|a, b| a.0 == b.0).map(|run| {
            let rows: Vec<usize> = run.iter().map(|(_, row)| *row).collect();
            self.rows(&self.parts[run[0].0], &rows)
        });
        join(runs.collect::<Result<Vec<_>>>()?)
    }

    fn held_out(&self) -> Result<Option<Box<dyn Dataset>>> {
        self.held_out.as_ref().map(|open| open()).transpose()
    }
}

/// One after the other; logits where all have them.
fn join(mut runs: Vec<Encoding>) -> Result<Encoding> {
    if runs.len() == 1 {
        return Ok(runs.remove(0));
    }
    let values: Vec<&Tensor> = runs.iter().map(|run| &run.features.values).collect();
    let logits: Option<Vec<&Tensor>> = runs.iter().map(|run| run.seen_logits.as_ref()).collect();
    Ok(Encoding {
        features: FeatureMap::new(Tensor::f_cat(&values, 0)?)?,
        seen_logits: logits.map(|l| Tensor::f_cat(&l, 0)).transpose()?,
    })
}
