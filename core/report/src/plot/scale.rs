//! From values to places.

/// An axis.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Smallest and largest value.
    pub values: [f64; 2],
    /// Their places.
    pub places: [f64; 2],
    /// By the logarithm?
    pub logarithmic: bool,
}

impl Scale {
    /// A linear axis.
    pub fn new(values: [f64; 2], places: [f64; 2]) -> Self {
        let logarithmic = false;
        Self {
            values,
            places,
            logarithmic,
        }
    }

    /// Around some values, with round ends; never empty.
    pub fn around(values: impl Iterator<Item = f64>, places: [f64; 2]) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|v| v.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low < 1e-9 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let step = step(high - low, 4.0);
        Self::new([(low / step).floor() * step, (high / step).ceil() * step], places)
    }

    /// Where a value lies.
    pub fn at(&self, value: f64) -> f64 {
        let turn = |v: f64| if self.logarithmic { v.ln() } else { v };
        let [low, high] = self.values.map(turn);
        let part = if high > low {
            (turn(value) - low) / (high - low)
        } else {
            0.5
        };
        self.places[0] + part * (self.places[1] - self.places[0])
    }

    /// Round values, about `count`.
    pub fn ticks(&self, count: f64) -> Vec<f64> {
        let [low, high] = self.values;
        let step = step(high - low, count);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

/// 1, 2 or 5 times a power of ten.
fn step(span: f64, count: f64) -> f64 {
    let raw = span.abs().max(1e-12) / count;
    let power = 10f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|m| m * power >= raw * 0.999);
    nice.unwrap_or(10.0) * power
}

/// A value without needless digits.
pub fn tick(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs();
    if !(1e-4..1e7).contains(&size) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::new([0.0, 100.0], [10.0, 210.0]);
        assert_eq!(scale.ticks(5.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(scale.at(25.0), 60.0);
        let around = Scale::around([0.31, 0.42, f64::NAN].into_iter(), [0.0, 1.0]);
        assert!(around.values[0] <= 0.31 && around.values[1] >= 0.42 && around.values[0] > 0.2);
        assert!(Scale::around(std::iter::empty(), [0.0, 1.0]).ticks(4.0).len() > 1);
    }

    #[test]
    fn ticks_have_no_needless_digits() {
        assert_eq!([0.2, 1500.0, 0.0, 2e-6].map(tick), ["0.2", "1500", "0", "2e-6"]);
    }
}
