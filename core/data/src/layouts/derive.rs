//! A layout from joint names alone, for skeletons that are not in the tables.

use szar_core::{Error, Result, SkeletonLayout};

use super::{inward, known::parts};

/// What a joint name says about the place of the joint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Region {
    Head,
    Neck,
    Shoulder,
    Arm,
    Trunk,
    Hip,
    Leg,
}

/// Words by region, asked in this order (`forearm` is an arm before it is an `ear`).
const WORDS: [(Region, &[&str]); 7] = [
    (Region::Shoulder, &["shoulder", "clavicle", "collar"]),
    (
        Region::Arm,
        &[
            "arm", "elbow", "wrist", "hand", "finger", "thumb", "humerus", "radius", "palm",
        ],
    ),
    (
        Region::Leg,
        &[
            "leg", "knee", "ankle", "foot", "toe", "thigh", "femur", "tibia", "heel", "calf", "shin",
        ],
    ),
    (Region::Neck, &["neck"]),
    (
        Region::Head,
        &["head", "nose", "eye", "ear", "face", "jaw", "skull"],
    ),
    (Region::Hip, &["hip", "pelvis", "root", "base"]),
    (
        Region::Trunk,
        &[
            "spine", "torso", "chest", "thorax", "back", "waist", "belly", "body",
        ],
    ),
];

fn region(joint: &str) -> Option<Region> {
    let lower = joint.to_lowercase();
    let says = |(_, words): &&(Region, &[&str])| words.iter().any(|w| lower.contains(w));
    WORDS.iter().find(says).map(|(region, _)| *region)
}

/// `(left, right)` joints: pairs whose names differ only in their side.
///
/// Sides are `left`/`right` anywhere, `_L`/`_R` as the end or before a further part, and a leading `l`/`r`.
pub(super) fn mirror_pairs(joints: &[String]) -> Vec<(usize, usize)> {
    let right_of = |name: &str| {
        let swaps = [
            name.replace("left", "right"),
            name.replace("Left", "Right"),
            name.replace("LEFT", "RIGHT"),
            name.replace("_L_", "_R_"),
            name.replace("_l_", "_r_"),
            swap_end(name, "_L", "_R"),
            swap_end(name, "_l", "_r"),
            swap_start(name, "L", "R"),
            swap_start(name, "l", "r"),
        ];
        let other = |swap: &String| joints.iter().position(|j| j == swap).filter(|_| swap != name);
        swaps.iter().find_map(other)
    };
    let pair = |(left, name): (usize, &String)| right_of(name).map(|right| (left, right));
    joints.iter().enumerate().filter_map(pair).collect()
}

fn swap_end(name: &str, from: &str, to: &str) -> String {
    name.strip_suffix(from)
        .map_or(name.into(), |stem| format!("{stem}{to}"))
}

fn swap_start(name: &str, from: &str, to: &str) -> String {
    name.strip_prefix(from)
        .map_or(name.into(), |rest| format!("{to}{rest}"))
}

/// Derives centre, spine, shoulders, mirror pairs and parts from names and bones.
///
/// # Errors
/// [`Error::Input`] when a part or the shoulders cannot be told, or the bones are no tree.
pub(super) fn layout(name: &str, joints: Vec<String>, bones: &[(usize, usize)]) -> Result<SkeletonLayout> {
    let regions: Vec<_> = joints.iter().map(|j| region(j)).collect();
    let mirror = mirror_pairs(&joints);
    let sided = |joint: usize| mirror.iter().any(|(l, r)| *l == joint || *r == joint);
    let is = |joint: usize, region: Region| regions[joint] == Some(region);
    let pair_of = |region: Region| mirror.iter().copied().find(|(l, _)| is(*l, region));
    let unclear = |what: &str| {
        Error::Input(format!(
            "the joint names do not tell {what}; name the layout (`layout: ntu25`, say) or use names such as \
             `shoulder_left`, found: {}",
            joints.join(", ")
        ))
    };
    let shoulders = pair_of(Region::Shoulder)
        .or_else(|| pair_of(Region::Arm))
        .ok_or_else(|| unclear("the left and right shoulder"))?;
    let select =
        |wanted: &dyn Fn(usize) -> bool| (0..joints.len()).filter(|j| wanted(*j)).collect::<Vec<_>>();
    let shoulder = |j: usize| is(j, Region::Shoulder) || j == shoulders.0 || j == shoulders.1;
    let chosen = [
        select(&|j| is(j, Region::Head) || is(j, Region::Neck) || shoulder(j)),
        select(&|j| is(j, Region::Arm) || (shoulder(j) && sided(j))),
        select(&|j| is(j, Region::Trunk) || is(j, Region::Hip) || shoulder(j)),
        select(&|j| is(j, Region::Leg) || is(j, Region::Hip)),
    ];
    let centre = centre(&joints, bones, shoulders);
    for (part, region, found) in [
        ("head", Region::Head, &chosen[0]),
        ("hands", Region::Arm, &chosen[1]),
        ("torso", Region::Trunk, &chosen[2]),
        ("legs", Region::Leg, &chosen[3]),
    ] {
        let own = found
            .iter()
            .any(|j| is(*j, region) || (is(*j, Region::Neck) && part == "head"));
        let hips = part == "torso" && found.iter().any(|j| is(*j, Region::Hip));
        if !own && !hips {
            return Err(unclear(&format!("which joints are the {part}")));
        }
    }
    let spine = (0..joints.len())
        .find(|j| is(*j, Region::Trunk) && *j != centre)
        .unwrap_or(centre);
    let layout = SkeletonLayout {
        name: name.into(),
        bones: inward(bones, joints.len(), centre)?,
        centre,
        spine,
        shoulders,
        mirror,
        parts: parts(chosen),
        joints,
    };
    layout.validate()?;
    Ok(layout)
}

/// The joint where the paths of both shoulders to the root meet, else the neck, else joint 0.
fn centre(joints: &[String], bones: &[(usize, usize)], shoulders: (usize, usize)) -> usize {
    let up = |from: usize| {
        let mut path = vec![from];
        let parent = |joint: usize| bones.iter().find(|(child, _)| *child == joint).map(|(_, p)| *p);
        while let Some(next) = parent(path[path.len() - 1]).filter(|p| !path.contains(p)) {
            path.push(next);
        }
        path
    };
    let (left, right) = (up(shoulders.0), up(shoulders.1));
    let meet = left.iter().copied().find(|j| right.contains(j));
    let neck = || joints.iter().position(|j| region(j) == Some(Region::Neck));
    meet.or_else(neck).unwrap_or(0)
}
