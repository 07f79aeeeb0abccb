//! Vectors of many dimensions as places in a plane: principal components, then t-SNE from the first two of them.

use bhtsne::tSNE;
use szar_core::host::HostF32;
use tch::{Kind, Tensor};

/// Components that t-SNE sees.
const COMPONENTS: i64 = 50;
/// Neighbours that a point is drawn to, about.
const PERPLEXITY: f64 = 30.0;
/// Steps.
const EPOCHS: usize = 500;
/// Points below which t-SNE says nothing.
const FEWEST: usize = 12;
/// Between exact and fast.
const THETA: f32 = 0.5;

/// Rows of several tensors in one plane; `None` where there are too few points or one of them is not finite.
///
/// # Shapes
/// - `rows`: `[n, D]`
/// - result: n places
pub fn plane(rows: &Tensor) -> Option<Vec<[f64; 2]>> {
    let count = usize::try_from(rows.size().first().copied().unwrap_or(0)).unwrap_or(0);
    if count < FEWEST {
        return None;
    }
    let components = components(rows)?;
    let width = usize::try_from(components.size()[1]).unwrap_or(1).max(1);
    let host = HostF32::new(&components);
    let points: Vec<&[f32]> = host.as_slice().chunks_exact(width).collect();
    let spread = components.select(1, 0).std(true).double_value(&[]).max(1e-12);
    // As small as the usual random start, with the arrangement of the data in it; where the data has one dimension, the
    // second is a line that breaks the tie.
    let start = |(i, p): (usize, &&[f32])| {
        let other = p.get(1).copied().unwrap_or(i as f32 / count as f32);
        [p[0], other].map(|v| 1e-4 * v / spread as f32)
    };
    let start: Vec<f32> = points.iter().enumerate().flat_map(start).collect();
    let perplexity = PERPLEXITY.min((count as f64 - 1.0) / 3.0 - 1.0).max(1.0) as f32;
    let fit = || {
        let mut tsne = tSNE::<f32, &[f32], 2>::new(&points);
        tsne.perplexity(perplexity)
            .epochs(EPOCHS)
            .initial_embedding(start);
        tsne.barnes_hut(THETA, |a, b| distance(a, b));
        tsne.embedding()
    };
    // One thread adds in one order: the same page twice.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()?;
    let places = pool.install(fit);
    let finite = places.iter().all(|v| v.is_finite());
    let places = places.as_chunks::<2>().0.iter();
    finite.then(|| places.map(|[x, y]| [f64::from(*x), f64::from(*y)]).collect())
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b) * (a - b))
        .sum::<f32>()
        .sqrt()
}

/// `[n, k]`: the rows on their principal axes, from the inner products of the centred rows.
fn components(rows: &Tensor) -> Option<Tensor> {
    let rows = rows.to_kind(Kind::Double);
    let centred = &rows - rows.mean_dim([0i64].as_slice(), true, Kind::Double);
    let (values, vectors) = centred.matmul(&centred.transpose(0, 1)).f_linalg_eigh("L").ok()?;
    let count = values.size()[0];
    let kept = COMPONENTS.min(count).min(centred.size()[1]);
    let scales = values.narrow(0, count - kept, kept).clamp_min(0.0).sqrt();
    let axes = vectors.narrow(1, count - kept, kept) * scales;
    let finite = axes.isfinite().all().int64_value(&[]) == 1;
    finite.then(|| axes.flip([1i64].as_slice()).to_kind(Kind::Float))
}

/// Rows of length 1 around their common mean, so that what two sets of vectors differ in as a whole does not hide what
/// is inside them.
pub fn centred_unit(rows: &Tensor) -> Tensor {
    let rows = rows.to_kind(Kind::Float);
    let unit = |x: &Tensor| x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true).clamp_min(1e-8);
    let rows = unit(&rows);
    unit(&(&rows - rows.mean_dim([0i64].as_slice(), true, Kind::Float)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, kind::FLOAT_CPU};

    #[test]
    fn groups_stay_together_and_the_same_rows_give_the_same_places() {
        tch::manual_seed(0);
        let rows = Tensor::randn([60, 20], FLOAT_CPU);
        let group = Tensor::arange(60, (Kind::Int64, Device::Cpu)).floor_divide_scalar(20);
        let rows = rows + group.unsqueeze(1) * 20.0;
        let places = plane(&rows).unwrap();
        assert_eq!(places, plane(&rows).unwrap());
        let middle = |g: usize| {
            let own = &places[g * 20..(g + 1) * 20];
            [0, 1].map(|axis| own.iter().map(|p| p[axis]).sum::<f64>() / 20.0)
        };
        let far = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        for (i, place) in places.iter().enumerate() {
            let nearest = (0..3).min_by(|a, b| far(*place, middle(*a)).total_cmp(&far(*place, middle(*b))));
            assert_eq!(nearest, Some(i / 20));
        }
    }

    #[test]
    fn few_points_have_no_plane_and_equal_ones_do_no_harm() {
        assert!(plane(&Tensor::zeros([5, 3], FLOAT_CPU)).is_none());
        let _ = plane(&Tensor::zeros([40, 3], FLOAT_CPU));
        assert!(plane(&Tensor::full([40, 3], f64::NAN, FLOAT_CPU)).is_none());
    }
}
