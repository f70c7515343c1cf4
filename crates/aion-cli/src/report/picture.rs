//! Pictures as PNG: pixels, strips of pictures side by side, nearest-neighbour enlargement.

use aion_codec::image::CROP;
use anyhow::Result;

/// Pixels between the pictures of a strip.
const GAP: usize = 3;

/// An RGB picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    width: usize,
    height: usize,
    /// Row by row, the first row at the bottom of the sky, as in FITS.
    pixels: Vec<[u8; 3]>,
}

/// The centre of one plane, as the image codec crops it; all of it if it is smaller.
pub fn centre(plane: &[f32], height: usize, width: usize) -> Vec<f32> {
    let (tall, wide) = (CROP.min(height), CROP.min(width));
    let (top, left) = ((height - tall) / 2, (width - wide) / 2);
    let rows = plane.chunks_exact(width.max(1)).skip(top).take(tall);
    rows.flat_map(|row| row.iter().skip(left).take(wide))
        .copied()
        .collect()
}

impl Picture {
    /// A picture of `pixels`, row by row; missing ones are black.
    pub fn new(width: usize, height: usize, mut pixels: Vec<[u8; 3]>) -> Self {
        pixels.resize(width * height, [0; 3]);
        Picture {
            width,
            height,
            pixels,
        }
    }

    /// The colour at a place; black outside.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let inside = x < self.width && y < self.height;
        let found = self.pixels.get(y * self.width + x);
        found.filter(|_| inside).copied().unwrap_or_default()
    }

    /// Each pixel as a square of `factor` pixels.
    pub fn enlarged(&self, factor: usize) -> Picture {
        let factor = factor.max(1);
        let (width, height) = (self.width * factor, self.height * factor);
        let at = |i: usize| self.pixel(i % width / factor, i / width / factor);
        Picture::new(width, height, (0..width * height).map(at).collect())
    }

    /// Pictures of one size side by side on a light grey ground.
    pub fn strip(pictures: &[&Picture]) -> Picture {
        let height = pictures
            .iter()
            .map(|picture| picture.height)
            .max()
            .unwrap_or_default();
        let each = pictures
            .iter()
            .map(|picture| picture.width)
            .max()
            .unwrap_or_default();
        let step = each + GAP;
        let width = (step * pictures.len()).saturating_sub(GAP);
        let at = |i: usize| {
            let (x, y) = (i % width, i / width);
            match pictures.get(x / step) {
                Some(picture) if x % step < each => picture.pixel(x % step, y),
                _ => [200; 3],
            }
        };
        Picture::new(width, height, (0..width * height).map(at).collect())
    }

    /// The file's bytes, north up.
    ///
    /// # Errors
    /// None in practice: the encoder writes to memory.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let rows = self.pixels.chunks(self.width.max(1)).rev();
        let data: Vec<u8> = rows.flatten().flatten().copied().collect();
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&data)?;
        writer.finish()?;
        Ok(bytes)
    }
}

/// Bytes as base64 (RFC 4648), for pictures inside a page.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or_default());
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_the_standard_has_it() {
        let found = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
        assert_eq!(found, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    #[test]
    fn strips_and_enlargements_keep_pixels() {
        let red = Picture::new(2, 2, vec![[255, 0, 0]; 4]);
        let blue = Picture::new(2, 2, vec![[0, 0, 255]; 4]);
        let strip = Picture::strip(&[&red, &blue]);
        assert_eq!((strip.width, strip.height), (4 + GAP, 2));
        assert_eq!(strip.pixel(2 + GAP, 1), [0, 0, 255]);
        assert_eq!(strip.enlarged(3).pixel(5, 5), [255, 0, 0]);
        assert!(strip.png().expect("in memory").starts_with(b"\x89PNG"));
    }

    #[test]
    fn the_centre_is_the_codecs() {
        let plane: Vec<f32> = (0..100 * 98).map(|i| i as f32).collect();
        let found = centre(&plane, 100, 98);
        assert_eq!((found.len(), found[0]), (CROP * CROP, (2 * 98 + 1) as f32));
    }
}
