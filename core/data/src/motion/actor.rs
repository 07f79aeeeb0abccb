//! One performance: a subject does an action, each time a little differently.

use rand::RngExt;

use super::body::{Body, JOINTS};
use super::classes::Action;
use super::draw::{Generator, normal};
use super::pose::{Channel, Pose, Side};
use super::primitives::{Effect, Track, Who};
use super::secondary::{Sway, distraction, idle_arm, sways};
use super::space::{Vec3, turn, yaw};
use super::subject::Subject;
use super::timing::{FPS, Timing, rhythm};

/// One performance of an action, ready to be asked for any moment.
#[derive(Clone, Debug)]
pub(super) struct Take<'a> {
    body: &'a Body,
    rest: Pose,
    tracks: Vec<Track>,
    lead: Side,
    cycles: f64,
    sways: Vec<Sway>,
    timing: Timing,
    facing: f64,
    drift: f64,
}

impl<'a> Take<'a> {
    /// How this subject performs this action this time. `habit` draws what the subject does alike in all takes of
    /// the class, `rng` the rest.
    pub(super) fn draw(
        subject: &'a Subject,
        action: &Action,
        habit: &mut Generator,
        rng: &mut Generator,
        variation: f64,
    ) -> Self {
        let mut rest = subject.rest();
        let lead = if rng.random_bool(0.15) {
            subject.lead.other()
        } else {
            subject.lead
        };
        idle_arm(&mut rest, lead.other(), rng, variation);
        let size = (subject.size * (1.0 + 0.14 * variation * normal(rng))).clamp(0.5, 1.4);
        let mut tracks = personal(action, &rest, lead, size, variation, habit, rng);
        tracks.extend(distraction(rng, variation));
        let (cycles, seconds) = rhythm(action, subject.tempo.clamp(0.75, 1.35), rng);
        let take = Self {
            body: &subject.body,
            sways: sways(subject.liveliness * variation, rng),
            timing: Timing::draw(seconds, rng, variation),
            facing: rng.random_range(-1.0..1.0) * 75.0 * variation.min(1.5),
            drift: 0.0,
            rest,
            tracks,
            lead,
            cycles,
        };
        // Half of the way lies behind the middle of the scene, half ahead.
        let drift = -0.5 * take.pose(1.0, 0.0).axial(Channel::Travel);
        Self { drift, ..take }
    }

    /// T.
    pub(super) fn frames(&self) -> usize {
        self.timing.frames
    }

    fn pose(&self, u: f64, seconds: f64) -> Pose {
        let mut pose = self.rest;
        for track in &self.tracks {
            track.apply(&mut pose, self.lead, u, self.cycles);
        }
        for sway in &self.sways {
            sway.apply(&mut pose, seconds);
        }
        pose.shift(Channel::Travel, Side::Left, self.drift);
        pose
    }

    /// Joints at a frame, standing on the floor y = 0 about x = z = 0, facing the camera but for the viewpoint.
    pub(super) fn joints(&self, frame: usize) -> [Vec3; JOINTS] {
        let pose = self.pose(self.timing.progress(frame), frame as f64 / FPS);
        let view = yaw(self.facing);
        self.body.solve(&pose).map(|joint| turn(&view, joint))
    }
}

/// The tracks as this subject means them (`habit`) and as they turn out (`rng`).
fn personal(
    action: &Action,
    rest: &Pose,
    lead: Side,
    size: f64,
    variation: f64,
    habit: &mut Generator,
    rng: &mut Generator,
) -> Vec<Track> {
    let mut tracks: Vec<Track> = action.tracks.iter().flat_map(one_arm_each).collect();
    for track in &mut tracks {
        let spread = 0.75 * variation * track.channel.spread();
        let off = spread * normal(habit) + spread * normal(rng);
        track.effect = match track.effect {
            Effect::To(value) if track.channel == Channel::Plant => Effect::To(value),
            Effect::To(value) => {
                let from = rest.get(track.channel, lead);
                Effect::To(from + size * (value - from) + off)
            }
            Effect::By(value) => Effect::By(value * size * (1.0 + 0.15 * variation * normal(rng))),
        };
    }
    tracks
}

/// Splits what both arms do alike, so that they differ a little.
fn one_arm_each(track: &Track) -> Vec<Track> {
    use Channel::{Azimuth, Elevation, Reach, Swivel};
    let arms = matches!(track.channel, Elevation | Azimuth | Reach | Swivel);
    match track.who {
        Who::Both if arms => [Who::Lead, Who::Other]
            .map(|who| Track { who, ..*track })
            .to_vec(),
        _ => vec![*track],
    }
}
