//! The text of a `.skeleton` file, read byte by byte without a copy of any line.
//!
//! | line | fields |
//! |---|---|
//! | first | number of frames |
//! | per frame | number of bodies, 0 to 6 in the originals |
//! | per body | id (up to 17 digits), then nine fields of tracking state, which are not kept |
//! | | number of joints, 25 |
//! | per joint | x y z in metres, then nine fields of image position, orientation and state, which are not kept |
//!
//! Lines end in CRLF or LF. Nothing is allocated on the word of a count: what is kept grows with the lines that
//! are really there.

use std::ops::Range;
use std::path::Path;

use szar_core::{Error, Result};

use crate::readers::text;

/// Joints of a body.
pub(crate) const JOINTS: usize = 25;
/// Fields of a body's line and of a joint's line.
const BODY_FIELDS: usize = 10;
const JOINT_FIELDS: usize = 12;

/// A recording as it was written: frames in order, each with the bodies that were tracked in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    /// Where each frame's bodies start; frames + 1 entries.
    starts: Vec<u32>,
    /// Tracking id of each body of each frame.
    ids: Vec<u64>,
    /// 25 joints a body, metres, camera coordinates.
    joints: Vec<[f32; 3]>,
}

impl Raw {
    /// T, frames, those without a body included.
    pub fn frames(&self) -> usize {
        self.starts.len() - 1
    }

    /// Bodies of all frames together.
    pub fn bodies(&self) -> usize {
        self.ids.len()
    }

    /// Numbers of the bodies of a frame, to ask [`Self::id`] and [`Self::joints`] by. Panics beyond the last frame.
    pub fn frame(&self, frame: usize) -> Range<usize> {
        self.starts[frame] as usize..self.starts[frame + 1] as usize
    }

    /// Tracking id of a body.
    pub fn id(&self, body: usize) -> u64 {
        self.ids[body]
    }

    /// The 25 joints of a body, x y z in metres.
    pub fn joints(&self, body: usize) -> &[[f32; 3]] {
        &self.joints[body * JOINTS..(body + 1) * JOINTS]
    }

    /// Bytes held on the heap.
    #[cfg(test)]
    pub(crate) fn heap(&self) -> usize {
        self.starts.capacity() * 4 + self.ids.capacity() * 8 + self.joints.capacity() * 12
    }
}

/// Reads the bytes of a file; `path` is for messages.
///
/// # Errors
/// [`Error::Format`] with the line, what was expected there and what was found: a file that is empty, cut short or
/// goes on after its last frame, a count or id that is no whole number, another number of joints or fields, a
/// coordinate that is no finite number, bytes that are no ASCII text.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Raw> {
    let mut lines = Lines {
        path,
        rest: bytes,
        number: 0,
        place: Place::default(),
    };
    let frames = lines.count(Want::Frames)?;
    let mut raw = Raw {
        starts: vec![0],
        ids: Vec::new(),
        joints: Vec::with_capacity(bytes.len() / BYTES_A_JOINT),
    };
    for frame in 0..frames {
        lines.place.frame = frame;
        let bodies = lines.count(Want::Bodies)?;
        for body in 0..bodies {
            lines.place.body = body;
            raw.ids.push(lines.body()?);
            let joints = lines.count(Want::Joints)?;
            if joints != JOINTS as u64 {
                return Err(lines.refuse(Want::Joints, joints.to_string().as_bytes()));
            }
            for joint in 0..JOINTS {
                lines.place.joint = joint;
                raw.joints.push(lines.joint()?);
            }
        }
        let total = u32::try_from(raw.ids.len());
        raw.starts
            .push(total.map_err(|_| lines.error("more than 4294967295 bodies"))?);
    }
    lines.place.frame = frames;
    lines.end()?;
    Ok(raw)
}

/// A joint's line has more than this many bytes in the original files, which sizes the first allocation.
const BYTES_A_JOINT: usize = 100;

/// What a line is expected to hold.
#[derive(Clone, Copy)]
enum Want {
    Frames,
    Bodies,
    Body,
    Joints,
    Joint,
    End,
}

/// Where in the recording the reader stands.
#[derive(Clone, Copy, Default)]
struct Place {
    frame: u64,
    body: u64,
    joint: usize,
}

/// The lines of a file, one after the other.
struct Lines<'a> {
    path: &'a Path,
    rest: &'a [u8],
    /// Line that was read last, from 1.
    number: usize,
    place: Place,
}

impl<'a> Lines<'a> {
    /// The next line without its end and blanks around it.
    fn next(&mut self, want: Want) -> Result<&'a [u8]> {
        self.number += 1;
        if self.rest.is_empty() {
            let why = format!("the file ends, expected {}", self.wanted(want));
            return Err(self.error(&why));
        }
        let (line, rest) = match memchr::memchr(b'\n', self.rest) {
            Some(at) => (&self.rest[..at], &self.rest[at + 1..]),
            None => (self.rest, &self.rest[..0]),
        };
        self.rest = rest;
        Ok(line.trim_ascii())
    }

    /// A line that is one whole number.
    fn count(&mut self, want: Want) -> Result<u64> {
        let line = self.next(want)?;
        whole(line).ok_or_else(|| self.refuse(want, line))
    }

    /// The id of a body's line.
    fn body(&mut self) -> Result<u64> {
        let line = self.next(Want::Body)?;
        let end = line.iter().position(|b| is_blank(*b)).unwrap_or(line.len());
        let id = whole(&line[..end]).filter(|_| fields(line) == Some(BODY_FIELDS));
        id.ok_or_else(|| self.refuse(Want::Body, line))
    }

    /// The coordinates of a joint's line.
    fn joint(&mut self) -> Result<[f32; 3]> {
        let line = self.next(Want::Joint)?;
        coordinates(line).ok_or_else(|| self.refuse(Want::Joint, line))
    }

    /// Refuses anything but blank lines.
    fn end(&mut self) -> Result<()> {
        while !self.rest.is_empty() {
            let line = self.next(Want::End)?;
            if !line.is_empty() {
                return Err(self.refuse(Want::End, line));
            }
        }
        Ok(())
    }

    fn wanted(&self, want: Want) -> String {
        let Place { frame, body, joint } = self.place;
        match want {
            Want::Frames => "the number of frames".into(),
            Want::Bodies => format!("the number of bodies of frame {frame}"),
            Want::Body => {
                format!("the id and nine more fields of body {body} of frame {frame}")
            }
            Want::Joints => format!("{JOINTS}, the number of joints of body {body} of frame {frame}"),
            Want::Joint => format!(
                "three finite coordinates and nine more fields of joint {joint} of body {body} of frame {frame}"
            ),
            Want::End => format!("nothing after the {frame} frames that line 1 announces"),
        }
    }

    fn refuse(&self, want: Want, found: &[u8]) -> Error {
        let wanted = self.wanted(want);
        let Some(words) = std::str::from_utf8(found).ok().filter(|w| w.is_ascii()) else {
            return self.error(&format!("expected {wanted}, found bytes that are no ASCII text"));
        };
        let shown = text::short(words);
        let shown = shown.escape_debug();
        let count = words.split_ascii_whitespace().count();
        self.error(&match want {
            Want::Body | Want::Joint => format!("expected {wanted}, found `{shown}` ({count} fields)"),
            _ => format!("expected {wanted}, found `{shown}`"),
        })
    }

    fn error(&self, why: &str) -> Error {
        Error::format(self.path, text::place(self.number - 1), why)
    }
}

fn is_blank(byte: u8) -> bool {
    (byte == b' ') | (byte == b'\t')
}

/// A whole number, digits only.
fn whole(field: &[u8]) -> Option<u64> {
    let digit = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    (!field.is_empty()).then(|| field.iter().try_fold(0, digit))?
}

/// How many fields a line has; `None` when it has a byte that is no printable ASCII.
///
/// Without branches, so that it compiles to vector instructions: most bytes of a file pass through here.
fn fields(line: &[u8]) -> Option<usize> {
    let odd = |byte: &u8| !is_blank(*byte) & (byte.wrapping_sub(b'!') > b'~' - b'!');
    if line.iter().fold(false, |found, byte| found | odd(byte)) {
        return None;
    }
    let first = line.first().is_some_and(|byte| !is_blank(*byte));
    let next = line.get(1..).unwrap_or_default();
    let starts = line
        .iter()
        .zip(next)
        .map(|(a, b)| usize::from(is_blank(*a) & !is_blank(*b)));
    Some(usize::from(first) + starts.sum::<usize>())
}

/// The first three of the twelve fields of a joint's line.
fn coordinates(line: &[u8]) -> Option<[f32; 3]> {
    let mut out = [0.0; 3];
    let mut rest = line;
    for value in &mut out {
        let (number, used) = fast_float2::parse_partial::<f32, _>(rest).ok()?;
        if !number.is_finite() || !rest.get(used).is_some_and(|b| is_blank(*b)) {
            return None;
        }
        *value = number;
        rest = rest[used..].trim_ascii_start();
    }
    (fields(rest)? + 3 == JOINT_FIELDS).then_some(out)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
