//! The sky around an object as a camera sees it: the object and a few faint neighbours.

use std::f64::consts::PI;

use super::draws::{Draws, Purpose};
use super::morphology::Morphology;
use super::passband::{DECAM, HSC, Passband};
use super::target::Target;

/// Half the side of the Legacy Survey stamp, arcsec.
const HALF_FIELD: f64 = 12.5;
/// Faintest neighbour, r band magnitude.
const FAINTEST_NEIGHBOUR: f64 = 23.3;
const DECAM_R: usize = Passband::DecamR as usize;

/// One source with its place and its fluxes.
pub(super) struct SceneSource {
    /// Offset from the field's centre to the west, arcsec.
    pub(super) x: f64,
    /// Offset to the north, arcsec.
    pub(super) y: f64,
    pub(super) morphology: Morphology,
    /// Nanomaggies in DECam's and HSC's bands, by [`Passband`].
    flux: [f64; 9],
    /// Half-light radius (arcsec) and ellipticity components as a Legacy Survey fit finds them.
    pub(super) measured: (f64, f64, f64),
}

impl SceneSource {
    /// Flux in a band of a camera, nanomaggies.
    pub(super) fn flux(&self, passband: Passband) -> f64 {
        self.flux.get(passband as usize).copied().unwrap_or(0.0)
    }
}

/// The object, first, and its neighbours.
pub(super) struct Scene {
    pub(super) sources: Vec<SceneSource>,
}

impl Scene {
    /// Puts the target near the middle of the field and up to six galaxies around it.
    pub(super) fn around(target: &Target, seed: u64, index: u64) -> Scene {
        let mut draws = Draws::new(seed, index, Purpose::Scene);
        let mut flux = [0.0; 9];
        for passband in DECAM.into_iter().chain(HSC) {
            flux[passband as usize] = target.sed.through(passband);
        }
        let place = (draws.uniform(-0.13, 0.13), draws.uniform(-0.13, 0.13));
        let mut sources = vec![place_source(
            place,
            target.morphology.clone(),
            flux,
            &mut draws,
        )];
        let neighbours = (draws.uniform(0.0, 2.6).powi(2)) as usize;
        for _ in 0..neighbours {
            sources.push(draw_neighbour(&mut draws));
        }
        Scene { sources }
    }

    /// The object itself.
    pub(super) fn target(&self) -> Option<&SceneSource> {
        self.sources.first()
    }
}

/// Finds the shape as measured, with noise that falls with the signal.
fn place_source(
    (x, y): (f64, f64),
    morphology: Morphology,
    flux: [f64; 9],
    draws: &mut Draws,
) -> SceneSource {
    let error = (0.02 * (1.0 + 1.0 / flux[DECAM_R].max(1e-3))).min(0.25);
    let (e1, e2) = morphology.ellipticity();
    let measured = (
        morphology.half_light * draws.log_normal(1.0, error),
        (e1 + draws.normal(0.0, error)).clamp(-0.95, 0.95),
        (e2 + draws.normal(0.0, error)).clamp(-0.95, 0.95),
    );
    SceneSource {
        x,
        y,
        measured: if morphology.is_point() {
            (0.0, 0.0, 0.0)
        } else {
            measured
        },
        morphology,
        flux,
    }
}

/// A faint galaxy somewhere in the field but not on the object; one colour parameter.
fn draw_neighbour(draws: &mut Draws) -> SceneSource {
    let place = loop {
        let x = draws.uniform(-HALF_FIELD, HALF_FIELD);
        let y = draws.uniform(-HALF_FIELD, HALF_FIELD);
        if x.hypot(y) > 3.0 {
            break (x, y);
        }
    };
    let magnitude = FAINTEST_NEIGHBOUR + draws.uniform(0.003_f64, 1.0).log10() / 0.5;
    let red = draws.uniform(0.0, 1.0);
    // Magnitudes relative to r in the order of the passbands.
    let (g, i, z, y) = (
        0.25 + 1.1 * red,
        -0.1 - 0.5 * red,
        -0.2 - 0.8 * red,
        -0.25 - 0.95 * red,
    );
    let flux =
        [g, 0.0, i, z, g, 0.0, i, z, y].map(|colour| 10f64.powf(0.4 * (22.5 - magnitude - colour)));
    let size = draws.log_normal(0.45, 0.35) * 10f64.powf(0.1 * (FAINTEST_NEIGHBOUR - magnitude));
    let morphology = Morphology::galaxy(
        size.clamp(0.1, 2.5),
        draws.uniform(0.25, 1.0),
        draws.uniform(0.0, PI),
        (red * draws.uniform(0.0, 1.2)).min(1.0),
    );
    place_source(place, morphology, flux, draws)
}
