//! Images of the Hyper Suprime-Cam Subaru Strategic Program: counts at AB zero point 27.0.
//!
//! Layouts: cubes with a header `FILTERS`, or of the five bands grizy at the camera's pixel scale;
//! files of one band with `FLUXMAG0` and HDUs `IMAGE`, `VARIANCE` as the data archive gives them,
//! whose siblings of other bands are read with it; NumPy archives `images`, `weights`, `filters`.

use std::path::Path;

use crate::band::HSC_ZEROPOINT;
use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::npz::NpzFile;
use crate::modality::Survey;
use crate::observation::{Image, Object};
use crate::survey::band_set::{self, Member};
use crate::survey::cutout;

/// The survey's bands in the order of wavelength.
pub const BANDS: &str = "grizy";

/// The camera's pixel scale, arcsec.
const PIXEL_SCALE: f64 = 0.168;

/// Whether the headers say, or the five planes at the camera's pixel scale show, that this is an
/// HSC image.
pub fn recognises(file: &FitsFile) -> bool {
    let hdu = image_hdu(file);
    let flux_scale = [0, hdu].map(|hdu| file.number(hdu, "FLUXMAG0"));
    if flux_scale.iter().any(Option::is_some) || file.text(hdu, "FILTERS").is_some() {
        return true;
    }
    let five = cutout::dimensions(file, hdu).is_ok_and(|(planes, ..)| planes == BANDS.len());
    let bands = file.text(hdu, "BANDS").is_some();
    let native = |scale: f64| (scale / PIXEL_SCALE - 1.0).abs() < 0.01;
    five && !bands && file.sky(hdu).is_some_and(|sky| native(sky.pixel_scale))
}

/// Reads the image. `chosen` says that the user named the survey: five planes are then the five
/// bands even without a pixel scale.
///
/// Errors: a missing band list, bands that differ in number from the planes, files of a set that
/// differ in size.
pub fn read(file: &mut FitsFile, chosen: bool) -> Result<Object> {
    let hdu = image_hdu(file);
    let id = cutout::stem(file.path());
    let (id, image) = match one_band_set(file) {
        Some((name, members)) => {
            let images = members.iter().map(|member| {
                let mut file = FitsFile::open(&member.path)?;
                read_planes(&mut file, chosen)
            });
            let images: Vec<Image> = images.collect::<Result<_>>()?;
            (name, cutout::stack(file, images)?)
        }
        None => (id, read_planes(file, chosen)?),
    };
    Ok(cutout::object(id, Survey::Hsc, image, file, hdu))
}

/// The band of an image of one plane, from the header `FILTER`: `g`, `HSC-G`, `HSC-R2`.
pub fn one_band(file: &FitsFile) -> Option<char> {
    let hdu = image_hdu(file);
    let (planes, ..) = cutout::dimensions(file, hdu).ok()?;
    let filter = file
        .text(0, "FILTER")
        .or_else(|| file.text(hdu, "FILTER"))?;
    let filter = filter.trim_start_matches("HSC-").to_ascii_lowercase();
    let band = filter.chars().next()?;
    (planes == 1 && BANDS.contains(band)).then_some(band)
}

/// The shared name and the members of the set that a file of one band belongs to.
pub fn one_band_set(file: &FitsFile) -> Option<(String, Vec<Member>)> {
    one_band(file)?;
    band_set::siblings(file.path(), BANDS).filter(|(_, members)| members.len() > 1)
}

fn band_names(letters: &str) -> Vec<String> {
    let letters = letters.chars().filter(|letter| letter.is_alphanumeric());
    letters
        .map(|letter| format!("HSC-{}", letter.to_ascii_uppercase()))
        .collect()
}

fn image_hdu(file: &FitsFile) -> usize {
    let images = || (0..file.len()).filter(|&hdu| cutout::is_image(file, hdu));
    let named = images().find(|&hdu| file.name(hdu) == "IMAGE");
    named.or_else(|| images().next()).unwrap_or(0)
}

fn read_planes(file: &mut FitsFile, chosen: bool) -> Result<Image> {
    let hdu = image_hdu(file);
    let (planes, ..) = cutout::dimensions(file, hdu)?;
    let five = || Some(BANDS.to_owned()).filter(|bands| bands.len() == planes);
    let letters = file
        .text(hdu, "FILTERS")
        .or_else(|| file.text(hdu, "BANDS"))
        .or_else(|| one_band(file).map(String::from))
        .or_else(|| five().filter(|_| chosen || file.text(hdu, "CTYPE1").is_some()));
    let Some(letters) = letters else {
        return Err(missing_bands(file.place(hdu)));
    };
    let variance = (0..file.len()).find(|&other| file.name(other) == "VARIANCE");
    let mut image = cutout::image(file, band_names(&letters), hdu, variance)?;
    // The HDU holds the variance; where it is not positive there is no valid pixel.
    for value in image.ivar.iter_mut().flatten() {
        *value = if *value > 0.0 { value.recip() } else { 0.0 };
    }
    let flux_scale = [0, hdu].map(|hdu| file.number(hdu, "FLUXMAG0"));
    let zeropoint = match flux_scale.into_iter().flatten().next() {
        Some(scale) if scale > 0.0 => 2.5 * scale.log10(),
        Some(scale) => {
            let what = format!("FLUXMAG0 is {scale}, expected a positive flux");
            return Err(DataError::new(file.place(hdu), Problem::Values(what)));
        }
        None => return Ok(image),
    };
    Ok(cutout::scaled(
        image,
        cutout::zeropoint_factor(zeropoint, HSC_ZEROPOINT),
    ))
}

fn missing_bands(place: Place) -> DataError {
    let what = "band list: a header FILTERS, such as 'grizy', or five planes with --survey hsc";
    DataError::new(place, Problem::Missing(what.into()))
}

/// Whether a NumPy archive holds a multi-band image.
pub fn recognises_arrays(file: &NpzFile) -> bool {
    file.shape("images").is_some_and(|shape| shape.len() == 3)
}

/// Reads the image of a NumPy archive: `images` (bands, height, width), `weights` (their inverse
/// variance, if there), `filters` (the bands' letters; without them five planes are grizy if
/// `survey` says HSC).
///
/// Errors: a missing band list, arrays that are not numbers, another survey asked for.
pub fn read_arrays(path: &Path, mut file: NpzFile, survey: Option<Survey>) -> Result<Object> {
    let place = |field: &str| Place::file(path).with_field(field);
    let numbers = |file: &mut NpzFile, name: &str| -> Result<Option<(Vec<usize>, Vec<f32>)>> {
        let Some(array) = file.array(name)? else {
            return Ok(None);
        };
        let values = array.numbers();
        let values =
            values.map_err(|reason| DataError::new(place(name), Problem::Values(reason)))?;
        Ok(Some((array.shape, values)))
    };
    let filters = file.array("filters")?.map(|filters| {
        let letters = filters.cells.iter().filter_map(|cell| cell.label());
        letters.collect::<String>()
    });
    let Some((shape, flux)) = numbers(&mut file, "images")? else {
        return Err(DataError::new(
            place("images"),
            Problem::Missing("array".into()),
        ));
    };
    let &[planes, height, width] = shape.as_slice() else {
        let problem = Problem::Shape {
            found: format!("{shape:?}"),
            expected: "(bands, height, width)".into(),
        };
        return Err(DataError::new(place("images"), problem));
    };
    let chosen = survey == Some(Survey::Hsc);
    let five = Some(BANDS.to_owned()).filter(|bands| chosen && bands.len() == planes);
    // Only this camera has a y band.
    let named = filters.filter(|letters| chosen || letters.contains('y'));
    let Some(letters) = named.or(five) else {
        return Err(missing_bands(place("filters")));
    };
    let bands = band_names(&letters);
    if bands.len() != planes {
        let what = format!("{} filters for {planes} planes", bands.len());
        return Err(DataError::new(place("filters"), Problem::Mismatch(what)));
    }
    let image = Image {
        bands,
        height,
        width,
        flux,
        ivar: numbers(&mut file, "weights")?.map(|(_, weights)| weights),
    };
    let mut object = Object::named(cutout::stem(path));
    cutout::insert(&mut object, Survey::Hsc, image);
    Ok(object)
}
