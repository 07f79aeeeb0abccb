//! The figures of one run: each a picture, a caption, and a name for its file.

mod attention;
mod classes;
mod cost;
mod motions;
mod space;
mod stream;

use serde::Serialize;

pub use attention::{attention, weights};
pub use classes::{changes, confusions};
pub use cost::cost;
pub use motions::{Motion, motions};
pub use space::{Space, spaces};
pub use stream::{memory, streams};

/// A picture and what it shows.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Name of the file that it is saved as.
    pub name: String,
    /// What it shows, one line.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The picture.
    pub svg: String,
    /// Does it take the whole width?
    pub wide: bool,
}

impl Shown {
    /// A figure of half the width.
    pub fn new(name: &str, title: &str, caption: String, svg: String) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            caption,
            svg,
            wide: false,
        }
    }

    /// Across the page.
    pub fn wide(self) -> Self {
        Self { wide: true, ..self }
    }
}

/// The word for a setting.
pub fn setting_name(setting: &str) -> &'static str {
    match setting {
        "zsl" => "zero-shot",
        _ => "generalised",
    }
}
