//! A survey that a description adds: images through its passbands, of the same scene that the others see.

use aion_data::described::{Optics, SurveyDescription};
use aion_data::fnv::fnv1a;
use aion_data::observation::Image;

use super::camera::{Exposure, image};
use super::draws::{Draws, Purpose};
use super::passband::DECAM;
use super::scene::{Scene, SceneSource};
use super::target::Target;

/// What the survey's camera sees; `None` where a band's description has no optics.
pub(super) fn expose(
    survey: &SurveyDescription,
    (target, scene): (&Target, &Scene),
    (seed, index): (u64, u64),
) -> Option<Image> {
    let bands = survey
        .bands
        .iter()
        .map(|band| Some((band, band.optics.as_ref()?)));
    let bands: Vec<_> = bands.collect::<Option<_>>()?;
    let mut draws = Draws::new(seed ^ fnv1a(&survey.name), index, Purpose::Described);
    Some(image(bands.into_iter().map(|(band, optics)| {
        let exposure = Exposure {
            pixel: survey.pixel_scale,
            unit: 10f64.powf(0.4 * (band.zeropoint - 22.5)),
            electrons: optics.electrons,
            seeing: optics.seeing,
            depth: optics.depth,
            wavelength: centre(optics),
        };
        let fluxes = fluxes(optics, target, scene);
        (
            band.name.as_str(),
            exposure.take(scene, fluxes.into_iter(), &mut draws),
        )
    })))
}

/// The sources' fluxes, nanomaggies: the target's from its spectrum. Neighbours have colours and no
/// spectrum, so theirs lie between those in DECam's bands.
fn fluxes(optics: &Optics, target: &Target, scene: &Scene) -> Vec<f64> {
    let neighbours = scene.sources.iter().skip(1);
    let neighbours = neighbours.map(|source| between(source, centre(optics)));
    std::iter::once(target.sed.between(optics.edges))
        .chain(neighbours)
        .collect()
}

/// The middle of a passband, Angstrom.
fn centre(optics: &Optics) -> f64 {
    (optics.edges[0] * optics.edges[1]).sqrt()
}

/// A source's flux at a wavelength, by interpolation of magnitudes; the nearest band's outside.
fn between(source: &SceneSource, wavelength: f64) -> f64 {
    let known = DECAM.map(|band| (band.centre(), source.flux(band)));
    let [(first, blue), .., (_, red)] = known;
    let inside = known.windows(2).find_map(|pair| match pair {
        [(low, from), (high, to)] if (*low..*high).contains(&wavelength) => {
            let share = (wavelength / low).ln() / (high / low).ln();
            Some(from * (to / from).powf(share))
        }
        _ => None,
    });
    inside.unwrap_or(if wavelength < first { blue } else { red })
}
