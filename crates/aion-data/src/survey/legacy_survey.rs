//! Cutouts of the DESI Legacy Imaging Surveys and of the Dark Energy Survey, whose camera is the
//! same: coadds, in nanomaggies (AB zero point 22.5) unless a header says otherwise.
//!
//! Layouts:
//! - the viewer's: a plane a band, `BANDS` or `BAND0`... in the header, then HDUs of inverse
//!   variances and mask bits as far as they were asked for (`IMAGETYP`);
//! - its `subimage`s, not resampled: an HDU a brick and band (`BRICK`, `BAND`), inverse variances
//!   after images; of several bricks the one is read that covers most;
//! - HDUs `IMAGE_G`, `INVVAR_G`, ...;
//! - files of one band (`BAND`), whose siblings `_g`, `_r`, `_i`, `_z` are read with it.
//!
//! Pixels with a bad mask bit ([`BAD_BITS`]) have the inverse variance 0; their fraction, and the
//! bits of the central pixel, travel as flags. The image codec itself looks at neither. Bricks and
//! single exposures are refused: [`super::brick`] cuts bricks.

use crate::band::LEGACY_ZEROPOINT;
use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::modality::Survey;
use crate::observation::{Image, Object};
use crate::read_options::ReadOptions;
use crate::survey::band_set::{self, Member};
use crate::survey::cutout::{self, Cutout, Masked};
use crate::survey::zeropoint;

/// The survey's bands in the order of wavelength.
pub const BANDS: &str = "griz";

/// The coadds' pixel scale, arcsec.
pub const NATIVE_SCALE: f64 = 0.262;

/// The bits of MASKBITS (DR9, DR10) that make a pixel bad, as the Multimodal Universe has it:
/// 0 outside the brick's own area, 1 bright star, 2-4 and 14 saturated in g, r, z and i, 5-7 and 15
/// masked in every exposure of g, r, z and i, 11 medium-bright star.
pub const BAD_BITS: i64 = 0xff | 1 << 11 | 1 << 14 | 1 << 15;

/// What an image HDU holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Flux,
    InverseVariance,
    MaskBits,
    /// A mask whose bits mean something else, such as the `MSK` of the Dark Energy Survey.
    OtherMask,
}

/// The name of an object, its image, the HDU that says where it looks, and the flags that it adds.
struct Found {
    id: String,
    cutout: Cutout,
    hdu: usize,
    flags: Vec<(&'static str, String)>,
}

/// Reads the cutout.
///
/// Errors: a brick, a single exposure, no flux in the file, a missing band list, bands that differ
/// in number from the planes, a unit that is no flux, another pixel scale, files of a set that
/// differ in size or place.
pub fn read(file: &mut FitsFile, options: &ReadOptions) -> Result<Object> {
    let found = match read_parts(file)? {
        Some(found) => found,
        None => read_cube(file)?,
    };
    let flags = cutout::grid_flags(file, found.hdu, NATIVE_SCALE, options.any_pixel_scale)?;
    let place = (found.hdu, flags);
    let mut object = cutout::object(found.id, Survey::LegacySurvey, found.cutout, file, place);
    let flags = found.flags.into_iter();
    object
        .flags
        .extend(flags.map(|(name, value)| (name.to_owned(), value)));
    Ok(object)
}

/// The shared name and the members of the set that a file of one band belongs to.
pub fn one_band_set(file: &FitsFile, bands: &[String]) -> Option<(String, Vec<Member>)> {
    let set = band_set::siblings(file.path(), BANDS)?;
    (bands.len() == 1 && set.1.len() > 1).then_some(set)
}

/// The first HDU with fluxes and the bands of its planes.
///
/// Errors: a brick, a single exposure, no flux, a missing band list.
pub fn band_list(file: &FitsFile) -> Result<(usize, Vec<String>)> {
    let hdu = first_flux(file)?;
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

/// The codec's name of a band.
pub fn band_name(letter: char) -> String {
    format!("DES-{}", letter.to_ascii_uppercase())
}

/// What the image in an HDU is, by its type or name.
fn content(file: &FitsFile, hdu: usize) -> Content {
    let kinds = ["IMAGETYP", "IMTYPE", "EXTNAME"].map(|keyword| {
        let kind = file.text(hdu, keyword).unwrap_or_default();
        kind.to_ascii_uppercase()
    });
    let is = |names: &[&str]| kinds.iter().any(|kind| names.contains(&kind.as_str()));
    if is(&["INVVAR", "IVAR", "WGT", "WEIGHT"]) {
        Content::InverseVariance
    } else if is(&["MASKBITS"]) {
        Content::MaskBits
    } else if is(&["MASK", "MSK"]) {
        Content::OtherMask
    } else {
        Content::Flux
    }
}

/// Whether the viewer had no pixels at the place that it was asked for.
pub fn is_uncovered(file: &FitsFile) -> bool {
    file.flag(0, "OVERLAP") == Some(false)
}

fn first_flux(file: &FitsFile) -> Result<usize> {
    let images = || (0..file.len()).filter(|&hdu| cutout::is_image(file, hdu));
    if let Some(hdu) = images().find(|&hdu| content(file, hdu) == Content::Flux) {
        return Ok(hdu);
    }
    if let Some(hdu) = images().next() {
        refuse_uncut(file, hdu)?;
    }
    let what = if images().next().is_some() {
        "image: the file holds inverse variances or mask bits only"
    } else {
        "image: the survey does not cover the place, or the file holds no pixels"
    };
    Err(DataError::new(file.place(0), Problem::Missing(what.into())))
}

/// The layout of planes, and sets of files of one band.
fn read_cube(file: &mut FitsFile) -> Result<Found> {
    let (hdu, bands) = band_list(file)?;
    let Some((id, members)) = one_band_set(file, &bands) else {
        let (cutout, flags) = read_planes(file, hdu, bands)?;
        let id = cutout::stem(file.path());
        return Ok(Found {
            id,
            cutout,
            hdu,
            flags,
        });
    };
    let place = file.sky(hdu);
    let mut flags = Vec::new();
    let mut cutouts = Vec::new();
    for member in &members {
        let mut file = FitsFile::open(&member.path)?;
        let (hdu, bands) = band_list(&file)?;
        let (cutout, said) = read_planes(&mut file, hdu, bands)?;
        cutout::check_same_place(&file, hdu, place)?;
        cutouts.push(cutout);
        flags = said;
    }
    let cutout = cutout::stack(file, cutouts)?;
    Ok(Found {
        id,
        cutout,
        hdu,
        flags,
    })
}

type Read = (Cutout, Vec<(&'static str, String)>);

/// The planes in HDU `hdu`, with the inverse variance and the mask that follow it.
fn read_planes(file: &mut FitsFile, hdu: usize, bands: Vec<String>) -> Result<Read> {
    let holds = |wanted: Content| {
        let after = hdu + 1..file.len();
        let mut images = after.filter(|&hdu| cutout::is_image(file, hdu));
        images.find(|&hdu| content(file, hdu) == wanted)
    };
    let (ivar, mask) = (holds(Content::InverseVariance), holds(Content::MaskBits));
    let other = holds(Content::OtherMask).filter(|_| mask.is_none());
    let (mut cutout, flags) = read_hdus(file, bands, hdu, (ivar, mask))?;
    if other.is_some() {
        cutout.mask = Some(Masked::Unknown);
    }
    Ok((cutout, flags))
}

/// An image with its inverse variance and mask, in nanomaggies.
fn read_hdus(
    file: &mut FitsFile,
    bands: Vec<String>,
    flux: usize,
    (ivar, mask): (Option<usize>, Option<usize>),
) -> Result<Read> {
    let factor = zeropoint::factor(file, flux, LEGACY_ZEROPOINT)?;
    let image = cutout::scaled(cutout::image(file, bands, flux, ivar)?, factor);
    let Some(mask) = mask else {
        return Ok((Cutout { image, mask: None }, Vec::new()));
    };
    let bits = central_bits(file, mask, &image)?;
    let cutout = cutout::masked(file, image, mask, BAD_BITS)?;
    Ok((cutout, vec![(cutout::MASK_BITS, bits.to_string())]))
}

/// The mask bits of the central pixel; of two, the right and upper one.
fn central_bits(file: &mut FitsFile, mask: usize, image: &Image) -> Result<i64> {
    let (y, x) = (image.height / 2, image.width / 2);
    let mut part = vec![y..y + 1, x..x + 1];
    if cutout::dimensions(file, mask)? != (1, image.height, image.width) {
        // Another shape is refused where the mask is applied.
        return Ok(0);
    }
    if file.shape(mask).is_some_and(|shape| shape.len() == 3) {
        part.insert(0, 0..1);
    }
    Ok(file.bits(mask, Some(&part))?.first().copied().unwrap_or(0))
}

/// An HDU of one band.
struct Part {
    hdu: usize,
    content: Content,
    band: String,
    brick: Option<String>,
}

/// The layouts with an HDU a band; `None` for the others.
fn read_parts(file: &mut FitsFile) -> Result<Option<Found>> {
    let parts: Vec<Part> = (0..file.len()).filter_map(|hdu| part(file, hdu)).collect();
    let images = || parts.iter().filter(|part| part.content == Content::Flux);
    let area = |brick: &Option<String>| -> usize {
        let hdus = images()
            .filter(|part| part.brick == *brick)
            .map(|part| part.hdu);
        let pixels = hdus.map(|hdu| file.shape(hdu).map_or(0, |shape| shape.iter().product()));
        pixels.sum()
    };
    let mut bricks: Vec<(Option<String>, usize)> = Vec::new();
    for part in images() {
        if !bricks.iter().any(|(brick, _)| *brick == part.brick) {
            bricks.push((part.brick.clone(), area(&part.brick)));
        }
    }
    // Of equal ones the first.
    bricks.sort_by_key(|&(_, area)| std::cmp::Reverse(area));
    let Some((brick, _)) = bricks.first().cloned() else {
        return Ok(None);
    };
    let mut flags = Vec::new();
    let mut cutouts = Vec::new();
    let mut first = None;
    for part in images().filter(|part| part.brick == brick) {
        let beside = |wanted: Content| {
            let same = |other: &&Part| (&other.band, &other.brick) == (&part.band, &part.brick);
            let mut others = parts.iter().filter(|other| other.content == wanted);
            others.find(same).map(|other| other.hdu)
        };
        let others = (beside(Content::InverseVariance), beside(Content::MaskBits));
        let (cutout, said) = read_hdus(file, vec![part.band.clone()], part.hdu, others)?;
        let hdu = *first.get_or_insert(part.hdu);
        cutout::check_same_place(file, part.hdu, file.sky(hdu))?;
        cutouts.push(cutout);
        flags = said;
    }
    if let Some(brick) = brick {
        flags.push((cutout::BRICK, brick));
    }
    let others: Vec<String> = bricks
        .into_iter()
        .skip(1)
        .filter_map(|(name, _)| name)
        .collect();
    if !others.is_empty() {
        flags.push(("other_bricks", others.join(",")));
    }
    Ok(Some(Found {
        id: cutout::stem(file.path()),
        cutout: cutout::stack(file, cutouts)?,
        hdu: first.unwrap_or(0),
        flags,
    }))
}

/// The HDU as one of a layout with an HDU a band: `IMAGE_G`, or with `BRICK` and `BAND`.
fn part(file: &FitsFile, hdu: usize) -> Option<Part> {
    if !cutout::is_image(file, hdu) {
        return None;
    }
    let name = file.name(hdu);
    let prefixes = [
        ("IMAGE_", Content::Flux),
        ("INVVAR_", Content::InverseVariance),
        ("MASKBITS_", Content::MaskBits),
    ];
    let named = prefixes
        .iter()
        .find_map(|&(prefix, content)| Some((name.strip_prefix(prefix)?.to_owned(), content)));
    let brick = file.text(hdu, "BRICK");
    let (letter, content) = match named {
        Some(named) => named,
        None if brick.is_some() => (file.text(hdu, "BAND")?, content(file, hdu)),
        None => return None,
    };
    Some(Part {
        hdu,
        content,
        band: format!("DES-{}", letter.to_ascii_uppercase()),
        brick,
    })
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
        "a single exposure of the camera; expected a cutout of the coadds around one object"
    } else if has_header("BRICKNAM") {
        "a brick of the survey; expected a cutout around one object: `aion cutout` cuts bricks"
    } else {
        return Ok(());
    };
    Err(DataError::new(
        file.place(hdu),
        Problem::Unrecognised(what.into()),
    ))
}
