//! Photometric bands of image codecs and their zero points.

use crate::described;
use crate::modality::{Modality, Survey};

/// A band that an image codec knows, at its channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Upper-case name, survey first.
    pub name: &'static str,
    /// The largest absolute flux that the codec keeps, in the image's own unit; beyond it pixels
    /// are clipped. Not stored in checkpoints.
    pub clamp: f32,
    /// AB zero point of the image's own unit, mag.
    pub zeropoint: f32,
}

/// Bands in channel order of the published image codec (9 channels). Not stored in checkpoints.
pub static BANDS: [Band; 9] = [
    band("HSC-G", 80.0, HSC_ZEROPOINT),
    band("HSC-R", 110.0, HSC_ZEROPOINT),
    band("HSC-I", 200.0, HSC_ZEROPOINT),
    band("HSC-Z", 330.0, HSC_ZEROPOINT),
    band("HSC-Y", 500.0, HSC_ZEROPOINT),
    band("DES-G", 6.0, LEGACY_ZEROPOINT),
    band("DES-R", 15.0, LEGACY_ZEROPOINT),
    band("DES-I", 20.0, LEGACY_ZEROPOINT),
    band("DES-Z", 25.0, LEGACY_ZEROPOINT),
];

/// HSC's bands come first.
const HSC_BANDS: usize = 5;
/// AB zero point of HSC coadds, mag.
pub const HSC_ZEROPOINT: f32 = 27.0;
/// AB zero point of nanomaggies, mag: the unit that the codec works in.
pub const LEGACY_ZEROPOINT: f32 = 22.5;

const fn band(name: &'static str, clamp: f32, zeropoint: f32) -> Band {
    Band {
        name,
        clamp,
        zeropoint,
    }
}

/// Bands in channel order of the image codec that serves a modality: a described survey's own, else the
/// published ones.
pub fn of_codec(modality: &Modality) -> &'static [Band] {
    described::bands(modality.survey).unwrap_or(&BANDS)
}

/// The bands of a survey's own images, in channel order.
pub fn of_survey(survey: Survey) -> &'static [Band] {
    let (hsc, legacy) = BANDS.split_at(HSC_BANDS);
    match survey {
        Survey::Hsc => hsc,
        Survey::Described(_) => described::bands(survey).unwrap_or_default(),
        _ => legacy,
    }
}

/// The band called `name`, in any case, of whatever survey this process knows.
pub fn of_name(name: &str) -> Option<&'static Band> {
    let surveys = [&BANDS as &[Band]]
        .into_iter()
        .chain(described::all_bands());
    surveys
        .flatten()
        .find(|band| band.name.eq_ignore_ascii_case(name))
}

/// Channel of the band called `name`, in any case.
pub fn channel(bands: &[Band], name: &str) -> Option<usize> {
    bands
        .iter()
        .position(|band| band.name.eq_ignore_ascii_case(name))
}

/// All band names, for messages.
pub fn known_bands(bands: &[Band]) -> String {
    let names: Vec<&str> = bands.iter().map(|band| band.name).collect();
    names.join(", ")
}
