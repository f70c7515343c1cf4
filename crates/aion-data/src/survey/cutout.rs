//! Images of one object as surveys cut them out of their coadds: planes, zero points, positions.

use std::path::Path;

use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::{Image, Measurement, Object};

/// The flag under which the pixel scale travels, arcsec per pixel.
const PIXEL_SCALE: &str = "pixel_scale";

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
        let problem = Problem::Shape {
            found: format!("{found:?}"),
            expected: format!("{expected:?}"),
        };
        return Err(DataError::new(file.place(hdu), problem));
    }
    Ok(Image {
        bands,
        height,
        width,
        flux: file.pixels(flux)?,
        ivar: ivar.map(|hdu| file.pixels(hdu)).transpose()?,
    })
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

/// One image from images of single bands of the same field. The inverse variance is kept when
/// every band has one.
///
/// Errors: no image, or sizes that differ.
pub fn stack(file: &FitsFile, images: Vec<Image>) -> Result<Image> {
    let mut images = images.into_iter();
    let Some(mut stacked) = images.next() else {
        let problem = Problem::Missing("image".into());
        return Err(DataError::new(file.place(0), problem));
    };
    for image in images {
        if (image.height, image.width) != (stacked.height, stacked.width) {
            let what = format!(
                "{} has {} x {} pixels, {} has {} x {}",
                image.bands.join(", "),
                image.height,
                image.width,
                stacked.bands.join(", "),
                stacked.height,
                stacked.width
            );
            return Err(DataError::new(file.place(0), Problem::Mismatch(what)));
        }
        stacked.bands.extend(image.bands);
        stacked.flux.extend(image.flux);
        stacked.ivar = stacked.ivar.zip(image.ivar).map(|(mut all, ivar)| {
            all.extend(ivar);
            all
        });
    }
    Ok(stacked)
}

/// The factor from an image's zero point to another, mag.
pub fn zeropoint_factor(from: f64, to: f32) -> f32 {
    10f64.powf((f64::from(to) - from) / 2.5) as f32
}

/// An object with one image, at the centre of the image in HDU `hdu`.
pub fn object(id: String, survey: Survey, image: Image, file: &FitsFile, hdu: usize) -> Object {
    let mut object = Object::named(id);
    if let Some(sky) = file.sky(hdu) {
        object.ra = Some(sky.ra);
        object.dec = Some(sky.dec);
        let scale = format!("{:.4}", sky.pixel_scale);
        object.flags.insert(PIXEL_SCALE.into(), scale);
    }
    insert(&mut object, survey, image);
    object
}

/// Adds the survey's image to an object.
pub fn insert(object: &mut Object, survey: Survey, image: Image) {
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
