//! A scene as SVG, as PNG, and many as GIF.

mod gif;
mod palette;
mod pixels;
mod png;
mod svg;
