//! A scene as pixels.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster};
use szar_core::{Error, Result};
use tiny_skia::{FillRule, LineCap, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Stroke, Transform};

use crate::draw::colour::{Colour, TEXT};
use crate::draw::label::LETTER;
use crate::draw::scene::{Item, Point, Scene};

/// Pixels of a picture at most: a quarter of a gigabyte.
const MOST: u64 = 1 << 26;

/// Paints a scene on a transparent ground.
///
/// # Errors
/// [`Error::Input`] when it has no pixel or more than 67 million.
pub(super) fn pixels(scene: &Scene) -> Result<Pixmap> {
    let Scene { width, height, .. } = *scene;
    let small = u64::from(width) * u64::from(height) <= MOST;
    let picture = small.then(|| Pixmap::new(width, height)).flatten();
    let mut picture = picture.ok_or_else(|| {
        Error::Input(format!(
            "a picture of {width} x {height} pixels is too large; draw fewer classes, or an SVG file"
        ))
    })?;
    for item in &scene.items {
        match item {
            Item::Lines { colour, width, lines } => stroke(&mut picture, *colour, *width, lines),
            Item::Dots { colour, radius, at } => fill(&mut picture, *colour, *radius, at),
            Item::Text { at, text } => write(&mut picture, *at, text),
        }
    }
    Ok(picture)
}

fn paint(Colour(red, green, blue): Colour) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint.anti_alias = true;
    paint
}

fn stroke(picture: &mut Pixmap, colour: Colour, width: f32, lines: &[[Point; 2]]) {
    let mut path = PathBuilder::new();
    for [from, to] in lines {
        path.move_to(from.x, from.y);
        path.line_to(to.x, to.y);
    }
    let stroke = Stroke {
        width,
        line_cap: LineCap::Round,
        ..Stroke::default()
    };
    // Nothing comes of lines without length: their joints are drawn as dots.
    if let Some(path) = path.finish() {
        picture.stroke_path(&path, &paint(colour), &stroke, Transform::identity(), None);
    }
}

fn fill(picture: &mut Pixmap, colour: Colour, radius: f32, at: &[Point]) {
    let mut path = PathBuilder::new();
    for point in at {
        path.push_circle(point.x, point.y, radius);
    }
    if let Some(path) = path.finish() {
        picture.fill_path(
            &path,
            &paint(colour),
            FillRule::Winding,
            Transform::identity(),
            None,
        );
    }
}

/// Letters on whole pixels; `?` for those that the font lacks.
fn write(picture: &mut Pixmap, at: Point, text: &str) {
    let raster = |c| get_raster(c, FontWeight::Regular, RasterHeight::Size16);
    for (number, character) in text.chars().enumerate() {
        let Some(glyph) = raster(character).or_else(|| raster('?')) else {
            continue;
        };
        let (left, top) = ((at.x + number as f32 * LETTER).round(), at.y.round());
        for (y, row) in glyph.rows().enumerate() {
            for (x, cover) in row.iter().enumerate() {
                blend(picture, left as i64 + x as i64, top as i64 + y as i64, *cover);
            }
        }
    }
}

/// Puts the colour of words over a pixel, as far as the letter covers it.
fn blend(picture: &mut Pixmap, x: i64, y: i64, cover: u8) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    if cover == 0 || !(0..width).contains(&x) || !(0..height).contains(&y) {
        return;
    }
    let Some(pixel) = picture.pixels_mut().get_mut((y * width + x) as usize) else {
        return;
    };
    let mix = |over: u8, under: u8| {
        let sum = u32::from(over) * u32::from(cover) + u32::from(under) * u32::from(255 - cover);
        ((sum + 127) / 255) as u8
    };
    let alpha = mix(255, pixel.alpha());
    // Premultiplied components never exceed alpha; rounding is the same for all.
    let [red, green, blue] = [
        mix(TEXT.0, pixel.red()),
        mix(TEXT.1, pixel.green()),
        mix(TEXT.2, pixel.blue()),
    ];
    if let Some(mixed) = PremultipliedColorU8::from_rgba(red, green, blue, alpha) {
        *pixel = mixed;
    }
}
