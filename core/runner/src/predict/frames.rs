//! Frames as JSON, a line each:
//!
//! ```json
//! {"layout": "ntu25"}
//! {"joints": [[0.1, 0.9, 2.8], [0.1, 1.2, 2.8], null]}
//! {"persons": [[[0.1, 0.9, 2.8], null, null], null], "time": 0.033}
//! ```
//!
//! - The first line may say what the joints are: `layout`, a known skeleton, or `joint_names`, in their order; and `fps`.
//!   Without it they are those that the run was trained on, in its order.
//! - A frame has `joints` of one person, or `persons` of several, each with all joints, `[x, y, z]` in metres, +y up. A joint or
//!   a person that was not tracked is `null`; a frame with nobody is `{"persons": []}`. A person keeps its place in the list.
//! - `time` in seconds is given back with the answer.
//!
//! Blank lines mean nothing; other fields are refused.

use std::io::{BufRead, Read};
use std::path::Path;

use serde::Deserialize;
use szar_core::{Error, Result};
use szar_data::layouts;

/// Longest line, bytes; a frame has a few thousand.
const MAX_BYTES: u64 = 1 << 22;

/// A line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// Without its end.
    pub text: Vec<u8>,
    /// False when the stream stopped before the line's end.
    pub ended: bool,
}

/// Reads the next line; `None` at the end of the stream. A line that is too long comes without its end.
///
/// # Errors
/// Whatever the stream gives.
pub fn read_line(from: &mut dyn BufRead, number: u64) -> std::io::Result<Option<Line>> {
    let mut text = Vec::new();
    if from.take(MAX_BYTES).read_until(b'\n', &mut text)? == 0 {
        return Ok(None);
    }
    let ended = text.last() == Some(&b'\n');
    if ended {
        text.pop();
    }
    Ok(Some(Line { number, text, ended }))
}

type Joint = Option<[f32; 3]>;

/// Everything that a line may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    layout: Option<String>,
    joint_names: Option<Vec<String>>,
    fps: Option<f32>,
    joints: Option<Vec<Joint>>,
    persons: Option<Vec<Option<Vec<Joint>>>>,
    time: Option<f64>,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    /// Nothing.
    Blank,
    /// What the joints of the frames are, and frames per second.
    Skeleton {
        name: String,
        joints: Vec<String>,
        fps: Option<f32>,
    },
    /// A frame, now in [`Frames::frame`], and its time.
    Frame(Option<f64>),
}

/// Reads the lines of a stream into one buffer.
#[derive(Debug)]
pub(super) struct Frames {
    /// What messages call the stream.
    place: String,
    persons: usize,
    joints: usize,
    skeleton: String,
    frame: Vec<f32>,
    begun: bool,
    told: bool,
}

impl Frames {
    /// Frames of up to `persons` persons with these joints.
    pub fn new(place: &str, persons: usize, (joints, skeleton): (usize, &str)) -> Self {
        Self {
            place: place.to_owned(),
            persons,
            joints,
            skeleton: skeleton.to_owned(),
            frame: vec![0.0; persons * joints * 3],
            begun: false,
            told: false,
        }
    }

    /// From now on frames have these joints.
    pub fn expect(&mut self, (joints, skeleton): (usize, &str)) {
        self.joints = joints;
        skeleton.clone_into(&mut self.skeleton);
        self.frame = vec![0.0; self.persons * joints * 3];
    }

    /// The last frame, `[M, V, 3]`.
    pub fn frame(&self) -> &[f32] {
        &self.frame
    }

    /// An error of this line.
    pub fn wrong(&self, line: u64, why: impl Into<String>) -> Error {
        Error::format(Path::new(&self.place), format!("line {line}"), why.into())
    }

    /// Reads a line.
    ///
    /// # Errors
    /// [`Error::Format`] naming the line: it is not whole, no JSON, has another number of joints or numbers that are not finite.
    pub fn read(&mut self, line: &Line) -> Result<Incoming> {
        if line.text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Incoming::Blank);
        }
        let raw: Raw = serde_json::from_slice(&line.text).map_err(|e| self.malformed(line, &e))?;
        let wrong = |why: &str| self.wrong(line.number, why);
        if raw.layout.is_some() || raw.joint_names.is_some() {
            if raw.joints.is_some() || raw.persons.is_some() {
                return Err(wrong("names a skeleton and holds a frame, expected one of them"));
            }
            if self.begun {
                return Err(wrong("names a skeleton, which only the first line can do"));
            }
            self.begun = true;
            return self.skeleton(line.number, raw);
        }
        if raw.joints.is_some() == raw.persons.is_some() {
            return Err(wrong(
                "must have one of `joints` and `persons`, has both or neither",
            ));
        }
        self.begun = true;
        self.frame.fill(0.0);
        if let Some(joints) = &raw.joints {
            self.person(line.number, 0, joints)?;
        }
        if let Some(persons) = &raw.persons {
            self.all(line.number, persons)?;
        }
        if raw.time.is_some_and(|time| !time.is_finite()) {
            return Err(self.wrong(line.number, "`time` is not finite, expected seconds"));
        }
        Ok(Incoming::Frame(raw.time))
    }

    fn malformed(&self, line: &Line, error: &serde_json::Error) -> Error {
        let text = String::from_utf8_lossy(&line.text);
        let why = if line.text.len() as u64 >= MAX_BYTES {
            format!("is longer than {MAX_BYTES} bytes, expected one frame")
        } else if error.is_eof() && !line.ended {
            "is cut off: the stream stopped in the middle of the line".to_owned()
        } else if let Some(word) = ["NaN", "Infinity"].into_iter().find(|word| text.contains(word)) {
            format!("holds {word}, expected finite numbers (`null` for a joint that was not tracked)")
        } else {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            format!("column {}: {reason}", error.column())
        };
        self.wrong(line.number, why)
    }

    fn skeleton(&self, line: u64, raw: Raw) -> Result<Incoming> {
        let (name, joints) = match (raw.layout, raw.joint_names) {
            (Some(name), None) => {
                let layout = layouts::by_name(&name).map_err(|e| self.wrong(line, e.to_string()))?;
                (format!("layout `{name}`"), layout.joints.clone())
            }
            (None, Some(joints)) => ("`joint_names`".to_owned(), joints),
            _ => return Err(self.wrong(line, "has `layout` and `joint_names`, expected one of them")),
        };
        if raw.fps.is_some_and(|fps| !fps.is_finite() || fps <= 0.0) {
            return Err(self.wrong(line, "`fps` must be a number above 0"));
        }
        Ok(Incoming::Skeleton {
            name,
            joints,
            fps: raw.fps,
        })
    }

    fn all(&mut self, line: u64, persons: &[Option<Vec<Joint>>]) -> Result<()> {
        if persons.len() > self.persons && !self.told {
            self.told = true;
            tracing::warn!(
                line,
                trained = self.persons,
                there = persons.len(),
                "more persons than the run was trained on: the first ones are kept, the others left out"
            );
        }
        for (place, person) in persons.iter().enumerate() {
            if let Some(joints) = person {
                self.person(line, place, joints)?;
            }
        }
        Ok(())
    }

    /// Checks a person, and writes it where there is a place for it.
    fn person(&mut self, line: u64, place: usize, joints: &[Joint]) -> Result<()> {
        if joints.is_empty() {
            return Ok(());
        }
        if joints.len() != self.joints {
            let why = format!(
                "person {place} has {} joints, expected the {} of {}",
                joints.len(),
                self.joints,
                self.skeleton
            );
            return Err(self.wrong(line, why));
        }
        let infinite = |joint: &Joint| joint.is_some_and(|values| values.iter().any(|v| !v.is_finite()));
        if let Some(joint) = joints.iter().position(infinite) {
            let why = format!(
                "person {place}, joint {joint} is beyond any number of metres, expected finite numbers"
            );
            return Err(self.wrong(line, why));
        }
        if place < self.persons {
            let size = self.joints * 3;
            let row = &mut self.frame[place * size..(place + 1) * size];
            for (out, joint) in row.chunks_exact_mut(3).zip(joints) {
                out.copy_from_slice(&joint.unwrap_or_default());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Frames {
        Frames::new("standard input", 2, (2, "layout `two`"))
    }

    fn line(text: &str) -> Line {
        let ended = text.ends_with('\n');
        Line {
            number: 7,
            text: text.trim_end_matches('\n').into(),
            ended,
        }
    }

    fn refused(text: &str) -> String {
        frames().read(&line(text)).unwrap_err().to_string()
    }

    #[test]
    fn a_frame_fills_the_places_of_its_persons() {
        let mut frames = frames();
        let read = frames
            .read(&line(r#"{"joints": [[1, 2, 3], null], "time": 0.5}"#))
            .unwrap();
        assert_eq!(read, Incoming::Frame(Some(0.5)));
        assert_eq!(frames.frame()[..4], [1.0, 2.0, 3.0, 0.0]);
        frames
            .read(&line(
                r#"{"persons": [null, [[1, 1, 1], [2, 2, 2]], [[9, 9, 9], [9, 9, 9]]]}"#,
            ))
            .unwrap();
        assert_eq!(frames.frame()[..6], [0.0; 6]);
        assert_eq!(frames.frame()[6..], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        for nobody in [
            r#"{"persons": []}"#,
            r#"{"joints": []}"#,
            r#"{"persons": [[], null]}"#,
        ] {
            assert_eq!(frames.read(&line(nobody)).unwrap(), Incoming::Frame(None));
            assert_eq!(frames.frame(), [0.0; 12]);
        }
        assert_eq!(frames.read(&line("  \n")).unwrap(), Incoming::Blank);
    }

    #[test]
    fn the_first_line_may_name_the_skeleton() {
        let names = r#"{"joint_names": ["a", "b"], "fps": 15}"#;
        let Ok(Incoming::Skeleton { joints, fps, .. }) = frames().read(&line(names)) else {
            panic!("expected a skeleton");
        };
        assert_eq!((joints, fps), (vec!["a".to_owned(), "b".to_owned()], Some(15.0)));
        let mut begun = frames();
        begun.read(&line(r#"{"persons": []}"#)).unwrap();
        let error = begun.read(&line(names)).unwrap_err().to_string();
        assert!(error.contains("only the first line"), "{error}");
        let error = refused(r#"{"layout": "ntu52"}"#);
        assert!(error.contains("did you mean `ntu25`?"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_with_the_line() {
        for (text, why) in [
            (
                r#"{"joints": [[1, 2, 3]]}"#,
                "person 0 has 1 joints, expected the 2 of layout `two`",
            ),
            (
                r#"{"joints": [[1, 2, 3], [1, NaN, 3]]}"#,
                "holds NaN, expected finite numbers",
            ),
            (r#"{"joints": [[1, 2, 3], [1, 1e39, 3]]}"#, "number out of range"),
            (r#"{"joints": [[1, 2], [1, 2]]}"#, "invalid length 2"),
            (r#"{"joints": [[1, 2, 3], [1, "#, "is cut off: the stream stopped"),
            ("{\"joints\": [[1, 2, 3], [1, \n", "EOF while parsing"),
            (r#"{"joint": []}"#, "unknown field `joint`"),
            (r#"{"time": 1}"#, "must have one of `joints` and `persons`"),
            (r#"{"joints": [], "persons": []}"#, "has both or neither"),
            ("[1]", "column"),
        ] {
            let error = refused(text);
            assert!(error.starts_with("standard input, line 7: "), "{error}");
            assert!(error.contains(why), "{why} in {error}");
        }
    }

    #[test]
    fn lines_end_with_the_stream() {
        let mut text: &[u8] = b"{}\n\nrest";
        let mut next = |n| read_line(&mut text, n).unwrap();
        assert_eq!(next(1).unwrap().text, b"{}");
        assert!(next(2).unwrap().ended);
        assert_eq!(
            next(3).map(|l| (l.text, l.ended)),
            Some((b"rest".to_vec(), false))
        );
        assert!(next(4).is_none());
    }
}
