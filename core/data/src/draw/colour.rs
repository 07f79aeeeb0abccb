//! Colours that read on white and on black.

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

/// Words.
pub(super) const TEXT: Colour = Colour(0x76, 0x76, 0x76);

/// Side of the body that a joint is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Centre,
    Right,
    Left,
}

/// In the order of drawing.
pub(super) const SIDES: [Side; 3] = [Side::Centre, Side::Right, Side::Left];

/// Tones of a person: blue for the first, orange for others; left limbs light, right limbs dark.
pub(super) const fn tone(first: bool, side: Side) -> Colour {
    match (first, side) {
        (true, Side::Left) => Colour(0x1d, 0x9b, 0xd1),
        (true, Side::Centre) => Colour(0x4a, 0x78, 0xd0),
        (true, Side::Right) => Colour(0x3b, 0x4f, 0xd9),
        (false, Side::Left) => Colour(0xd8, 0x7a, 0x1c),
        (false, Side::Centre) => Colour(0xc8, 0x55, 0x2e),
        (false, Side::Right) => Colour(0xb2, 0x3a, 0x2e),
    }
}

/// Every colour there is.
pub(super) fn all() -> Vec<Colour> {
    let tones = |first| SIDES.map(|side| tone(first, side));
    [TEXT]
        .into_iter()
        .chain(tones(true))
        .chain(tones(false))
        .collect()
}

impl Colour {
    /// `part` of this colour over another, `0 ..= 1`.
    pub(super) fn over(self, under: Self, part: f64) -> Self {
        let mix = |a: u8, b: u8| (f64::from(a) * part + f64::from(b) * (1.0 - part)).round() as u8;
        Self(mix(self.0, under.0), mix(self.1, under.1), mix(self.2, under.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG 2 has it.
    fn luminance(colour: Colour) -> f64 {
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 {
                v / 12.92
            } else {
                ((v + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2)
    }

    #[test]
    fn every_colour_stands_out_from_white_and_from_black() {
        for colour in all() {
            let light = luminance(colour) + 0.05;
            let least = if colour == TEXT { 4.5 } else { 3.0 };
            assert!(1.05 / light >= least && light / 0.05 >= least, "{colour:?}");
        }
        let [left, right] = [Side::Left, Side::Right].map(|side| luminance(tone(true, side)) + 0.05);
        assert!(left / right > 1.7, "{left} {right}");
    }
}
