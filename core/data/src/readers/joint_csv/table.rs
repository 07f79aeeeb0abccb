//! The joints of one sample.

use std::collections::BTreeMap;
use std::path::Path;

use csv::StringRecord;
use szar_core::{Error, Result, Sequence, SkeletonLayout};

use super::super::text;
use super::JointCsvConfig;
use super::index::{Body, Place, bad, line, open};

/// A sequence up to this many joints is laid out however few of them have a row.
const SMALL: usize = 1 << 20;

/// One row of a long table.
struct Row {
    frame: i64,
    person: usize,
    joint: usize,
    position: Option<[f32; 3]>,
    line: Option<String>,
}

/// Reads the rows at `place`.
///
/// # Errors
/// With the line, what was expected and what was found.
pub(super) fn read(
    options: &JointCsvConfig,
    layout: &SkeletonLayout,
    path: &Path,
    place: &Place,
) -> Result<Sequence> {
    let (mut reader, plan) = open(options, layout, path)?;
    if let Some(start) = &place.start {
        reader.seek(start.clone()).map_err(|e| bad(path, &e))?;
    }
    let mut record = StringRecord::new();
    let mut left = place.rows.unwrap_or(u64::MAX);
    let mut sequence = Builder::new(options, layout);
    while left > 0 && reader.read_record(&mut record).map_err(|e| bad(path, &e))? {
        let added = match &plan.body {
            Body::Long {
                frame,
                person,
                joint,
                axes,
            } => sequence.long(&record, *frame, *person, *joint, *axes),
            Body::Wide { frame, cells } => sequence.wide(&record, *frame, cells),
        };
        added.map_err(|why| Error::format(path, line(&record), why))?;
        left -= 1;
    }
    if place.rows.is_some() && left > 0 {
        return Err(Error::format(path, None, "is shorter than when it was opened"));
    }
    let (joints, frames) = sequence
        .finish()
        .map_err(|(at, why)| Error::format(path, at, why))?;
    Ok(Sequence {
        joints,
        frames,
        persons: options.persons,
        fps: options.fps,
    })
}

struct Builder<'a> {
    options: &'a JointCsvConfig,
    layout: &'a SkeletonLayout,
    /// Number of each joint by its name.
    joints: BTreeMap<&'a str, usize>,
    persons: BTreeMap<String, usize>,
    rows: Vec<Row>,
    /// Frames of a wide table.
    values: Vec<f32>,
    last: Option<i64>,
}

/// Line and reason.
type Fault = (Option<String>, String);

impl<'a> Builder<'a> {
    fn new(options: &'a JointCsvConfig, layout: &'a SkeletonLayout) -> Self {
        Self {
            options,
            layout,
            joints: layout.joints.iter().map(String::as_str).zip(0..).collect(),
            persons: BTreeMap::new(),
            rows: Vec::new(),
            values: Vec::new(),
            last: None,
        }
    }

    fn long(
        &mut self,
        record: &StringRecord,
        frame: usize,
        person: Option<usize>,
        joint: usize,
        axes: [Option<usize>; 3],
    ) -> Result<(), String> {
        let frame = whole(record, frame)?;
        let joint = self.joint(record.get(joint).unwrap_or_default())?;
        let person = self.person(person.and_then(|p| record.get(p)).unwrap_or_default())?;
        let position = self.position(record, axes)?;
        self.rows.push(Row {
            frame,
            person,
            joint,
            position,
            line: line(record),
        });
        Ok(())
    }

    /// A joint by its name, else by its number.
    fn joint(&self, text: &str) -> Result<usize, String> {
        let number = || text.parse::<usize>().ok().filter(|n| *n < self.layout.len());
        let found = self.joints.get(text).copied().or_else(number);
        found.ok_or_else(|| {
            let unknown = Error::unknown("joint", &text::short(text), self.layout.joints.iter().cloned());
            format!("{unknown}, of layout `{}`", self.layout.name)
        })
    }

    fn person(&mut self, text: &str) -> Result<usize, String> {
        let next = self.persons.len();
        if let Some(number) = self.persons.get(text) {
            return Ok(*number);
        }
        if next == self.options.persons {
            return Err(format!(
                "`{}` is person {} of the sample, expected at most {next}; set `persons`",
                text::short(text),
                next + 1
            ));
        }
        self.persons.insert(text.to_owned(), next);
        Ok(next)
    }

    /// The point in metres; `None` where all cells are empty.
    fn position(&self, record: &StringRecord, axes: [Option<usize>; 3]) -> Result<Option<[f32; 3]>, String> {
        let cell = |axis: Option<usize>| axis.map(|column| record.get(column).unwrap_or_default());
        if axes.into_iter().all(|axis| cell(axis).is_none_or(str::is_empty)) {
            return Ok(None);
        }
        let mut point = [0.0; 3];
        for (value, axis) in point.iter_mut().zip(axes) {
            let Some(text) = cell(axis) else { continue };
            let number = text.parse::<f64>().ok().filter(|v| v.is_finite());
            *value = number.ok_or_else(|| format!("expected a coordinate, found `{}`", text::short(text)))?;
        }
        let metres = self
            .options
            .axes
            .turn(point)
            .map(|v| v * self.options.metres_per_unit);
        Ok(Some(metres.map(|v| v as f32)))
    }

    fn wide(
        &mut self,
        record: &StringRecord,
        frame: Option<usize>,
        cells: &[[Option<usize>; 3]],
    ) -> Result<(), String> {
        if let Some(column) = frame {
            let number = whole(record, column)?;
            if let Some(last) = self.last.replace(number).filter(|last| *last >= number) {
                return Err(format!(
                    "frame {number} comes after frame {last}, expected rising numbers"
                ));
            }
        }
        for axes in cells {
            let point = self.position(record, *axes)?;
            self.values.extend(point.unwrap_or_default());
        }
        Ok(())
    }

    /// Joints `[T, M, V, 3]` and T.
    fn finish(mut self) -> Result<(Vec<f32>, usize), Fault> {
        let width = self.options.persons * self.layout.len() * 3;
        if self.rows.is_empty() {
            let frames = self.values.len() / width.max(1);
            return if frames > 0 {
                Ok((self.values, frames))
            } else {
                Err((None, "has no row below the header".into()))
            };
        }
        self.rows.sort_by_key(|r| (r.frame, r.person, r.joint));
        let key = |r: &Row| (r.frame, r.person, r.joint);
        if let Some(pair) = self.rows.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
            let joint = &self.layout.joints[pair[1].joint];
            let why = format!("joint `{joint}` of frame {} is given twice", pair[1].frame);
            return Err((pair[1].line.clone(), why));
        }
        let frames = 1 + self
            .rows
            .windows(2)
            .filter(|pair| pair[0].frame != pair[1].frame)
            .count();
        let (all, rows) = (frames * self.options.persons * self.layout.len(), self.rows.len());
        if all > SMALL && all / 64 > rows {
            let why = format!("has {rows} rows for {frames} frames, where {all} joints are expected");
            return Err((None, why));
        }
        let mut joints = vec![0.0; frames * width];
        let (mut at, mut current) = (0, self.rows[0].frame);
        for row in &self.rows {
            at += usize::from(row.frame != current);
            current = row.frame;
            let start = at * width + (row.person * self.layout.len() + row.joint) * 3;
            joints[start..start + 3].copy_from_slice(&row.position.unwrap_or_default());
        }
        Ok((joints, frames))
    }
}

fn whole(record: &StringRecord, column: usize) -> Result<i64, String> {
    let text = record.get(column).unwrap_or_default();
    let number = text.parse::<i64>();
    number.map_err(|_| format!("expected the number of a frame, found `{}`", text::short(text)))
}
