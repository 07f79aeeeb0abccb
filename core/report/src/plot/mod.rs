//! Charts as SVG whose colours are classes of the page's style sheet, so that they follow light, dark and print.

mod heat;
mod lines;
mod rows;
mod scale;

use std::fmt::Write;

use svg::Document;
use svg::node::Node;
use svg::node::element::{Circle, Line, Path, Rectangle, Text, Title};

pub use heat::{Heat, heat};
pub use lines::{LineChart, Series, lines};
pub use rows::{Row, bars, dumbbells};
pub use scale::Scale;

/// Width of a chart, in the units of its own view box.
pub const WIDTH: f64 = 480.0;
/// Advance of a letter of the labels, about.
pub const LETTER: f64 = 6.1;

/// A picture in the making.
pub struct Figure {
    document: Document,
}

/// Where the words of a label stand from their place.
#[derive(Clone, Copy, Debug)]
pub enum Anchor {
    /// To its right.
    Start,
    /// Around it.
    Middle,
    /// To its left.
    End,
}

impl Figure {
    /// An empty picture; `title` is for those who cannot see it.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let document = Document::new()
            .set("viewBox", format!("0 0 {width:.0} {height:.0}"))
            .set("width", format!("{width:.0}"))
            .set("height", format!("{height:.0}"))
            .set("role", "img")
            .set("class", "chart")
            .add(Title::new(clean(title)));
        Self { document }
    }

    /// A filled rectangle.
    pub fn rectangle(&mut self, [x, y, width, height]: [f64; 4], class: &str, tip: &str) {
        let mut node = Rectangle::new()
            .set("x", number(x))
            .set("y", number(y))
            .set("width", number(width))
            .set("height", number(height))
            .set("class", class);
        if !tip.is_empty() {
            node.append(Title::new(clean(tip)));
        }
        self.document.append(node);
    }

    /// As [`Self::rectangle`], `part` of its colour.
    pub fn shade(&mut self, [x, y, width, height]: [f64; 4], class: &str, part: f64, tip: &str) {
        let mut node = Rectangle::new()
            .set("x", number(x))
            .set("y", number(y))
            .set("width", number(width))
            .set("height", number(height))
            .set("fill-opacity", format!("{part:.2}"))
            .set("class", class);
        if !tip.is_empty() {
            node.append(Title::new(clean(tip)));
        }
        self.document.append(node);
    }

    /// A straight line.
    pub fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], class: &str) {
        let node = Line::new()
            .set("x1", number(x1))
            .set("y1", number(y1))
            .set("x2", number(x2))
            .set("y2", number(y2))
            .set("class", class);
        self.document.append(node);
    }

    /// Lines from point to point.
    pub fn polyline(&mut self, points: &[[f64; 2]], class: &str) {
        let mut data = String::new();
        for (i, [x, y]) in points.iter().enumerate() {
            let _ = write!(data, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        self.path(data, class);
    }

    /// Any path.
    pub fn path(&mut self, data: String, class: &str) {
        self.document
            .append(Path::new().set("d", data).set("class", class));
    }

    /// A disc.
    pub fn disc(&mut self, [x, y]: [f64; 2], radius: f64, class: &str, tip: &str) {
        let mut node = Circle::new()
            .set("cx", number(x))
            .set("cy", number(y))
            .set("r", number(radius))
            .set("class", class);
        if !tip.is_empty() {
            node.append(Title::new(clean(tip)));
        }
        self.document.append(node);
    }

    /// A label whose words stand on the line at `y`.
    pub fn text(&mut self, [x, y]: [f64; 2], anchor: Anchor, class: &str, words: &str) {
        let node = Text::new(clean(words))
            .set("x", number(x))
            .set("y", number(y))
            .set("text-anchor", anchor.name())
            .set("class", class);
        self.document.append(node);
    }

    /// A label turned around its beginning.
    pub fn turned(&mut self, [x, y]: [f64; 2], degrees: f64, class: &str, words: &str) {
        let node = Text::new(clean(words))
            .set(
                "transform",
                format!("translate({x:.1} {y:.1}) rotate({degrees:.0})"),
            )
            .set("class", class);
        self.document.append(node);
    }

    /// Entries of a legend side by side from the left, each a sample of its class and a word; gives where the next line of
    /// the picture begins.
    pub fn legend(&mut self, from: f64, y: f64, width: f64, entries: &[(String, String)]) -> f64 {
        let (mut x, mut line) = (from, y);
        for (class, name) in entries {
            let name = shorten(name, 34);
            let wide = 24.0 + LETTER * name.chars().count() as f64;
            if x + wide > width && x > from {
                (x, line) = (from, line + 17.0);
            }
            self.disc([x + 5.0, line - 4.0], 4.0, class, "");
            self.text([x + 13.0, line], Anchor::Start, "label", &name);
            x += wide;
        }
        line + 8.0
    }

    /// The picture as text.
    pub fn finish(self) -> String {
        self.document.to_string()
    }
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// At most `limit` letters, the last a dot of three where some are missing.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Without characters that XML does not allow.
pub fn clean(text: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars()
        .map(|c| if bad(c) { '\u{fffd}' } else { c })
        .collect()
}

/// A tenth of a unit is enough.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_leave_their_label() {
        let mut figure = Figure::new(10.0, 10.0, "a <b> & c");
        figure.text([1.0, 2.0], Anchor::End, "label", "</text><script>\u{1}");
        figure.rectangle([0.0; 4], "x", "\"><script>");
        let text = figure.finish();
        assert!(!text.contains("<script") && !text.contains('\u{1}'), "{text}");
        assert!(text.contains("a &lt;b&gt; &amp; c"), "{text}");
    }

    #[test]
    fn long_words_end_in_a_dot_of_three() {
        assert_eq!(shorten("take off a hat", 10), "take off…");
        assert_eq!(shorten("wave", 10), "wave");
    }
}
