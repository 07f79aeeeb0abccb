//! SVG: words stay words, lines stay sharp.

use std::fmt::Write;

use svg::Document;
use svg::node::element::{Path, Text, Title};

use crate::draw::colour::{Colour, TEXT};
use crate::draw::label::LINE;
use crate::draw::scene::{Item, Point, Scene};

/// Size of the letters that are 7 pixels wide in common monospaced fonts.
const FONT_SIZE: f32 = 11.7;
/// From the top of a line to the foot of its letters.
const BASE: f32 = LINE * 0.75;

impl Scene {
    /// The picture as an SVG document without a background.
    pub fn to_svg(&self) -> String {
        let mut document = Document::new()
            .set("width", self.width)
            .set("height", self.height)
            .set("viewBox", (0, 0, self.width, self.height))
            .set(
                "font-family",
                "ui-monospace, Menlo, Consolas, 'Noto Sans Mono', monospace",
            )
            .set("font-size", FONT_SIZE)
            .set("fill", hex(TEXT))
            .set("stroke-linecap", "round")
            .add(Title::new(self.title.clone()));
        for item in &self.items {
            document = match item {
                Item::Lines { colour, width, lines } => document.add(path(*colour, *width, lines)),
                Item::Dots { colour, radius, at } => {
                    // A line of no length with round ends is a circle.
                    let dots: Vec<_> = at.iter().map(|p| [*p, *p]).collect();
                    document.add(path(*colour, 2.0 * radius, &dots))
                }
                Item::Text { at, text } => {
                    let words = Text::new(text.clone());
                    document.add(words.set("x", at.x).set("y", at.y + BASE))
                }
            };
        }
        let mut text = document.to_string();
        text.push('\n');
        text
    }
}

fn path(colour: Colour, width: f32, lines: &[[Point; 2]]) -> Path {
    let mut data = String::new();
    for [from, to] in lines {
        let _ = write!(data, "M{:.1} {:.1}", from.x, from.y);
        let _ = match from == to {
            true => write!(data, "h0"),
            false => write!(data, "L{:.1} {:.1}", to.x, to.y),
        };
    }
    Path::new()
        .set("d", data)
        .set("stroke", hex(colour))
        .set("stroke-width", format!("{width:.1}"))
        .set("fill", "none")
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
