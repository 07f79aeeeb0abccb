//! The 253 colours of pixels: a scene has seven, each fully there or partly at the edge of a line.

use std::collections::BTreeMap;

use szar_core::Result;
use tiny_skia::PremultipliedColorU8;

use super::pixels::pixels;
use crate::draw::colour::{self, Colour};
use crate::draw::scene::Scene;

/// Steps from nothing to each colour: seven times 36, and nothing.
const SHADES: u32 = 36;

/// Colours by number, each with how much of it there is; number 0 is nothing.
pub(super) fn palette() -> Vec<(Colour, u8)> {
    let shades = |c: Colour| (1..=SHADES).map(move |s| (c, (s * 255).div_ceil(SHADES) as u8));
    let all = colour::all().into_iter().flat_map(shades);
    [(Colour(255, 255, 255), 0)].into_iter().chain(all).collect()
}

/// Paints a scene; the number of the nearest colour for each pixel.
pub(super) fn indices(scene: &Scene, palette: &[(Colour, u8)]) -> Result<Vec<u8>> {
    let picture = pixels(scene)?;
    let premultiplied: Vec<[u8; 4]> = palette
        .iter()
        .map(|(colour, part)| shade(*colour, *part))
        .collect();
    let mut known: BTreeMap<[u8; 4], u8> = BTreeMap::new();
    let nearest = |pixel: [u8; 4]| {
        let nearest = (0u8..)
            .zip(&premultiplied)
            .min_by_key(|(_, p)| distance(**p, pixel));
        nearest.map_or(0, |(index, _)| index)
    };
    let index = |pixel: &PremultipliedColorU8| {
        if pixel.alpha() == 0 {
            return 0; // most of them
        }
        let pixel = [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()];
        *known.entry(pixel).or_insert_with(|| nearest(pixel))
    };
    Ok(picture.pixels().iter().map(index).collect())
}

/// A part of a colour, as painted: the components times the part, and the part.
fn shade(Colour(red, green, blue): Colour, part: u8) -> [u8; 4] {
    let times = |v: u8| ((u32::from(v) * u32::from(part) + 127) / 255) as u8;
    [times(red), times(green), times(blue), part]
}

/// Squared distance of the components.
fn distance(a: [u8; 4], b: [u8; 4]) -> u32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| u32::from(a.abs_diff(b)).pow(2))
        .sum()
}
