//! ASF files: the skeleton of one actor in Acclaim's format.
//!
//! A bone has a direction and a length in the world's axes, the axes in which its angles are given, and the angles
//! that it can turn by. Lengths divided by `length` of `:units` are inches. Bytes beyond ASCII are Latin-1.

use std::collections::BTreeMap;
use std::path::Path;

use szar_core::{Error, Result};

use super::super::text;
use super::rotation::{Matrix, Vector, euler};
use crate::layouts::mapping::Hierarchy;

const INCH: f64 = 0.0254;
/// More than any actor has.
const MAX_BONES: usize = 256;

/// One bone; joint 0 is the root, joint i + 1 the far end of bone i.
#[derive(Clone, Debug)]
pub(super) struct Bone {
    pub(super) name: String,
    /// Metres, from its near to its far end, in the world's axes.
    pub(super) reach: Vector,
    /// From the axes of its angles to the world's.
    pub(super) frame: Matrix,
    pub(super) order: [usize; 3],
    /// Axes of its angles, in the order of the motion file.
    pub(super) turns: Vec<usize>,
}

/// One number of the root's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootValue {
    Position(usize),
    Turn(usize),
}

/// A skeleton.
#[derive(Clone, Debug)]
pub(super) struct Skeleton {
    pub(super) hierarchy: Hierarchy,
    pub(super) bones: Vec<Bone>,
    pub(super) root: Vec<RootValue>,
    pub(super) root_order: [usize; 3],
    /// Metres in a unit of the root's position.
    pub(super) unit: f64,
    pub(super) radians: bool,
    /// Joints, each after the one it hangs on.
    pub(super) order: Vec<usize>,
}

/// A bone while it is read.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    direction: Option<Vector>,
    length: Option<f64>,
    axis: Option<(Vector, [usize; 3])>,
    turns: Vec<usize>,
}

#[derive(Default)]
struct Parser {
    section: String,
    scale: Option<f64>,
    radians: bool,
    root: Vec<RootValue>,
    root_order: Option<[usize; 3]>,
    draft: Option<Draft>,
    bones: Vec<Draft>,
    parents: BTreeMap<String, String>,
}

/// Parses a skeleton.
///
/// # Errors
/// With the line where a value is wrong, or the bone that lacks one.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Skeleton> {
    let content = latin1(bytes);
    let mut parser = Parser::default();
    for (at, line) in content.lines().enumerate() {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some(first) = words.first().filter(|w| !w.starts_with('#')) else {
            continue;
        };
        let read = if first.starts_with(':') {
            parser.section = (*first).to_owned();
            Ok(())
        } else {
            parser.line(&words)
        };
        read.map_err(|why| Error::format(path, text::place(at), why))?;
    }
    parser.finish().map_err(|why| Error::format(path, None, why))
}

/// Every byte is a character.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

pub(super) fn number(word: Option<&&str>) -> Result<f64, String> {
    let word = word.copied().unwrap_or_default();
    let value = word.parse::<f64>().ok().filter(|v| v.is_finite());
    value.ok_or_else(|| format!("expected a number, found `{}`", text::short(word)))
}

fn three(words: &[&str]) -> Result<Vector, String> {
    Ok([
        number(words.first())?,
        number(words.get(1))?,
        number(words.get(2))?,
    ])
}

/// `XYZ` and the like, each axis once.
fn axes(word: Option<&&str>) -> Result<[usize; 3], String> {
    let word = word.copied().unwrap_or_default();
    let axis = |c: char| "XYZ".find(c.to_ascii_uppercase());
    let found: Vec<_> = word.chars().filter_map(axis).collect();
    match found.as_slice() {
        [a, b, c] if word.len() == 3 && a != b && b != c && a != c => Ok([*a, *b, *c]),
        _ => Err(format!(
            "expected an order of axes such as `XYZ`, found `{}`",
            text::short(word)
        )),
    }
}

/// `rx`, `TY` and the like: the letter and the axis.
fn degree(word: &str) -> Option<(u8, usize)> {
    match word.to_ascii_lowercase().as_bytes() {
        [kind @ (b'r' | b't'), axis @ b'x'..=b'z'] => Some((*kind, usize::from(axis - b'x'))),
        _ => None,
    }
}

impl Parser {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match self.section.as_str() {
            ":units" => self.unit(words),
            ":root" => self.root(words),
            ":bonedata" => self.bone(words),
            ":hierarchy" => self.joints(words),
            _ => Ok(()),
        }
    }

    fn unit(&mut self, words: &[&str]) -> Result<(), String> {
        match words[0] {
            "length" => {
                let scale = number(words.get(1))?;
                if scale <= 0.0 {
                    return Err(format!("expected a length above 0, found {scale}"));
                }
                self.scale = Some(scale);
            }
            "angle" => match words.get(1).map(|w| w.to_ascii_lowercase()).as_deref() {
                Some("deg") => self.radians = false,
                Some("rad") => self.radians = true,
                _ => return Err("expected `angle deg` or `angle rad`".into()),
            },
            _ => {}
        }
        Ok(())
    }

    fn root(&mut self, words: &[&str]) -> Result<(), String> {
        match words[0] {
            "order" => {
                self.root.clear();
                for word in &words[1..] {
                    let value = match degree(word) {
                        Some((b'r', axis)) => RootValue::Turn(axis),
                        Some((_, axis)) => RootValue::Position(axis),
                        None => return Err(format!("expected TX to RZ, found `{}`", text::short(word))),
                    };
                    if self.root.contains(&value) {
                        return Err(format!("`{word}` is given twice"));
                    }
                    self.root.push(value);
                }
            }
            "axis" => self.root_order = Some(axes(words.get(1))?),
            "position" | "orientation" => {
                let values = three(&words[1..])?;
                if values != [0.0; 3] {
                    return Err(format!(
                        "the root's {} is {values:?}, only 0 0 0 is read",
                        words[0]
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn bone(&mut self, words: &[&str]) -> Result<(), String> {
        if words[0] == "begin" {
            if self.draft.replace(Draft::default()).is_some() {
                return Err("a bone begins before the last one ends".into());
            }
            return Ok(());
        }
        let draft = self.draft.as_mut().ok_or("expected `begin`")?;
        match words[0] {
            "name" => draft.name = words.get(1).map(|w| (*w).to_owned()),
            "direction" => draft.direction = Some(three(&words[1..])?),
            "length" => draft.length = Some(number(words.get(1))?),
            "axis" => draft.axis = Some((three(&words[1..])?, axes(words.get(4))?)),
            "dof" => {
                for word in &words[1..] {
                    match degree(word) {
                        Some((b'r', axis)) if !draft.turns.contains(&axis) => draft.turns.push(axis),
                        _ => {
                            return Err(format!(
                                "expected rx, ry, rz once each, found `{}`",
                                text::short(word)
                            ));
                        }
                    }
                }
            }
            "end" => {
                self.bones.extend(self.draft.take());
                if self.bones.len() > MAX_BONES {
                    return Err(format!("has more than {MAX_BONES} bones"));
                }
            }
            _ => {} // id, limits, masses
        }
        Ok(())
    }

    fn joints(&mut self, words: &[&str]) -> Result<(), String> {
        if ["begin", "end"].contains(&words[0]) {
            return Ok(());
        }
        for child in &words[1..] {
            if self
                .parents
                .insert((*child).to_owned(), words[0].to_owned())
                .is_some()
            {
                return Err(format!("bone `{child}` hangs on two others"));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Skeleton, String> {
        if self.draft.is_some() {
            return Err("ends within a bone; is it cut short?".into());
        }
        let unit = INCH / self.scale.unwrap_or(1.0);
        let angle = |v: f64| if self.radians { v } else { v.to_radians() };
        let mut bones = Vec::new();
        for (i, draft) in self.bones.into_iter().enumerate() {
            let name = draft.name.ok_or_else(|| format!("bone {i} has no name"))?;
            let lacks = |what: &str| format!("bone `{name}` has no {what}");
            let direction = draft.direction.ok_or_else(|| lacks("direction"))?;
            let length = draft.length.ok_or_else(|| lacks("length"))?;
            let (axis, order) = draft.axis.ok_or_else(|| lacks("axis"))?;
            bones.push(Bone {
                reach: direction.map(|v| v * length * unit),
                frame: euler(order, axis.map(angle)),
                order,
                turns: draft.turns,
                name,
            });
        }
        if self.root.is_empty() || bones.is_empty() {
            return Err("has no `:root` with an order, or no bones in `:bonedata`".into());
        }
        let names: Vec<String> = std::iter::once("root".to_owned())
            .chain(bones.iter().map(|b| b.name.clone()))
            .collect();
        let hierarchy = hierarchy(names, &self.parents)?;
        Ok(Skeleton {
            order: downwards(&hierarchy)?,
            hierarchy,
            bones,
            root: self.root,
            root_order: self.root_order.unwrap_or([0, 1, 2]),
            unit,
            radians: self.radians,
        })
    }
}

fn hierarchy(names: Vec<String>, above: &BTreeMap<String, String>) -> Result<Hierarchy, String> {
    let number: BTreeMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    if number.len() != names.len() {
        return Err("has two bones of one name".into());
    }
    if let Some((child, _)) = above
        .iter()
        .find(|(child, _)| !number.contains_key(child.as_str()))
    {
        return Err(format!(
            "`:hierarchy` names the bone `{}`, which is not there",
            text::short(child)
        ));
    }
    let mut parents = vec![None];
    for name in &names[1..] {
        let parent = above
            .get(name)
            .ok_or_else(|| format!("bone `{name}` is not in `:hierarchy`"))?;
        let parent = number.get(parent.as_str()).copied();
        parents.push(Some(
            parent.ok_or_else(|| format!("bone `{name}` hangs on one that is not there"))?,
        ));
    }
    if above.contains_key("root") {
        return Err("`:hierarchy` hangs the root on a bone".into());
    }
    Ok(Hierarchy { names, parents })
}

/// All joints, each after its parent.
fn downwards(hierarchy: &Hierarchy) -> Result<Vec<usize>, String> {
    let mut order = vec![0];
    let mut at = 0;
    while let Some(&joint) = order.get(at) {
        let children = (1..hierarchy.names.len()).filter(|c| hierarchy.parents[*c] == Some(joint));
        order.extend(children);
        at += 1;
    }
    match (0..hierarchy.names.len()).find(|j| !order.contains(j)) {
        Some(joint) => Err(format!(
            "bone `{}` does not hang on the root",
            hierarchy.names[joint]
        )),
        None => Ok(order),
    }
}
