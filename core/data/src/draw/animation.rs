//! One sequence as it moves.

use szar_core::{Dataset, Error, Result};

use super::colour::TEXT;
use super::figure::{Cell, Poses, View};
use super::label::{LETTER, LINE, text, wrap};
use super::scene::{Item, Point, Scene};

/// Side of the square that the figures move in, pixels.
const SIDE: f64 = 320.0;
/// Around the caption, pixels.
const GAP: f32 = 10.0;
/// Lines of the caption.
const CAPTION: usize = 2;
/// Hundredths of a second below which viewers slow a picture down.
const SHORTEST: u16 = 2;
/// Frames per second where the sequence does not say.
const NOMINAL: f32 = 30.0;

/// Pictures one after the other, all on one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Animation {
    /// Of equal size; not empty.
    pub scenes: Vec<Scene>,
    /// How long each is shown, hundredths of a second.
    pub delays: Vec<u16>,
}

/// Draws every frame of a sequence, at its own speed. Above 50 frames per second only every second, third ... frame is
/// drawn, because GIF viewers show none for less than two hundredths of a second.
///
/// # Errors
/// When the sequence cannot be read, does not fit the layout, or has no tracked joint.
pub fn animation(dataset: &dyn Dataset, sample: usize) -> Result<Animation> {
    let info = dataset.info();
    let Some(about) = dataset.samples().get(sample) else {
        let there_are = dataset.samples().len();
        return Err(Error::Input(format!(
            "sequence {sample} is beyond the {there_are} there are, counted from 0"
        )));
    };
    let in_sequence = |e: Error| e.context(format!("sequence `{}`", about.name));
    let sequence = dataset.load(sample).map_err(in_sequence)?;
    let poses = Poses::new(&sequence, &info.layout).map_err(in_sequence)?;
    let visible = poses.frames();
    if visible.is_empty() {
        return Err(in_sequence(Error::Input("has no tracked joint to draw".into())));
    }
    let class = info.classes.name(about.class).unwrap_or("?");
    let film = Film::new(&poses, &visible, class, &about.name);
    let (step, delays) = timing(sequence.frames, sequence.fps);
    let frames = (0..sequence.frames).step_by(step);
    let scenes = frames.map(|frame| film.scene(&poses, frame, sequence.frames));
    Ok(Animation {
        scenes: scenes.collect(),
        delays,
    })
}

/// Every how many frames one is drawn, and how long each is shown; rounding does not add up.
fn timing(frames: usize, fps: f32) -> (usize, Vec<u16>) {
    let known = fps.is_finite() && fps > 0.0;
    let fps = f64::from(if known { fps } else { NOMINAL });
    let step = ((fps * f64::from(SHORTEST) / 100.0).ceil() as usize).clamp(1, frames.max(1));
    let at = |frame: usize| (frame as f64 * 100.0 / fps).round();
    let shown =
        |frame: usize| (at((frame + step).min(frames)) - at(frame)).clamp(f64::from(SHORTEST), 65535.0);
    let delays = (0..frames).step_by(step).map(|frame| shown(frame) as u16);
    (step, delays.collect())
}

/// What all frames have in common.
struct Film {
    view: View,
    caption: Vec<String>,
    title: String,
}

impl Film {
    fn new(poses: &Poses, visible: &[usize], class: &str, name: &str) -> Self {
        let limit = ((SIDE as f32 - 2.0 * GAP) / LETTER) as usize;
        let cell = Cell {
            x: 0.0,
            y: f64::from(GAP + CAPTION as f32 * LINE),
            width: SIDE,
            height: SIDE,
        };
        let fixed: Vec<_> = visible.iter().map(|frame| (*frame, 0.0)).collect();
        Self {
            view: View::fit(cell, poses, &fixed),
            caption: [class, name]
                .iter()
                .flat_map(|words| wrap(words, limit, 1))
                .collect(),
            title: format!("{class}: {name}"),
        }
    }

    fn scene(&self, poses: &Poses, frame: usize, frames: usize) -> Scene {
        let mut items = Vec::new();
        for (line, words) in self.caption.iter().enumerate() {
            items.push(text(GAP, GAP + line as f32 * LINE, words));
        }
        poses.draw(frame, &self.view, 0.0, &mut items);
        let height = SIDE as f32 + 2.0 * GAP + CAPTION as f32 * LINE;
        let done = (frame + 1) as f32 / frames as f32;
        let end = GAP + (SIDE as f32 - 2.0 * GAP) * done;
        items.push(Item::Lines {
            colour: TEXT,
            width: 2.0,
            lines: vec![[GAP, end].map(|x| Point {
                x,
                y: height - GAP / 2.0,
            })],
        });
        Scene {
            width: SIDE as u32,
            height: height as u32,
            title: self.title.clone(),
            items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_sequence() {
        let sum = |delays: &[u16]| delays.iter().map(|d| u32::from(*d)).sum::<u32>();
        for (fps, step, pictures) in [
            (30.0, 1, 90),
            (50.0, 1, 90),
            (60.0, 2, 45),
            (120.0, 3, 30),
            (7.0, 1, 90),
        ] {
            let (found, delays) = timing(90, fps);
            assert_eq!((found, delays.len()), (step, pictures), "{fps}");
            let seconds = 9000.0 / f64::from(fps);
            assert!(
                (f64::from(sum(&delays)) - seconds).abs() <= 0.5,
                "{fps}: {}",
                sum(&delays)
            );
            assert!(delays.iter().all(|d| *d >= SHORTEST));
        }
        assert_eq!(timing(3, f32::NAN).1, [3, 4, 3]);
        assert_eq!(timing(5, f32::MAX).1, [SHORTEST]);
    }
}
