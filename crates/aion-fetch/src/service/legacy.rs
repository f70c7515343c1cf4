//! Cutouts of the Legacy Surveys' viewer: one FITS file with a plane a band in nanomaggies, and
//! their inverse variances.

use aion_data::Survey;

use super::{Context, Found};
use crate::check::{Near, image_with_ivar, read_back};
use crate::client::Question;
use crate::error::FetchError;
use crate::services::Legacy;
use crate::target::{Sought, Target};
use crate::url::with_query;

/// The middle of an even number of pixels lies between two.
const TOLERANCE: f64 = 2.0;

/// What is cut out, apart from the position.
pub fn release(service: &Legacy) -> String {
    let Legacy {
        layer,
        bands,
        pixel_scale,
        size,
        ..
    } = service;
    format!("{layer}, bands {bands}, {size} pixels of {pixel_scale} arcsec, with inverse variance")
}

/// Fetches `NAME.fits`.
///
/// # Errors
/// See [`FetchError`]; a place that the layer does not cover is [`FetchError::Absent`].
pub fn fetch(target: &Target, context: &Context) -> Result<Found, FetchError> {
    let Sought::Position { ra, dec } = target.sought else {
        return Err(FetchError::Target("cutouts are made at positions".into()));
    };
    let service = &context.services.legacy;
    let address = with_query(
        &service.cutout,
        &[
            ("ra", &ra.to_string()),
            ("dec", &dec.to_string()),
            ("layer", &service.layer),
            ("pixscale", &service.pixel_scale.to_string()),
            ("size", &service.size.to_string()),
            ("bands", &service.bands),
            ("invvar", "1"),
        ],
    );
    let fits = context.ask(&Question::get(address))?.fits()?;
    let file = format!("{}.fits", target.name);
    let path = context.staging.write(&file, &fits)?;
    let near = Near {
        position: (ra, dec),
        tolerance: TOLERANCE,
    };
    let object = read_back(&path, Survey::LegacySurvey, Some(near))?;
    let image = image_with_ivar(&object, Survey::LegacySurvey)?;
    let (side, bands) = (service.size as usize, service.bands.len());
    if (image.bands.len(), image.height, image.width) != (bands, side, side) {
        return Err(FetchError::Unexpected(format!(
            "asked for {bands} bands of {side} x {side} pixels, got {} of {} x {}",
            image.bands.len(),
            image.height,
            image.width
        )));
    }
    Ok(Found {
        files: vec![file],
        object: object.id,
    })
}
