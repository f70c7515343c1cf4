//! Gaia's BP/RP (XP) spectra as tables hold them: the coefficients of continuous spectra, and what
//! is not taken for them.

use crate::format::table::Column;
use crate::modality::{Kind, ModalityId, Survey};

/// The column that says how many coefficients a spectrum has, beside that of a Gaia coefficient
/// vector (`bp_coefficients`).
pub(super) fn length_column(id: ModalityId) -> Option<String> {
    let info = id.info();
    let spectrum = (info.kind, info.survey) == (Kind::Coefficients, Survey::Gaia);
    let band = info.codec.strip_suffix("_coefficients")?;
    spectrum.then(|| format!("{band}_n_parameters"))
}

/// Why a table of Gaia's is not read, where it is known for what it is.
pub(super) fn refusal(columns: &[Column]) -> Option<&'static str> {
    let has = |name: &str| {
        columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name))
    };
    if has("flux") && has("flux_error") && (has("wavelength") || has("source_id")) {
        return Some(
            "sampled XP spectra (XP_SAMPLED, W m-2 nm-1), from which the coefficients cannot be \
             had back; expected XP_CONTINUOUS with bp_coefficients and rp_coefficients",
        );
    }
    let magnitudes = has("phot_g_mean_mag") && !has("phot_g_mean_flux") && !has("parallax");
    magnitudes.then_some(
        "Gaia magnitudes without fluxes; expected phot_g_mean_flux, phot_bp_mean_flux, \
         phot_rp_mean_flux in electron/s",
    )
}
