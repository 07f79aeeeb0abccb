//! How strongly a primitive acts at each moment of an action.

/// Weight over the time `u` of an action, `0 ..= 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// Up by `rise`, full until `fall`, then down to 0 at `end`.
    Hold { rise: f64, fall: f64, end: f64 },
    /// From 0 at `from` to 1 at `to`, and stays.
    Enter { from: f64, to: f64 },
    /// From 1 at `from` to 0 at `to`, and stays.
    Leave { from: f64, to: f64 },
    /// A bump in every cycle, highest at the phase `at`, `half` a cycle wide on each side.
    Beat { at: f64, half: f64 },
    /// A sine wave, −1 to 1, one period a cycle, ahead by the phase `at`.
    Swing { at: f64 },
    /// One bump in the whole action, highest at `at`, `half` wide on each side.
    Moment { at: f64, half: f64 },
    /// Counts the cycles: 0 at the start, 1 after the first, and so on.
    Advance,
}

/// Part of the action in which rhythmic movement comes in, and goes out again.
const FADE: f64 = 0.08;

impl Shape {
    /// Up in the first third, down in the last.
    pub(super) const HELD: Self = Self::Hold {
        rise: 0.28,
        fall: 0.74,
        end: 1.0,
    };
    /// A bump as long as the cycle, highest in its middle.
    pub(super) const BEAT: Self = Self::Beat { at: 0.5, half: 0.5 };

    /// The weight at `u` of an action of so many cycles.
    pub(super) fn weight(self, u: f64, cycles: f64) -> f64 {
        match self {
            Self::Hold { rise, fall, end } => ease(u / rise) * ease((end - u) / (end - fall)),
            Self::Enter { from, to } => ease((u - from) / (to - from)),
            Self::Leave { from, to } => 1.0 - ease((u - from) / (to - from)),
            Self::Beat { at, half } => fade(u) * bump(u * cycles - at, half),
            Self::Swing { at } => fade(u) * wave(u * cycles + at),
            Self::Moment { at, half } => bump((u - at).clamp(-0.5, 0.5), half),
            Self::Advance => u * cycles,
        }
    }
}

/// From 0 to 1 without a jerk; constant outside.
pub(super) fn ease(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// Sine of whole turns.
pub(super) fn wave(turns: f64) -> f64 {
    libm::sin(std::f64::consts::TAU * turns)
}

fn fade(u: f64) -> f64 {
    ease(u / FADE) * ease((1.0 - u) / FADE)
}

fn bump(turns: f64, half: f64) -> f64 {
    let away = (turns - libm::round(turns)).abs() / half;
    if away < 1.0 {
        0.5 + 0.5 * libm::cos(std::f64::consts::PI * away)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_shape_starts_and_ends_at_rest() {
        for shape in [Shape::HELD, Shape::BEAT, Shape::Swing { at: 0.25 }] {
            assert_eq!(shape.weight(0.0, 3.0), 0.0, "{shape:?}");
            assert_eq!(shape.weight(1.0, 3.0), 0.0, "{shape:?}");
        }
        assert_eq!(Shape::HELD.weight(0.5, 1.0), 1.0);
    }

    #[test]
    fn a_beat_peaks_once_a_cycle() {
        let shape = Shape::Beat { at: 0.25, half: 0.2 };
        for cycle in 0..4 {
            let at = |phase: f64| shape.weight((f64::from(cycle) + phase) / 4.0, 4.0);
            assert!(at(0.25) > 0.8 && at(0.75) == 0.0, "cycle {cycle}");
        }
    }
}
