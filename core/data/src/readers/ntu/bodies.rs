//! Which of the tracked bodies become the persons of a sequence, by their place in the frame.

use szar_core::Sequence;

use super::FPS;
use super::parse::{JOINTS, Raw};

/// Persons in a row of frames, `[T, M, 25, 3]`; zeros where nobody is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Persons {
    /// T * M * 25 joints.
    pub(crate) joints: Vec<[f32; 3]>,
    /// M.
    pub(crate) persons: usize,
}

impl Persons {
    /// Nobody in `frames` frames.
    pub(crate) fn none(frames: usize, persons: usize) -> Self {
        Self {
            joints: vec![[0.0; 3]; frames * persons * JOINTS],
            persons,
        }
    }

    /// T.
    pub(crate) fn frames(&self) -> usize {
        self.joints.len() / (self.persons * JOINTS)
    }

    /// A person's 25 joints in a frame.
    pub(crate) fn row(&self, frame: usize, person: usize) -> &[[f32; 3]] {
        let at = (frame * self.persons + person) * JOINTS;
        &self.joints[at..at + JOINTS]
    }

    /// A person's 25 joints in a frame, to be written.
    pub(crate) fn row_mut(&mut self, frame: usize, person: usize) -> &mut [[f32; 3]] {
        let at = (frame * self.persons + person) * JOINTS;
        &mut self.joints[at..at + JOINTS]
    }

    /// The same frames with `persons` persons: the first ones, or nobody behind those there are.
    pub(crate) fn resized(self, persons: usize) -> Self {
        if persons == self.persons {
            return self;
        }
        let mut out = Self::none(self.frames(), persons);
        for frame in 0..self.frames() {
            for person in 0..persons.min(self.persons) {
                out.row_mut(frame, person)
                    .copy_from_slice(self.row(frame, person));
            }
        }
        out
    }

    /// As a dataset hands them out.
    pub(crate) fn into_sequence(self) -> Sequence {
        Sequence {
            frames: self.frames(),
            persons: self.persons,
            fps: FPS,
            joints: self.joints.into_flattened(),
        }
    }

    /// True when somebody is somewhere.
    pub(crate) fn anybody(&self) -> bool {
        self.joints.iter().any(|joint| *joint != [0.0; 3])
    }
}

/// The first bodies of each frame in the order of the file (the ST-GCN pipeline).
pub(crate) fn first(raw: &Raw, persons: usize) -> Persons {
    let mut out = Persons::none(raw.frames(), persons);
    for frame in 0..raw.frames() {
        for (place, body) in raw.frame(frame).take(persons).enumerate() {
            out.row_mut(frame, place).copy_from_slice(raw.joints(body));
        }
    }
    out
}

/// Of the first `slots` places in the frame those with the most energy, in descending order (the 2s-AGCN pipeline).
///
/// A place keeps no identity: when the first body leaves, the second moves up. Of two places with the same energy
/// the later goes first, which only matters for empty ones.
pub(crate) fn by_energy(raw: &Raw, slots: usize, persons: usize) -> Persons {
    let all = first(raw, slots);
    let mut order: Vec<(f64, usize)> = (0..slots).map(|slot| (energy(&all, slot), slot)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    let mut out = Persons::none(all.frames(), persons);
    for frame in 0..all.frames() {
        for (person, (_, slot)) in order.iter().take(persons).enumerate() {
            out.row_mut(frame, person).copy_from_slice(all.row(frame, *slot));
        }
    }
    out
}

/// Standard deviation over all joints of all frames that are not empty, summed over x, y and z.
fn energy(all: &Persons, slot: usize) -> f64 {
    let rows = (0..all.frames()).map(|frame| all.row(frame, slot));
    let there = rows.filter(|row| row.iter().any(|joint| *joint != [0.0; 3]));
    variances(there.flatten()).map(f64::sqrt).iter().sum()
}

/// Variance of x, y and z; 0 of nothing. Two passes, in f64.
pub(crate) fn variances<'a>(joints: impl Iterator<Item = &'a [f32; 3]> + Clone) -> [f64; 3] {
    let count = joints.clone().count().max(1) as f64;
    std::array::from_fn(|axis| {
        let values = joints.clone().map(|joint| f64::from(joint[axis]));
        let mean = values.clone().sum::<f64>() / count;
        values.map(|v| (v - mean).powi(2)).sum::<f64>() / count
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::readers::ntu::parse::parse;
    use crate::readers::ntu::test_files::{Body, file};

    fn body(x: f32, spread: f32) -> Body {
        (1, std::array::from_fn(|j| [x, spread * j as f32, 0.0]))
    }

    fn raw(frames: &[Vec<Body>]) -> Raw {
        parse(Path::new("a"), file(frames).as_bytes()).unwrap()
    }

    #[test]
    fn the_first_places_are_taken_as_they_stand() {
        let raw = raw(&[vec![], vec![body(1.0, 0.0), body(2.0, 0.0), body(3.0, 0.0)]]);
        let out = first(&raw, 2);
        assert_eq!((out.frames(), out.persons), (2, 2));
        let x = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(t, m)| out.row(t, m)[5][0]);
        assert_eq!(x, [0.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn the_widest_places_come_first_and_empty_frames_do_not_count() {
        // Energies: place 0 spreads by 0.1, place 1 by 0.3, place 2 by 0.2 a joint; a fifth body has no place.
        let frame = vec![
            body(0.0, 0.1),
            body(1.0, 0.3),
            body(2.0, 0.2),
            body(3.0, 0.0),
            body(4.0, 9.0),
        ];
        let out = by_energy(&raw(&[vec![], frame.clone(), frame]), 4, 2);
        let x = [0, 1].map(|person| out.row(1, person)[3]);
        assert!(
            (x[0][1] - 0.9).abs() < 1e-6 && (x[1][1] - 0.6).abs() < 1e-6,
            "{x:?}"
        );
        // Joints 0 to 24 apart by 0.1: the deviation of 0..25 is sqrt(52).
        let alone = by_energy(&raw(&[vec![body(0.5, 0.1)], vec![]]), 4, 1);
        assert!((energy(&alone, 0) - 0.1 * 52f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn persons_are_cut_and_filled_up() {
        let one = first(&raw(&[vec![body(1.0, 0.1)]]), 1);
        assert_eq!(one.clone().resized(3).resized(1), one);
        assert_eq!(one.clone().resized(2).row(0, 1), [[0.0; 3]; JOINTS]);
        assert!(one.anybody() && !Persons::none(3, 2).anybody());
    }
}
