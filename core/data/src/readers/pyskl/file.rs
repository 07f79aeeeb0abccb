//! What an annotation file says, checked.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use szar_core::checkpoint::{Node, Pickled, PickledArray};
use szar_core::{ClassId, ClassList, Error, Result, SkeletonLayout};

use super::KeyPoints;

/// One sample.
pub(super) struct Annotation {
    pub(super) name: String,
    pub(super) class: ClassId,
    /// M, T, V.
    pub(super) size: [usize; 3],
    /// `[M, T, V, 3]` or `[M, T, V, 2]` floats.
    pub(super) keypoint: PickledArray,
    /// `[M, T, V]` floats.
    pub(super) score: Option<PickledArray>,
}

/// All of a file.
pub(super) struct Annotations {
    /// Names of samples by part.
    pub(super) splits: Vec<(String, Vec<String>)>,
    pub(super) list: Vec<Annotation>,
}

/// Reads an annotation file.
///
/// # Errors
/// When it is no such file, or an annotation does not fit the layout, the classes, itself, or is there twice.
pub(super) fn read(
    path: &Path,
    keypoints: KeyPoints,
    layout: &SkeletonLayout,
    classes: &ClassList,
) -> Result<Annotations> {
    let bytes = map(path)?;
    let pickled = Pickled::parse(path, &bytes)?;
    let bad = |why: String| Error::format(path, None, why);
    let need = |key: &str| {
        let root = pickled.root();
        let found = root.get(key);
        found.ok_or_else(|| {
            bad(format!(
                "is {} without `{key}`, expected a dict with `split` and `annotations`",
                root.what()
            ))
        })
    };
    let splits = splits(need("split")?).map_err(bad)?;
    let all = need("annotations")?;
    let all = all
        .items()
        .ok_or_else(|| bad(format!("`annotations` is {}, expected a list", all.what())))?;
    let wanted = Wanted {
        keypoints,
        layout,
        classes,
    };
    let (mut list, mut names) = (Vec::new(), HashSet::new());
    for (at, node) in all.enumerate() {
        let name = node.get("frame_dir").and_then(Node::text);
        let place = name.map_or(format!("annotation {at}"), |name| {
            format!("annotation {at} (`{name}`)")
        });
        let bad = |why: String| Error::format(path, place.clone(), why);
        let name = name.ok_or_else(|| bad("has no `frame_dir`".into()))?;
        if !names.insert(name) {
            return Err(bad("is there twice".into()));
        }
        list.push(wanted.annotation(name, node).map_err(bad)?);
    }
    Ok(Annotations { splits, list })
}

fn splits(node: Node) -> Result<Vec<(String, Vec<String>)>, String> {
    let entries = node
        .entries()
        .ok_or_else(|| format!("`split` is {}, expected a dict", node.what()))?;
    let part = |(name, list): (&str, Node)| {
        let items = list
            .items()
            .ok_or_else(|| format!("`split`, `{name}` is {}, expected a list", list.what()))?;
        let names: Option<Vec<String>> = items.map(|item| item.text().map(str::to_owned)).collect();
        let names = names.ok_or_else(|| format!("`split`, `{name}` holds something else than names"))?;
        Ok((name.to_owned(), names))
    };
    entries.map(part).collect()
}

/// What every annotation must be.
struct Wanted<'a> {
    keypoints: KeyPoints,
    layout: &'a SkeletonLayout,
    classes: &'a ClassList,
}

impl Wanted<'_> {
    fn annotation(&self, name: &str, node: Node) -> Result<Annotation, String> {
        let whole = |key: &str| {
            let found = node.get(key).and_then(Node::integer);
            found.ok_or_else(|| format!("has no whole number `{key}`"))
        };
        let class = ClassId(whole("label")?);
        if self.classes.column(class).is_none() {
            return Err(format!(
                "has label {class}, expected 0 to {}",
                self.classes.len().saturating_sub(1)
            ));
        }
        let keypoint = array(node, "keypoint")?.ok_or("has no array `keypoint`")?;
        let axes = match self.keypoints {
            KeyPoints::Space => 3,
            KeyPoints::Image => 2,
        };
        let joints = self.layout.len();
        let &[persons, frames, v, c] = keypoint.shape.as_slice() else {
            return Err(format!(
                "`keypoint` has shape {:?}, expected [M, T, {joints}, {axes}]",
                keypoint.shape
            ));
        };
        if (v, c) != (joints, axes) {
            let other = if c == 5 - axes {
                "; `keypoints` says which kind they are"
            } else {
                ""
            };
            return Err(format!(
                "`keypoint` has shape {:?}, expected [M, T, {joints}, {axes}]{other}",
                keypoint.shape
            ));
        }
        if persons == 0 || frames == 0 {
            return Err(format!(
                "`keypoint` has shape {:?}: no frame or nobody in it",
                keypoint.shape
            ));
        }
        let told = whole("total_frames")?;
        if usize::try_from(told) != Ok(frames) {
            return Err(format!(
                "`total_frames` is {told}, `keypoint` has {frames} frames"
            ));
        }
        let score = array(node, "keypoint_score")?;
        if let Some(score) = score.as_ref().filter(|score| score.shape != keypoint.shape[..3]) {
            return Err(format!(
                "`keypoint_score` has shape {:?}, expected {:?}",
                score.shape,
                &keypoint.shape[..3]
            ));
        }
        Ok(Annotation {
            name: name.to_owned(),
            class,
            size: [persons, frames, v],
            keypoint,
            score,
        })
    }
}

/// An array of floats, where there is one.
fn array(node: Node, key: &str) -> Result<Option<PickledArray>, String> {
    let Some(found) = node.get(key) else {
        return Ok(None);
    };
    let array = found
        .array()
        .ok_or_else(|| format!("`{key}` is {}, expected an array", found.what()))?;
    let array = array.map_err(|why| format!("`{key}` is {why}"))?;
    if !["f2", "f4", "f8"].contains(&&*array.kind) {
        return Err(format!(
            "`{key}` has element type `{}`, expected `f2`, `f4` or `f8`",
            array.kind
        ));
    }
    Ok(Some(array))
}

#[expect(
    unsafe_code,
    reason = "mapping a file is unsafe because others could change it"
)]
fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    // SAFETY: the bytes are read once, by a machine that believes none of them.
    unsafe { Mmap::map(&file) }.map_err(|e| Error::read(path, e))
}
