//! PNG with a transparent background; a byte a pixel, a third of the size of four.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};
use szar_core::{Error, Result};

use super::palette::{indices, palette};
use crate::draw::scene::Scene;

impl Scene {
    /// The picture as a PNG file with a transparent background.
    ///
    /// # Errors
    /// [`Error::Input`] when it has no pixel or more than 67 million.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let palette = palette();
        let picture = indices(self, &palette)?;
        let colours: Vec<u8> = palette.iter().flat_map(|(c, _)| [c.0, c.1, c.2]).collect();
        let parts: Vec<u8> = palette.iter().map(|(_, part)| *part).collect();
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_palette(colours);
        encoder.set_trns(parts);
        encoder.set_compression(Compression::High);
        encoder.set_filter(Filter::NoFilter); // neighbouring numbers are unrelated colours
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&picture)?;
            writer.finish()
        });
        written.map_err(|e: EncodingError| Error::Input(format!("PNG: {e}")))?;
        Ok(file)
    }
}
