//! Astronomical images as colours: a common asinh stretch of three bands (Lupton et al. 2004), which
//! keeps colours where an image is bright, and a diverging map for residuals.

use aion_codec::image::CROP;
use aion_data::Image;
use aion_data::band::{LEGACY_ZEROPOINT, of_name};

use crate::report::picture::{Picture, centre};

/// Softening and depth of the stretch, as the Legacy Surveys' sky viewer uses them.
const SOFTENING: f32 = 20.0;
/// Sky level that is lifted above black, nanomaggies.
const SKY: f32 = 0.03;
/// Gain of a band by the last letter of its name, so that common galaxies come out neutral.
const GAINS: [(char, f32); 5] = [('G', 6.0), ('R', 3.4), ('I', 2.8), ('Z', 2.2), ('Y', 2.0)];
/// Bands for red, green and blue, best first.
const COLOURS: [[char; 3]; 5] = [
    ['Z', 'R', 'G'],
    ['I', 'R', 'G'],
    ['Z', 'I', 'R'],
    ['Z', 'I', 'G'],
    ['Y', 'Z', 'I'],
];
/// Residuals at which their colour is full, in units of the noise.
const FULL_RESIDUAL: f32 = 6.0;

/// The centre of one band in nanomaggies, 0 where it is not finite.
fn plane(image: &Image, band: usize) -> Option<Vec<f32>> {
    let size = image.height * image.width;
    let pixels = image.flux.get(band * size..(band + 1) * size)?;
    let name = image.bands.get(band)?;
    let zeropoint = of_name(name).map_or(LEGACY_ZEROPOINT, |band| band.zeropoint);
    let factor = 10f32.powf(0.4 * (LEGACY_ZEROPOINT - zeropoint));
    let clean = |flux: f32| if flux.is_finite() { flux * factor } else { 0.0 };
    let centre = centre(pixels, image.height, image.width);
    Some(centre.into_iter().map(clean).collect())
}

fn letter(band: &str) -> char {
    band.chars().next_back().unwrap_or('R').to_ascii_uppercase()
}

/// The three bands shown as red, green, blue; one band alone is shown in grey.
fn colour_bands(image: &Image) -> [usize; 3] {
    let find = |wanted: char| image.bands.iter().position(|band| letter(band) == wanted);
    let known = COLOURS
        .iter()
        .find_map(|[red, green, blue]| Some([find(*red)?, find(*green)?, find(*blue)?]));
    known.unwrap_or([0, 0, 0])
}

/// Names of the bands shown as red, green, blue.
pub fn colour_names(image: &Image) -> String {
    let [red, green, blue] = colour_bands(image);
    let name = |band: usize| {
        image
            .bands
            .get(band)
            .map(String::as_str)
            .unwrap_or_default()
    };
    if red == blue {
        return name(red).to_owned();
    }
    format!("{}, {}, {}", name(red), name(green), name(blue))
}

/// The image's centre in colours.
pub fn colours(image: &Image) -> Option<Picture> {
    let mut scaled = Vec::new();
    for band in colour_bands(image) {
        let name = image.bands.get(band)?;
        let gain = GAINS.iter().find(|(known, _)| *known == letter(name));
        let gain = gain.map_or(3.0, |(_, gain)| *gain);
        let lift = |flux: f32| (flux * gain + SKY).max(0.0);
        let plane = plane(image, band)?;
        scaled.push(plane.into_iter().map(lift).collect::<Vec<f32>>());
    }
    let [red, green, blue] = scaled.as_slice() else {
        return None;
    };
    let pixels = red.iter().zip(green).zip(blue).map(|((r, g), b)| {
        let mean = (r + g + b) / 3.0;
        let bright = (SOFTENING * mean).asinh() / SOFTENING.sqrt();
        let factor = if mean > 0.0 { bright / mean } else { 0.0 };
        let rgb = [r * factor, g * factor, b * factor];
        // A pixel that is too bright loses brightness, not its colour.
        let brightest = rgb.iter().copied().fold(1.0f32, f32::max);
        rgb.map(|value| (value / brightest * 255.0).round().clamp(0.0, 255.0) as u8)
    });
    Some(Picture::new(CROP, CROP, pixels.collect()))
}

/// Observed less reconstructed in the band shown as green: blue where too much was
/// reconstructed, red where too little, in units of the noise.
pub fn residual(observed: &Image, restored: &Image) -> Option<Picture> {
    let band = colour_bands(observed)[1];
    let (observed, restored) = (plane(observed, band)?, plane(restored, band)?);
    let differences: Vec<f32> = observed.iter().zip(&restored).map(|(a, b)| a - b).collect();
    let noise = noise(&observed).max(f32::MIN_POSITIVE);
    let pixels = differences
        .iter()
        .map(|difference| diverging(difference / noise / FULL_RESIDUAL));
    Some(Picture::new(CROP, CROP, pixels.collect()))
}

/// Standard deviation of the sky from the median difference between neighbours.
fn noise(plane: &[f32]) -> f32 {
    let mut steps: Vec<f32> = plane
        .windows(2)
        .map(|pair| (pair[0] - pair[1]).abs())
        .collect();
    steps.sort_by(f32::total_cmp);
    let middle = steps.get(steps.len() / 2).copied().unwrap_or_default();
    middle * 1.4826 / std::f32::consts::SQRT_2
}

/// Grey at 0, blue at -1, red at 1.
fn diverging(value: f32) -> [u8; 3] {
    const MIDDLE: [f32; 3] = [236.0, 236.0, 236.0];
    let end = if value < 0.0 {
        [33.0, 102.0, 172.0]
    } else {
        [200.0, 55.0, 45.0]
    };
    let share = if value.is_finite() {
        value.abs().min(1.0)
    } else {
        0.0
    };
    std::array::from_fn(|i| (MIDDLE[i] + (end[i] - MIDDLE[i]) * share).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bands: &[&str], flux: f32) -> Image {
        Image {
            bands: bands.iter().map(|band| (*band).to_owned()).collect(),
            height: CROP,
            width: CROP,
            flux: vec![flux; bands.len() * CROP * CROP],
            ivar: None,
        }
    }

    #[test]
    fn the_reddest_band_is_red() {
        let image = image(&["DES-G", "DES-R", "DES-I", "DES-Z"], 1.0);
        assert_eq!(colour_bands(&image), [3, 1, 0]);
        assert_eq!(colour_names(&image), "DES-Z, DES-R, DES-G");
    }

    #[test]
    fn one_band_is_grey_and_saturation_keeps_its_colour() {
        let grey = colours(&image(&["HSC-I"], 5.0)).expect("a picture");
        let [r, g, b] = grey.pixel(3, 3);
        assert!(r == g && g == b);
        let bright = colours(&image(&["DES-G", "DES-R", "DES-Z"], 1e4)).expect("a picture");
        let [r, _, b] = bright.pixel(0, 0);
        assert!(b == 255 && r < 255);
    }

    #[test]
    fn a_perfect_reconstruction_leaves_grey() {
        let image = image(&["DES-R"], 0.3);
        let found = residual(&image, &image).expect("a picture");
        assert_eq!(found.pixel(9, 9), [236, 236, 236]);
    }
}
