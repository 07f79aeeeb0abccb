//! Rotations of joints, as matrices in f64 applied to joints in f32.

/// Row by row.
pub(crate) type Matrix = [[f64; 3]; 3];

const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Lengths and angles below this turn nothing.
const LEAST: f64 = 1.0e-6;

/// The joint, turned.
pub(crate) fn turned(matrix: &Matrix, joint: [f32; 3]) -> [f32; 3] {
    let joint = joint.map(f64::from);
    matrix.map(|row| dot(row, joint) as f32)
}

/// The rotation by the shortest way that takes the direction of `from` to the unit vector `to`; none when `from`
/// has no length or the two lie on one line.
pub(super) fn onto(from: [f64; 3], to: [f64; 3]) -> Matrix {
    let length = dot(from, from).sqrt();
    let axis = cross(from, to);
    let size: f64 = axis.iter().map(|v| v.abs()).sum();
    if length < LEAST || size < LEAST {
        return IDENTITY;
    }
    let angle = (dot(from, to) / length).clamp(-1.0, 1.0).acos();
    if angle < LEAST {
        return IDENTITY;
    }
    let norm = dot(axis, axis).sqrt();
    about(axis.map(|v| v / norm), angle)
}

/// Rodrigues' formula: counter-clockwise about a unit vector.
fn about([x, y, z]: [f64; 3], angle: f64) -> Matrix {
    let (sin, cos) = angle.sin_cos();
    let rest = 1.0 - cos;
    [
        [cos + x * x * rest, x * y * rest - z * sin, x * z * rest + y * sin],
        [y * x * rest + z * sin, cos + y * y * rest, y * z * rest - x * sin],
        [z * x * rest - y * sin, z * y * rest + x * sin, cos + z * z * rest],
    ]
}

/// `Rz Ry Rx`, each clockwise seen against its axis, by angles in radians.
pub(crate) fn about_axes(angles: [f32; 3]) -> Matrix {
    let [x, y, z] = [0, 1, 2].map(|axis| {
        let mut unit = [0.0; 3];
        unit[axis] = 1.0;
        about(unit, -f64::from(angles[axis]))
    });
    product(&z, &product(&y, &x))
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let column = |j: usize| [b[0][j], b[1][j], b[2][j]];
    a.map(|row| [0, 1, 2].map(|j| dot(row, column(j))))
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_turned_onto_the_axis() {
        let from = [0.3, -1.2, 0.4];
        let out = onto(from, [0.0, 0.0, 1.0]).map(|row| dot(row, from));
        assert!(
            out[0].abs() < 1e-12 && out[1].abs() < 1e-12 && (out[2] - 1.3).abs() < 1e-12,
            "{out:?}"
        );
    }

    #[test]
    fn what_has_no_direction_is_left() {
        for from in [[0.0; 3], [0.0, 0.0, 2.0], [0.0, 0.0, -2.0]] {
            assert_eq!(onto(from, [0.0, 0.0, 1.0]), IDENTITY);
        }
    }

    #[test]
    fn a_quarter_about_y_takes_x_to_z() {
        let matrix = about_axes([0.0, std::f32::consts::FRAC_PI_2, 0.0]);
        let out = turned(&matrix, [1.0, 2.0, 0.0]);
        assert!(
            out[0].abs() < 1e-6 && (out[1] - 2.0).abs() < 1e-6 && (out[2] - 1.0).abs() < 1e-6,
            "{out:?}"
        );
    }
}
