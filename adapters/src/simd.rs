//! Dot products and exponentials on the CPU's vector units, for what adapters compute on the host.

use pulp::Simd;

/// All dot products of `Q` with `K` vectors of one length.
///
/// The product of two vectors is always summed the same way, whichever other vectors are worked on beside them.
/// Plain loops, no closures: what is not inlined here would run without the vector instructions chosen for `S`.
#[expect(clippy::needless_range_loop, reason = "indices pair up two arrays")]
#[inline(always)]
pub(crate) fn tile<S: Simd, const Q: usize, const K: usize>(
    simd: S,
    queries: [&[f32]; Q],
    keys: [&[f32]; K],
) -> [[f32; K]; Q] {
    let none: &[S::f32s] = &[];
    let (mut q, mut k) = ([none; Q], [none; K]);
    let (mut q_rest, mut k_rest) = ([&[] as &[f32]; Q], [&[] as &[f32]; K]);
    for i in 0..Q {
        (q[i], q_rest[i]) = S::as_simd_f32s(queries[i]);
    }
    for j in 0..K {
        (k[j], k_rest[j]) = S::as_simd_f32s(keys[j]);
    }
    let mut sums = [[simd.splat_f32s(0.0); K]; Q];
    let steps = q[0].len();
    for i in 0..Q {
        q[i] = &q[i][..steps];
    }
    for j in 0..K {
        k[j] = &k[j][..steps];
    }
    for step in 0..steps {
        for j in 0..K {
            for i in 0..Q {
                sums[i][j] = simd.mul_add_e_f32s(q[i][step], k[j][step], sums[i][j]);
            }
        }
    }
    if !q_rest[0].is_empty() {
        for j in 0..K {
            let key = simd.partial_load_f32s(k_rest[j]);
            for i in 0..Q {
                let query = simd.partial_load_f32s(q_rest[i]);
                sums[i][j] = simd.mul_add_e_f32s(query, key, sums[i][j]);
            }
        }
    }
    let mut products = [[0.0; K]; Q];
    for i in 0..Q {
        for j in 0..K {
            products[i][j] = simd.reduce_sum_f32s(sums[i][j]);
        }
    }
    products
}

/// The exponential, to within 2e-7 of its value, in steps that a compiler can do on many values at once.
///
/// `x = n ln 2 + r` with whole `n` and `|r| <= ln 2 / 2`; `e^r` by its Taylor polynomial, `2^n` by its bits.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding this rounds to whole numbers: the fraction falls off the mantissa.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-86.0, 86.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut sum = 1.0 / 5040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + term;
    }
    f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_library() {
        for i in 0..200_000 {
            let x = -86.0 + i as f32 * (88.0 / 200_000.0);
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) - want).abs() / want;
            assert!(error < 2e-7, "exp({x}) is off by {error:e}");
        }
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn dot_products_of_any_length_are_right() {
        struct Dot<'a>(&'a [f32], &'a [f32]);
        impl WithSimd for Dot<'_> {
            type Output = f32;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> f32 {
                tile::<S, 1, 1>(simd, [self.0], [self.1])[0][0]
            }
        }
        for n in [1usize, 3, 8, 15, 16, 17, 25, 48, 256] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 1.3).cos()).collect();
            let want: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let got = pulp::Arch::new().dispatch(Dot(&a, &b));
            assert!((f64::from(got) - want).abs() < 1e-4, "{n}: {got} and {want}");
        }
    }
}
