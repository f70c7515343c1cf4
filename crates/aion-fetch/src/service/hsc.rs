//! Cutouts of HSC's data archive system: a FITS file a band with image, mask and variance. The
//! service wants an account.

use aion_data::Survey;

use super::{Context, Found};
use crate::check::{Near, image_with_ivar, read_back};
use crate::client::Question;
use crate::error::FetchError;
use crate::services::Hsc;
use crate::target::{Sought, Target};
use crate::url::with_query;

/// What is cut out, apart from the position.
pub fn release(service: &Hsc) -> String {
    let Hsc {
        rerun,
        filters,
        half_size_arcsec,
        ..
    } = service;
    format!(
        "{rerun}, filters {}, {half_size_arcsec} arcsec to each side, with mask and variance",
        filters.join(" ")
    )
}

/// Fetches `NAME_g.fits`, `NAME_r.fits`, ... for the filters that the survey has there.
///
/// # Errors
/// See [`FetchError`]; [`FetchError::Absent`] where no filter has data.
pub fn fetch(target: &Target, context: &Context) -> Result<Found, FetchError> {
    let Sought::Position { ra, dec } = target.sought else {
        return Err(FetchError::Target("cutouts are made at positions".into()));
    };
    let service = &context.services.hsc;
    let Some(credentials) = context.credentials else {
        return Err(FetchError::Credentials(
            "HSC's archive wants an account: user and password".into(),
        ));
    };
    let half = format!("{}arcsec", service.half_size_arcsec);
    let mut files: Vec<String> = Vec::new();
    for filter in &service.filters {
        let letter = filter
            .strip_prefix("HSC-")
            .and_then(|band| band.chars().next());
        let Some(band) = letter.filter(char::is_ascii_alphabetic) else {
            return Err(FetchError::Settings(format!(
                "hsc.filters has `{filter}`, expected HSC-G, HSC-R, ..."
            )));
        };
        let address = with_query(
            &service.cutout,
            &[
                ("ra", &ra.to_string()),
                ("dec", &dec.to_string()),
                ("sw", &half),
                ("sh", &half),
                ("type", "coadd"),
                ("image", "on"),
                ("mask", "on"),
                ("variance", "on"),
                ("filter", filter),
                ("tract", ""),
                ("rerun", &service.rerun),
            ],
        );
        let question = Question {
            credentials: Some(credentials),
            ..Question::get(address)
        };
        let answer = match context.ask(&question) {
            // The survey has no data of this band here.
            Err(FetchError::Refused { status: 404, .. }) => continue,
            answer => answer?,
        };
        let file = format!("{}_{}.fits", target.name, band.to_ascii_lowercase());
        context.staging.write(&file, &answer.fits()?)?;
        files.push(file);
    }
    let Some(first) = files.first() else {
        return Err(FetchError::Absent("the survey has no image here".into()));
    };
    // At an edge of the survey the cutout is smaller, and its middle elsewhere.
    let near = Near {
        position: (ra, dec),
        tolerance: service.half_size_arcsec,
    };
    // Reading one band reads the others with it.
    let object = read_back(&context.staging.path(first), Survey::Hsc, Some(near))?;
    let bands = image_with_ivar(&object, Survey::Hsc)?.bands.len();
    if bands != files.len() {
        return Err(FetchError::Unexpected(format!(
            "{} files came, {bands} bands are in them",
            files.len()
        )));
    }
    Ok(Found {
        files,
        object: object.id,
    })
}
