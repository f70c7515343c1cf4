//! Images of one object as surveys cut them out of their coadds: planes, masks, positions.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::fits_sky::SkyPatch;
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::{Image, Measurement, Object};

/// The flag under which the pixel scale travels, arcsec per pixel, or [`UNKNOWN`].
pub const PIXEL_SCALE: &str = "pixel_scale";
/// The flag under which the fraction of pixels travels that the survey's mask calls bad, counted
/// over all bands, or [`UNKNOWN`] where the mask does not say what its bits mean.
pub const MASKED_FRACTION: &str = "masked_fraction";
/// The flag under which the Legacy Surveys' mask bits of the object's own pixel travel.
pub const MASK_BITS: &str = "maskbits";
/// The flag under which the part of the sky travels that the image was cut out of.
pub const BRICK: &str = "brick";
/// The flag of images whose rows do not run north or whose columns do not run west, which are read
/// as they are.
pub const ORIENTATION: &str = "orientation";
/// The value of a flag whose truth the file does not tell.
pub const UNKNOWN: &str = "unknown";

/// How far a pixel scale may be from the survey's own: DES resamples the same camera's images to
/// 0.263 arcsec, and the viewer rounds to 0.2637.
pub(super) const SCALE_TOLERANCE: f64 = 0.01;

/// Pixels by which images of one field may be apart on the sky.
const SAME_PLACE: f64 = 0.5;

/// Flags of an object, by name.
pub type Flags = BTreeMap<String, String>;

/// An image, and what its mask says of it.
#[derive(Debug, Clone)]
pub struct Cutout {
    /// The pixels; where the mask calls them bad, the inverse variance is 0.
    pub image: Image,
    /// What the mask says; none without a mask.
    pub mask: Option<Masked>,
}

/// What a mask says of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masked {
    /// Number of bad pixels, over all planes.
    Pixels(usize),
    /// The mask does not name its bits.
    Unknown,
}

impl Masked {
    /// What is known of two images together.
    pub fn of_both(one: Option<Masked>, other: Option<Masked>) -> Option<Masked> {
        match (one, other) {
            (Some(Masked::Pixels(bad)), Some(Masked::Pixels(more))) => {
                Some(Masked::Pixels(bad + more))
            }
            (None, None) => None,
            _ => Some(Masked::Unknown),
        }
    }
}

/// Whether an HDU holds an image, or a cube of image planes.
pub fn is_image(file: &FitsFile, hdu: usize) -> bool {
    file.shape(hdu)
        .is_some_and(|shape| matches!(shape.len(), 2 | 3) && !shape.contains(&0))
}

/// Planes, height and width of the image in an HDU.
///
/// Errors: no image there.
pub fn dimensions(file: &FitsFile, hdu: usize) -> Result<(usize, usize, usize)> {
    match file.shape(hdu).as_deref() {
        Some(&[height, width]) => Ok((1, height, width)),
        Some(&[planes, height, width]) => Ok((planes, height, width)),
        other => {
            let problem = Problem::Shape {
                found: format!("{:?}", other.unwrap_or_default()),
                expected: "(bands, height, width) or (height, width)".into(),
            };
            Err(DataError::new(file.place(hdu), problem))
        }
    }
}

/// The image in HDU `flux` as it is stored, with the inverse variance in HDU `ivar`.
///
/// Errors: bands that differ in number from the planes; an inverse variance of another shape.
pub fn image(
    file: &mut FitsFile,
    bands: Vec<String>,
    flux: usize,
    ivar: Option<usize>,
) -> Result<Image> {
    let (planes, height, width) = dimensions(file, flux)?;
    if planes != bands.len() {
        let what = format!(
            "{} bands ({}) for {planes} planes",
            bands.len(),
            bands.join(", ")
        );
        return Err(DataError::new(file.place(flux), Problem::Mismatch(what)));
    }
    let shapes = [Some(flux), ivar].map(|hdu| hdu.and_then(|hdu| file.shape(hdu)));
    if let ([Some(expected), Some(found)], Some(hdu)) = (&shapes, ivar)
        && expected != found
    {
        return Err(wrong_shape(file, hdu, expected));
    }
    Ok(Image {
        bands,
        height,
        width,
        flux: file.pixels(flux)?,
        ivar: ivar.map(|hdu| file.pixels(hdu)).transpose()?,
    })
}

/// An image and the bits of its mask, one plane for all bands or a plane a band; pixels with any of
/// `bad` lose their inverse variance and are counted.
///
/// Errors: a mask of another size.
pub fn masked(file: &mut FitsFile, mut image: Image, mask: usize, bad: i64) -> Result<Cutout> {
    let (planes, height, width) = dimensions(file, mask)?;
    if (height, width) != (image.height, image.width) || ![1, image.bands.len()].contains(&planes) {
        return Err(wrong_shape(file, mask, &[image.height, image.width]));
    }
    let mut bits = file.bits(mask, None)?;
    if planes == 1 {
        bits = bits.repeat(image.bands.len());
    }
    let mask = Some(Masked::Pixels(blank(&bits, bad, image.ivar.as_deref_mut())));
    Ok(Cutout { image, mask })
}

/// Sets the inverse variance to 0 where the mask has one of the bits of `bad`, and counts such
/// pixels.
pub fn blank(bits: &[i64], bad: i64, mut ivar: Option<&mut [f32]>) -> usize {
    let mut count = 0;
    for (pixel, _) in bits
        .iter()
        .enumerate()
        .filter(|(_, bits)| **bits & bad != 0)
    {
        count += 1;
        if let Some(ivar) = ivar.as_deref_mut().and_then(|ivar| ivar.get_mut(pixel)) {
            *ivar = 0.0;
        }
    }
    count
}

fn wrong_shape(file: &FitsFile, hdu: usize, expected: &[usize]) -> DataError {
    let problem = Problem::Shape {
        found: format!("{:?}", file.shape(hdu).unwrap_or_default()),
        expected: format!("{expected:?}"),
    };
    DataError::new(file.place(hdu), problem)
}

/// The same image in another unit: fluxes multiplied by `factor`.
pub fn scaled(mut image: Image, factor: f32) -> Image {
    if factor == 1.0 {
        return image;
    }
    image.flux.iter_mut().for_each(|flux| *flux *= factor);
    let ivar = image.ivar.iter_mut().flatten();
    ivar.for_each(|ivar| *ivar /= factor * factor);
    image
}

/// Turns variances into inverse variances; where a variance is not positive there is no valid
/// pixel.
pub fn invert(variance: &mut [f32]) {
    for value in variance {
        *value = if *value > 0.0 { value.recip() } else { 0.0 };
    }
}

/// One image from images of single bands of the same field. The inverse variance is kept when
/// every band has one.
///
/// Errors: no image, or sizes that differ.
pub fn stack(file: &FitsFile, cutouts: Vec<Cutout>) -> Result<Cutout> {
    let mut cutouts = cutouts.into_iter();
    let Some(mut stacked) = cutouts.next() else {
        let problem = Problem::Missing("image".into());
        return Err(DataError::new(file.place(0), problem));
    };
    let all = &mut stacked.image;
    for Cutout { image, mask } in cutouts {
        if (image.height, image.width) != (all.height, all.width) {
            let what = format!(
                "{} has {} x {} pixels, {} has {} x {}",
                image.bands.join(", "),
                image.height,
                image.width,
                all.bands.join(", "),
                all.height,
                all.width
            );
            return Err(DataError::new(file.place(0), Problem::Mismatch(what)));
        }
        all.bands.extend(image.bands);
        all.flux.extend(image.flux);
        all.ivar = all.ivar.take().zip(image.ivar).map(|(mut all, ivar)| {
            all.extend(ivar);
            all
        });
        stacked.mask = Masked::of_both(stacked.mask, mask);
    }
    Ok(stacked)
}

/// Fails unless the image in HDU `hdu` looks at the same place as `first` does, so that the two
/// are planes of one image.
pub fn check_same_place(file: &FitsFile, hdu: usize, first: Option<SkyPatch>) -> Result<()> {
    let (Some(first), Some(here)) = (first, file.sky(hdu)) else {
        return Ok(());
    };
    let apart = crate::sky::separation(
        crate::sky::unit_vector(first.ra, first.dec),
        crate::sky::unit_vector(here.ra, here.dec),
    );
    let pixels = apart * crate::sky::ARCSEC / first.pixel_scale[1];
    if pixels <= SAME_PLACE {
        return Ok(());
    }
    let what = format!(
        "the centre is {pixels:.1} pixels away from that of the other bands' images; expected \
         images of one field on one grid"
    );
    Err(DataError::new(file.place(hdu), Problem::Mismatch(what)))
}

/// What the WCS of the image in HDU `hdu` says as flags: its pixel scale, and that it is mirrored or
/// turned where it is.
///
/// Errors: a scale more than 1 % from the survey's own, unless `any` allows it.
pub fn grid_flags(file: &FitsFile, hdu: usize, native: f64, any: bool) -> Result<Flags> {
    let Some(sky) = file.sky(hdu) else {
        return Ok(Flags::from([(PIXEL_SCALE.into(), UNKNOWN.into())]));
    };
    let [x, y] = sky.pixel_scale;
    let off = |scale: f64| (scale / native - 1.0).abs() > SCALE_TOLERANCE;
    if !any && (off(x) || off(y)) {
        let what = format!(
            "the pixel scale is {x:.4} x {y:.4} arcsec, expected the survey's own {native}, which \
             the codec was trained on; --any-pixel-scale reads it as it is"
        );
        return Err(DataError::new(file.place(hdu), Problem::Values(what)));
    }
    let mut flags = Flags::from([(PIXEL_SCALE.into(), format!("{y:.4}"))]);
    if !sky.north_up {
        flags.insert(ORIENTATION.into(), "not north up, east left".into());
    }
    Ok(flags)
}

/// An object with one image, at the centre of the image in HDU `hdu`, with these flags and what the
/// mask says.
pub fn object(
    id: String,
    survey: Survey,
    cutout: Cutout,
    file: &FitsFile,
    (hdu, flags): (usize, Flags),
) -> Object {
    let mut object = Object::named(id);
    if let Some(sky) = file.sky(hdu) {
        object.ra = Some(sky.ra);
        object.dec = Some(sky.dec);
    }
    object.flags = flags;
    insert(&mut object, survey, cutout);
    object
}

/// Adds the survey's image to an object, and what its mask says to the flags.
pub fn insert(object: &mut Object, survey: Survey, Cutout { image, mask }: Cutout) {
    let fraction = mask.map(|mask| match mask {
        Masked::Pixels(bad) => format!("{:.4}", bad as f64 / image.flux.len().max(1) as f64),
        Masked::Unknown => UNKNOWN.into(),
    });
    if let Some(fraction) = fraction {
        object.flags.insert(MASKED_FRACTION.into(), fraction);
    }
    if let Some(id) = ModalityId::of_kind(Kind::Image, survey) {
        object.measurements.insert(id, Measurement::Image(image));
    }
}

/// The file's name without its endings, as an identifier.
pub fn stem(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let mut stem = name.unwrap_or_default();
    for ending in [".gz", ".fz", ".fits", ".fit", ".npz"] {
        if let Some(shorter) = stem.strip_suffix(ending) {
            stem.truncate(shorter.len());
        }
    }
    stem
}
