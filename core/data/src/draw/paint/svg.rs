//! SVG: words stay words, lines stay sharp.

use std::fmt::Write;

use svg::Document;
use svg::node::element::{Animate, Path, Text, Title};

use crate::draw::animation::Animation;
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

impl Animation {
    /// The pictures as one SVG document that moves by itself, in a loop, without a background.
    pub fn to_svg(&self) -> String {
        let Some(first) = self.scenes.first() else {
            return Document::new().to_string();
        };
        let seconds = self.delays.iter().map(|d| f64::from(*d)).sum::<f64>() / 100.0;
        let mut document = Document::new()
            .set("width", first.width)
            .set("height", first.height)
            .set("viewBox", (0, 0, first.width, first.height))
            .set("stroke-linecap", "round")
            .set("role", "img")
            .add(Title::new(first.title.clone()));
        for ((colour, width), data) in self.strokes() {
            let moves = Animate::new()
                .set("attributeName", "d")
                .set("calcMode", "discrete")
                .set("dur", format!("{seconds:.2}s"))
                .set("repeatCount", "indefinite")
                .set("values", data.join(";"));
            let still = data.iter().find(|d| d.len() > NOTHING.len()).or(data.first());
            let stroke = Path::new()
                .set("d", still.cloned().unwrap_or_default())
                .set("stroke", hex(colour))
                .set("stroke-width", width)
                .set("fill", "none");
            document = document.add(stroke.add(moves));
        }
        document.to_string()
    }

    /// By colour and width in tenths of a pixel, from back to front: the path of each picture.
    fn strokes(&self) -> Vec<((Colour, String), Vec<String>)> {
        let mut all: Vec<((Colour, String), Vec<String>)> = Vec::new();
        for (number, scene) in self.scenes.iter().enumerate() {
            for item in &scene.items {
                let (colour, width, lines) = match item {
                    Item::Lines { colour, width, lines } => (*colour, *width, lines.clone()),
                    Item::Dots { colour, radius, at } => {
                        (*colour, 2.0 * radius, at.iter().map(|p| [*p, *p]).collect())
                    }
                    Item::Text { .. } => continue,
                };
                let key = (colour, format!("{width:.1}"));
                let place = all.iter().position(|(k, _)| *k == key).unwrap_or(all.len());
                if place == all.len() {
                    all.push((key, vec![NOTHING.to_owned(); self.scenes.len()]));
                }
                let drawn = &mut all[place].1[number];
                *drawn = match drawn.as_str() {
                    NOTHING => strokes(&lines),
                    before => format!("{before}{}", strokes(&lines)),
                };
            }
        }
        all
    }
}

/// A path that draws nothing; an empty one is no value of an animation.
const NOTHING: &str = "M0 0";

fn path(colour: Colour, width: f32, lines: &[[Point; 2]]) -> Path {
    Path::new()
        .set("d", strokes(lines))
        .set("stroke", hex(colour))
        .set("stroke-width", format!("{width:.1}"))
        .set("fill", "none")
}

fn strokes(lines: &[[Point; 2]]) -> String {
    let mut data = String::new();
    for [from, to] in lines {
        let _ = write!(data, "M{:.1} {:.1}", from.x, from.y);
        let _ = match from == to {
            true => write!(data, "h0"),
            false => write!(data, "L{:.1} {:.1}", to.x, to.y),
        };
    }
    data
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
