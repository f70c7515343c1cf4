//! Where the Multimodal Universe (version 1.5, HATS Parquet) keeps a modality: the columns that our
//! tables of observations are written in.

use crate::modality::{Kind, ModalityId, Survey};

/// Column of identifiers, text.
pub const OBJECT_ID: &str = "object_id";
/// Column of right ascensions (ICRS), degrees.
pub const RA: &str = "ra";
/// Column of declinations (ICRS), degrees.
pub const DEC: &str = "dec";
/// Column of nested HEALPix cells at order 29.
pub const HEALPIX: &str = "_healpix_29";
/// Column of our own: true for a simulated object.
pub const SIMULATED: &str = "simulated";

/// DESI's class of an object.
pub const DESI_CLASS: &str = "SPECTYPE";
/// Not 0 where DESI doubts its redshift.
pub const DESI_WARNING: &str = "ZWARN";

/// Fields of the `image` struct.
pub mod image {
    /// Band names, one a plane.
    pub const BAND: &str = "band";
    /// Flux by band, row, column.
    pub const FLUX: &str = "flux";
    /// Inverse variance, shaped as the flux.
    pub const IVAR: &str = "ivar";
    /// True where a pixel is good, shaped as the flux.
    pub const MASK: &str = "mask";
    /// Arcsec a pixel, by band.
    pub const SCALE: &str = "scale";
}

/// Fields of the `spectrum` struct.
pub mod spectrum {
    /// Flux density.
    pub const FLUX: &str = "flux";
    /// Its inverse variance.
    pub const IVAR: &str = "ivar";
    /// Vacuum wavelength, Angstrom.
    pub const WAVELENGTH: &str = "lambda";
    /// True where a pixel is bad: the opposite of images.
    pub const MASK: &str = "mask";
}

/// Fields of the `catalog` struct, in the order x, y, ellipticity components, half-light radius.
pub const CATALOG: [&str; 5] = ["X", "Y", "SHAPE_E1", "SHAPE_E2", "SHAPE_R"];
/// Catalogue positions refer to stamps of 160 pixels, whose middle 96 are an object's frame.
pub const CATALOG_OFFSET: i32 = (160 - 96) / 2;

/// Field of the struct of XP coefficients: the blue arm's, then those of the red one.
pub const COEFFICIENTS: &str = "coeff";

/// The column and, where that is a struct, the field in it that hold a modality. Positions have
/// columns of every survey and none of their own.
pub fn place(id: ModalityId) -> Option<(&'static str, Option<&'static str>)> {
    let info = id.info();
    Some(match info.kind {
        Kind::Image => ("image", None),
        Kind::Spectrum => ("spectrum", None),
        Kind::Catalog => ("catalog", None),
        // The Multimodal Universe has pictures of classes; values between need a column of our own.
        Kind::ScalarField => (info.codec, None),
        Kind::Coefficients => ("spectral_coefficients", Some(COEFFICIENTS)),
        Kind::Scalar if info.is_position() => return None,
        Kind::Scalar if info.survey == Survey::Gaia => (group(info.codec), Some(info.codec)),
        Kind::Scalar => (info.codec, None),
    })
}

/// The struct in which the Gaia sets keep a column of `gaia_source`.
fn group(column: &str) -> &'static str {
    if column.starts_with("phot_") {
        "photometry"
    } else {
        "astrometry"
    }
}

/// Arcsec a pixel of a survey's images.
pub fn pixel_scale(survey: Survey) -> Option<f32> {
    match survey {
        Survey::LegacySurvey => Some(0.262),
        Survey::Hsc => Some(0.168),
        _ => None,
    }
}
