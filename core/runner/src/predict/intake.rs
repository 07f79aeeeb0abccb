//! From sequences as they come, on a skeleton with perhaps other joints and persons, to what the encoder was trained on.

use std::borrow::Cow;
use std::sync::Arc;

use szar_core::{Error, PreprocessorConfig, Result, Sequence, SkeletonBatch, SkeletonLayout};
use szar_data::store::batch_of;
use tch::Device;

/// Makes batches of single sequences.
#[derive(Debug)]
pub(super) struct Intake {
    layout: Arc<SkeletonLayout>,
    /// M.
    persons: usize,
    source: Source,
    /// Were persons left out before?
    told: bool,
}

/// The skeleton of what comes in.
#[derive(Debug)]
struct Source {
    /// What messages call it.
    name: String,
    joints: usize,
    /// For each joint of the layout its number in the source; `None` when they are the same.
    order: Option<Vec<usize>>,
}

impl Intake {
    /// For sequences on the layout itself.
    pub fn new(layout: Arc<SkeletonLayout>, persons: usize) -> Self {
        Self {
            source: Source {
                name: format!("layout `{}`", layout.name),
                joints: layout.len(),
                order: None,
            },
            layout,
            persons,
            told: false,
        }
    }

    pub fn layout(&self) -> &Arc<SkeletonLayout> {
        &self.layout
    }

    pub fn persons(&self) -> usize {
        self.persons
    }

    /// V of what comes in, and what it is called.
    pub fn source(&self) -> (usize, &str) {
        (self.source.joints, &self.source.name)
    }

    /// From now on sequences come with these joints, which are found by their names.
    ///
    /// # Errors
    /// [`Error::Input`] naming both skeletons and the joints that are lacking.
    pub fn read_from(&mut self, name: &str, joints: &[String]) -> Result<()> {
        let at = |joint: &String| joints.iter().position(|j| j == joint);
        let lacking: Vec<&str> = self
            .layout
            .joints
            .iter()
            .filter(|joint| at(joint).is_none())
            .map(String::as_str)
            .collect();
        if !lacking.is_empty() {
            let trained = &self.layout;
            return Err(Error::Input(format!(
                "{name} ({} joints) does not fit: the run was trained on layout `{}` ({} joints), and {} of them have no joint \
                 of their name: {}",
                joints.len(),
                trained.name,
                trained.len(),
                lacking.len(),
                lacking.join(", ")
            )));
        }
        let order: Vec<usize> = self.layout.joints.iter().filter_map(at).collect();
        let same = order.len() == joints.len() && order.iter().copied().eq(0..joints.len());
        self.source = Source {
            name: name.to_owned(),
            joints: joints.len(),
            order: (!same).then_some(order),
        };
        Ok(())
    }

    /// `[1, 3, T, V, M]`, prepared as the training's sequences were.
    ///
    /// # Errors
    /// When the sequence has other joints than it should, values that are not finite, or nobody in it.
    pub fn batch(
        &mut self,
        sequence: &Sequence,
        preprocess: &dyn PreprocessorConfig,
        device: Device,
    ) -> Result<SkeletonBatch> {
        let fitted = self.fitted(sequence)?;
        let (prepared, valid) = preprocess.apply(&fitted, &self.layout)?;
        batch_of(&prepared, valid, &self.layout, device)
    }

    /// The sequence with the joints and the number of persons of the training.
    fn fitted<'a>(&mut self, sequence: &'a Sequence) -> Result<Cow<'a, Sequence>> {
        let (persons, size) = (sequence.persons, self.source.joints * 3);
        if sequence.joints.is_empty() || sequence.joints.len() != sequence.frames * persons * size {
            return Err(Error::Input(format!(
                "a sequence of {} frames and {persons} persons has {} numbers, expected {} for the {} joints of {}",
                sequence.frames,
                sequence.joints.len(),
                sequence.frames * persons * size,
                self.source.joints,
                self.source.name
            )));
        }
        if self.source.order.is_none() && persons == self.persons {
            return Ok(Cow::Borrowed(sequence));
        }
        let slots = self.slots(sequence);
        let mut joints = Vec::with_capacity(sequence.frames * self.persons * self.layout.len() * 3);
        for frame in sequence.joints.chunks_exact(persons * size) {
            for slot in 0..self.persons {
                match slots.get(slot) {
                    Some(person) => self.reorder(&frame[person * size..(person + 1) * size], &mut joints),
                    None => joints.resize(joints.len() + self.layout.len() * 3, 0.0),
                }
            }
        }
        Ok(Cow::Owned(Sequence {
            joints,
            frames: sequence.frames,
            persons: self.persons,
            fps: sequence.fps,
        }))
    }

    fn reorder(&self, row: &[f32], out: &mut Vec<f32>) {
        match &self.source.order {
            None => out.extend_from_slice(row),
            Some(order) => out.extend(order.iter().flat_map(|joint| &row[joint * 3..joint * 3 + 3])),
        }
    }

    /// The persons of the source that fill the M places: as they stand where that leaves nobody out, else the first M who are
    /// there at all.
    fn slots(&mut self, sequence: &Sequence) -> Vec<usize> {
        let (persons, size) = (sequence.persons, self.source.joints * 3);
        if persons <= self.persons {
            return (0..persons).collect();
        }
        let rows = || sequence.joints.chunks_exact(size).enumerate();
        let is_there = |person: &usize| {
            rows().any(|(row, values)| row % persons == *person && values.iter().any(|v| *v != 0.0))
        };
        let mut there: Vec<usize> = (0..persons).filter(is_there).collect();
        if there.iter().all(|person| *person < self.persons) {
            return (0..self.persons).collect();
        }
        if there.len() > self.persons && !self.told {
            self.told = true;
            tracing::warn!(
                trained = self.persons,
                there = there.len(),
                "more persons than the run was trained on: the first ones are kept, the others left out"
            );
        }
        there.truncate(self.persons);
        there
    }
}

#[cfg(test)]
mod tests {
    use szar_core::testing;
    use szar_data::preprocess::StandardConfig;

    use super::*;

    /// Joint j of person p in frame t is (t + 1, p + 1, j + 1); persons not in `there` are zeros.
    fn sequence(frames: usize, persons: usize, joints: usize, there: &[usize]) -> Sequence {
        let mut values = Vec::new();
        for frame in 0..frames {
            for person in 0..persons {
                let known = if there.contains(&person) { 1.0 } else { 0.0 };
                for joint in 0..joints {
                    values.extend([frame, person, joint].map(|n| (n as f32 + 1.0) * known));
                }
            }
        }
        Sequence {
            joints: values,
            frames,
            persons,
            fps: 30.0,
        }
    }

    fn intake(persons: usize) -> Intake {
        Intake::new(Arc::new(testing::layout(3)), persons)
    }

    #[test]
    fn joints_are_found_by_their_names() {
        let mut intake = intake(1);
        let names = ["joint2", "more", "joint0", "joint1"].map(str::to_owned);
        intake.read_from("the stream", &names).unwrap();
        let fitted = intake.fitted(&sequence(1, 1, 4, &[0])).unwrap().into_owned();
        // joint0 is the third of the source, joint1 the fourth, joint2 the first.
        let numbers: Vec<f32> = fitted.joints.chunks_exact(3).map(|j| j[2]).collect();
        assert_eq!(numbers, [3.0, 4.0, 1.0]);
        let error = intake
            .read_from("layout `b`", &names[..2])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("layout `b` (2 joints)") && error.contains("layout `chain3` (3 joints)"),
            "{error}"
        );
        assert!(error.ends_with("joint0, joint1"), "{error}");
    }

    #[test]
    fn persons_are_added_as_absent_and_left_out_where_they_are_too_many() {
        let person = |s: &Sequence| -> Vec<f32> { s.joints.chunks_exact(9).map(|row| row[1]).collect() };
        let mut two = intake(2);
        let padded = two.fitted(&sequence(2, 1, 3, &[0])).unwrap().into_owned();
        assert_eq!(person(&padded), [1.0, 0.0, 1.0, 0.0]);
        let kept = two.fitted(&sequence(1, 4, 3, &[1])).unwrap().into_owned();
        assert_eq!(person(&kept), [0.0, 2.0]);
        let moved = two.fitted(&sequence(1, 4, 3, &[1, 3])).unwrap().into_owned();
        assert_eq!((person(&moved), two.told), (vec![2.0, 4.0], false));
        let cut = two.fitted(&sequence(1, 4, 3, &[0, 2, 3])).unwrap().into_owned();
        assert_eq!((person(&cut), two.told), (vec![1.0, 3.0], true));
        assert!(matches!(
            two.fitted(&sequence(2, 2, 3, &[0])),
            Ok(Cow::Borrowed(_))
        ));
        assert!(two.fitted(&sequence(1, 1, 4, &[0])).is_err());
    }

    #[test]
    fn an_absent_person_changes_nothing_for_the_one_who_is_there() {
        let preprocess = StandardConfig::default();
        let single = sequence(20, 1, 3, &[0]);
        let one = intake(1).batch(&single, &preprocess, Device::Cpu).unwrap();
        let two = intake(2).batch(&single, &preprocess, Device::Cpu).unwrap();
        assert_eq!(
            (&one.present[..], &two.present[..]),
            (&[true][..], &[true, false][..])
        );
        assert!(one.joints.equal(&two.joints.narrow(4, 0, 1)));
        assert_eq!(two.joints.size(), [1, 3, 48, 3, 2]);
    }
}
