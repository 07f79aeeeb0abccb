//! Persons as samples of their own, and back.

use tch::{Device, Kind, Tensor};

/// Which of the `B * M` persons count: those who are there, and the first of a sample with nobody in it.
#[derive(Debug)]
pub(super) struct Persons {
    counted: Vec<bool>,
    persons: usize,
}

impl Persons {
    /// From flags, sample-major, `persons` a sample.
    pub(super) fn new(present: &[bool], persons: usize) -> Self {
        let mut counted = present.to_vec();
        for sample in counted.chunks_mut(persons.max(1)) {
            if !sample.contains(&true) {
                sample[0] = true;
            }
        }
        Self { counted, persons }
    }

    fn all(&self) -> bool {
        self.counted.iter().all(|c| *c)
    }

    /// Numbers of the persons who count, in order.
    fn rows(&self) -> Vec<i64> {
        let rows = self.counted.iter().enumerate().filter(|(_, c)| **c);
        rows.map(|(i, _)| i as i64).collect()
    }

    /// `[B, C, T, V, M]` as `[R, C, T, V]`, the R persons who count.
    pub(super) fn joints(&self, joints: &Tensor) -> Tensor {
        let persons = joints.permute([0, 4, 1, 2, 3]).flatten(0, 1);
        if self.all() {
            return persons;
        }
        persons.index_select(0, &index(&self.rows(), joints.device()))
    }

    /// `[B]` as `[R]`, one for each person who counts.
    pub(super) fn lengths(&self, frames: &Tensor) -> Tensor {
        let samples: Vec<i64> = self.rows().iter().map(|r| r / self.persons as i64).collect();
        frames.index_select(0, &index(&samples, frames.device()))
    }

    /// Mean over the persons of each sample: `[R, ..]` to `[B, ..]`.
    pub(super) fn mean(&self, of: &Tensor) -> Tensor {
        if self.persons == 1 {
            return of.shallow_clone();
        }
        // A row of zeros stands for whoever does not count, so that each sample sums its own persons only.
        let nobody = Tensor::zeros_like(&of.narrow(0, 0, 1));
        let absent = of.size()[0];
        let mut next = 0;
        let source = self.counted.iter().map(|counted| {
            next += i64::from(*counted);
            if *counted { next - 1 } else { absent }
        });
        let source = index(&source.collect::<Vec<_>>(), of.device());
        let all = Tensor::cat(&[of, &nobody], 0).index_select(0, &source);
        self.weighted(&all.unflatten(0, [-1, self.persons as i64]))
    }

    /// Mean over axis 1, of the persons who count: `[B, M, ..]` to `[B, ..]`.
    pub(super) fn mean_of_all(&self, of: &Tensor) -> Tensor {
        let mut shape = vec![-1, self.persons as i64];
        shape.resize(of.dim(), 1);
        let counted = Tensor::from_slice(&self.counted)
            .to_device(of.device())
            .view(&*shape);
        // Chosen, not multiplied: what is not finite in an absent person stays out.
        self.weighted(&of.where_self(&counted, &Tensor::zeros_like(of)))
    }

    /// Sum over axis 1, divided by how many count.
    fn weighted(&self, of: &Tensor) -> Tensor {
        let count = |sample: &[bool]| sample.iter().filter(|c| **c).count() as f32;
        let counts: Vec<f32> = self.counted.chunks(self.persons.max(1)).map(count).collect();
        let mut shape = vec![-1];
        shape.resize(of.dim() - 1, 1);
        let counts = Tensor::from_slice(&counts).to_device(of.device()).view(&*shape);
        of.sum_dim_intlist([1i64].as_slice(), false, Kind::Float) / counts
    }
}

fn index(rows: &[i64], device: Device) -> Tensor {
    Tensor::from_slice(rows).to_device(device)
}
