//! One step of Adam on scale and shift, and the anchors they give, row by row in one pass over memory.

use pulp::{Simd, WithSimd};

/// Decay rates of the moments: Adam's own defaults, which paper and code use.
pub(super) const BETAS: (f32, f32) = (0.9, 0.999);
/// Rows shorter than this are divided by this.
pub(super) const MIN_LENGTH: f32 = 1e-12;

/// Constants of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Of scale and shift.
    pub lr: (f32, f32),
    pub decay: f32,
    /// Term in the denominator.
    pub epsilon: f32,
    /// Share of the way back to scale 1 and shift 0 after the step.
    pub pull: f32,
    /// 1 − βᵗ of the two moments at step t, counted from 1.
    pub corrections: (f32, f32),
}

/// What stays the same from step to step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub decay: f64,
    pub epsilon: f64,
    pub pull: f64,
    /// Learning rate of the shift over that of the scale.
    pub shift: f64,
}

impl Rates {
    /// Those of step `step`, counted from 1.
    pub fn new(rule: &Rule, lr: f64, step: u64) -> Self {
        let power = |beta: f32| (1.0 - f64::from(beta).powf(step as f64)) as f32;
        Self {
            lr: (lr as f32, (lr * rule.shift) as f32),
            decay: rule.decay as f32,
            epsilon: rule.epsilon as f32,
            pull: rule.pull as f32,
            corrections: (power(BETAS.0), power(BETAS.1)),
        }
    }
}

/// The parameters of one stream, `[C·P, d]` each.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    pub scale: &'a mut [f32],
    pub shift: &'a mut [f32],
    /// First and second moment of the scale's gradient, then of the shift's.
    pub moments: [&'a mut [f32]; 4],
    pub text: &'a mut [f32],
}

/// A step along the gradient with respect to the text.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub width: usize,
    pub rates: Rates,
    pub base: &'a [f32],
    /// Lengths of the rows of the text, `[C·P]`.
    pub lengths: &'a [f32],
    pub parameters: Parameters<'a>,
    /// `[C·P, d]`.
    pub gradient: &'a [f32],
    /// Rows that stay, where not all move.
    pub frozen: &'a [bool],
}

const LANES: usize = 16;

/// Dot product with partial sums that fill a vector register.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = left
        .remainder()
        .iter()
        .zip(right.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in left.zip(right) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// One step of Adam on one number, then part of the way back to `home`.
#[inline(always)]
fn adam(value: &mut f32, moments: (&mut f32, &mut f32), gradient: f32, rates: &Rates, at: (f32, f32, f32)) {
    let (lr, root, home) = at;
    let (first, second) = moments;
    let gradient = gradient + rates.decay * *value;
    *first += (1.0 - BETAS.0) * (gradient - *first);
    *second = BETAS.1 * *second + (1.0 - BETAS.1) * gradient * gradient;
    let size = second.sqrt() / root + rates.epsilon;
    *value -= lr / rates.corrections.0 * (*first / size);
    *value -= rates.pull * (*value - home);
}

impl WithSimd for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            width,
            rates,
            base,
            lengths,
            parameters,
            gradient,
            frozen,
        } = self;
        let root = rates.corrections.1.sqrt();
        let Parameters {
            scale,
            shift,
            moments: [m_scale, v_scale, m_shift, v_shift],
            text,
        } = parameters;
        for (row, frozen) in frozen.iter().enumerate() {
            if *frozen {
                continue;
            }
            let at = row * width..(row + 1) * width;
            let (base, gradient, text) = (&base[at.clone()], &gradient[at.clone()], &mut text[at.clone()]);
            let (scale, shift) = (&mut scale[at.clone()], &mut shift[at.clone()]);
            let (m_scale, v_scale) = (&mut m_scale[at.clone()], &mut v_scale[at.clone()]);
            let (m_shift, v_shift) = (&mut m_shift[at.clone()], &mut v_shift[at]);
            let length = length_of(base, scale, shift);
            let own = lengths[row];
            let along = dot(text, gradient) / (own * own).max(MIN_LENGTH);
            for i in 0..width {
                let down = (gradient[i] - text[i] * along) * own / length;
                let moments = (&mut m_scale[i], &mut v_scale[i]);
                adam(
                    &mut scale[i],
                    moments,
                    down * base[i],
                    &rates,
                    (rates.lr.0, root, 1.0),
                );
                let moments = (&mut m_shift[i], &mut v_shift[i]);
                adam(&mut shift[i], moments, down, &rates, (rates.lr.1, root, 0.0));
            }
            let length = length_of(base, scale, shift) / own;
            for i in 0..width {
                text[i] = (base[i] * scale[i] + shift[i]) / length;
            }
        }
    }
}

#[inline(always)]
fn length_of(base: &[f32], scale: &[f32], shift: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for ((base, scale), shift) in base
        .chunks(LANES)
        .zip(scale.chunks(LANES))
        .zip(shift.chunks(LANES))
    {
        for lane in 0..base.len() {
            let moved = base[lane] * scale[lane] + shift[lane];
            sums[lane] += moved * moved;
        }
    }
    sums.iter().sum::<f32>().sqrt().max(MIN_LENGTH)
}
