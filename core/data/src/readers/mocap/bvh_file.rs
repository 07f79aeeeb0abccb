//! BVH files: hierarchy, channels, frames, and the positions of all joints by forward kinematics.
//!
//! Format: Biovision Hierarchy. Position channels replace the joint's OFFSET; rotations multiply in the order in which
//! the channels stand. An `End Site` is a joint `<parent>_End` without channels.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use szar_core::{Error, Result};

use super::super::text;
use super::rotation::{IDENTITY, Matrix, Vector, about, apply, product, sum};
use crate::layouts::mapping::{Hierarchy, MAX_JOINTS};

/// A hierarchy has far fewer bytes than this.
const MAX_HEADER: u64 = 1 << 22;

/// One number of a frame: what it does to its joint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Position(usize),
    Rotation(usize),
}

/// Everything before the numbers.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) hierarchy: Hierarchy,
    offsets: Vec<Vector>,
    channels: Vec<Vec<Channel>>,
    frames: usize,
    /// Seconds.
    pub(super) frame_time: f64,
    /// Lines before the numbers.
    lines: usize,
}

/// The start of a file, up to its frame time.
///
/// # Errors
/// When the file cannot be read or its header is malformed; with the line.
pub(super) fn read_header(path: &Path) -> Result<Header> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let mut reader = BufReader::new(file.take(MAX_HEADER));
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        let read = reader
            .read_until(b'\n', &mut bytes)
            .map_err(|e| Error::read(path, e))?;
        if read == 0 || bytes[start..].trim_ascii_start().starts_with(b"Frame Time") {
            return parse_header(path, &text::decode(path, bytes)?);
        }
    }
}

/// Parses the hierarchy and the two lines behind `MOTION`.
pub(super) fn parse_header(path: &Path, content: &str) -> Result<Header> {
    let mut lines = content.lines().enumerate();
    let mut reader = HeaderReader::new(path);
    loop {
        let Some((at, line)) = lines.next() else {
            return Err(Error::format(
                path,
                None,
                "has no line `MOTION`; is the file cut short?",
            ));
        };
        if line.trim() == "MOTION" {
            break;
        }
        reader.line(at, line)?;
    }
    let mut value = |key: &str| {
        let Some((at, line)) = lines.find(|(_, l)| !l.trim().is_empty()) else {
            return Err(Error::format(
                path,
                None,
                format!("has no line `{key}`; is the file cut short?"),
            ));
        };
        let value = line.trim().strip_prefix(key).map(str::trim);
        let value = value.ok_or_else(|| {
            let why = format!("expected `{key}`, found `{}`", text::short(line.trim()));
            Error::format(path, text::place(at), why)
        })?;
        Ok((at, value.to_owned()))
    };
    let (at, frames) = value("Frames:")?;
    let frames = frames.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(|| {
        let why = format!(
            "expected a number of frames above 0, found `{}`",
            text::short(&frames)
        );
        Error::format(path, text::place(at), why)
    })?;
    let (at, time) = value("Frame Time:")?;
    let usable = |t: &f64| t.is_finite() && (1e-6..=1e3).contains(t);
    let frame_time = time.parse::<f64>().ok().filter(usable).ok_or_else(|| {
        let why = format!("expected the seconds of a frame, found `{}`", text::short(&time));
        Error::format(path, text::place(at), why)
    })?;
    reader.finish(frames, frame_time, at + 1)
}

/// State while the hierarchy is read, line by line.
struct HeaderReader<'a> {
    path: &'a Path,
    hierarchy: Hierarchy,
    offsets: Vec<Option<Vector>>,
    channels: Vec<Vec<Channel>>,
    /// Joints whose brace is open.
    open: Vec<usize>,
    /// A joint was named and its brace is to come.
    named: bool,
    started: bool,
}

impl<'a> HeaderReader<'a> {
    fn new(path: &'a Path) -> Self {
        Self {
            path,
            hierarchy: Hierarchy {
                names: Vec::new(),
                parents: Vec::new(),
            },
            offsets: Vec::new(),
            channels: Vec::new(),
            open: Vec::new(),
            named: false,
            started: false,
        }
    }

    fn line(&mut self, at: usize, line: &str) -> Result<()> {
        let mut words = line.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let bad = |why: String| Error::format(self.path, text::place(at), why);
            match word {
                "HIERARCHY" if !self.started => self.started = true,
                "ROOT" | "JOINT" | "End" => {
                    let mut name = Vec::new();
                    while let Some(part) = words.next_if(|w| *w != "{") {
                        name.push(part);
                    }
                    self.joint(word, &name.join(" "))
                        .map_err(|why| Error::format(self.path, text::place(at), why))?;
                }
                "{" if self.named => {
                    self.open.push(self.hierarchy.names.len() - 1);
                    self.named = false;
                }
                "}" if !self.open.is_empty() && !self.named => {
                    self.open.pop();
                }
                "OFFSET" => {
                    let mut offset = [0.0; 3];
                    for slot in &mut offset {
                        *slot = number(words.next()).map_err(bad)?;
                    }
                    let joint = *self
                        .open
                        .last()
                        .ok_or_else(|| bad("an OFFSET stands outside of a joint".into()))?;
                    self.offsets[joint] = Some(offset);
                }
                "CHANNELS" => {
                    let joint = *self
                        .open
                        .last()
                        .ok_or_else(|| bad("CHANNELS stand outside of a joint".into()))?;
                    let count = words
                        .next()
                        .and_then(|w| w.parse::<usize>().ok())
                        .filter(|n| *n <= 6);
                    let count = count.ok_or_else(|| bad("expected 0 to 6 CHANNELS".into()))?;
                    let list: Result<Vec<Channel>, String> =
                        (0..count).map(|_| channel(words.next())).collect();
                    let list = list.map_err(bad)?;
                    if (1..list.len()).any(|i| list[..i].contains(&list[i])) {
                        return Err(bad("a channel is given twice".into()));
                    }
                    self.channels[joint] = list;
                }
                other => {
                    let expected = "expected ROOT, JOINT, End Site, OFFSET, CHANNELS or a brace";
                    return Err(bad(format!("{expected}, found `{}`", text::short(other))));
                }
            }
        }
        Ok(())
    }

    fn joint(&mut self, kind: &str, name: &str) -> Result<(), String> {
        let names = &mut self.hierarchy.names;
        let parent = self.open.last().copied();
        if self.named || parent.is_none() != (kind == "ROOT") || (kind == "ROOT" && !names.is_empty()) {
            return Err(format!(
                "a {kind} cannot stand here, expected one tree of nested joints"
            ));
        }
        if names.len() == MAX_JOINTS {
            return Err(format!("has more than {MAX_JOINTS} joints"));
        }
        let name = match parent {
            Some(parent) if kind == "End" => free_name(names, &format!("{}_End", names[parent])),
            _ => name.to_owned(),
        };
        if name.is_empty() || names.contains(&name) {
            return Err(format!(
                "joint `{}` has no name, or that of another",
                text::short(&name)
            ));
        }
        names.push(name);
        self.hierarchy.parents.push(parent);
        self.offsets.push(None);
        self.channels.push(Vec::new());
        self.named = true;
        Ok(())
    }

    fn finish(self, frames: usize, frame_time: f64, lines: usize) -> Result<Header> {
        let bad = |why: String| Error::format(self.path, None, why);
        if !self.started || self.named || !self.open.is_empty() || self.hierarchy.names.is_empty() {
            return Err(bad(
                "has no complete HIERARCHY before `MOTION`; is a brace missing?".into(),
            ));
        }
        let names = &self.hierarchy.names;
        let mut offsets = Vec::new();
        for (name, offset) in names.iter().zip(self.offsets) {
            offsets.push(offset.ok_or_else(|| bad(format!("joint `{name}` has no OFFSET")))?);
        }
        let count: usize = self.channels.iter().map(Vec::len).sum();
        if count * 16 < names.len() {
            let why = format!("has {count} channels for {} joints, expected more", names.len());
            return Err(bad(why));
        }
        Ok(Header {
            hierarchy: self.hierarchy,
            offsets,
            channels: self.channels,
            frames,
            frame_time,
            lines,
        })
    }
}

/// The name, with a number where a joint has more than one end.
fn free_name(names: &[String], name: &str) -> String {
    let mut free = name.to_owned();
    let mut number = 1;
    while names.contains(&free) {
        number += 1;
        free = format!("{name}{number}");
    }
    free
}

fn number(word: Option<&str>) -> Result<f64, String> {
    let word = word.unwrap_or_default();
    let value = word.parse::<f64>().ok().filter(|v| v.is_finite());
    value.ok_or_else(|| format!("expected a number, found `{}`", text::short(word)))
}

fn channel(word: Option<&str>) -> Result<Channel, String> {
    let lower = word.unwrap_or_default().to_ascii_lowercase();
    let axis = |letter: &str| ["x", "y", "z"].iter().position(|a| *a == letter);
    let found = match (lower.get(..1).and_then(axis), lower.get(1..)) {
        (Some(axis), Some("position")) => Some(Channel::Position(axis)),
        (Some(axis), Some("rotation")) => Some(Channel::Rotation(axis)),
        _ => None,
    };
    found.ok_or_else(|| {
        let found = text::short(word.unwrap_or_default());
        format!("expected a channel such as `Xposition` or `Zrotation`, found `{found}`")
    })
}

/// All joints of every `every`-th frame, `[T][V]` end to end, in the file's units and axes.
///
/// # Errors
/// When the numbers are not those that the header announces.
pub(super) fn positions(path: &Path, content: &str, header: &Header, every: usize) -> Result<Vec<Vector>> {
    let channels: usize = header.channels.iter().map(Vec::len).sum();
    let mut out = Vec::new();
    let mut frame = Vec::with_capacity(channels);
    let mut count = 0usize;
    for (at, line) in content.lines().enumerate().skip(header.lines) {
        for word in line.split_whitespace() {
            frame.push(number(Some(word)).map_err(|why| Error::format(path, text::place(at), why))?);
            if frame.len() == channels {
                if count.is_multiple_of(every) {
                    place(header, &frame, &mut out);
                }
                count += 1;
                frame.clear();
            }
        }
    }
    if count != header.frames || !frame.is_empty() {
        let why = format!(
            "has {count} frames of {channels} numbers and {} numbers over, expected {} frames",
            frame.len(),
            header.frames
        );
        return Err(Error::format(path, None, why));
    }
    Ok(out)
}

/// Appends the joints of one frame.
fn place(header: &Header, frame: &[f64], out: &mut Vec<Vector>) {
    let start = out.len();
    let mut turns: Vec<Matrix> = Vec::with_capacity(header.offsets.len());
    let mut values = frame.iter();
    for (joint, channels) in header.channels.iter().enumerate() {
        let (mut local, mut turn) = (header.offsets[joint], IDENTITY);
        // The channels come first, so that the shorter side ends the pairing before a value is taken.
        for (channel, value) in channels.iter().zip(values.by_ref()) {
            match channel {
                Channel::Position(axis) => local[*axis] = *value,
                Channel::Rotation(axis) => turn = product(&turn, &about(*axis, value.to_radians())),
            }
        }
        let (position, turn) = match header.hierarchy.parents[joint] {
            None => (local, turn),
            Some(above) => (
                sum(out[start + above], apply(&turns[above], local)),
                product(&turns[above], &turn),
            ),
        };
        out.push(position);
        turns.push(turn);
    }
}

#[cfg(test)]
#[path = "bvh_file_tests.rs"]
mod tests;
