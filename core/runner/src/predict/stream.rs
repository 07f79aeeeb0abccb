//! A model on frames that come one by one: every window of them is a sequence.

use std::collections::VecDeque;

use szar_core::{Error, Result};

use super::frames::{Frames, Incoming, Line};
use super::window::{Spacing, Window, Windows};
use super::{Prediction, Predictor};

/// What is said of a window.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its frames.
    pub window: Window,
    /// Times of its first and last frame, seconds, where the stream gives them.
    pub time: Option<[f64; 2]>,
    /// `None` when nobody was tracked in it.
    pub prediction: Option<Prediction>,
}

/// A stream of frames on its way through a model.
#[derive(Debug)]
pub struct FrameStream<'a> {
    predictor: &'a mut Predictor,
    frames: Frames,
    spacing: Spacing,
    /// Made with the first frame, when the joints are known.
    windows: Option<Windows>,
    fps: f32,
    /// Of the frames in the ring.
    times: VecDeque<Option<f64>>,
}

impl<'a> FrameStream<'a> {
    /// A stream whose messages call it `place`.
    pub fn new(predictor: &'a mut Predictor, place: &str, spacing: Spacing) -> Self {
        Self {
            frames: Frames::new(place, predictor.persons(), predictor.source()),
            predictor,
            spacing,
            windows: None,
            fps: 30.0,
            times: VecDeque::with_capacity(spacing.window),
        }
    }

    /// Classes and skeleton of the model.
    pub fn predictor(&self) -> &Predictor {
        self.predictor
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.windows.as_ref().map_or(0, Windows::frames)
    }

    /// Takes a line; the answer when it ends a window.
    ///
    /// # Errors
    /// When the line is wrong, naming it (the stream can go on without it), or a component fails.
    pub fn feed(&mut self, line: &Line) -> Result<Option<Answer>> {
        let time = match self.frames.read(line)? {
            Incoming::Blank => return Ok(None),
            Incoming::Skeleton { name, joints, fps } => {
                let read = self.predictor.read_from(&name, &joints);
                read.map_err(|e| self.frames.wrong(line.number, e.to_string()))?;
                self.frames.expect(self.predictor.source());
                self.fps = fps.unwrap_or(self.fps);
                return Ok(None);
            }
            Incoming::Frame(time) => time,
        };
        if self.times.len() >= self.spacing.window {
            self.times.pop_front();
        }
        self.times.push_back(time);
        let (persons, (joints, _)) = (self.predictor.persons(), self.predictor.source());
        let fps = self.fps;
        let spacing = self.spacing;
        let windows = self
            .windows
            .get_or_insert_with(|| Windows::new(spacing, persons, joints, fps));
        match windows.push(self.frames.frame()) {
            Some((window, sequence)) => answer(self.predictor, &self.times, window, sequence).map(Some),
            None => Ok(None),
        }
    }

    /// The answer for a stream that ended before it filled a window.
    ///
    /// # Errors
    /// When the stream had no frame, or a component fails.
    pub fn finish(&mut self) -> Result<Option<Answer>> {
        let Some(windows) = &mut self.windows else {
            return Err(Error::Input("the stream ended without a frame".into()));
        };
        match windows.rest() {
            Some((window, sequence)) => answer(self.predictor, &self.times, window, sequence).map(Some),
            None => Ok(None),
        }
    }
}

fn answer(
    predictor: &mut Predictor,
    times: &VecDeque<Option<f64>>,
    window: Window,
    sequence: &szar_core::Sequence,
) -> Result<Answer> {
    let nobody = sequence.joints.iter().all(|v| *v == 0.0);
    let ends = times
        .front()
        .copied()
        .flatten()
        .zip(times.back().copied().flatten());
    let prediction = match nobody {
        true => None,
        false => {
            let frames = format!("frames {} to {}", window.first, window.last);
            Some(predictor.predict(sequence).map_err(|e| e.context(frames))?)
        }
    };
    Ok(Answer {
        window,
        time: ends.map(|(first, last)| [first, last]),
        prediction,
    })
}
