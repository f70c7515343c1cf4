//! The table of modalities: the only place where they are listed.
//!
//! A modality is one kind of measurement by one instrument (paper, Table 9). Everything else
//! (embeddings, codecs, command-line help, documentation) iterates over [`MODALITIES`]. The order
//! is the published registry order, which is also the order of tokens in the encoder. Rows of surveys
//! that checkpoints describe ([`crate::described`]) follow it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::described;

/// The survey, hence the instrument, that a modality comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Survey {
    /// DESI Legacy Imaging Surveys (Tractor catalogues and coadded images).
    LegacySurvey,
    /// Hyper Suprime-Cam Subaru Strategic Program.
    Hsc,
    /// Sloan Digital Sky Survey spectra.
    Sdss,
    /// Dark Energy Spectroscopic Instrument spectra.
    Desi,
    /// Gaia DR3.
    Gaia,
    /// Not tied to one survey: the spectroscopic redshift.
    Any,
    /// A survey that a checkpoint describes, by its name.
    Described(&'static str),
}

impl Survey {
    /// The name used on the command line and in token files.
    pub const fn name(self) -> &'static str {
        match self {
            Survey::LegacySurvey => "legacy",
            Survey::Hsc => "hsc",
            Survey::Sdss => "sdss",
            Survey::Desi => "desi",
            Survey::Gaia => "gaia",
            Survey::Any => "any",
            Survey::Described(name) => name,
        }
    }

    /// The survey called `name` on the command line; described ones are no choice there.
    pub fn from_name(name: &str) -> Option<Survey> {
        [
            Survey::LegacySurvey,
            Survey::Hsc,
            Survey::Sdss,
            Survey::Desi,
            Survey::Gaia,
        ]
        .into_iter()
        .find(|survey| survey.name() == name)
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one measurement of a modality looks like, and so which codec family it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A multi-band image, `(bands, height, width)`.
    Image,
    /// Flux, inverse variance, mask on a wavelength grid.
    Spectrum,
    /// One number.
    Scalar,
    /// A fixed-length vector of numbers (Gaia XP coefficients).
    Coefficients,
    /// A list of sources around the object, of any length up to the token count.
    Catalog,
    /// A map with values in [0, 1], `(height, width)`.
    ScalarField,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Modality {
    /// Token key: the name in token files and in the transformer's configuration.
    pub key: &'static str,
    /// Name of the codec's folder in a checkpoint (`codecs/<name>`): the survey's column for scalars.
    pub codec: &'static str,
    /// Shape of a measurement.
    pub kind: Kind,
    /// Where it comes from.
    pub survey: Survey,
    /// Tokens on a grid as (height, width); a sequence of at most `height` tokens for catalogues.
    pub grid: (usize, usize),
    /// Size of the transformer's vocabulary for this modality.
    pub vocabulary: usize,
    /// Physical unit of the input, spelled as in FITS; empty for dimensionless values.
    pub unit: &'static str,
}

impl Modality {
    /// Number of tokens; for catalogues the largest number.
    pub const fn num_tokens(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    /// Whether the number of tokens differs from object to object.
    pub const fn is_sequence(&self) -> bool {
        matches!(self.kind, Kind::Catalog)
    }

    /// Whether tokens are numbers, one or a vector of them, so that neighbouring codes mean nearly the same.
    pub const fn is_number(&self) -> bool {
        matches!(self.kind, Kind::Scalar | Kind::Coefficients)
    }

    /// Whether the modality is the object's position on the sky, which is used only on request
    /// because embeddings would leak it.
    pub fn is_position(&self) -> bool {
        matches!(self.codec, "ra" | "dec")
    }
}

/// A modality: a row of [`MODALITIES`], or one after them that a checkpoint describes. Ordered as the
/// registry is.
#[derive(Debug, Clone, Copy)]
pub struct ModalityId {
    index: u8,
    info: &'static Modality,
}

impl PartialEq for ModalityId {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for ModalityId {}

impl PartialOrd for ModalityId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ModalityId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.index.cmp(&other.index)
    }
}

impl Hash for ModalityId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}

impl ModalityId {
    /// The modality whose token key is `key`.
    pub fn from_key(key: &str) -> Option<ModalityId> {
        Self::all().find(|id| id.info().key == key)
    }

    /// The modality of `survey` (or of no one survey) whose codec, that is survey column, is `codec`.
    pub fn from_codec(codec: &str, survey: Survey) -> Option<ModalityId> {
        Self::all().find(|id| {
            let info = id.info();
            info.codec == codec && (info.survey == survey || info.survey == Survey::Any)
        })
    }

    /// The modality of this kind that `survey` provides, for kinds of which it provides one.
    pub fn of_kind(kind: Kind, survey: Survey) -> Option<ModalityId> {
        Self::all().find(|id| id.info().kind == kind && id.info().survey == survey)
    }

    /// Every published modality in registry order.
    pub fn published() -> impl Iterator<Item = ModalityId> {
        (0u8..)
            .zip(&MODALITIES)
            .map(|(index, info)| ModalityId { index, info })
    }

    /// Every modality that this process knows: the published ones, then those that checkpoints in use
    /// describe.
    pub fn all() -> impl Iterator<Item = ModalityId> {
        Self::published().chain(described::modalities())
    }

    /// The modality of the row that a description added at `place`.
    pub(crate) const fn described(place: u8, info: &'static Modality) -> ModalityId {
        let index = MODALITIES.len() as u8 + place;
        ModalityId { index, info }
    }

    /// The table's row.
    pub const fn info(self) -> &'static Modality {
        self.info
    }

    /// The row's number.
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// The token key.
    pub fn key(self) -> &'static str {
        self.info().key
    }
}

impl fmt::Display for ModalityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

const fn row(
    key: &'static str,
    codec: &'static str,
    kind: Kind,
    survey: Survey,
    grid: (usize, usize),
    vocabulary: usize,
    unit: &'static str,
) -> Modality {
    Modality {
        key,
        codec,
        kind,
        survey,
        grid,
        vocabulary,
        unit,
    }
}

const fn scalar(
    key: &'static str,
    codec: &'static str,
    survey: Survey,
    unit: &'static str,
) -> Modality {
    row(key, codec, Kind::Scalar, survey, (1, 1), 1024, unit)
}

const NANOMAGGY: &str = "nanomaggy";
const ELECTRONS: &str = "electron s-1";
const FLUX_DENSITY: &str = "1e-17 erg s-1 cm-2 Angstrom-1";

/// The 40 modalities in registry order.
pub static MODALITIES: [Modality; 40] = {
    use Kind::{Catalog, Coefficients, Image, Scalar, ScalarField, Spectrum};
    use Survey::{Any, Desi, Gaia, Hsc, LegacySurvey, Sdss};
    [
        row(
            "tok_image_hsc",
            "image",
            Image,
            Hsc,
            (24, 24),
            4375,
            "flux at zeropoint 27.0",
        ),
        scalar("tok_mag_g", "g_cmodel_mag", Hsc, "mag"),
        scalar("tok_mag_r", "r_cmodel_mag", Hsc, "mag"),
        scalar("tok_mag_i", "i_cmodel_mag", Hsc, "mag"),
        scalar("tok_mag_z", "z_cmodel_mag", Hsc, "mag"),
        scalar("tok_mag_y", "y_cmodel_mag", Hsc, "mag"),
        scalar("tok_a_g", "a_g", Hsc, "mag"),
        scalar("tok_a_r", "a_r", Hsc, "mag"),
        scalar("tok_a_i", "a_i", Hsc, "mag"),
        scalar("tok_a_z", "a_z", Hsc, "mag"),
        scalar("tok_a_y", "a_y", Hsc, "mag"),
        scalar("tok_shape11", "i_sdssshape_shape11", Hsc, "arcsec2"),
        scalar("tok_shape12", "i_sdssshape_shape12", Hsc, "arcsec2"),
        scalar("tok_shape22", "i_sdssshape_shape22", Hsc, "arcsec2"),
        row(
            "tok_image",
            "image",
            Image,
            LegacySurvey,
            (24, 24),
            4375,
            NANOMAGGY,
        ),
        row(
            "tok_segmap",
            "segmentation_map",
            ScalarField,
            LegacySurvey,
            (12, 12),
            1000,
            "",
        ),
        scalar("tok_ebv", "EBV", LegacySurvey, "mag"),
        scalar("tok_flux_g", "FLUX_G", LegacySurvey, NANOMAGGY),
        scalar("tok_flux_r", "FLUX_R", LegacySurvey, NANOMAGGY),
        scalar("tok_flux_i", "FLUX_I", LegacySurvey, NANOMAGGY),
        scalar("tok_flux_z", "FLUX_Z", LegacySurvey, NANOMAGGY),
        scalar("tok_flux_w1", "FLUX_W1", LegacySurvey, NANOMAGGY),
        scalar("tok_flux_w2", "FLUX_W2", LegacySurvey, NANOMAGGY),
        scalar("tok_flux_w3", "FLUX_W3", LegacySurvey, NANOMAGGY),
        scalar("tok_flux_w4", "FLUX_W4", LegacySurvey, NANOMAGGY),
        scalar("tok_shape_r", "SHAPE_R", LegacySurvey, "arcsec"),
        scalar("tok_shape_e1", "SHAPE_E1", LegacySurvey, ""),
        scalar("tok_shape_e2", "SHAPE_E2", LegacySurvey, ""),
        row(
            "tok_spectrum_desi",
            "spectrum",
            Spectrum,
            Desi,
            (273, 1),
            1024,
            FLUX_DENSITY,
        ),
        row(
            "tok_spectrum_sdss",
            "spectrum",
            Spectrum,
            Sdss,
            (273, 1),
            1024,
            FLUX_DENSITY,
        ),
        row("tok_z", "Z", Scalar, Any, (1, 1), 1025, ""),
        row(
            "catalog",
            "catalog",
            Catalog,
            LegacySurvey,
            (50, 1),
            3468,
            "",
        ),
        row(
            "tok_xp_bp",
            "bp_coefficients",
            Coefficients,
            Gaia,
            (55, 1),
            1024,
            "",
        ),
        row(
            "tok_xp_rp",
            "rp_coefficients",
            Coefficients,
            Gaia,
            (55, 1),
            1024,
            "",
        ),
        scalar("tok_flux_g_gaia", "phot_g_mean_flux", Gaia, ELECTRONS),
        scalar("tok_flux_bp_gaia", "phot_bp_mean_flux", Gaia, ELECTRONS),
        scalar("tok_flux_rp_gaia", "phot_rp_mean_flux", Gaia, ELECTRONS),
        scalar("tok_parallax", "parallax", Gaia, "mas"),
        scalar("tok_ra", "ra", Gaia, "deg"),
        scalar("tok_dec", "dec", Gaia, "deg"),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_found() {
        for id in ModalityId::published() {
            assert_eq!(ModalityId::from_key(id.key()), Some(id));
        }
        assert_eq!(MODALITIES.len(), 40);
        assert_eq!(ModalityId::from_key("tok_image_ls"), None);
    }

    #[test]
    fn vocabularies_add_up_to_the_published_total() {
        let trained: usize = MODALITIES
            .iter()
            .filter(|modality| modality.kind != Kind::ScalarField)
            .map(|modality| modality.vocabulary)
            .sum();
        assert_eq!(trained, 4375 * 2 + 1024 * 35 + 1025 + 3468);
    }
}
