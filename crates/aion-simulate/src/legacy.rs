//! The Legacy Surveys: DECam image, photometry and shapes, neighbours, segmentation map.

use super::camera::{Camera, CameraBand, SIZE, effective_psf_variance};
use super::draws::{Draws, Purpose};
use super::passband::Passband;
use super::scene::{Scene, SceneSource};
use super::target::Target;
use aion_data::observation::{Measurement, ScalarField, Source};

/// DECam coadds at the depth of the Legacy Surveys.
pub(super) static CAMERA: Camera = Camera {
    pixel: 0.262,
    unit: 1.0,
    electrons: 8000.0,
    bands: &[
        band("DES-G", Passband::DecamG, 1.30, 24.0),
        band("DES-R", Passband::DecamR, 1.20, 23.4),
        band("DES-I", Passband::DecamI, 1.15, 23.3),
        band("DES-Z", Passband::DecamZ, 1.10, 22.5),
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

/// One-sigma errors of WISE forced photometry in W1 to W4, nanomaggies.
const WISE_ERRORS: [f64; 4] = [0.5, 1.2, 45.0, 300.0];
const FLUX_CODECS: [&str; 4] = ["FLUX_G", "FLUX_R", "FLUX_I", "FLUX_Z"];
const WISE_CODECS: [&str; 4] = ["FLUX_W1", "FLUX_W2", "FLUX_W3", "FLUX_W4"];

/// Tractor's kinds of sources and the values that stand for them in the segmentation map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Point,
    Round,
    Exponential,
    DeVaucouleurs,
    Sersic,
}

impl Kind {
    fn of(source: &SceneSource) -> Kind {
        let shape = &source.morphology;
        match shape.bulge {
            _ if shape.is_point() => Kind::Point,
            _ if shape.half_light < 0.45 => Kind::Round,
            bulge if bulge < 0.15 => Kind::Exponential,
            bulge if bulge > 0.85 => Kind::DeVaucouleurs,
            _ => Kind::Sersic,
        }
    }

    fn value(self) -> f32 {
        match self {
            Kind::Point => 0.2,
            Kind::Round => 0.4,
            Kind::Exponential => 0.6,
            Kind::DeVaucouleurs => 0.8,
            Kind::Sersic => 1.0,
        }
    }
}

/// Everything that the Legacy Surveys publish of the target, by codec name; image and segmentation
/// map only if wanted, the numbers are the same with and without.
pub(super) fn measure(
    target: &Target,
    scene: &Scene,
    seed: u64,
    index: u64,
    images: bool,
) -> Vec<(&'static str, Measurement)> {
    let mut draws = Draws::new(seed, index, Purpose::Legacy);
    let mut found = vec![("catalog", Measurement::Catalog(catalog(scene)))];
    if images {
        let image = CAMERA.expose(scene, &mut draws);
        let map = segmentation(scene);
        found.push(("image", Measurement::Image(image)));
        found.push(("segmentation_map", Measurement::ScalarField(map)));
    } else {
        CAMERA.skip_exposure(&mut draws);
    }
    let ebv = target.truth.ebv * draws.log_normal(1.0, 0.03);
    found.push(("EBV", Measurement::Scalar(ebv as f32)));
    let Some(source) = scene.target() else {
        return found;
    };
    for (codec, band) in FLUX_CODECS.into_iter().zip(CAMERA.bands) {
        let error = band.flux_error(source, CAMERA.electrons);
        let flux = draws.normal(source.flux(band.passband), error);
        found.push((codec, Measurement::Scalar(flux as f32)));
    }
    for ((codec, flux), error) in WISE_CODECS
        .into_iter()
        .zip(target.sed.wise)
        .zip(WISE_ERRORS)
    {
        let flux = draws.normal(flux, error + 0.02 * flux);
        found.push((codec, Measurement::Scalar(flux as f32)));
    }
    let (radius, e1, e2) = source.measured;
    for (codec, value) in [("SHAPE_R", radius), ("SHAPE_E1", e1), ("SHAPE_E2", e2)] {
        found.push((codec, Measurement::Scalar(value as f32)));
    }
    found
}

/// Sources in the stamp, nearest to its centre first.
fn catalog(scene: &Scene) -> Vec<Source> {
    let mut places: Vec<(f64, Source)> = scene
        .sources
        .iter()
        .filter_map(|source| {
            let (column, row) = CAMERA.place(source);
            let (x, y) = (column.round() as i32, row.round() as i32);
            let inside = 0..SIZE as i32;
            let (radius, e1, e2) = source.measured;
            (inside.contains(&x) && inside.contains(&y)).then_some((
                source.x.hypot(source.y),
                Source {
                    x,
                    y,
                    shape_e1: e1 as f32,
                    shape_e2: e2 as f32,
                    shape_r: radius as f32,
                },
            ))
        })
        .collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    places.into_iter().map(|(_, source)| source).collect()
}

/// Ellipses around half of each source's light, painted with the value of its kind; the target,
/// painted last, lies on top. Ellipses are no smaller than the seeing.
fn segmentation(scene: &Scene) -> ScalarField {
    let mut field = vec![0.0_f32; SIZE * SIZE];
    let seeing = effective_psf_variance(1.2) * std::f64::consts::LN_2 * 2.0;
    for source in scene.sources.iter().rev() {
        let (column, row) = CAMERA.place(source);
        let (xx, xy, yy) = source.morphology.unit_covariance();
        let size = source.morphology.half_light.powi(2);
        let scale = CAMERA.pixel.powi(-2);
        let (xx, xy, yy) = (
            (size * xx).max(seeing) * scale,
            size * xy * scale,
            (size * yy).max(seeing) * scale,
        );
        let determinant = (xx * yy - xy * xy).max(1e-9);
        for (i, value) in field.iter_mut().enumerate() {
            let dx = (i % SIZE) as f64 - column;
            let dy = (i / SIZE) as f64 - row;
            if yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy <= determinant {
                *value = Kind::of(source).value();
            }
        }
    }
    ScalarField {
        height: SIZE,
        width: SIZE,
        field,
    }
}

#[cfg(test)]
mod tests {
    use super::super::camera::CENTRE;
    use super::super::{Coverage, Sky};
    use super::*;
    use aion_data::{ModalityId, Survey};

    fn get(object: &aion_data::Object, codec: &str) -> Measurement {
        let id = ModalityId::from_codec(codec, Survey::LegacySurvey).unwrap();
        object.get(id).cloned().unwrap()
    }

    #[test]
    fn images_hold_the_flux_of_the_catalogue() {
        let sky = Sky::new(3).with_coverage(Coverage::LEGACY);
        let mut compared = 0;
        for index in 0..120 {
            let simulated = sky.galaxy(index);
            let Measurement::Catalog(sources) = get(&simulated.object, "catalog") else {
                panic!("catalogue expected");
            };
            if sources.len() > 1 || simulated.truth.half_light_radius > 1.8 {
                continue;
            }
            let Measurement::Image(image) = get(&simulated.object, "image") else {
                panic!("image expected");
            };
            let Measurement::Scalar(flux) = get(&simulated.object, "FLUX_R") else {
                panic!("scalar expected");
            };
            let plane = &image.flux[SIZE * SIZE..2 * SIZE * SIZE];
            let sum: f32 = plane.iter().sum();
            // A sum over the stamp carries the sky noise of 9216 pixels.
            assert!(
                (sum - flux).abs() < 0.08 * flux + 4.5,
                "{index}: {sum} {flux}"
            );
            compared += 1;
        }
        assert!(compared > 10, "{compared}");
    }

    #[test]
    fn the_target_is_in_the_middle_of_map_and_catalogue() {
        let simulated = Sky::new(5).with_coverage(Coverage::LEGACY).galaxy(11);
        let Measurement::ScalarField(map) = get(&simulated.object, "segmentation_map") else {
            panic!("map expected");
        };
        assert!(map.field[CENTRE as usize * SIZE + CENTRE as usize] > 0.0);
        assert!(map.field.iter().all(|v| (0.0..=1.0).contains(v)));
        let Measurement::Catalog(sources) = get(&simulated.object, "catalog") else {
            panic!("catalogue expected");
        };
        assert!((sources[0].x - 48).abs() <= 1 && (sources[0].y - 48).abs() <= 1);
    }
}
