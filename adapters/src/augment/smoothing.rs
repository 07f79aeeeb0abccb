//! Smoothing over time by local polynomials.
//!
//! Savitzky and Golay, "Smoothing and differentiation of data by simplified least squares procedures", Analytical
//! Chemistry 1964: the value of a frame is that of the polynomial which fits the frames of a window around it best. Near
//! the ends of a stretch the window stays inside it, and the frame is off its middle.

use std::collections::BTreeMap;

/// A window's length and the polynomial's degree, with the weights that were worked out so far.
#[derive(Debug)]
pub(super) struct Smoother {
    window: usize,
    order: usize,
    /// Weights of a window's frames by how many lie before and after the frame in question.
    weights: BTreeMap<(usize, usize), Vec<f64>>,
}

impl Smoother {
    /// `window` frames, at least 1; polynomials of degree `order`, or less where a stretch is too short.
    pub fn new(window: usize, order: usize) -> Self {
        Self {
            window: window.max(1),
            order,
            weights: BTreeMap::new(),
        }
    }

    /// `[T, T]`, row-major: what each frame is made of. Frames of different stretches never mix; where nobody is, rows are 0.
    pub fn matrix(&mut self, there: &[bool]) -> Vec<f32> {
        let frames = there.len();
        let mut matrix = vec![0.0; frames * frames];
        let mut from = 0;
        while from < frames {
            let length = there[from..].iter().take_while(|t| **t).count();
            for frame in from..from + length {
                let width = self.window.min(length);
                let first = (frame.saturating_sub(self.window / 2)).clamp(from, from + length - width);
                let weights = self.weights_of(frame - first, first + width - 1 - frame);
                let row = &mut matrix[frame * frames + first..][..width];
                row.iter_mut().zip(weights).for_each(|(m, w)| *m = *w as f32);
            }
            from += length.max(1);
        }
        matrix
    }

    /// Weights of the frames `-before ..= after` in the value at 0.
    fn weights_of(&mut self, before: usize, after: usize) -> &[f64] {
        let order = self.order;
        self.weights
            .entry((before, after))
            .or_insert_with(|| fit(before, after, order))
    }
}

/// `e₀ᵀ (AᵀA)⁻¹ Aᵀ` for the powers `A` of the frames' distances, in units of the window so that the powers stay near 1.
fn fit(before: usize, after: usize, order: usize) -> Vec<f64> {
    let (unit, terms) = ((before.max(after)).max(1) as f64, order.min(before + after) + 1);
    let times: Vec<f64> = (0..=before + after)
        .map(|frame| (frame as f64 - before as f64) / unit)
        .collect();
    let power = |x: f64, k: usize| x.powi(k as i32);
    let mut rows: Vec<Vec<f64>> = (0..terms)
        .map(|i| {
            let sums = (0..terms).map(|j| times.iter().map(|x| power(*x, i + j)).sum());
            sums.chain([f64::from(u8::from(i == 0))]).collect()
        })
        .collect();
    let solution = solve(&mut rows);
    let value = |x: &f64| solution.iter().enumerate().map(|(k, u)| u * power(*x, k)).sum();
    times.iter().map(value).collect()
}

/// Gauss's elimination of `[A | b]` with row exchanges; A is positive definite here.
fn solve(rows: &mut [Vec<f64>]) -> Vec<f64> {
    let n = rows.len();
    for column in 0..n {
        let largest = (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()));
        rows.swap(column, largest.unwrap_or(column));
        let (above, below) = rows.split_at_mut(column + 1);
        let pivot = &above[column];
        for row in below {
            let factor = row[column] / pivot[column];
            row.iter_mut()
                .zip(pivot)
                .skip(column)
                .for_each(|(x, p)| *x -= factor * p);
        }
    }
    let mut solution = vec![0.0; n];
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| rows[row][k] * solution[k]).sum();
        solution[row] = (rows[row][n] - known) / rows[row][row];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_frames_and_a_parabola_weigh_as_published() {
        let weights = fit(2, 2, 2);
        let published = [-3.0, 12.0, 17.0, 12.0, -3.0].map(|w| w / 35.0);
        assert!(weights.iter().zip(published).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn a_parabola_stays_as_it_is_and_gaps_do_not_mix() {
        let mut there = vec![true; 12];
        there[5] = false;
        let matrix = Smoother::new(7, 2).matrix(&there);
        let value = |t: usize| {
            if t == 5 {
                1e6
            } else {
                (t * t) as f32 - 3.0 * t as f32
            }
        };
        for (t, row) in matrix.chunks(12).enumerate() {
            let smooth: f32 = row.iter().enumerate().map(|(s, w)| w * value(s)).sum();
            let want = if t == 5 { 0.0 } else { value(t) };
            assert!((smooth - want).abs() < 1e-3, "frame {t}: {smooth}");
        }
    }

    #[test]
    fn stretches_shorter_than_the_degree_stay_as_they_are() {
        let matrix = Smoother::new(7, 3).matrix(&[false, true, true, false]);
        let want = [1.0, 1.0].into_iter().zip([5, 10]);
        want.for_each(|(w, at): (f32, usize)| assert!((matrix[at] - w).abs() < 1e-6));
        assert!(matrix[6].abs() < 1e-6 && matrix[9].abs() < 1e-6);
    }
}
