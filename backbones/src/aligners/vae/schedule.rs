//! When the terms of the losses come in, over the steps of a training cycle, and how long training goes.

use szar_core::Problems;

use super::super::training::{Plan, Rate, Sampling};
use super::check_positive;

/// How long a training goes, as SynSE's does: cycles of steps, each on a new random batch.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Steps of the published cycle, whose timetable is followed.
    pub published: u32,
    /// Steps of a cycle here.
    pub steps: u64,
    /// Learning rate.
    pub lr: f64,
    /// Samples a step.
    pub batch: i64,
    /// Cycles at most.
    pub cycles: u32,
    /// Cycles without a better measure that are borne.
    pub patience: Option<u32>,
}

impl Schedule {
    /// Adds what is wrong with it, under the options' names.
    pub fn validate(&self, problems: &mut Problems) {
        let Self {
            steps, batch, cycles, ..
        } = self;
        problems.check(*steps >= 1, "steps", || {
            format!("must be at least 1, got {steps}")
        });
        problems.check(*batch >= 2, "batch", || {
            format!("must be at least 2, got {batch}")
        });
        problems.check(*cycles >= 1, "cycles", || {
            format!("must be at least 1, got {cycles}")
        });
        check_positive(problems, "lr", self.lr);
    }

    /// The plan of the training.
    pub fn plan(&self, name: &'static str, about: String) -> Plan {
        Plan {
            name,
            about,
            rounds: self.cycles,
            sampling: Sampling::Draws {
                batch: self.batch,
                steps: self.steps,
            },
            lr: self.lr,
            rate: Rate::Constant,
            patience: self.patience,
        }
    }

    /// The timetable of a cycle.
    pub fn timetable(&self) -> Timetable {
        Timetable::synse(self.published)
    }
}

/// The published timetable of a cycle, in its own steps. A shorter or longer cycle passes through it in proportion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timetable {
    /// Steps of the published cycle.
    pub length: f64,
    /// Step after which the divergence of the motion begins to count.
    pub divergence_from: f64,
    /// Step after which the modalities explain each other.
    pub cross_from: f64,
    /// Steps in which a divergence's factor grows by [`Self::RISE`].
    pub ramp: f64,
}

impl Timetable {
    const RISE: f64 = 0.1;

    /// SynSE's and CADA-VAE's: 1700 steps a cycle, with the cross terms in after 1400, or any other number, with 1500.
    pub fn synse(length: u32) -> Self {
        Self {
            length: f64::from(length),
            divergence_from: 1000.0,
            cross_from: if length == 1700 { 1400.0 } else { 1500.0 },
            ramp: 3000.0,
        }
    }

    /// SA-DVAE's, which is the former in shares of a cycle of `steps`.
    pub fn sa_dvae(steps: u64) -> Self {
        let steps = steps as f64;
        Self {
            length: steps,
            divergence_from: steps / 1700.0 * 1000.0,
            cross_from: (0.8 * steps).floor(),
            ramp: steps / 1700.0 * 3000.0,
        }
    }

    /// Place in the published cycle of step `step` (from 0) of `steps`.
    fn place(self, step: u64, steps: u64) -> f64 {
        step as f64 * (self.length / steps.max(1) as f64)
    }

    fn risen(self, since: f64) -> f64 {
        (Self::RISE * since / self.ramp).max(0.0)
    }

    /// Factor of the motion's divergence: 0, then rising.
    pub fn divergence(self, step: u64, steps: u64) -> f64 {
        self.risen(self.place(step, steps) - self.divergence_from)
    }

    /// A factor that rises from where the modalities explain each other.
    pub fn late_divergence(self, step: u64, steps: u64) -> f64 {
        self.risen(self.place(step, steps) - self.cross_from)
    }

    /// Factor of the cross terms: 0, then 1.
    pub fn cross(self, step: u64, steps: u64) -> f64 {
        f64::from(u8::from(self.place(step, steps) > self.cross_from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_cycle_passes_through_the_same_places() {
        let whole = Timetable::synse(1700);
        for step in [0, 900, 1000, 1010, 1400, 1410, 1690] {
            assert!((whole.divergence(step, 1700) - whole.divergence(step / 10, 170)).abs() < 1e-12);
            assert_eq!(whole.cross(step, 1700), whole.cross(step / 10, 170));
        }
        assert_eq!(whole.cross(1400, 1700), 0.0);
        assert_eq!(whole.cross(1401, 1700), 1.0);
        assert!((whole.divergence(1600, 1700) - 0.02).abs() < 1e-12);
        assert_eq!(Timetable::synse(1900).cross(1500, 1900), 0.0);
    }

    #[test]
    fn sa_dvae_takes_the_same_shares_of_any_cycle() {
        let table = Timetable::sa_dvae(1700);
        assert!((table.divergence(1600, 1700) - Timetable::synse(1700).divergence(1600, 1700)).abs() < 1e-9);
        assert_eq!((table.cross(1360, 1700), table.cross(1361, 1700)), (0.0, 1.0));
        assert_eq!(Timetable::sa_dvae(10).cross(8, 10), 0.0);
        assert_eq!(Timetable::sa_dvae(10).cross(9, 10), 1.0);
    }
}
