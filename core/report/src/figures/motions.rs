//! The samples that adaptation changed most, as they move.

use serde::Serialize;
use szar_core::{Result, Sequence};
use szar_data::draw;
use szar_runner::record::Record;
use tch::Kind;

use crate::answers::Answers;
use crate::run::Run;

/// Frames of an animation, at most.
const FRAMES: usize = 40;
/// Frames a second; sequences have been brought to one length, and have no speed of their own.
const FPS: f32 = 15.0;
/// Side of a picture.
const SIDE: u32 = 220;

/// A sample that moves.
#[derive(Clone, Debug, Serialize)]
pub struct Motion {
    /// Its name.
    pub sample: String,
    /// Its place in the stream, from 0.
    pub position: usize,
    /// True class.
    pub truth: String,
    /// Answers before and after, and whether they are right.
    pub before: String,
    /// With adapters.
    pub after: String,
    /// Of the two.
    pub right: [bool; 2],
    /// Half the sum of the differences of the posteriors, 0 to 1.
    pub change: f64,
    /// The picture.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub svg: String,
}

/// What the record kept.
pub fn motions(run: &Run) -> Vec<Motion> {
    let Some((record, answers)) = run
        .record
        .as_ref()
        .and_then(|r| Some((r, run.answers.get(&r.about.setting)?)))
    else {
        return Vec::new();
    };
    (0..samples(record).len())
        .filter_map(|k| motion(record, answers, k))
        .collect()
}

fn motion(record: &Record, answers: &Answers, k: usize) -> Option<Motion> {
    let position = *samples(record).get(k)?;
    let answer = answers.all.get(position)?;
    let name = |class: i64| {
        answers
            .names
            .get(&class)
            .cloned()
            .unwrap_or_else(|| format!("class {class}"))
    };
    let sequence = sequence(record, k).ok()?;
    let thin = thinned(&sequence, record.about.layout.len());
    let title = format!("{}: {}", name(answer.class), answer.sample);
    let drawn = draw::motion(&thin, &record.about.layout, SIDE, &title).ok()?;
    Some(Motion {
        sample: answer.sample.to_string(),
        position,
        truth: name(answer.class),
        before: name(answer.before),
        after: name(answer.after),
        right: [answer.before == answer.class, answer.after == answer.class],
        change: record.tensors.get("change")?.f_double_value(&[k as i64]).ok()?,
        svg: drawn.to_svg(),
    })
}

/// Positions of the samples whose skeletons are kept.
pub(super) fn samples(record: &Record) -> Vec<usize> {
    let list = |name: &str| {
        record
            .tensors
            .get(name)
            .and_then(|t| szar_core::host::to_i64(t).ok())
    };
    let (Some(positions), Some(changed)) = (list("positions"), list("changed")) else {
        return Vec::new();
    };
    let place = |row: &i64| positions.get(usize::try_from(*row).ok()?).copied();
    changed
        .iter()
        .filter_map(place)
        .filter_map(|p| usize::try_from(p).ok())
        .collect()
}

/// The skeletons of kept sample k.
pub(super) fn sequence(record: &Record, k: usize) -> Result<Sequence> {
    let missing = |what: &str| szar_core::Error::Missing(format!("`{what}` of the record"));
    let joints = record.tensors.get("joints").ok_or_else(|| missing("joints"))?;
    let lengths = record.tensors.get("frames").ok_or_else(|| missing("frames"))?;
    let one = joints
        .f_get(k as i64)?
        .f_permute([1, 3, 2, 0])?
        .to_kind(Kind::Float)
        .contiguous();
    let size = one.size();
    let valid = lengths.f_int64_value(&[k as i64])?.clamp(1, size[0]);
    let one = one.narrow(0, 0, valid);
    Ok(Sequence {
        joints: szar_core::host::HostF32::new(&one).as_slice().to_vec(),
        frames: usize::try_from(valid).unwrap_or(1),
        persons: usize::try_from(size[1]).unwrap_or(1),
        fps: FPS,
    })
}

/// At most [`FRAMES`], evenly spread.
fn thinned(sequence: &Sequence, joints: usize) -> Sequence {
    let kept = FRAMES.min(sequence.frames);
    let size = sequence.persons * joints * 3;
    let frame = |k: usize| {
        let at = k * sequence.frames / kept;
        &sequence.joints[at * size..(at + 1) * size]
    };
    Sequence {
        joints: (0..kept).flat_map(|k| frame(k).iter().copied()).collect(),
        frames: kept,
        ..*sequence
    }
}
