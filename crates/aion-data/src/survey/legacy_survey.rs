//! Cutouts of the DESI Legacy Imaging Surveys and of the Dark Energy Survey, whose camera is the
//! same: coadds, in nanomaggies (AB zero point 22.5) unless a header says otherwise.
//!
//! Layouts: the viewer's (a plane a band, `BANDS` or `BAND0`... in the header, perhaps an `invvar`
//! HDU of the same shape); HDUs `IMAGE_G`, `INVVAR_G`, ...; files of one band (`BAND`), whose
//! siblings `_g`, `_r`, `_i`, `_z` are read with it. Bricks and single exposures are refused.

use crate::band::LEGACY_ZEROPOINT;
use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::modality::Survey;
use crate::observation::{Image, Object};
use crate::survey::band_set::{self, Member};
use crate::survey::cutout;

/// The survey's bands in the order of wavelength.
pub const BANDS: &str = "griz";

/// Names and image types of HDUs with inverse variances.
const INVERSE_VARIANCE: [&str; 4] = ["INVVAR", "IVAR", "WGT", "WEIGHT"];

/// Reads the cutout.
///
/// Errors: a brick, a single exposure, a missing band list, bands that differ in number from the
/// planes, a unit that is not a flux, files of a set that differ in size.
pub fn read(file: &mut FitsFile) -> Result<Object> {
    if let Some(images) = extensions_by_band(file)? {
        let image = cutout::stack(file, images)?;
        return Ok(object(file, cutout::stem(file.path()), image));
    }
    let (hdu, bands) = band_list(file)?;
    let Some((name, members)) = one_band_set(file, &bands) else {
        let image = read_planes(file, hdu, bands)?;
        return Ok(object(file, cutout::stem(file.path()), image));
    };
    let images = members.iter().map(|member| {
        let mut file = FitsFile::open(&member.path)?;
        let (hdu, bands) = band_list(&file)?;
        read_planes(&mut file, hdu, bands)
    });
    let images: Vec<Image> = images.collect::<Result<_>>()?;
    let image = cutout::stack(file, images)?;
    Ok(object(file, name, image))
}

/// The shared name and the members of the set that a file of one band belongs to.
pub fn one_band_set(file: &FitsFile, bands: &[String]) -> Option<(String, Vec<Member>)> {
    let set = band_set::siblings(file.path(), BANDS)?;
    (bands.len() == 1 && set.1.len() > 1).then_some(set)
}

/// The first image HDU and the bands of its planes.
///
/// Errors: a brick, a single exposure, a missing band list.
pub fn band_list(file: &FitsFile) -> Result<(usize, Vec<String>)> {
    let hdu = first_image(file);
    refuse_uncut(file, hdu)?;
    let text = |keyword: &str| file.text(hdu, keyword).or_else(|| file.text(0, keyword));
    let numbered = || {
        let bands = (0..10).map_while(|n| text(&format!("BAND{n}")));
        let bands: String = bands.collect();
        Some(bands).filter(|bands| !bands.is_empty())
    };
    let letters = text("BANDS").or_else(numbered).or_else(|| text("BAND"));
    let Some(letters) = letters else {
        let what = "band list: a header BANDS, such as 'griz', or --survey hsc for HSC images";
        return Err(DataError::new(
            file.place(hdu),
            Problem::Missing(what.into()),
        ));
    };
    let bands = letters.chars().filter(|letter| letter.is_alphanumeric());
    Ok((hdu, bands.map(band_name).collect()))
}

fn band_name(letter: char) -> String {
    format!("DES-{}", letter.to_ascii_uppercase())
}

fn first_image(file: &FitsFile) -> usize {
    (0..file.len())
        .find(|&hdu| cutout::is_image(file, hdu))
        .unwrap_or(0)
}

fn object(file: &FitsFile, id: String, image: Image) -> Object {
    let hdu = first_image(file);
    cutout::object(id, Survey::LegacySurvey, image, file, hdu)
}

/// The images of `IMAGE_G`, `IMAGE_R`, ... with their `INVVAR_G`, ...; `None` without such HDUs.
fn extensions_by_band(file: &mut FitsFile) -> Result<Option<Vec<Image>>> {
    let names: Vec<String> = (0..file.len()).map(|hdu| file.name(hdu)).collect();
    let mut images = Vec::new();
    for (hdu, name) in names.iter().enumerate() {
        let Some(letter) = name.strip_prefix("IMAGE_") else {
            continue;
        };
        let weight = format!("INVVAR_{letter}");
        let ivar = names.iter().position(|name| *name == weight);
        let band = format!("DES-{letter}");
        let factor = nanomaggies(file, hdu)?;
        let image = cutout::image(file, vec![band], hdu, ivar)?;
        images.push(cutout::scaled(image, factor));
    }
    Ok(Some(images).filter(|images| !images.is_empty()))
}

fn read_planes(file: &mut FitsFile, hdu: usize, bands: Vec<String>) -> Result<Image> {
    let factor = nanomaggies(file, hdu)?;
    let is_ivar = |other: &usize| {
        let kinds = [
            file.name(*other),
            file.text(*other, "IMAGETYP").unwrap_or_default(),
        ];
        kinds
            .iter()
            .any(|kind| INVERSE_VARIANCE.contains(&kind.to_ascii_uppercase().as_str()))
    };
    let ivar = (hdu + 1..file.len()).find(is_ivar);
    let image = cutout::image(file, bands, hdu, ivar)?;
    Ok(cutout::scaled(image, factor))
}

/// The factor to nanomaggies, from the zero point or the unit in the header.
fn nanomaggies(file: &FitsFile, hdu: usize) -> Result<f32> {
    if let Some(zeropoint) = file.number(hdu, "MAGZERO") {
        return Ok(cutout::zeropoint_factor(zeropoint, LEGACY_ZEROPOINT));
    }
    match file.text(hdu, "BUNIT") {
        None => Ok(1.0),
        Some(unit) if unit.to_ascii_lowercase().starts_with("nanomagg") => Ok(1.0),
        Some(unit) => {
            let what = format!("the unit is `{unit}`, expected nanomaggy, or a header MAGZERO");
            Err(DataError::new(file.place(hdu), Problem::Values(what)))
        }
    }
}

/// Refuses images that are not cut out around one object of the coadds.
fn refuse_uncut(file: &FitsFile, hdu: usize) -> Result<()> {
    let has_header = |keyword: &str| {
        let text = |hdu| file.text(hdu, keyword);
        text(hdu).or_else(|| text(0)).is_some()
    };
    let single = file
        .text(hdu, "CTYPE1")
        .is_some_and(|axis| axis.ends_with("TPV"));
    let what = if single {
        "a single exposure of the camera"
    } else if has_header("BRICKNAM") {
        "a brick of the survey"
    } else {
        return Ok(());
    };
    let what = format!("{what}; expected a cutout of the coadds around one object");
    Err(DataError::new(file.place(hdu), Problem::Unrecognised(what)))
}
