//! GIF: on white, because its pixels are either there or not.

use gif::{Encoder, Frame, Repeat};
use rayon::prelude::*;
use szar_core::{Error, Result};

use super::palette::{indices, palette};
use crate::draw::animation::Animation;
use crate::draw::colour::Colour;

const WHITE: Colour = Colour(255, 255, 255);
/// Pictures that are painted at once, on all cores: what bounds the memory.
const CHUNK: usize = 64;

impl Animation {
    /// The pictures as a GIF file that starts again at its end.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no picture, or one is larger than GIF allows.
    pub fn to_gif(&self) -> Result<Vec<u8>> {
        let failed = |e: gif::EncodingError| Error::Input(format!("GIF: {e}"));
        let first = self.scenes.first();
        let first = first.ok_or_else(|| Error::Input("an animation without a picture".into()))?;
        let side = |pixels: u32| {
            let large = |_| Error::Input(format!("a GIF of {pixels} pixels is too large"));
            u16::try_from(pixels).map_err(large)
        };
        let (width, height) = (side(first.width)?, side(first.height)?);
        let palette = palette();
        let on_white = palette
            .iter()
            .map(|(c, part)| c.over(WHITE, f64::from(*part) / 255.0));
        let flat: Vec<u8> = on_white.flat_map(|c| [c.0, c.1, c.2]).collect();
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, width, height, &flat).map_err(failed)?;
        encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
        for (scenes, delays) in self.scenes.chunks(CHUNK).zip(self.delays.chunks(CHUNK)) {
            let painted: Result<Vec<_>> = scenes.par_iter().map(|scene| indices(scene, &palette)).collect();
            for (picture, delay) in painted?.into_iter().zip(delays) {
                let mut frame = Frame::from_indexed_pixels(width, height, picture, None);
                frame.delay = *delay;
                encoder.write_frame(&frame).map_err(failed)?;
            }
        }
        drop(encoder);
        Ok(file)
    }
}
