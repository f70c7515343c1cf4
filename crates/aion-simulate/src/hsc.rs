//! Hyper Suprime-Cam: deeper and sharper image, magnitudes, extinctions and second moments.

use super::camera::{Camera, CameraBand, effective_psf_variance};
use super::draws::{Draws, Purpose};
use super::passband::Passband;
use super::scene::Scene;
use super::sed::galactic_extinction;
use super::target::{Target, magnitude};
use aion_data::observation::Measurement;

/// HSC coadds at the depth of the Wide layer, zero point 27.
static CAMERA: Camera = Camera {
    pixel: 0.168,
    unit: 63.095_734,
    electrons: 200_000.0,
    bands: &[
        band("HSC-G", Passband::HscG, 0.79, 26.5),
        band("HSC-R", Passband::HscR, 0.75, 26.1),
        band("HSC-I", Passband::HscI, 0.61, 25.9),
        band("HSC-Z", Passband::HscZ, 0.68, 25.1),
        band("HSC-Y", Passband::HscY, 0.68, 24.4),
    ],
};

const fn band(name: &'static str, passband: Passband, seeing: f64, depth: f64) -> CameraBand {
    CameraBand {
        name,
        passband,
        seeing,
        depth,
    }
}

/// Seeing of the i band, in which shapes are measured, arcsec.
const SHAPE_SEEING: f64 = 0.61;

/// Codec names of the magnitude and the extinction, in the order of the bands.
const CODECS: [(&str, &str); 5] = [
    ("g_cmodel_mag", "a_g"),
    ("r_cmodel_mag", "a_r"),
    ("i_cmodel_mag", "a_i"),
    ("z_cmodel_mag", "a_z"),
    ("y_cmodel_mag", "a_y"),
];

/// Everything that HSC publishes of the target, by codec name; the image only if wanted, the numbers
/// are the same with and without.
pub(super) fn measure(
    target: &Target,
    scene: &Scene,
    seed: u64,
    index: u64,
    images: bool,
) -> Vec<(&'static str, Measurement)> {
    let mut draws = Draws::new(seed, index, Purpose::Hsc);
    let mut found = Vec::new();
    if images {
        let image = CAMERA.expose(scene, &mut draws);
        found.push(("image", Measurement::Image(image)));
    } else {
        CAMERA.skip_exposure(&mut draws);
    }
    let Some(source) = scene.target() else {
        return found;
    };
    let ebv = target.truth.ebv * draws.log_normal(1.0, 0.03);
    for ((codec, extinction), band) in CODECS.into_iter().zip(CAMERA.bands) {
        let error = band.flux_error(source, CAMERA.electrons);
        let flux = draws.normal(source.flux(band.passband), error);
        // What is not detected is published at the limit.
        let flux = flux.max(band.point_error());
        found.push((codec, Measurement::Scalar(magnitude(flux) as f32)));
        let dimmed = galactic_extinction(band.passband.centre()) * ebv;
        found.push((extinction, Measurement::Scalar(dimmed as f32)));
    }
    let psf = effective_psf_variance(SHAPE_SEEING * draws.log_normal(1.0, 0.07));
    let (xx, xy, yy) = source.morphology.adaptive_moments(psf);
    let error = 0.01;
    for (codec, moment) in [
        ("i_sdssshape_shape11", draws.log_normal(xx, error)),
        (
            "i_sdssshape_shape12",
            xy + draws.normal(0.0, error * (xx + yy)),
        ),
        ("i_sdssshape_shape22", draws.log_normal(yy, error)),
    ] {
        found.push((codec, Measurement::Scalar(moment as f32)));
    }
    found
}
