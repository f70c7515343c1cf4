//! The description of a survey as it stands in TOML, and what can be wrong with it.

use serde::{Deserialize, Serialize};

use crate::band::{BANDS, channel, known_bands};
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::{Kind, ModalityId, Survey};

/// A survey's images: what the codec, the transformer and the simulated sky have to know of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurveyDescription {
    /// Lower-case letters and digits; `rubin` gives the token key `tok_image_rubin` and the codec
    /// `image_rubin`.
    pub name: String,
    /// The published survey (`legacy`, `hsc`) whose embeddings and head of images the new ones start from.
    pub like: String,
    /// Arcsec a pixel.
    pub pixel_scale: f64,
    /// The bands, in channel order.
    #[serde(rename = "band")]
    pub bands: Vec<BandDescription>,
}

/// One band of a described survey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandDescription {
    /// Upper-case name, survey first: `RUBIN-G`.
    pub name: String,
    /// AB zero point of the image's own unit, mag.
    pub zeropoint: f64,
    /// The largest absolute flux that the codec keeps, in the image's own unit.
    pub clip: f64,
    /// The published band, best the nearest in wavelength, whose weights the new ones start from.
    pub like: String,
    /// What the simulated sky needs to take images of this band; a survey with files does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optics: Option<Optics>,
}

/// A simulated camera in one band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optics {
    /// Edges of the passband, Angstrom, within [`OPTICAL`].
    pub edges: [f64; 2],
    /// Seeing, full width at half maximum, arcsec.
    pub seeing: f64,
    /// 5-sigma depth for point sources, AB mag.
    pub depth: f64,
    /// Detected electrons for a nanomaggy over the whole exposure.
    pub electrons: f64,
}

/// Wavelengths of the simulated spectra, Angstrom.
pub const OPTICAL: [f64; 2] = [3200.0, 11_090.0];

impl SurveyDescription {
    /// The image modality of the survey that this one is like.
    pub fn like(&self) -> Option<ModalityId> {
        ModalityId::of_kind(Kind::Image, Survey::from_name(&self.like)?)
    }

    /// Channels of the published codec that the bands are like.
    pub fn like_channels(&self) -> Vec<usize> {
        let channels = self.bands.iter().map(|band| channel(&BANDS, &band.like));
        channels.flatten().collect()
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Names the survey's field, with what was expected.
    pub fn check(&self) -> Result<ModalityId> {
        let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if self.name.is_empty() || !self.name.chars().all(in_name) {
            let problem = "expected lower-case letters and digits".to_owned();
            return Err(self.wrong("name", Problem::Values(problem)));
        }
        if Survey::from_name(&self.name).is_some() {
            let problem = "is the name of a published survey".to_owned();
            return Err(self.wrong("name", Problem::Mismatch(problem)));
        }
        let like = self.like().ok_or_else(|| {
            let problem = format!("is `{}`, expected legacy or hsc", self.like);
            self.wrong("like", Problem::Values(problem))
        })?;
        self.positive("pixel_scale", self.pixel_scale)?;
        if self.bands.is_empty() {
            return Err(self.wrong("band", Problem::Missing("bands".to_owned())));
        }
        for (place, band) in self.bands.iter().enumerate() {
            let repeated = self.bands.iter().take(place).any(|b| b.name == band.name);
            self.check_band(band, repeated)?;
        }
        Ok(like)
    }

    fn check_band(&self, band: &BandDescription, repeated: bool) -> Result<()> {
        let field = |name: &str| format!("band.{}.{name}", band.name);
        let in_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "-_".contains(c);
        if band.name.is_empty() || !band.name.chars().all(in_name) {
            let problem = "expected upper-case letters, digits, - and _".to_owned();
            return Err(self.wrong(&field("name"), Problem::Values(problem)));
        }
        if repeated || channel(&BANDS, &band.name).is_some() {
            let problem = "is the name of another band".to_owned();
            return Err(self.wrong(&field("name"), Problem::Mismatch(problem)));
        }
        if channel(&BANDS, &band.like).is_none() {
            let problem = Problem::UnknownBand {
                band: band.like.clone(),
                known: known_bands(&BANDS),
            };
            return Err(self.wrong(&field("like"), problem));
        }
        if !band.zeropoint.is_finite() {
            let problem = "expected a magnitude".to_owned();
            return Err(self.wrong(&field("zeropoint"), Problem::Values(problem)));
        }
        self.positive(&field("clip"), band.clip)?;
        let Some(optics) = &band.optics else {
            return Ok(());
        };
        let [blue, red] = optics.edges;
        let within = |edge: f64| (OPTICAL[0]..=OPTICAL[1]).contains(&edge);
        if !(within(blue) && within(red) && blue < red) {
            let [from, to] = OPTICAL;
            let problem = format!("expected two wavelengths that rise within {from} to {to} Å");
            return Err(self.wrong(&field("optics.edges"), Problem::Values(problem)));
        }
        for (name, value) in [
            ("optics.seeing", optics.seeing),
            ("optics.depth", optics.depth),
            ("optics.electrons", optics.electrons),
        ] {
            self.positive(&field(name), value)?;
        }
        Ok(())
    }

    fn positive(&self, field: &str, value: f64) -> Result<()> {
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        let problem = format!("is {value}, expected a positive number");
        Err(self.wrong(field, Problem::Values(problem)))
    }

    pub(super) fn wrong(&self, field: &str, problem: Problem) -> DataError {
        DataError::new(
            Place::field(format!("survey.{}.{field}", self.name)),
            problem,
        )
    }
}
