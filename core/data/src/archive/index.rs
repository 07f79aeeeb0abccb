//! What the files of a store say.

use serde::{Deserialize, Serialize};
use szar_core::{ClassId, Error, Result, SampleInfo, SampleRole, SkeletonLayout};
use xxhash_rust::xxh3::xxh3_64;

/// Version of the files' form.
pub(super) const FORMAT: u32 = 1;

/// Columns of `samples.i64`.
pub(super) const COLUMNS: usize = 8;

/// What `index.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub format: u32,
    /// Short name of the dataset.
    pub name: String,
    pub layout: SkeletonLayout,
    /// Number and name of every class.
    pub classes: Vec<(i64, String)>,
    /// M, persons at most.
    pub persons: usize,
    /// Set when the data is not recorded from people.
    pub synthetic: Option<String>,
    /// n.
    pub samples: usize,
    /// Frames of all sequences.
    pub frames: u64,
    /// Numbers in `joints.f32`.
    pub values: u64,
    /// XXH3 (64 bits, hexadecimal) of `samples.i64`, `fps.f32` and `names.txt`.
    pub checksums: [String; 3],
    /// What it was made from.
    pub source: String,
}

/// A line of `samples.i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Place of the first value in `joints.f32`.
    pub start: usize,
    /// T.
    pub frames: usize,
    /// M.
    pub persons: usize,
    pub class: ClassId,
    pub subject: Option<i64>,
    pub role: SampleRole,
    pub usable: bool,
    /// Of the values' bytes.
    pub checksum: u64,
}

impl Row {
    pub fn of(info: &SampleInfo, start: usize, frames: usize, persons: usize, checksum: u64) -> Self {
        Self {
            start,
            frames,
            persons,
            class: info.class,
            subject: info.subject,
            role: info.role,
            usable: info.usable,
            checksum,
        }
    }

    pub fn to_numbers(self) -> [i64; COLUMNS] {
        [
            self.start as i64,
            self.frames as i64,
            self.persons as i64,
            self.class.0,
            self.subject.unwrap_or(-1),
            match self.role {
                SampleRole::Train => 0,
                SampleRole::Test => 1,
                SampleRole::Outside => -1,
            },
            i64::from(self.usable),
            self.checksum.cast_signed(),
        ]
    }

    /// The row of these numbers, if they can be one.
    pub fn from_numbers(numbers: &[i64; COLUMNS]) -> Option<Self> {
        let size = |n: i64| usize::try_from(n).ok();
        Some(Self {
            start: size(numbers[0])?,
            frames: size(numbers[1])?,
            persons: size(numbers[2])?,
            class: ClassId(numbers[3]),
            subject: (numbers[4] >= 0).then_some(numbers[4]),
            role: match numbers[5] {
                0 => SampleRole::Train,
                1 => SampleRole::Test,
                -1 => SampleRole::Outside,
                _ => return None,
            },
            usable: numbers[6] != 0,
            checksum: numbers[7].cast_unsigned(),
        })
    }

    /// How many values the sequence has, with `joints` joints.
    pub fn values(&self, joints: usize) -> Option<usize> {
        let rows = self.frames.checked_mul(self.persons)?;
        rows.checked_mul(joints)?.checked_mul(3)
    }
}

/// Refuses a store that another version wrote.
pub(super) fn check_format(path: &std::path::Path, text: &str) -> Result<Index> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let bad = |e: serde_json::Error| Error::format(path, format!("line {}", e.line()), e.to_string());
    let Format { format } = serde_json::from_str(text).map_err(bad)?;
    if format != FORMAT {
        let why = format!(
            "is {format}, expected {FORMAT}: another version of szar wrote it; import the data again"
        );
        return Err(Error::format(path, "`format`".to_owned(), why));
    }
    serde_json::from_str(text).map_err(bad)
}

pub(super) fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}
