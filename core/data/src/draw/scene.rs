//! What a picture consists of, before it is painted.

use super::colour::Colour;

/// A place in a picture, pixels from the left and from the top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

/// Something to paint; later ones lie on top.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Straight lines with round ends.
    Lines {
        /// Of all of them.
        colour: Colour,
        /// Pixels.
        width: f32,
        /// From, to.
        lines: Vec<[Point; 2]>,
    },
    /// Filled circles.
    Dots {
        /// Of all of them.
        colour: Colour,
        /// Pixels.
        radius: f32,
        /// Their centres.
        at: Vec<Point>,
    },
    /// A line of words, 7 pixels a letter, 16 high.
    Text {
        /// Upper left corner.
        at: Point,
        /// The words, without control characters.
        text: String,
    },
}

/// A picture without a background.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// What it shows, for those who cannot see it.
    pub title: String,
    /// From back to front.
    pub items: Vec<Item>,
}
