//! Vectors and rotations in f64, on a software libm so that every platform computes the same bits.
//!
//! Axes of a person: +x to its right, +y up, −z ahead.

/// A point or direction.
pub(super) type Vec3 = [f64; 3];

/// A rotation, row by row.
pub(super) type Rotation = [Vec3; 3];

pub(super) const UP: Vec3 = [0.0, 1.0, 0.0];

pub(super) fn sin(degrees: f64) -> f64 {
    libm::sin(degrees.to_radians())
}

pub(super) fn cos(degrees: f64) -> f64 {
    libm::cos(degrees.to_radians())
}

pub(super) fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(super) fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn scale(a: Vec3, by: f64) -> Vec3 {
    a.map(|x| x * by)
}

pub(super) fn dot(a: Vec3, b: Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn length(a: Vec3) -> f64 {
    dot(a, a).sqrt()
}

/// The direction of `a`; a vector too short to have one gives [`UP`].
pub(super) fn unit(a: Vec3) -> Vec3 {
    let norm = length(a);
    if norm < 1e-9 { UP } else { scale(a, 1.0 / norm) }
}

/// The direction of `a` with what lies along `axis` (of length 1) taken out.
pub(super) fn across(a: Vec3, axis: Vec3) -> Vec3 {
    unit(sub(a, scale(axis, dot(a, axis))))
}

pub(super) fn turn(r: &Rotation, v: Vec3) -> Vec3 {
    [dot(r[0], v), dot(r[1], v), dot(r[2], v)]
}

pub(super) fn compose(a: &Rotation, b: &Rotation) -> Rotation {
    let column = |j: usize| [b[0][j], b[1][j], b[2][j]];
    let columns = [column(0), column(1), column(2)];
    a.map(|row| columns.map(|c| dot(row, c)))
}

/// Rotation about x; positive tips the head forward. Degrees.
pub(super) fn pitch(degrees: f64) -> Rotation {
    let (s, c) = (-sin(degrees), cos(degrees));
    [[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]
}

/// Rotation about y; positive turns to the left. Degrees.
pub(super) fn yaw(degrees: f64) -> Rotation {
    let (s, c) = (sin(degrees), cos(degrees));
    [[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]
}

/// Rotation about z; positive leans to the right. Degrees.
pub(super) fn roll(degrees: f64) -> Rotation {
    let (s, c) = (-sin(degrees), cos(degrees));
    [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]
}

/// Forward bend, then lean to the right, then turn to the left, each in the axes left by the one before. Degrees.
pub(super) fn posture(bend: f64, lean: f64, twist: f64) -> Rotation {
    compose(&pitch(bend), &compose(&roll(lean), &yaw(twist)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_as_documented() {
        assert!(turn(&pitch(30.0), UP)[2] < -0.4, "the head goes ahead");
        assert!(turn(&roll(30.0), UP)[0] > 0.4, "the head goes to the right");
        assert!(
            turn(&yaw(30.0), [0.0, 0.0, -1.0])[0] < -0.4,
            "the nose goes to the left"
        );
    }

    #[test]
    fn rotations_keep_lengths() {
        let v = turn(&posture(40.0, -20.0, 70.0), [1.0, 2.0, 3.0]);
        assert!((length(v) - length([1.0, 2.0, 3.0])).abs() < 1e-12);
    }
}
