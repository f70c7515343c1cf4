//! A seeded simulated sky: galaxies, stars and quasars with known properties, seen by the surveys.
//!
//! Simple but physical: stars are Planck functions with absorption features, galaxies sums of stars
//! with dust and gas, all at their distances; cameras and spectrographs have seeing, resolution and
//! noise like the surveys'. One true spectrum stands behind everything measured of an object, so
//! that colours, redshift and shape can be learnt across modalities. Nothing here is real: objects
//! say so (`simulated`, ids that begin with `sim-`).

mod atmosphere;
mod camera;
mod cosmology;
mod coverage;
mod described;
mod draws;
mod emission;
mod features;
mod gaia;
mod galaxy;
mod hsc;
mod legacy;
mod morphology;
mod passband;
mod population;
mod quasar;
mod region;
mod scene;
mod sed;
mod sighting;
mod spectrograph;
mod star;
mod survey_files;
mod target;
mod truth;

pub use coverage::Coverage;
pub use region::Region;
pub use survey_files::{Settings, SurveyFiles};
pub use truth::{Class, Truth};

use draws::{Draws, Purpose};
use scene::Scene;
use target::Target;

use aion_data::modality::{ModalityId, Survey};
use aion_data::observation::{Measurement, Object};
use aion_data::survey::sdss;

/// Shares of galaxies and of stars among all objects; the rest are quasars.
const SHARES: (f64, f64) = (0.62, 0.33);

/// A simulated sky; two with the same settings are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Sky {
    seed: u64,
    coverage: Option<Coverage>,
    limit: Coverage,
    images: bool,
    spectra: bool,
    with_position: bool,
    described: Vec<ModalityId>,
}

/// An object of the simulated sky.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// What the surveys measured.
    pub object: Object,
    /// What they tried to measure.
    pub truth: Truth,
}

impl Sky {
    /// The sky of a seed, where survey footprints and depths decide who measures what.
    pub fn new(seed: u64) -> Self {
        Sky {
            seed,
            coverage: None,
            limit: Coverage::ALL,
            images: true,
            spectra: true,
            with_position: false,
            described: Vec::new(),
        }
    }

    /// The same sky with every object measured by just these surveys.
    pub fn with_coverage(self, coverage: Coverage) -> Self {
        Sky {
            coverage: Some(coverage),
            ..self
        }
    }

    /// The same sky with every object measured by every survey, even where a real one would not.
    pub fn with_everything(self) -> Self {
        self.with_coverage(Coverage::ALL)
    }

    /// The same sky seen by no other surveys than these.
    pub fn limited_to(self, limit: Coverage) -> Self {
        Sky { limit, ..self }
    }

    /// The same sky with images and segmentation maps or, much faster, without; all numbers are the
    /// same.
    pub fn with_images(self, images: bool) -> Self {
        Sky { images, ..self }
    }

    /// The same sky with spectra or without; redshifts stay.
    pub fn with_spectra(self, spectra: bool) -> Self {
        Sky { spectra, ..self }
    }

    /// The same sky with positions among Gaia's measurements, not only beside them.
    pub fn with_position(self, with_position: bool) -> Self {
        Sky {
            with_position,
            ..self
        }
    }

    /// The same sky with an image of every object by each of these surveys, whose descriptions say how
    /// they see; those without optics take none. Everything else stays as it is.
    pub fn with_described(self, surveys: Vec<ModalityId>) -> Self {
        Sky {
            described: surveys,
            ..self
        }
    }

    /// Object `index` of the mixed sky; any index, in any order.
    pub fn object(&self, index: u64) -> Simulated {
        let share = Draws::new(self.seed, index, Purpose::Class).uniform(0.0, 1.0);
        if share < SHARES.0 {
            self.galaxy(index)
        } else if share < SHARES.0 + SHARES.1 {
            self.star(index)
        } else {
            self.quasar(index)
        }
    }

    /// Galaxy `index`: the same as [`Sky::object`] where that is a galaxy.
    pub fn galaxy(&self, index: u64) -> Simulated {
        self.measure(galaxy::draw(self.seed, index), index)
    }

    /// Star `index`: the same as [`Sky::object`] where that is a star.
    pub fn star(&self, index: u64) -> Simulated {
        self.measure(star::draw(self.seed, index), index)
    }

    /// Quasar `index`: the same as [`Sky::object`] where that is a quasar.
    pub fn quasar(&self, index: u64) -> Simulated {
        self.measure(quasar::draw(self.seed, index), index)
    }

    /// Points the surveys at a target.
    fn measure(&self, target: Target, index: u64) -> Simulated {
        let seed = self.seed;
        let mut draws = Draws::new(seed, index, Purpose::Coverage);
        let class = target.truth.class;
        let id = format!("sim-{}-{seed}-{index:08}", class.name().to_lowercase());
        let mut object = Object {
            ra: Some(draws.uniform(0.0, 360.0)),
            dec: Some(draws.uniform(-1.0, 1.0).asin().to_degrees()),
            simulated: true,
            ..Object::named(id)
        };
        let natural = Coverage::draw(&target.truth, &mut draws);
        let coverage = self.coverage.unwrap_or(natural).and(self.limit);
        let described: &[ModalityId] = if self.images { &self.described } else { &[] };
        if !described.is_empty() || coverage.intersects(Coverage::LEGACY | Coverage::HSC) {
            let scene = Scene::around(&target, seed, index);
            for id in described {
                let survey = aion_data::described::description(*id);
                let seen = (&target, &scene);
                let image = survey.and_then(|s| described::expose(s, seen, (seed, index)));
                let image = image.map(|image| (*id, Measurement::Image(image)));
                object.measurements.extend(image);
            }
            if coverage.intersects(Coverage::LEGACY) {
                let found = legacy::measure(&target, &scene, seed, index, self.images);
                record(&mut object, Survey::LegacySurvey, found);
            }
            if coverage.intersects(Coverage::HSC) {
                let found = hsc::measure(&target, &scene, seed, index, self.images);
                record(&mut object, Survey::Hsc, found);
            }
        }
        if self.spectra && coverage.intersects(Coverage::SDSS) {
            let spectrum = spectrograph::sdss(&target, seed, index);
            record(&mut object, Survey::Sdss, vec![("spectrum", spectrum)]);
        }
        if self.spectra && coverage.intersects(Coverage::DESI) {
            let spectrum = spectrograph::desi(&target, seed, index);
            record(&mut object, Survey::Desi, vec![("spectrum", spectrum)]);
        }
        if coverage.intersects(Coverage::SDSS | Coverage::DESI) {
            classify(&mut object, &target.truth, &mut draws);
        }
        if coverage.intersects(Coverage::GAIA) {
            record(
                &mut object,
                Survey::Gaia,
                gaia::measure(&target, seed, index),
            );
            self.record_position(&mut object);
        }
        Simulated {
            object,
            truth: target.truth,
        }
    }

    fn record_position(&self, object: &mut Object) {
        if let (true, Some(ra), Some(dec)) = (self.with_position, object.ra, object.dec) {
            let position = vec![
                ("ra", Measurement::Scalar(ra as f32)),
                ("dec", Measurement::Scalar(dec as f32)),
            ];
            record(object, Survey::Gaia, position);
        }
    }
}

/// Puts a survey's measurements where the table of modalities wants them.
fn record(object: &mut Object, survey: Survey, found: Vec<(&'static str, Measurement)>) {
    let known = found
        .into_iter()
        .filter_map(|(codec, value)| Some((ModalityId::from_codec(codec, survey)?, value)));
    object.measurements.extend(known);
}

/// What a spectroscopic pipeline makes of a spectrum: redshift and class.
fn classify(object: &mut Object, truth: &Truth, draws: &mut Draws) {
    let error = match truth.class {
        Class::Galaxy => 5e-5 * (1.0 + truth.redshift),
        Class::Star => 2e-5,
        Class::Quasar => 8e-4 * (1.0 + truth.redshift),
    };
    let redshift = draws.normal(truth.redshift, error) as f32;
    record(
        object,
        Survey::Any,
        vec![("Z", Measurement::Scalar(redshift))],
    );
    let class = truth.class.name().to_owned();
    object.flags.insert(sdss::CLASS.to_owned(), class);
    object
        .flags
        .insert(sdss::REDSHIFT_WARNING.to_owned(), "0".to_owned());
}

#[cfg(test)]
mod tests;
