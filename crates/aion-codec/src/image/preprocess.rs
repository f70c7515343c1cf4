//! From survey pixels to the network's channels and back.
//!
//! Order as published: centre crop, clip each band, bring the zero point to 22.5 mag, compress the
//! range with asinh, scatter into the channels of all bands.

use std::collections::BTreeSet;

use aion_data::band::{BANDS, Band, LEGACY_ZEROPOINT, channel, known_bands};
use aion_data::{DataError, Image, Place, Problem};

use crate::range::Coverage;

/// Pixels along each side that the codec sees. Not stored in checkpoints.
pub const CROP: usize = 96;
/// Channels of the published network's input: one a known band.
pub const NUM_CHANNELS: usize = BANDS.len();

/// The asinh compression of flux.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangeCompression {
    /// Flux at which the compression turns from linear to logarithmic, nanomaggies.
    pub factor: f32,
    /// Factor on the compressed flux.
    pub scale: f32,
}

impl RangeCompression {
    /// Compressed flux of nanomaggies.
    pub fn compress(self, flux: f32) -> f32 {
        (flux / self.factor).asinh() * self.factor * self.scale
    }

    /// Nanomaggies of compressed flux.
    pub fn expand(self, compressed: f32) -> f32 {
        (compressed / self.scale / self.factor).sinh() * self.factor
    }
}

/// An image as the network takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct CompressedImage {
    /// `(channels, 96, 96)`, zero in channels of bands that are not there.
    pub flux: Vec<f32>,
    /// Channels of the bands that are there, in the image's order.
    pub channels: Vec<usize>,
    /// Clipped and non-finite pixels.
    pub coverage: Coverage,
}

impl CompressedImage {
    /// Number of distinct bands.
    pub fn num_bands(&self) -> usize {
        let present: BTreeSet<&usize> = self.channels.iter().collect();
        present.len()
    }
}

/// Channel of every band of `bands` among those that the codec knows.
pub fn channels_of(known: &[Band], bands: &[String]) -> Result<Vec<usize>, DataError> {
    let find = |band: &String| {
        channel(known, band).ok_or_else(|| {
            let problem = Problem::UnknownBand {
                band: band.clone(),
                known: known_bands(known),
            };
            DataError::new(Place::field("bands"), problem)
        })
    };
    bands.iter().map(find).collect()
}

/// The centre `CROP` × `CROP` of one plane.
pub fn centre_crop(plane: &[f32], [height, width]: [usize; 2]) -> impl Iterator<Item = f32> + '_ {
    let (top, left) = ((height - CROP) / 2, (width - CROP) / 2);
    (top..top + CROP)
        .flat_map(move |row| &plane[row * width + left..row * width + left + CROP])
        .copied()
}

/// Ratio of a band's unit to nanomaggies.
pub fn zeropoint_scale(band: &Band) -> f32 {
    10f64.powf(f64::from(band.zeropoint - LEGACY_ZEROPOINT) / 2.5) as f32
}

pub(super) fn compress(
    image: &Image,
    bands: &[Band],
    compression: RangeCompression,
) -> Result<CompressedImage, DataError> {
    let size = [image.height, image.width];
    if image.height < CROP || image.width < CROP {
        let problem = Problem::Shape {
            found: format!("{} × {} pixels", image.height, image.width),
            expected: format!("at least {CROP} × {CROP}"),
        };
        return Err(DataError::new(Place::field("flux"), problem));
    }
    let channels = channels_of(bands, &image.bands)?;
    let plane_len = image.height * image.width;
    if channels.is_empty() || image.flux.len() != channels.len() * plane_len {
        let problem = Problem::Shape {
            found: format!("{} pixels", image.flux.len()),
            expected: format!("{} bands × {plane_len}", channels.len()),
        };
        return Err(DataError::new(Place::field("flux"), problem));
    }
    let mut flux = vec![0.0; bands.len() * CROP * CROP];
    let mut coverage = Coverage::default();
    for (plane, &channel) in image.flux.chunks_exact(plane_len).zip(&channels) {
        let clamp = bands[channel].clamp;
        let scale = zeropoint_scale(&bands[channel]);
        coverage.add(Coverage::of(centre_crop(plane, size), |x| x.abs() <= clamp));
        let target = &mut flux[channel * CROP * CROP..(channel + 1) * CROP * CROP];
        for (target, pixel) in target.iter_mut().zip(centre_crop(plane, size)) {
            let pixel = if pixel.is_nan() { 0.0 } else { pixel };
            *target = compression.compress(pixel.clamp(-clamp, clamp) / scale);
        }
    }
    Ok(CompressedImage {
        flux,
        channels,
        coverage,
    })
}

/// Flux of the asked bands out of `(channels, height, width)` compressed channels of `known` bands.
pub(super) fn expand(
    compressed: &[f32],
    [height, width]: [usize; 2],
    (known, bands): (&[Band], &[String]),
    compression: RangeCompression,
) -> Result<Image, DataError> {
    let mut flux = Vec::with_capacity(bands.len() * height * width);
    for channel in channels_of(known, bands)? {
        let scale = zeropoint_scale(&known[channel]);
        let plane = &compressed[channel * height * width..(channel + 1) * height * width];
        flux.extend(plane.iter().map(|x| compression.expand(*x) * scale));
    }
    Ok(Image {
        bands: bands.to_vec(),
        height,
        width,
        flux,
        ivar: None,
    })
}
