//! What an entry votes for, where votes are soft: the logits its sample had, one per candidate.

/// Candidates up to which every number is kept.
const WIDEST: usize = 256;

/// `[C·K]` rows of logits. Beyond [`WIDEST`] candidates a row keeps its largest numbers and the mean of the others, so
/// that memory grows with the number of entries alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Votes {
    classes: usize,
    width: usize,
    /// `[C·K, width]`.
    pub values: Vec<f32>,
    /// Class of every value; empty where all are kept, in order.
    pub places: Vec<u32>,
    /// Mean of what is not kept; `[C·K]`.
    pub rests: Vec<f32>,
}

impl Votes {
    /// Room for that many rows; none where votes are not soft.
    pub fn new(classes: usize, rows: usize) -> Self {
        let width = classes.min(WIDEST);
        let sparse = if classes > WIDEST { rows * width } else { 0 };
        Self {
            classes,
            width,
            values: vec![0.0; rows * width],
            places: vec![0; sparse],
            rests: vec![0.0; rows],
        }
    }

    /// Keeps the logits of a sample.
    pub fn put(&mut self, at: usize, logits: &[f32]) {
        let row = at * self.width..(at + 1) * self.width;
        if self.places.is_empty() {
            self.values[row].copy_from_slice(logits);
            return;
        }
        let mut order: Vec<u32> = (0..).take(logits.len()).collect();
        order.select_nth_unstable_by(self.width - 1, |a, b| {
            logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b))
        });
        let (kept, others) = order.split_at(self.width);
        self.rests[at] = others.iter().map(|c| logits[*c as usize]).sum::<f32>() / others.len() as f32;
        for ((value, place), class) in self.values[row.clone()]
            .iter_mut()
            .zip(&mut self.places[row])
            .zip(kept)
        {
            (*value, *place) = (logits[*class as usize], *class);
        }
    }

    /// Adds `weight` times a row to `out`, `[C]`.
    pub fn add(&self, at: usize, weight: f32, out: &mut [f32]) {
        let row = at * self.width..(at + 1) * self.width;
        if self.places.is_empty() {
            for (out, value) in out.iter_mut().zip(&self.values[row]) {
                *out += weight * value;
            }
            return;
        }
        let rest = self.rests[at];
        out.iter_mut().for_each(|out| *out += weight * rest);
        for (value, place) in self.values[row.clone()].iter().zip(&self.places[row]) {
            out[*place as usize] += weight * (value - rest);
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        4 * (self.values.len() + self.places.len() + self.rests.len())
    }

    /// C.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_candidates_are_kept_whole() {
        let mut votes = Votes::new(3, 2);
        votes.put(1, &[1.0, -2.0, 0.5]);
        let mut out = [10.0f32; 3];
        votes.add(1, 2.0, &mut out);
        assert_eq!(out, [12.0, 6.0, 11.0]);
    }

    #[test]
    fn of_many_candidates_the_best_are_kept_and_the_others_share_a_mean() {
        let classes = WIDEST + 2;
        let mut votes = Votes::new(classes, 1);
        let logits: Vec<f32> = (0..classes).map(|c| ((c * 37) % classes) as f32).collect();
        votes.put(0, &logits);
        let mut out = vec![0.0f32; classes];
        votes.add(0, 1.0, &mut out);
        for (out, logit) in out.iter().zip(&logits) {
            let want = if *logit < 2.0 { 0.5 } else { *logit }; // the two smallest are 0 and 1
            assert!((out - want).abs() < 1e-4, "{out} {want}");
        }
        assert_eq!(votes.bytes(), 4 * (2 * WIDEST + 1));
    }
}
