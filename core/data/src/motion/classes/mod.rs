//! The thirty classes.

mod arms;
mod legs;

use super::primitives::Tracks;
use super::shape::Shape;

/// An action: what moves, how long a cycle takes and how often it repeats.
#[derive(Clone, Debug)]
pub(in crate::motion) struct Action {
    pub(in crate::motion) name: &'static str,
    /// Shortest and longest cycle.
    pub(in crate::motion) seconds: (f64, f64),
    /// Fewest and most cycles.
    pub(in crate::motion) cycles: (f64, f64),
    /// Later tracks act on what earlier ones left.
    pub(in crate::motion) tracks: Tracks,
}

/// Names by class number; five of each family, in the order of [`FAMILIES`].
pub(in crate::motion) const NAMES: [&str; 30] = [
    "wave one hand",
    "wave both hands",
    "raise one arm",
    "raise both arms",
    "circle arms",
    "drink",
    "phone call",
    "salute",
    "nod",
    "clap",
    "punch",
    "throw",
    "push",
    "pull",
    "twist torso",
    "kick forward",
    "kick sideways",
    "lunge",
    "squat",
    "jump",
    "walk",
    "run",
    "march",
    "hop on one leg",
    "jumping jacks",
    "sit down",
    "stand up",
    "bow",
    "bend sideways",
    "pick up",
];

/// Groups of five consecutive classes; the named splits hold one class of each out.
pub(in crate::motion) const FAMILIES: [&str; 6] = [
    "arm gestures",
    "hands and head",
    "forceful arms",
    "legs",
    "steps",
    "trunk",
];

/// All actions by class number.
pub(in crate::motion) fn actions() -> Vec<Action> {
    NAMES.iter().map(|&name| action(name)).collect()
}

fn once(name: &'static str, shortest: f64, longest: f64, parts: &[Tracks]) -> Action {
    again(name, (shortest, longest), (1.0, 1.0), parts)
}

fn again(name: &'static str, seconds: (f64, f64), cycles: (f64, f64), parts: &[Tracks]) -> Action {
    Action {
        name,
        seconds,
        cycles,
        tracks: parts.concat(),
    }
}

fn action(name: &'static str) -> Action {
    match name {
        "wave one hand" | "wave both hands" | "raise one arm" | "raise both arms" | "circle arms" => {
            arms::gesture(name)
        }
        "drink" | "phone call" | "salute" | "nod" | "clap" => arms::near_head(name),
        "punch" | "throw" | "push" | "pull" | "twist torso" => arms::forceful(name),
        "kick forward" | "kick sideways" | "lunge" | "squat" | "jump" => legs::legs(name),
        "walk" | "run" | "march" | "hop on one leg" | "jumping jacks" => legs::stepping(name),
        _ => legs::trunk(name),
    }
}

const HELD: Shape = Shape::HELD;
const BEAT: Shape = Shape::BEAT;

fn hold(rise: f64, fall: f64, end: f64) -> Shape {
    Shape::Hold { rise, fall, end }
}

impl Action {
    /// Standing about.
    pub(in crate::motion) fn idle() -> Self {
        once("idle", 2.0, 3.0, &[])
    }
}
