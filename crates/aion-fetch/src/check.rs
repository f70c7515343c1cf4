//! Whether what came is what was asked for: files are read back as any command would read them,
//! before they are put in place.

use std::path::Path;

use aion_data::reader::{ReadOptions, read};
use aion_data::{Image, Kind, Measurement, ModalityId, Object, Survey};

use crate::error::FetchError;
use crate::target::separation;

/// Where an object should be, and how far from there it may be.
#[derive(Debug, Clone, Copy)]
pub struct Near {
    /// Right ascension and declination, degrees.
    pub position: (f64, f64),
    /// Arcsec.
    pub tolerance: f64,
}

/// The one object of the file at `path`, which must hold a measurement of `survey` and lie near
/// where it was sought.
///
/// # Errors
/// [`FetchError::Data`] as the reader refuses it; [`FetchError::Absent`] for an image without a pixel
/// that is not 0, which is how cutout services answer outside their survey;
/// [`FetchError::Unexpected`] for several objects, another survey's or another place's.
pub fn read_back(path: &Path, survey: Survey, near: Option<Near>) -> Result<Object, FetchError> {
    let mut objects = read(path, &ReadOptions::default())?;
    let unexpected = |what: String| FetchError::Unexpected(format!("asked for one object, {what}"));
    let Some(object) = objects.next() else {
        return Err(unexpected("got none".into()));
    };
    let object = object?;
    if objects.next().is_some() {
        return Err(unexpected("got several".into()));
    }
    let of_survey = |id: &&ModalityId| id.info().survey == survey;
    if !object.measurements.keys().any(|id| of_survey(&id)) {
        let keys: Vec<&str> = object.measurements.keys().map(|id| id.key()).collect();
        return Err(unexpected(format!(
            "got {}, none of which {survey} measures",
            keys.join(", ")
        )));
    }
    if object.measurements.values().any(is_blank) {
        return Err(FetchError::Absent(
            "the survey did not observe here: every pixel is 0".into(),
        ));
    }
    if let (Some(near), Some(found)) = (near, object.ra.zip(object.dec)) {
        let away = separation(near.position, found);
        if away > near.tolerance {
            return Err(unexpected(format!(
                "got one {away:.1} arcsec from where it was sought"
            )));
        }
    }
    Ok(object)
}

/// The image of `survey` in an object, which must have come with its inverse variance.
///
/// # Errors
/// [`FetchError::Unexpected`] where either is missing.
pub fn image_with_ivar(object: &Object, survey: Survey) -> Result<&Image, FetchError> {
    let image = ModalityId::of_kind(Kind::Image, survey).and_then(|id| object.get(id));
    match image {
        Some(Measurement::Image(image)) if image.ivar.is_some() => Ok(image),
        _ => Err(FetchError::Unexpected(
            "asked for an image with its inverse variance, got one without".into(),
        )),
    }
}

/// Whether an image holds nothing.
fn is_blank(measurement: &Measurement) -> bool {
    match measurement {
        Measurement::Image(image) => {
            let nothing = |value: &f32| *value == 0.0 || value.is_nan();
            image.flux.iter().all(nothing)
        }
        _ => false,
    }
}
