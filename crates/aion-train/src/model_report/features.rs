//! Photometry and images as a regression sees them: what redshifts are predicted from by methods that
//! know no tokens.

use std::collections::BTreeSet;

use aion_codec::codec_set::survey_bands;
use aion_data::{Image, Kind, Measurement, ModalityId, Object, Survey};
use serde::Serialize;

use crate::codec_report::aperture;

/// Radii of the apertures in which images are measured, pixels.
const RADII: [f64; 4] = [3.0, 6.0, 12.0, 24.0];

/// Galaxies with photometry of one survey and a redshift, trained on and held out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedshiftTable {
    /// The survey's name.
    pub survey: &'static str,
    /// Numbers of the catalogue, by their token keys.
    pub photometry: Vec<&'static str>,
    /// Fluxes in apertures of the image: band and radius in pixels.
    pub apertures: Vec<String>,
    /// What is learned from.
    pub train: Vec<RedshiftRow>,
    /// What is held out: the objects that the model is asked for, in the same order.
    pub test: Vec<RedshiftRow>,
}

/// A galaxy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedshiftRow {
    /// Whether it is simulated.
    pub simulated: bool,
    /// How often it is trained on while other objects come once.
    pub times: u64,
    /// Its redshift.
    pub z: f64,
    /// Values of the table's `photometry`.
    pub photometry: Vec<Option<f32>>,
    /// Values of the table's `apertures`.
    pub apertures: Vec<Option<f32>>,
}

/// Surveys that take images.
pub(super) fn imaging_surveys() -> BTreeSet<Survey> {
    let images = ModalityId::all().filter(|id| id.info().kind == Kind::Image);
    images.map(|id| id.info().survey).collect()
}

/// A survey's numbers: fluxes, shapes, dust.
pub(super) fn photometry(survey: Survey) -> impl Iterator<Item = ModalityId> {
    let is_number = |id: &ModalityId| id.info().kind == Kind::Scalar && !id.info().is_position();
    ModalityId::all().filter(move |id| id.info().survey == survey && is_number(id))
}

/// The spectroscopic redshift.
pub(super) fn redshift() -> Option<ModalityId> {
    ModalityId::from_codec("Z", Survey::Any)
}

impl RedshiftTable {
    /// The columns of a survey, without rows.
    pub fn new(survey: Survey) -> Self {
        let image = ModalityId::of_kind(Kind::Image, survey);
        let bands = image.map(survey_bands).unwrap_or_default();
        let aperture = |band: &String| RADII.map(|radius| format!("{band} {radius}"));
        RedshiftTable {
            survey: survey.name(),
            photometry: photometry(survey).map(ModalityId::key).collect(),
            apertures: bands.iter().flat_map(aperture).collect(),
            train: Vec::new(),
            test: Vec::new(),
        }
    }
}

/// Whether an object has a redshift and photometry of the survey.
pub(super) fn has_row(object: &Object, survey: Survey) -> bool {
    let is_known = |id| value(object, id).is_some();
    redshift().is_some_and(is_known) && photometry(survey).any(is_known)
}

/// The row of an object; none of one without redshift or without photometry of the survey.
pub(super) fn row(object: &Object, survey: Survey, times: u64) -> Option<RedshiftRow> {
    let z = value(object, redshift()?)?;
    has_row(object, survey).then(|| RedshiftRow {
        simulated: object.simulated,
        times,
        z: f64::from(z),
        photometry: photometry(survey).map(|id| value(object, id)).collect(),
        apertures: apertures(object, survey),
    })
}

fn value(object: &Object, id: ModalityId) -> Option<f32> {
    object.scalar(id).filter(|value| value.is_finite())
}

/// Fluxes of all bands of a survey in all apertures; none of bands that the image lacks.
fn apertures(object: &Object, survey: Survey) -> Vec<Option<f32>> {
    let Some(id) = ModalityId::of_kind(Kind::Image, survey) else {
        return Vec::new();
    };
    let planes = match object.get(id) {
        Some(Measurement::Image(image)) => planes(image),
        _ => Vec::new(),
    };
    let measured = survey_bands(id).into_iter().flat_map(|band| {
        let plane = planes.iter().find(|(name, _, _)| **name == band);
        RADII.map(|radius| plane.map(|(_, flux, size)| aperture(flux, *size, radius) as f32))
    });
    measured.collect()
}

fn planes(image: &Image) -> Vec<(&String, &[f32], [usize; 2])> {
    let size = [image.height, image.width];
    let planes = image.flux.chunks_exact((size[0] * size[1]).max(1));
    let named = image.bands.iter().zip(planes);
    named.map(|(band, flux)| (band, flux, size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aion_simulate::{Coverage, Sky};

    #[test]
    fn a_galaxy_becomes_numbers_and_fluxes_that_grow_with_the_aperture() {
        let survey = Survey::LegacySurvey;
        let table = RedshiftTable::new(survey);
        let sky = Sky::new(4).with_coverage(Coverage::LEGACY | Coverage::DESI);
        let object = sky.galaxy(3).object;
        let row = row(&object, survey, 1).expect("a row");
        assert_eq!(row.photometry.len(), table.photometry.len());
        assert_eq!(row.apertures.len(), table.apertures.len());
        let of = |name: &str| {
            let place = table.apertures.iter().position(|column| column == name);
            row.apertures[place.expect("a column")].expect("a flux")
        };
        assert!(of("DES-Z 3") < of("DES-Z 6"), "{row:?}");
        assert!(!table.photometry.contains(&"tok_z"));
    }

    #[test]
    fn rows_need_a_redshift_and_photometry() {
        let sky = Sky::new(4).with_coverage(Coverage::LEGACY);
        assert_eq!(row(&sky.galaxy(3).object, Survey::LegacySurvey, 1), None);
        let sky = Sky::new(4).with_coverage(Coverage::HSC | Coverage::SDSS);
        let object = sky.galaxy(3).object;
        assert_eq!(row(&object, Survey::LegacySurvey, 1), None);
        assert!(row(&object, Survey::Hsc, 1).is_some());
    }
}
