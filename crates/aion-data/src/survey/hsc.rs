//! Images of the Hyper Suprime-Cam Subaru Strategic Program: counts at AB zero point 27.0.
//!
//! Layouts: cubes with a header `FILTERS`, or of the five bands grizy at the camera's pixel scale;
//! files of one band with HDUs `IMAGE`, `MASK`, `VARIANCE` as the data archive gives them, cutouts
//! and whole patches, whose siblings of other bands are read with it; NumPy archives `images`,
//! `weights`, `filters`.
//!
//! The header's `FLUXMAG0` or unit (nJy in newer coadds) gives the zero point. Mask planes are found
//! by name (`MP_BAD`, ...): where one of [`BAD_PLANES`] is set the inverse variance is 0, and the
//! fraction of such pixels travels as a flag. The image codec itself looks at neither.

use std::path::Path;

use crate::band::HSC_ZEROPOINT;
use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::npz::NpzFile;
use crate::modality::Survey;
use crate::observation::{Image, Object};
use crate::read_options::ReadOptions;
use crate::survey::band_set::{self, Member};
use crate::survey::cutout::{self, Cutout, Masked};
use crate::survey::zeropoint;

/// The survey's bands in the order of wavelength.
pub const BANDS: &str = "grizy";

/// The coadds' pixel scale, arcsec.
pub const NATIVE_SCALE: f64 = 0.168;

/// The mask planes that make a pixel bad, as the Multimodal Universe has it.
pub const BAD_PLANES: [&str; 3] = ["MP_BAD", "MP_SAT", "MP_NO_DATA"];

/// Keywords that hold the filter's name, the newer pipeline's second.
const FILTER: [&str; 2] = ["FILTER", "LSST BUTLER DATAID BAND"];

/// Whether the headers say, or the five planes at the camera's pixel scale show, that this is an
/// HSC image.
pub fn recognises(file: &FitsFile) -> bool {
    let hdu = image_hdu(file);
    let flux_scale = [0, hdu].map(|hdu| file.number(hdu, "FLUXMAG0"));
    if flux_scale.iter().any(Option::is_some) || file.text(hdu, "FILTERS").is_some() {
        return true;
    }
    if ["IMAGE", "MASK", "VARIANCE"]
        .iter()
        .all(|name| named(file, name).is_some())
    {
        return true;
    }
    let five = cutout::dimensions(file, hdu).is_ok_and(|(planes, ..)| planes == BANDS.len());
    let bands = file.text(hdu, "BANDS").is_some();
    let native = |[_, y]: [f64; 2]| (y / NATIVE_SCALE - 1.0).abs() < 0.01;
    five && !bands && file.sky(hdu).is_some_and(|sky| native(sky.pixel_scale))
}

/// Reads the image. Where the user chose the survey, five planes are the five bands even without
/// a pixel scale.
///
/// Errors: a missing band list, bands that differ in number from the planes, a unit that is no
/// flux, another pixel scale, files of a set that differ in size or place.
pub fn read(file: &mut FitsFile, options: &ReadOptions) -> Result<Object> {
    let chosen = options.survey.is_some();
    let hdu = image_hdu(file);
    let (id, cutout) = match one_band_set(file) {
        Some((name, members)) => {
            let place = file.sky(hdu);
            let mut cutouts = Vec::new();
            for member in &members {
                let mut file = FitsFile::open(&member.path)?;
                cutouts.push(read_planes(&mut file, chosen)?);
                cutout::check_same_place(&file, image_hdu(&file), place)?;
            }
            (name, cutout::stack(file, cutouts)?)
        }
        None => (cutout::stem(file.path()), read_planes(file, chosen)?),
    };
    let flags = cutout::grid_flags(file, hdu, NATIVE_SCALE, options.any_pixel_scale)?;
    Ok(cutout::object(id, Survey::Hsc, cutout, file, (hdu, flags)))
}

/// The band of an image of one plane, from the header (`g`, `HSC-G`, `HSC-R2`) or the file's name.
pub fn one_band(file: &FitsFile) -> Option<char> {
    let hdu = image_hdu(file);
    let (planes, ..) = cutout::dimensions(file, hdu).ok()?;
    let filter = filter(file).filter(|_| planes == 1)?;
    band_set::band_of_filter(&filter, BANDS)
}

/// The name of the one filter that a file's image was taken in.
fn filter(file: &FitsFile) -> Option<String> {
    let hdu = image_hdu(file);
    let stated = |keyword: &&str| file.text(0, keyword).or_else(|| file.text(hdu, keyword));
    FILTER
        .iter()
        .find_map(stated)
        .or_else(|| band_set::filter_in_name(file.path()))
}

/// The shared name and the members of the set that a file of one band belongs to.
pub fn one_band_set(file: &FitsFile) -> Option<(String, Vec<Member>)> {
    one_band(file)?;
    band_set::siblings(file.path(), BANDS).filter(|(_, members)| members.len() > 1)
}

/// The codec's name of a band.
pub fn band_name(letter: char) -> String {
    format!("HSC-{}", letter.to_ascii_uppercase())
}

fn band_names(letters: &str) -> Vec<String> {
    let letters = letters.chars().filter(|letter| letter.is_alphanumeric());
    letters.map(band_name).collect()
}

fn named(file: &FitsFile, name: &str) -> Option<usize> {
    (0..file.len()).find(|&hdu| file.name(hdu) == name && cutout::is_image(file, hdu))
}

/// The HDU with the fluxes.
pub fn image_hdu(file: &FitsFile) -> usize {
    let mut images = (0..file.len()).filter(|&hdu| cutout::is_image(file, hdu));
    named(file, "IMAGE").or_else(|| images.next()).unwrap_or(0)
}

/// The HDU with the variances, where there is one.
pub fn variance_hdu(file: &FitsFile) -> Option<usize> {
    named(file, "VARIANCE")
}

/// The HDU with the mask, and its bad bits where it names them.
pub fn mask_hdu(file: &FitsFile) -> Option<(usize, Option<i64>)> {
    let hdu = named(file, "MASK")?;
    let bits = BAD_PLANES.iter().filter_map(|plane| {
        let bit = file
            .number(hdu, plane)
            .filter(|bit| (0.0..63.0).contains(bit))?;
        Some(1i64 << bit as u32)
    });
    Some((hdu, bits.reduce(|all, bit| all | bit)))
}

fn read_planes(file: &mut FitsFile, chosen: bool) -> Result<Cutout> {
    let hdu = image_hdu(file);
    let (planes, ..) = cutout::dimensions(file, hdu)?;
    let five = || Some(BANDS.to_owned()).filter(|bands| bands.len() == planes);
    let letters = file
        .text(hdu, "FILTERS")
        .or_else(|| file.text(hdu, "BANDS"))
        .or_else(|| one_band(file).map(String::from))
        .or_else(|| five().filter(|_| chosen || file.text(hdu, "CTYPE1").is_some()));
    let Some(letters) = letters else {
        return Err(match filter(file) {
            Some(filter) if planes == 1 => {
                let what = format!("the filter is `{filter}`, expected one of g, r, i, z, y");
                DataError::new(file.place(hdu), Problem::Values(what))
            }
            _ => missing_bands(file.place(hdu)),
        });
    };
    let variance = variance_hdu(file);
    let mut image = cutout::image(file, band_names(&letters), hdu, variance)?;
    if let Some(variance) = image.ivar.as_deref_mut() {
        cutout::invert(variance);
    }
    let factor = zeropoint::factor(file, hdu, HSC_ZEROPOINT)?;
    let image = cutout::scaled(image, factor);
    match mask_hdu(file) {
        Some((mask, Some(bad))) => cutout::masked(file, image, mask, bad),
        unnamed => {
            let mask = unnamed.map(|_| Masked::Unknown);
            Ok(Cutout { image, mask })
        }
    }
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
    let scale = (cutout::PIXEL_SCALE.into(), cutout::UNKNOWN.into());
    object.flags.extend([scale]);
    cutout::insert(&mut object, Survey::Hsc, Cutout { image, mask: None });
    Ok(object)
}
