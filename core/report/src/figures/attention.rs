//! Which joints and frames count: attention of texts, weights of parts.

use szar_core::host::to_f64;
use szar_data::draw;
use szar_runner::record::Record;

use super::Shown;
use super::motions::{samples, sequence};
use crate::plot::{Anchor, Figure, Heat, heat};
use crate::run::Run;

/// Samples whose attention is shown.
const SAMPLES: usize = 4;
/// Texts side by side.
const ACROSS: usize = 4;
/// Side of a skeleton.
const SIDE: f64 = 150.0;
/// Radius of a joint of average attention, and the largest.
const AVERAGE: f64 = 3.2;
/// Reached at about eight times the average.
const LARGEST: f64 = 9.0;
/// Times the average at which a frame is darkest.
const DARKEST: f64 = 3.0;
/// Above it the name, below it the strip of frames.
const CELL: f64 = SIDE + 44.0;

/// What the texts of the answered class look at, for some samples.
pub fn attention(run: &Run) -> Vec<Shown> {
    let Some(record) = &run.record else {
        return Vec::new();
    };
    let Some(answers) = run.answers.get(&record.about.setting) else {
        return Vec::new();
    };
    let positions = samples(record);
    let figure = |(k, position): (usize, &usize)| {
        let answer = answers.all.get(*position)?;
        let name = |class: i64| {
            answers
                .names
                .get(&class)
                .cloned()
                .unwrap_or_else(|| format!("class {class}"))
        };
        let title = format!("Attention in {}", answer.sample);
        let svg = skeletons(record, k, &title)?;
        let caption = format!(
            "Answered {}, true class {}. One skeleton per text of the answered class, at the frame that it attends to most; \
             the area of a joint is its share over all frames, orange above the \
             average of all joints. The strip below is attention over time.",
            name(answer.after),
            name(answer.class)
        );
        Some(Shown::new(&format!("attention-{k}"), &title, caption, svg).wide())
    };
    positions
        .iter()
        .enumerate()
        .take(SAMPLES)
        .filter_map(figure)
        .collect()
}

fn skeletons(record: &Record, k: usize, title: &str) -> Option<String> {
    let about = &record.about;
    let [frames, joints] = about.grid.map(|n| usize::try_from(n).unwrap_or(0));
    let weights = record.tensors.get("attention")?.f_get(k as i64).ok()?;
    let weights = to_f64(&weights);
    if joints != about.layout.len() || frames == 0 || weights.len() != about.attention.len() * frames * joints
    {
        return None;
    }
    let sequence = sequence(record, k).ok()?;
    let rows = about.attention.len().div_ceil(ACROSS) as f64;
    let mut figure = Figure::new(ACROSS as f64 * (SIDE + 10.0), rows * CELL, title);
    for (g, name) in about.attention.iter().enumerate() {
        let own = &weights[g * frames * joints..(g + 1) * frames * joints];
        let by_frame: Vec<f64> = own.chunks_exact(joints).map(|row| row.iter().sum()).collect();
        let by_joint: Vec<f64> = (0..joints)
            .map(|v| own.iter().skip(v).step_by(joints).sum())
            .collect();
        let most = (0..frames).max_by(|a, b| by_frame[*a].total_cmp(&by_frame[*b]))?;
        let frame = ((most * 2 + 1) * sequence.frames / (2 * frames)).min(sequence.frames - 1);
        let still = draw::still(&sequence, &about.layout, frame, SIDE as u32, title).ok()?;
        let (x, y) = ((g % ACROSS) as f64 * (SIDE + 10.0), (g / ACROSS) as f64 * CELL);
        figure.text(
            [x + SIDE / 2.0, y + 13.0],
            Anchor::Middle,
            "label strong",
            name.as_str(),
        );
        let at = |joint: usize| still.joints[joint].map(|p| [x + f64::from(p.x), y + 16.0 + f64::from(p.y)]);
        for (child, parent) in &about.layout.bones {
            if let (Some(from), Some(to)) = (at(*child), at(*parent)) {
                figure.line(from, to, "bone");
            }
        }
        for (joint, weight) in by_joint.iter().enumerate() {
            if let Some(place) = at(joint) {
                let share = weight * joints as f64;
                let class = if share > 1.02 { "gaze" } else { "gaze less" };
                let tip = format!("{}: {:.1}%", about.layout.joints[joint], 100.0 * weight);
                figure.disc(place, (AVERAGE * share.sqrt()).clamp(0.8, LARGEST), class, &tip);
            }
        }
        let (wide, top) = (SIDE - 20.0, y + SIDE + 20.0);
        for (t, weight) in by_frame.iter().enumerate() {
            let place = [
                x + 10.0 + wide * t as f64 / frames as f64,
                top,
                wide / frames as f64 - 0.6,
                8.0,
            ];
            figure.shade(
                place,
                "cell",
                (weight * frames as f64 / DARKEST).clamp(0.03, 1.0),
                &format!("frame {}: {:.1}%", t + 1, 100.0 * weight),
            );
        }
    }
    Some(figure.finish())
}

/// Weights of the parts of a sample by class.
pub fn weights(run: &Run) -> Option<Shown> {
    let record = run.record.as_ref()?;
    let slots: Vec<String> = record.about.slots.iter().map(ToString::to_string).collect();
    let values = to_f64(record.tensors.get("weights")?);
    let classes = &record.about.classes;
    if slots.is_empty() || values.len() != classes.len() * slots.len() {
        return None;
    }
    let at = |r: usize, c: usize| values[r * slots.len() + c];
    let largest = values.iter().copied().fold(1e-12, f64::max);
    let uniform = values.iter().all(|v| (v - values[0]).abs() < 1e-6);
    // Equal weights are neither light nor dark.
    let darkest = largest.max(2.0 / slots.len() as f64);
    let shade = |r: usize, c: usize| Some(at(r, c) / darkest);
    let tell = |r: usize, c: usize| {
        let percent = format!("{:.0}", 100.0 * at(r, c));
        (
            percent.clone(),
            format!("{}, {}: {:.1}%", classes[r], slots[c], 100.0 * at(r, c)),
        )
    };
    let title = "Weights of the descriptors by class";
    let svg = heat(&Heat {
        title,
        rows: classes,
        columns: &slots,
        axes: ["descriptor", "class"],
        shade: &shade,
        tell: &tell,
        count: 0,
        diagonal: false,
    });
    let mut caption = format!(
        "Percent of the cache's vote; the darkest shade is {:.0}%.",
        100.0 * darkest
    );
    if uniform {
        caption.push_str(" No prior was given: all weigh the same.");
    }
    Some(Shown::new("weights", title, caption, svg))
}
