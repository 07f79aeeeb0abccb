//! Joints drawn as heat maps: frames of a clip, a square picture around everybody, a spot of heat for every joint.

use szar_core::SkeletonBatch;
use tch::{Device, Kind, Tensor};

use super::config::View;

/// The picture's side as a multiple of what the joints need, as published.
const MARGIN: f64 = 1.25;
/// A picture is at least this wide, metres.
const LEAST: f64 = 0.01;
/// Heat ends at this many σ.
const CUT: f64 = 3.0;

/// What is drawn at random while a network is trained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    /// Smallest share of the picture's area that is kept.
    pub(super) crop: f64,
}

/// Joints of clips in pictures of side 1, each `[B, L, M, K]` f32: across from the left, down from the top, 1 where the
/// joint was tracked (any of its coordinates is not 0) and else 0.
#[derive(Debug)]
pub(super) struct Clip {
    across: Tensor,
    down: Tensor,
    tracked: Tensor,
    /// `B * M`.
    present: Vec<bool>,
}

impl Clip {
    /// `length` frames of every sample `[B, 3, T, V, M]`.
    pub(super) fn new(batch: &SkeletonBatch, length: i64, view: View, draws: Option<Draws>) -> Self {
        let joints = batch.joints.to_kind(Kind::Float);
        let s = joints.size();
        let frames = batch.frames.to_device(joints.device()).to_kind(Kind::Int64);
        let index = frame_numbers(&frames.clamp(1, s[2]), length, draws.is_some());
        let index = index
            .view([s[0], 1, length, 1, 1])
            .expand([s[0], s[1], length, s[3], s[4]], false);
        let joints = joints.gather(2, &index, false).permute([0, 1, 2, 4, 3]);
        let tracked = joints.ne(0.0).any_dim(1, false);
        let (side, up) = view.axes();
        let (x, y) = (joints.select(1, side), joints.select(1, up));
        let picture = Square::around(&x, &y, &tracked);
        let picture = match draws {
            Some(draws) => picture.cropped(draws.crop),
            None => picture,
        };
        Self {
            across: (x - picture.left) / &picture.side,
            down: (picture.bottom - y) / &picture.side + 1.0,
            tracked: tracked.to_kind(Kind::Float),
            present: batch.present.clone(),
        }
    }

    /// Heat maps `[n, L, size, size, K]` f32 of the samples `start .. start + count`, the greatest heat of all persons.
    pub(super) fn heat(&self, start: i64, count: i64, size: i64, sigma: f64) -> Tensor {
        let part = |t: &Tensor| t.narrow(0, start, count);
        let (x, y) = (part(&self.across) * size as f64, part(&self.down) * size as f64);
        draw(
            &x,
            &y,
            &part(&self.tracked),
            [size, size],
            sigma,
            &self.slots(start, count),
        )
    }

    /// Share of every cell in every joint's node, `[n, T', K, P]` f32 with P = height * width cells, where cell 0 is pixel
    /// 0 of frame 0 and the next ones are `stride` pixels and frames on.
    ///
    /// A joint's node is the mean over the cells where its heat lies (over all cells while it is not tracked). All nodes of
    /// a frame are moved by one vector, so that their mean is the mean of all cells.
    pub(super) fn shares(
        &self,
        start: i64,
        count: i64,
        [frames, height, width]: [i64; 3],
        stride: super::plan::Stride,
        (size, sigma): (i64, f64),
    ) -> Tensor {
        let part = |t: &Tensor| t.narrow(0, start, count).slice(1, None, None, stride.time);
        let scale = size as f64 / stride.space as f64;
        let (x, y) = (part(&self.across) * scale, part(&self.down) * scale);
        let spots = draw(
            &x,
            &y,
            &part(&self.tracked),
            [height, width],
            sigma,
            &self.slots(start, count),
        );
        let cells = height * width;
        let spots = spots.view([count, frames, cells, -1]);
        let total = spots.sum_dim_intlist([2i64].as_slice(), true, Kind::Float);
        let even = 1.0 / cells as f64;
        let spots = (spots / &total).where_self(
            &total.gt(0.0),
            &Tensor::from(even as f32).to_device(total.device()),
        );
        let centre = spots.mean_dim([3i64].as_slice(), true, Kind::Float);
        (spots - centre + even).transpose(2, 3)
    }

    /// Places in which anyone is.
    fn slots(&self, start: i64, count: i64) -> Vec<i64> {
        let persons = self.across.size()[2] as usize;
        let flags = &self.present[start as usize * persons..][..count as usize * persons];
        let anyone = |m: &usize| flags.chunks(persons).any(|sample| sample[*m]);
        (0..persons).filter(anyone).map(|m| m as i64).collect()
    }
}

/// `[B, L]` i64: a frame from each of L equal parts of the `frames` `[B]` of a sample, its middle one or any; of a sample
/// with fewer than L frames one after the other, again from the first after the last.
fn frame_numbers(frames: &Tensor, length: i64, random: bool) -> Tensor {
    let device = frames.device();
    let frames = frames.unsqueeze(1);
    let parts = Tensor::arange(length + 1, (Kind::Int64, device));
    let edges = (&parts * &frames).floor_divide_scalar(length);
    let (from, to) = (edges.narrow(1, 0, length), edges.narrow(1, 1, length));
    let last = to - &from - 1;
    let at = if random {
        let u = Tensor::rand(last.size(), (Kind::Float, device));
        (u * (&last + 1)).to_kind(Kind::Int64).minimum(&last)
    } else {
        last.floor_divide_scalar(2)
    };
    let again = parts.narrow(0, 0, length).remainder_tensor(&frames);
    (from + at).where_self(&frames.ge(length), &again)
}

/// A square for every sample, `[B, 1, 1, 1]` each, metres.
#[derive(Debug)]
struct Square {
    left: Tensor,
    bottom: Tensor,
    side: Tensor,
}

impl Square {
    /// Around all tracked joints of a sample; `x`, `y` and `tracked` are `[B, L, M, K]`.
    fn around(x: &Tensor, y: &Tensor, tracked: &Tensor) -> Self {
        let all = [1i64, 2, 3];
        let ends = |values: &Tensor| {
            let far =
                |end: f64| values.where_self(tracked, &Tensor::from(end as f32).to_device(values.device()));
            let least = far(f64::INFINITY).amin(all.as_slice(), true);
            let most = far(f64::NEG_INFINITY).amax(all.as_slice(), true);
            // With nobody there, the origin.
            (least.nan_to_num(0.0, 0.0, 0.0), most.nan_to_num(0.0, 0.0, 0.0))
        };
        let ((left, right), (bottom, top)) = (ends(x), ends(y));
        let side = (&right - &left).maximum(&(&top - &bottom)).clamp_min(LEAST) * MARGIN;
        Self {
            left: (left + right - &side) / 2.0,
            bottom: (bottom + top - &side) / 2.0,
            side,
        }
    }

    /// A square inside with at least the share `least` of the area, drawn at random.
    fn cropped(self, least: f64) -> Self {
        if least >= 1.0 {
            return self;
        }
        let draw = || self.side.rand_like();
        let side = (draw() * (1.0 - least) + least).sqrt() * &self.side;
        let room = &self.side - &side;
        Self {
            left: self.left + draw_in(&room),
            bottom: self.bottom + draw_in(&room),
            side,
        }
    }
}

/// Uniform between 0 and `room`.
fn draw_in(room: &Tensor) -> Tensor {
    room.rand_like() * room
}

/// `[B, L, height, width, K]` of joints `[B, L, M, K]` in pixels; persons in the places `slots` only.
///
/// `exp(-((x - x_v)² + (y - y_v)²) / 2σ²)` is the product of a row's and a column's factor.
fn draw(
    x: &Tensor,
    y: &Tensor,
    score: &Tensor,
    [height, width]: [i64; 2],
    sigma: f64,
    slots: &[i64],
) -> Tensor {
    let one = |m: i64| {
        let rows = spot(&y.select(2, m), height, sigma) * score.select(2, m).unsqueeze(2);
        let columns = spot(&x.select(2, m), width, sigma);
        rows.unsqueeze(3) * columns.unsqueeze(2)
    };
    let persons = slots.iter().map(|m| one(*m));
    persons.reduce(|a, b| a.maximum(&b)).unwrap_or_else(|| {
        let s = x.size();
        Tensor::zeros([s[0], s[1], height, width, s[3]], (Kind::Float, x.device()))
    })
}

/// `[.., pixels, K]`: a Gaussian around every joint's place `[.., K]` along one axis, 0 beyond the cut.
fn spot(place: &Tensor, pixels: i64, sigma: f64) -> Tensor {
    let grid = Tensor::arange(pixels, (Kind::Float, place.device())).unsqueeze(1);
    let away = (grid - place.unsqueeze(-2)).square_();
    let near = away.le((CUT * sigma).powi(2));
    (away * (-0.5 / sigma.powi(2))).exp() * near
}

/// Samples at a time so that no tensor of the evaluation holds more than about `8` million numbers on a CPU, which its
/// caches like, and 512 million elsewhere.
pub(super) fn chunk(numbers: i64, device: Device) -> i64 {
    let most = if device == Device::Cpu { 1 << 23 } else { 1 << 29 };
    (most / numbers.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use szar_core::host::{to_f64, to_i64};
    use szar_core::testing;
    use tch::kind::FLOAT_CPU;

    fn numbers(frames: i64, length: i64) -> Vec<i64> {
        to_i64(&frame_numbers(&Tensor::from_slice(&[frames]), length, false)).unwrap()
    }

    #[test]
    fn a_frame_comes_from_each_equal_part_and_short_sequences_start_over() {
        assert_eq!(numbers(12, 4), [1, 4, 7, 10]);
        assert_eq!(numbers(10, 4), [0, 3, 5, 8]); // parts 0-1, 2-4, 5-6, 7-9
        assert_eq!(numbers(4, 4), [0, 1, 2, 3]);
        assert_eq!(numbers(3, 7), [0, 1, 2, 0, 1, 2, 0]);
        let frames = Tensor::full([1000], 10, (Kind::Int64, Device::Cpu));
        let drawn = frame_numbers(&frames, 4, true);
        let ends = |t: Tensor| to_i64(&t).unwrap();
        assert_eq!(ends(drawn.amin([0i64].as_slice(), false)), [0, 2, 5, 7]);
        assert_eq!(ends(drawn.amax([0i64].as_slice(), false)), [1, 4, 6, 9]);
    }

    /// One sample, two persons, three joints over two frames.
    fn batch(present: [bool; 2]) -> SkeletonBatch {
        let here = Tensor::from_slice(&present.map(|p| f32::from(u8::from(p)))).view([1, 1, 1, 1, 2]);
        let joints = testing::normal("joints", &[1, 3, 2, 3, 2]) * here;
        let _ = joints.select(2, 1).select(2, 0).zero_(); // joint 0 is lost in frame 1
        SkeletonBatch {
            joints,
            frames: Tensor::from_slice(&[2i64]),
            present: present.to_vec(),
            layout: Arc::new(testing::layout(3)),
        }
    }

    #[test]
    fn heat_is_what_the_equation_says_pixel_by_pixel() {
        let data = batch([true, true]);
        let (size, sigma) = (16usize, 0.9);
        let heat = Clip::new(&data, 2, View::Xy, None).heat(0, 1, 16, sigma);
        assert_eq!(heat.size(), [1, 2, 16, 16, 3]);
        let at = |c: i64, t: usize, v: usize, m: usize| {
            data.joints.double_value(&[0, c, t as i64, v as i64, m as i64])
        };
        let every = || (0..12).map(|i| (i / 6, i / 2 % 3, i % 2));
        let tracked = |t, v, m| (0..3).any(|c| at(c, t, v, m) != 0.0);
        let ends = |c: i64| {
            let values = every()
                .filter(|(t, v, m)| tracked(*t, *v, *m))
                .map(|(t, v, m)| at(c, t, v, m));
            values.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)))
        };
        let (x, y) = (ends(0), ends(1));
        let side = 1.25 * (x.1 - x.0).max(y.1 - y.0);
        let scale = size as f64 / side;
        for (i, got) in to_f64(&heat).into_iter().enumerate() {
            let (t, row, column, v) = (i / 768, i / 48 % 16, i / 3 % 16, i % 3);
            let one = |m: usize| {
                let dx = column as f64 - (at(0, t, v, m) - (x.0 + x.1) / 2.0 + side / 2.0) * scale;
                let dy = row as f64 - ((y.0 + y.1) / 2.0 + side / 2.0 - at(1, t, v, m)) * scale;
                let near = tracked(t, v, m) && dx.abs() <= 3.0 * sigma && dy.abs() <= 3.0 * sigma;
                if near {
                    (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp()
                } else {
                    0.0
                }
            };
            let want = one(0).max(one(1));
            assert!((got - want).abs() < 1e-4, "{t} {row} {column} {v}: {got} {want}");
        }
        assert_eq!(to_f64(&heat.select(1, 1).select(3, 0).abs().max()), [0.0]);
    }

    #[test]
    fn who_is_absent_leaves_no_trace_and_nobody_gives_nothing() {
        let data = batch([true, false]);
        let flagged = Clip::new(&data, 2, View::Zy, None);
        let naive = Clip::new(
            &SkeletonBatch {
                present: vec![true, true],
                ..data
            },
            2,
            View::Zy,
            None,
        );
        assert!(flagged.heat(0, 1, 8, 0.6).equal(&naive.heat(0, 1, 8, 0.6)));
        let nobody = Clip::new(&batch([false, false]), 2, View::Xz, None);
        assert_eq!(to_f64(&nobody.heat(0, 1, 8, 0.6).abs().max()), [0.0]);
    }

    #[test]
    fn nodes_share_the_cells_and_their_mean_is_the_mean_of_all() {
        let clip = Clip::new(&batch([true, true]), 2, View::Xy, None);
        let stride = super::super::plan::Stride { time: 2, space: 8 };
        let shares = clip.shares(0, 1, [1, 4, 4], stride, (32, 0.6));
        assert_eq!(shares.size(), [1, 1, 3, 16]);
        let ones = shares.sum_dim_intlist([3i64].as_slice(), false, Kind::Float);
        assert!(ones.allclose(&ones.ones_like(), 1e-5, 1e-5, false));
        let mean = shares.mean_dim([2i64].as_slice(), false, Kind::Float);
        assert!(mean.allclose(&(mean.ones_like() / 16.0), 1e-5, 1e-6, false));
    }

    #[test]
    fn a_crop_stays_inside_and_keeps_its_share() {
        tch::manual_seed(1);
        let ones = || Tensor::ones([500, 1, 1, 1], FLOAT_CPU);
        let whole = Square {
            left: ones() * -1.0,
            bottom: ones() * 2.0,
            side: ones() * 2.0,
        };
        let part = whole.cropped(0.56);
        let range = |t: &Tensor| (to_f64(&t.min())[0], to_f64(&t.max())[0]);
        let area = range(&(&part.side * &part.side / 4.0));
        assert!(
            area.0 >= 0.559 && area.0 < 0.58 && area.1 > 0.98 && area.1 <= 1.001,
            "{area:?}"
        );
        assert!(range(&part.left).0 >= -1.0 && range(&(&part.left + &part.side)).1 <= 1.0001);
        assert!(range(&part.bottom).0 >= 2.0 && range(&(&part.bottom + &part.side)).1 <= 4.0001);
    }
}
