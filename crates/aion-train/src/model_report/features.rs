//! Photometry and images as a regression sees them: what redshifts are predicted from by methods that
//! know no tokens.

use std::collections::BTreeSet;

use aion_codec::CodecSet;
use aion_codec::codec_set::survey_bands;
use aion_data::{Image, Kind, Measurement, ModalityId, Object, Survey};
use serde::Serialize;

use crate::codec_report::{aperture, only};
use crate::error::TrainError;

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
    /// The same of the image that its tokens give back: what tokens lose is how much worse redshifts
    /// are that are learned from these.
    pub restored: Vec<Option<f32>>,
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
///
/// # Errors
/// The codec of images cannot be opened.
pub(super) fn row(
    object: &Object,
    survey: Survey,
    times: u64,
    codecs: &CodecSet,
) -> Result<Option<RedshiftRow>, TrainError> {
    let z = redshift().and_then(|id| value(object, id));
    let Some(z) = z.filter(|_| has_row(object, survey)) else {
        return Ok(None);
    };
    Ok(Some(RedshiftRow {
        simulated: object.simulated,
        times,
        z: f64::from(z),
        photometry: photometry(survey).map(|id| value(object, id)).collect(),
        apertures: apertures(image(object, survey), survey),
        restored: apertures(restored(object, survey, codecs)?.as_ref(), survey),
    }))
}

fn value(object: &Object, id: ModalityId) -> Option<f32> {
    object.scalar(id).filter(|value| value.is_finite())
}

/// The survey's image of an object.
fn image(object: &Object, survey: Survey) -> Option<&Image> {
    match object.get(ModalityId::of_kind(Kind::Image, survey)?)? {
        Measurement::Image(image) => Some(image),
        _ => None,
    }
}

/// The survey's image of an object as its tokens give it back; none of an image that the codec refuses.
fn restored(
    object: &Object,
    survey: Survey,
    codecs: &CodecSet,
) -> Result<Option<Image>, TrainError> {
    let id = ModalityId::of_kind(Kind::Image, survey).filter(|id| codecs.has(*id));
    let Some((id, image)) = id.and_then(|id| Some((id, object.get(id)?))) else {
        return Ok(None);
    };
    let encoded = codecs.encode(&[only(object, id)])?.pop();
    let tokens = encoded.and_then(|encoded| encoded.ok()?.tokens.remove(&id));
    let Some(tokens) = tokens else {
        return Ok(None);
    };
    let decoded = codecs.decode(id, &[&tokens], &[Some(image)])?.pop();
    Ok(decoded.and_then(|decoded| match decoded {
        Measurement::Image(image) => Some(image),
        _ => None,
    }))
}

/// Fluxes of all bands of a survey in all apertures; none of bands that the image lacks.
fn apertures(image: Option<&Image>, survey: Survey) -> Vec<Option<f32>> {
    let Some(id) = ModalityId::of_kind(Kind::Image, survey) else {
        return Vec::new();
    };
    let planes = image.map(planes).unwrap_or_default();
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
    use burn::tensor::Device;
    use std::path::Path;

    fn codecs() -> CodecSet {
        let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/aion-tiny");
        CodecSet::new(&bundled, &Device::flex())
    }

    #[test]
    fn a_galaxy_becomes_numbers_and_fluxes_that_grow_with_the_aperture() {
        let survey = Survey::LegacySurvey;
        let table = RedshiftTable::new(survey);
        let sky = Sky::new(4).with_coverage(Coverage::LEGACY | Coverage::DESI);
        let object = sky.galaxy(3).object;
        let row = row(&object, survey, 1, &codecs())
            .expect("read")
            .expect("a row");
        assert_eq!(row.photometry.len(), table.photometry.len());
        let of = |fluxes: &[Option<f32>], name: &str| {
            assert_eq!(fluxes.len(), table.apertures.len());
            let place = table.apertures.iter().position(|column| column == name);
            fluxes[place.expect("a column")].expect("a flux")
        };
        let [small, large] = ["DES-Z 3", "DES-Z 6"].map(|name| of(&row.apertures, name));
        assert!(small < large, "{row:?}");
        let restored = of(&row.restored, "DES-Z 6");
        assert!(
            restored != large && (restored / large - 1.0).abs() < 0.3,
            "{row:?}"
        );
        assert!(!table.photometry.contains(&"tok_z"));
    }

    #[test]
    fn rows_need_a_redshift_and_photometry() {
        let sky = Sky::new(4).with_coverage(Coverage::LEGACY);
        let row = |object: &Object, survey| row(object, survey, 1, &codecs()).expect("read");
        assert_eq!(row(&sky.galaxy(3).object, Survey::LegacySurvey), None);
        let sky = Sky::new(4).with_coverage(Coverage::HSC | Coverage::SDSS);
        let object = sky.galaxy(3).object;
        assert_eq!(row(&object, Survey::LegacySurvey), None);
        assert!(row(&object, Survey::Hsc).is_some());
    }
}
