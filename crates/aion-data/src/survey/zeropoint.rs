//! What one unit of an image's pixels is: units and AB zero points in headers, converted or refused.

use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;

/// Units of flux as they are spelled, and their AB zero points, mag. Case counts: MJy is not mJy.
const FLUX_UNITS: [(&str, f64); 8] = [
    ("nanomaggy", 22.5),
    ("nanomaggies", 22.5),
    ("nmgy", 22.5),
    ("maggy", 0.0),
    ("nJy", 31.4),
    ("uJy", 23.9),
    ("mJy", 16.4),
    ("Jy", 8.9),
];

/// Units of counts, lower case, which mean nothing without a zero point.
const COUNT_UNITS: [&str; 9] = [
    "adu",
    "count",
    "counts",
    "ct",
    "dn",
    "e-",
    "electron",
    "electrons",
    "photon",
];

/// Header keywords that hold an AB zero point, mag.
const ZEROPOINTS: [&str; 4] = ["MAGZERO", "MAGZP", "ZEROPNT", "ZP"];

/// The header keyword that holds the pixel value of a source of 0 mag.
const FLUX_OF_ZERO_MAG: &str = "FLUXMAG0";

/// Header keywords that say whether Galactic extinction was taken out.
const DEREDDENED: [&str; 3] = ["DEREDDEN", "DERED", "EXTCORR"];

/// Magnitudes by which two statements about one zero point may differ.
const AGREEMENT: f64 = 0.01;

/// A zero point, and the header card that states it.
struct Stated {
    card: String,
    zeropoint: f64,
}

/// The factor from the pixels of the image in `hdu` to the unit whose AB zero point is `wanted`,
/// from the header of the HDU or the primary one. Headers that say nothing mean the survey's own
/// unit, which is the one wanted.
///
/// Errors: counts without a zero point; a unit that is no flux a pixel; statements that contradict
/// each other; an image corrected for Galactic extinction, which the codec never saw.
pub fn factor(file: &FitsFile, hdu: usize, wanted: f32) -> Result<f32> {
    let refuse = |what: String| Err(DataError::new(file.place(hdu), Problem::Values(what)));
    let corrected = |keyword: &&&str| {
        [hdu, 0]
            .iter()
            .any(|&hdu| file.flag(hdu, keyword) == Some(true))
    };
    if let Some(keyword) = DEREDDENED.iter().find(corrected) {
        return refuse(format!(
            "{keyword} says that Galactic extinction was taken out; expected the fluxes as observed"
        ));
    }
    let mut stated = Vec::new();
    if let Some((flux, keyword)) = number(file, hdu, &[FLUX_OF_ZERO_MAG]) {
        if flux <= 0.0 {
            return refuse(format!("{keyword} is {flux}, expected a positive flux"));
        }
        stated.push(Stated {
            card: format!("{keyword} {flux}"),
            zeropoint: 2.5 * flux.log10(),
        });
    }
    if let Some((zeropoint, keyword)) = number(file, hdu, &ZEROPOINTS) {
        stated.push(Stated {
            card: format!("{keyword} {zeropoint}"),
            zeropoint,
        });
    }
    match file.text(hdu, "BUNIT").as_deref().map(meaning) {
        Some(Meaning::Flux(stated_by_unit)) => stated.push(stated_by_unit),
        Some(Meaning::Counts(unit)) if stated.is_empty() => {
            return refuse(format!(
                "the unit is `{unit}` and no zero point is given; expected nanomaggy or nJy, or a \
                 header MAGZERO or FLUXMAG0"
            ));
        }
        Some(Meaning::Counts(_)) | None => {}
        Some(Meaning::Other(unit)) => {
            return refuse(format!(
                "the unit is `{unit}`, expected a flux a pixel, such as nanomaggy or nJy, or counts \
                 with a header MAGZERO or FLUXMAG0"
            ));
        }
    }
    let Some(first) = stated.first() else {
        return Ok(1.0);
    };
    let other = stated
        .iter()
        .find(|other| (other.zeropoint - first.zeropoint).abs() > AGREEMENT);
    if let Some(other) = other {
        return refuse(format!(
            "the header contradicts itself: {} means a zero point of {:.2} mag, {} one of {:.2}",
            first.card, first.zeropoint, other.card, other.zeropoint
        ));
    }
    Ok(10f64.powf((f64::from(wanted) - first.zeropoint) / 2.5) as f32)
}

/// The first of these keywords that holds a finite number, in the HDU or the primary one.
fn number<'a>(file: &FitsFile, hdu: usize, keywords: &[&'a str]) -> Option<(f64, &'a str)> {
    let held = |&keyword: &&'a str| {
        let value = file
            .number(hdu, keyword)
            .or_else(|| file.number(0, keyword))?;
        value.is_finite().then_some((value, keyword))
    };
    keywords.iter().find_map(held)
}

/// What a unit says of the pixels.
enum Meaning<'a> {
    Flux(Stated),
    Counts(&'a str),
    Other(&'a str),
}

fn meaning(unit: &str) -> Meaning<'_> {
    let is_unit =
        |name: &str| name == unit || (!name.ends_with("Jy") && name.eq_ignore_ascii_case(unit));
    if let Some(&(_, zeropoint)) = FLUX_UNITS.iter().find(|(name, _)| is_unit(name)) {
        let card = format!("BUNIT {unit}");
        return Meaning::Flux(Stated { card, zeropoint });
    }
    let lower = unit.to_ascii_lowercase();
    let per_second = ["/s", "/sec", " s-1", "/second"];
    let counted = per_second
        .iter()
        .find_map(|rate| lower.strip_suffix(rate))
        .unwrap_or(&lower);
    if COUNT_UNITS.contains(&counted) {
        Meaning::Counts(unit)
    } else {
        Meaning::Other(unit)
    }
}
