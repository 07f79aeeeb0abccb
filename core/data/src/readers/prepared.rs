//! A dataset whose sequences are rows of large arrays: a training and a test part.

use szar_core::{ClassId, ClassSplit, Dataset, DatasetInfo, Error, Result, SampleInfo, SampleRole, Sequence};

use super::recorded::SplitSource;
use super::rows::Rows;

/// Bodies of 25 joints.
pub(super) const JOINTS: usize = 25;
/// Frames per second of the sensor that both kinds of archive come from.
const FPS: f32 = 30.0;

/// In which order the numbers of a row stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `[T, M, V, 3]`.
    FramesFirst,
    /// `[3, T, V, M]`.
    AxesFirst,
}

/// One of the two arrays, with a name and class per row.
pub(super) struct Part {
    pub(super) rows: Rows,
    pub(super) names: Vec<String>,
    pub(super) classes: Vec<i64>,
    pub(super) role: SampleRole,
}

/// An opened archive; sequences are read when they are asked for.
pub(super) struct Prepared {
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
    parts: [Part; 2],
    frames: usize,
    order: Order,
    split: SplitSource,
}

impl Prepared {
    /// Puts two parts together; their rows are `frames` frames of the persons in `info`.
    ///
    /// # Errors
    /// When a row has another size, or names, classes and rows are not equally many.
    pub(super) fn new(
        info: DatasetInfo,
        parts: [Part; 2],
        frames: usize,
        order: Order,
        split: SplitSource,
    ) -> Result<Self> {
        let mut samples = Vec::new();
        for part in &parts {
            let width = frames * info.persons * JOINTS * 3;
            if part.rows.width != width || width == 0 {
                let why = format!(
                    "has shape {:?}, expected rows of {frames} frames, {} persons and {JOINTS} joints",
                    part.rows.shape, info.persons
                );
                return Err(part.rows.error(why));
            }
            if part.rows.len() != part.names.len() || part.rows.len() != part.classes.len() {
                let why = format!("has {} rows for {} labels", part.rows.len(), part.classes.len());
                return Err(part.rows.error(why));
            }
            let classes = info.classes.len();
            for (name, class) in part.names.iter().zip(&part.classes) {
                if info.classes.column(ClassId(*class)).is_none() {
                    let why = format!("`{name}` has label {class}, expected 0 to {}", classes - 1);
                    return Err(part.rows.error(why));
                }
                samples.push(SampleInfo {
                    name: name.clone(),
                    class: ClassId(*class),
                    subject: subject(name),
                    role: part.role,
                    usable: true,
                });
            }
        }
        Ok(Self {
            info,
            samples,
            parts,
            frames,
            order,
            split,
        })
    }
}

/// Subject number of a name `SsssCcccPppp...`.
pub(super) fn subject(name: &str) -> Option<i64> {
    let digits = name.strip_prefix('S')?.get(8..11)?;
    let marked = name.get(8..9) == Some("P");
    digits.parse().ok().filter(|_| marked)
}

impl Dataset for Prepared {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let [first, second] = &self.parts;
        let (part, row) = match sample.checked_sub(first.rows.len()) {
            None => (first, sample),
            Some(row) => (second, row),
        };
        let values = part.rows.row(row)?;
        let persons = self.info.persons;
        let mut joints = match self.order {
            Order::FramesFirst => values,
            Order::AxesFirst => frames_first(&values, self.frames, persons),
        };
        let size = persons * JOINTS * 3;
        let last = joints
            .chunks_exact(size)
            .rposition(|frame| frame.iter().any(|v| *v != 0.0));
        let Some(last) = last else {
            return Err(part
                .rows
                .error(format!("row {row} is zero throughout: nobody was tracked")));
        };
        joints.truncate((last + 1) * size);
        Ok(Sequence {
            joints,
            frames: last + 1,
            persons,
            fps: FPS,
        })
    }

    fn split(&self) -> Result<ClassSplit> {
        let SplitSource {
            config,
            file,
            dataset,
        } = &self.split;
        config.resolve(file, dataset, &self.info.classes)
    }
}

/// `[3, T, V, M]` as `[T, M, V, 3]`.
fn frames_first(values: &[f32], frames: usize, persons: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (at, value) in values.iter().enumerate() {
        let (person, rest) = (at % persons, at / persons);
        let (joint, rest) = (rest % JOINTS, rest / JOINTS);
        let (frame, axis) = (rest % frames, rest / frames);
        out[((frame * persons + person) * JOINTS + joint) * 3 + axis] = *value;
    }
    out
}

/// Refuses a file of which two rows would be the same sample.
pub(super) fn no_name_twice(parts: &[Part; 2]) -> Result<()> {
    let mut names: Vec<&String> = parts.iter().flat_map(|part| &part.names).collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::Input(format!("sample `{}` is listed twice", pair[0]))),
        None => Ok(()),
    }
}
