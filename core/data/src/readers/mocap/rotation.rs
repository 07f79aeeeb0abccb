//! Rotations as 3 x 3 matrices, by rows.

pub(super) type Matrix = [[f64; 3]; 3];
pub(super) type Vector = [f64; 3];

pub(super) const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Right-handed rotation about axis 0 (x), 1 (y) or 2 (z).
pub(super) fn about(axis: usize, radians: f64) -> Matrix {
    let (sin, cos) = radians.sin_cos();
    let (j, k) = ((axis + 1) % 3, (axis + 2) % 3);
    let mut m = IDENTITY;
    m[j][j] = cos;
    m[k][k] = cos;
    m[j][k] = -sin;
    m[k][j] = sin;
    m
}

pub(super) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let entry = |i: usize, j: usize| (0..3).map(|k| a[i][k] * b[k][j]).sum();
    std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j)))
}

pub(super) fn transpose(m: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| m[j][i]))
}

pub(super) fn apply(m: &Matrix, v: Vector) -> Vector {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

pub(super) fn sum(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|i| a[i] + b[i])
}

/// Rotations about `order`'s axes one after the other in the fixed frame: the first named is applied first.
pub(super) fn euler(order: [usize; 3], radians: Vector) -> Matrix {
    order
        .iter()
        .fold(IDENTITY, |m, axis| product(&about(*axis, radians[*axis]), &m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_about_z_takes_x_to_y() {
        let [x, y, z] = apply(&about(2, std::f64::consts::FRAC_PI_2), [1.0, 0.0, 0.0]);
        assert!(x.abs() < 1e-12 && (y - 1.0).abs() < 1e-12 && z == 0.0);
    }

    #[test]
    fn the_first_of_an_order_is_applied_first() {
        let quarter = std::f64::consts::FRAC_PI_2;
        let m = euler([0, 1, 2], [quarter, 0.0, quarter]);
        let [x, y, z] = apply(&m, [0.0, 1.0, 0.0]); // about x to +z, about z not at all
        assert!(x.abs() < 1e-12 && y.abs() < 1e-12 && (z - 1.0).abs() < 1e-12);
        let back = product(&m, &transpose(&m));
        assert!((back[1][1] - 1.0).abs() < 1e-12 && back[0][1].abs() < 1e-12);
    }
}
