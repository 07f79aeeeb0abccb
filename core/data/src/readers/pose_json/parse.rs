//! Frames, persons and joints in the JSON of pose estimators.

use serde_json::Value;
use szar_core::SkeletonLayout;

use super::PoseSource;

/// One key point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Joint {
    pub(super) position: [f64; 3],
    /// 0 to 1; 0 where it was not found.
    pub(super) confidence: f64,
}

/// Where MediaPipe's interfaces put the world landmarks.
const WORLD: [&str; 4] = [
    "worldLandmarks",
    "world_landmarks",
    "pose_world_landmarks",
    "poseWorldLandmarks",
];

/// The frames of a file that holds a sequence.
pub(super) fn frames(value: &Value) -> Result<&[Value], String> {
    let list = value
        .as_array()
        .or_else(|| value.get("frames").and_then(Value::as_array));
    match list {
        Some(frames) if !frames.is_empty() => Ok(frames),
        Some(_) => Err("has no frame, expected at least one".into()),
        None => Err(format!(
            "is {}, expected a list of frames or an object with the list `frames` (a file a frame: `files: frame`)",
            kind(value)
        )),
    }
}

/// All persons of a frame, each with the joints of the layout.
pub(super) fn people(
    frame: &Value,
    source: PoseSource,
    layout: &SkeletonLayout,
) -> Result<Vec<Vec<Joint>>, String> {
    match source {
        PoseSource::Mediapipe => mediapipe(frame, layout),
        PoseSource::Openpose => openpose(frame, "pose_keypoints_2d", 3, layout),
        PoseSource::Openpose3d => openpose(frame, "pose_keypoints_3d", 4, layout),
    }
}

fn mediapipe(frame: &Value, layout: &SkeletonLayout) -> Result<Vec<Vec<Joint>>, String> {
    let list = match frame {
        Value::Object(object) => WORLD.iter().find_map(|key| object.get(*key)).ok_or_else(|| {
            let found: Vec<_> = object
                .keys()
                .take(8)
                .map(|k| format!("`{}`", crate::readers::text::short(k)))
                .collect();
            format!(
                "has no world landmarks `{}`, found {}",
                WORLD.join("`, `"),
                found.join(", ")
            )
        })?,
        other => other,
    };
    let list = landmarks(list);
    match list {
        Value::Null => Ok(Vec::new()),
        Value::Array(all) if all.is_empty() => Ok(Vec::new()),
        Value::Array(all) if is_landmark(&all[0]) => Ok(vec![person(all, layout)?]),
        Value::Array(all) => {
            let one = |p: &Value| match landmarks(p) {
                Value::Array(joints) => person(joints, layout),
                other => Err(format!(
                    "has {} for a person, expected a list of landmarks",
                    kind(other)
                )),
            };
            all.iter().map(one).collect()
        }
        other => Err(format!("is {}, expected a list of landmarks", kind(other))),
    }
}

/// The list in `{landmark: [...]}`, else the value itself.
fn landmarks(value: &Value) -> &Value {
    value.get("landmark").unwrap_or(value)
}

fn is_landmark(value: &Value) -> bool {
    value.get("x").is_some() || value.get(0).is_some_and(Value::is_number)
}

fn person(joints: &[Value], layout: &SkeletonLayout) -> Result<Vec<Joint>, String> {
    if joints.len() != layout.len() {
        return Err(wrong_count(joints.len(), layout));
    }
    let named = |(at, value): (usize, &Value)| {
        joint(value).ok_or_else(|| {
            let name = &layout.joints[at];
            format!("landmark {at} (`{name}`) is no {{x, y, z, visibility}} of numbers")
        })
    };
    joints.iter().enumerate().map(named).collect()
}

/// `{x, y, z, visibility}` or a list of the four; visible where it does not say.
fn joint(value: &Value) -> Option<Joint> {
    let number = |key: &str, at: usize| match value {
        Value::Object(object) => object.get(key),
        other => other.get(at),
    };
    let need = |key: &str, at: usize| number(key, at)?.as_f64();
    let confidence = match number("visibility", 3) {
        None | Some(Value::Null) => 1.0,
        Some(value) => value.as_f64()?,
    };
    Some(Joint {
        position: [need("x", 0)?, need("y", 1)?, need("z", 2)?],
        // A landmark that is surely hidden has an estimate all the same.
        confidence: confidence.max(f64::MIN_POSITIVE),
    })
}

fn openpose(
    frame: &Value,
    key: &str,
    each: usize,
    layout: &SkeletonLayout,
) -> Result<Vec<Vec<Joint>>, String> {
    let people = frame.get("people").and_then(Value::as_array);
    let people = people.ok_or_else(|| format!("is {} without a list `people`", kind(frame)))?;
    let one = |(at, person): (usize, &Value)| {
        let flat = person.get(key).and_then(Value::as_array);
        let flat = flat.ok_or_else(|| format!("person {at} has no list `{key}`"))?;
        if flat.len() != layout.len() * each {
            let count = wrong_count(flat.len() / each, layout);
            return Err(format!("person {at}, `{key}` of {} numbers: {count}", flat.len()));
        }
        flat.chunks_exact(each)
            .enumerate()
            .map(|(joint, numbers)| {
                let name = &layout.joints[joint];
                key_point(numbers)
                    .ok_or_else(|| format!("person {at}, joint `{name}`: expected {each} numbers"))
            })
            .collect()
    };
    people.iter().enumerate().map(one).collect()
}

/// `x y confidence` or `x y z confidence`.
fn key_point(numbers: &[Value]) -> Option<Joint> {
    let (confidence, point) = numbers.split_last()?;
    let mut position = [0.0; 3];
    for (to, from) in position.iter_mut().zip(point) {
        *to = from.as_f64()?;
    }
    Some(Joint {
        position,
        confidence: confidence.as_f64()?,
    })
}

fn wrong_count(found: usize, layout: &SkeletonLayout) -> String {
    let fits: Vec<_> = crate::layouts::all()
        .iter()
        .filter(|l| l.len() == found)
        .map(|l| format!("`{}`", l.name))
        .collect();
    let hint = if fits.is_empty() {
        String::new()
    } else {
        format!("; so many have {}", fits.join(", "))
    };
    format!(
        "has {found} joints, expected {} of layout `{}`{hint}",
        layout.len(),
        layout.name
    )
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
