//! What a telescope points at: the light, the shape, and the truth about it.

use super::draws::Draws;
use super::morphology::Morphology;
use super::passband::Passband;
use super::sed::Sed;
use super::truth::Truth;

/// An object before anybody measured it.
pub(super) struct Target {
    pub(super) sed: Sed,
    pub(super) morphology: Morphology,
    pub(super) truth: Truth,
}

impl Target {
    /// Completes the truth by the magnitude that follows from the light.
    pub(super) fn new(sed: Sed, morphology: Morphology, truth: Truth) -> Self {
        let magnitude_r = magnitude(sed.through(Passband::DecamR));
        Target {
            sed,
            morphology,
            truth: Truth {
                magnitude_r,
                ..truth
            },
        }
    }
}

/// AB magnitude of a positive flux in nanomaggies.
pub(super) fn magnitude(nanomaggies: f64) -> f64 {
    22.5 - 2.5 * nanomaggies.log10()
}

/// E(B-V) of the Milky Way at high latitude.
pub(super) fn milky_way_reddening(draws: &mut Draws) -> f64 {
    draws.log_normal(0.035, 0.6).min(0.3)
}
