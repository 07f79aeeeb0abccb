//! AMC files: the motion of one actor in Acclaim's format, turned into positions with the actor's skeleton.
//!
//! A frame is its number on a line, then a line for the root and for each bone that can turn. With `C` the axes of a
//! bone's angles, `M` the rotation by its angles and `R` that of the bone above, the bone turns by `R C M C⁻¹`.

use std::collections::BTreeMap;
use std::path::Path;

use szar_core::{Error, Result};

use super::super::text;
use super::asf::{RootValue, Skeleton, latin1, number};
use super::rotation::{IDENTITY, Matrix, Vector, apply, euler, product, sum, transpose};

/// The numbers of one frame, and which joints have given theirs.
struct Frame {
    values: Vec<f64>,
    given: Vec<bool>,
}

/// Where each joint's numbers lie in a frame.
struct Slots<'a> {
    /// First number and count by joint.
    ranges: Vec<(usize, usize)>,
    joints: BTreeMap<&'a str, usize>,
}

impl<'a> Slots<'a> {
    fn new(skeleton: &'a Skeleton) -> Self {
        let counts = std::iter::once(skeleton.root.len()).chain(skeleton.bones.iter().map(|b| b.turns.len()));
        let range = |next: &mut usize, count: usize| {
            *next += count;
            Some((*next - count, count))
        };
        Self {
            ranges: counts.scan(0, range).collect(),
            joints: skeleton
                .hierarchy
                .names
                .iter()
                .map(String::as_str)
                .zip(0..)
                .collect(),
        }
    }

    fn empty(&self) -> Frame {
        Frame {
            values: vec![0.0; self.ranges.iter().map(|(_, count)| count).sum()],
            given: self.ranges.iter().map(|(_, count)| *count == 0).collect(),
        }
    }

    /// Reads the line of one joint.
    fn fill(&self, frame: &mut Frame, words: &[&str]) -> Result<(), String> {
        let name = words[0];
        let joint = self.joints.get(name).copied();
        let joint = joint.ok_or_else(|| format!("the skeleton has no bone `{}`", text::short(name)))?;
        let (start, count) = self.ranges[joint];
        if words.len() != count + 1 {
            let found = words.len() - 1;
            return Err(format!("expected {count} numbers for `{name}`, found {found}"));
        }
        if std::mem::replace(&mut frame.given[joint], true) {
            return Err(format!("`{name}` is given twice in its frame, or cannot turn"));
        }
        for (slot, word) in frame.values[start..start + count].iter_mut().zip(&words[1..]) {
            *slot = number(Some(word))?;
        }
        Ok(())
    }
}

/// The joints of every `every`-th frame, `[T][V]` end to end, in metres.
///
/// # Errors
/// With the line, what was expected and what was found.
pub(super) fn positions(path: &Path, bytes: &[u8], skeleton: &Skeleton, every: usize) -> Result<Vec<Vector>> {
    let content = latin1(bytes);
    let slots = Slots::new(skeleton);
    let mut motion = Motion {
        skeleton,
        slots: &slots,
        radians: skeleton.radians,
        every,
        last: None,
        count: 0,
        out: Vec::new(),
    };
    let mut current: Option<(usize, Frame)> = None;
    for (at, line) in content.lines().enumerate() {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some(first) = words.first().filter(|w| !w.starts_with('#')) else {
            continue;
        };
        let bad = |why: String| Error::format(path, text::place(at), why);
        if first.starts_with(':') {
            motion.header(first);
        } else if let (Ok(number), 1) = (first.parse::<u64>(), words.len()) {
            motion.finish(path, current.take())?;
            motion.begin(number).map_err(bad)?;
            current = Some((at, slots.empty()));
        } else {
            let (_, frame) = current.as_mut().ok_or_else(|| {
                bad(format!(
                    "expected the number of a frame, found `{}`",
                    text::short(first)
                ))
            })?;
            slots.fill(frame, &words).map_err(bad)?;
        }
    }
    motion.finish(path, current.take())?;
    if motion.count == 0 {
        return Err(Error::format(path, None, "has no frame"));
    }
    Ok(motion.out)
}

/// What is read so far.
struct Motion<'a> {
    skeleton: &'a Skeleton,
    slots: &'a Slots<'a>,
    radians: bool,
    every: usize,
    /// Number of the last frame.
    last: Option<u64>,
    count: usize,
    out: Vec<Vector>,
}

impl Motion<'_> {
    fn header(&mut self, word: &str) {
        match word.to_ascii_uppercase().as_str() {
            ":DEGREES" => self.radians = false,
            ":RADIANS" => self.radians = true,
            _ => {}
        }
    }

    fn begin(&mut self, number: u64) -> Result<(), String> {
        match self.last.replace(number) {
            Some(last) if number.checked_sub(1) != Some(last) => {
                Err(format!("frame {number} follows frame {last}; is a part missing?"))
            }
            _ => Ok(()),
        }
    }

    /// Places the joints of a frame that is complete.
    fn finish(&mut self, path: &Path, frame: Option<(usize, Frame)>) -> Result<()> {
        let Some((at, frame)) = frame else {
            return Ok(());
        };
        if let Some(joint) = frame.given.iter().position(|given| !given) {
            let name = &self.skeleton.hierarchy.names[joint];
            let why = format!("this frame lacks `{name}`; is the file cut short?");
            return Err(Error::format(path, text::place(at), why));
        }
        if self.count.is_multiple_of(self.every) {
            self.place(&frame.values);
        }
        self.count += 1;
        Ok(())
    }

    fn place(&mut self, values: &[f64]) {
        let Skeleton { hierarchy, bones, .. } = self.skeleton;
        let start = self.out.len();
        self.out.resize(start + hierarchy.names.len(), [0.0; 3]);
        let mut turns: Vec<Matrix> = vec![IDENTITY; hierarchy.names.len()];
        for &joint in &self.skeleton.order {
            let (first, count) = self.slots.ranges[joint];
            let own = &values[first..first + count];
            let Some(above) = hierarchy.parents[joint] else {
                (self.out[start], turns[0]) = self.root(own);
                continue;
            };
            let bone = &bones[joint - 1];
            let mut angles = [0.0; 3];
            for (axis, value) in bone.turns.iter().zip(own) {
                angles[*axis] = self.angle(*value);
            }
            turns[joint] = if bone.turns.is_empty() {
                turns[above]
            } else {
                let turn = product(&bone.frame, &euler(bone.order, angles));
                product(&turns[above], &product(&turn, &transpose(&bone.frame)))
            };
            self.out[start + joint] = sum(self.out[start + above], apply(&turns[joint], bone.reach));
        }
    }

    /// Position in metres and rotation.
    fn root(&self, values: &[f64]) -> (Vector, Matrix) {
        let (mut position, mut angles) = ([0.0; 3], [0.0; 3]);
        for (what, value) in self.skeleton.root.iter().zip(values) {
            match what {
                RootValue::Position(axis) => position[*axis] = value * self.skeleton.unit,
                RootValue::Turn(axis) => angles[*axis] = self.angle(*value),
            }
        }
        (position, euler(self.skeleton.root_order, angles))
    }

    fn angle(&self, value: f64) -> f64 {
        if self.radians { value } else { value.to_radians() }
    }
}

#[cfg(test)]
#[path = "amc_tests.rs"]
mod tests;
