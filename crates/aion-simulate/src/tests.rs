//! Properties of the whole simulated sky.

use super::*;
use aion_data::modality::MODALITIES;

fn scalar(object: &Object, codec: &str, survey: Survey) -> f32 {
    let id = ModalityId::from_codec(codec, survey).unwrap();
    object.scalar(id).unwrap()
}

fn spectrum(object: &Object, survey: Survey) -> &aion_data::Spectrum {
    let id = ModalityId::from_codec("spectrum", survey).unwrap();
    match object.get(id) {
        Some(Measurement::Spectrum(spectrum)) => spectrum,
        other => panic!("spectrum expected, found {other:?}"),
    }
}

fn numbers(measurement: &Measurement) -> Vec<f32> {
    match measurement {
        Measurement::Image(image) => [image.flux.clone(), image.ivar.clone().unwrap()].concat(),
        Measurement::Spectrum(s) => [s.flux.clone(), s.ivar.clone(), s.wavelength.clone()].concat(),
        Measurement::Scalar(value) => vec![*value],
        Measurement::Coefficients(values) => values.clone(),
        Measurement::Catalog(sources) => sources
            .iter()
            .flat_map(|s| [s.x as f32, s.y as f32, s.shape_e1, s.shape_e2, s.shape_r])
            .collect(),
        Measurement::ScalarField(map) => map.field.clone(),
    }
}

#[test]
fn the_same_seed_and_index_give_the_same_object() {
    let sky = Sky::new(7);
    let first: Vec<Simulated> = (0..6).map(|index| sky.object(index)).collect();
    for index in (0..6).rev() {
        assert_eq!(Sky::new(7).object(index), first[index as usize]);
    }
    assert_ne!(Sky::new(8).galaxy(0).truth, Sky::new(7).galaxy(0).truth);
    assert_ne!(sky.galaxy(1).truth, sky.galaxy(0).truth);
}

#[test]
fn forced_coverage_changes_no_measurement() {
    let natural = Sky::new(7).galaxy(3);
    let full = Sky::new(7).with_everything().galaxy(3);
    assert_eq!(natural.truth, full.truth);
    for (id, value) in &natural.object.measurements {
        assert_eq!(full.object.get(*id), Some(value), "{id}");
    }
}

#[test]
fn everything_is_every_modality_and_finite() {
    let sky = Sky::new(1).with_everything().with_position(true);
    for index in 0..12 {
        for simulated in [sky.galaxy(index), sky.star(index), sky.quasar(index)] {
            let object = &simulated.object;
            assert_eq!(object.measurements.len(), MODALITIES.len());
            for (id, measurement) in &object.measurements {
                let finite = numbers(measurement).iter().all(|v| v.is_finite());
                assert!(finite, "{} {id}", object.id);
            }
        }
    }
}

#[test]
fn positions_are_measurements_only_on_request() {
    let simulated = Sky::new(1).with_everything().star(0);
    assert!(simulated.object.simulated && simulated.object.id.starts_with("sim-"));
    assert!(simulated.object.ra.is_some());
    assert!(
        simulated
            .object
            .measurements
            .keys()
            .all(|id| !id.info().is_position())
    );
}

#[test]
fn a_bright_galaxy_has_sane_units() {
    let sky = Sky::new(2).with_coverage(Coverage::LEGACY | Coverage::DESI);
    let galaxies = (0..400).map(|index| sky.galaxy(index)).filter(|galaxy| {
        (0.1..0.3).contains(&galaxy.truth.redshift)
            && (17.5..18.5).contains(&galaxy.truth.magnitude_r)
    });
    let mut checked = 0;
    for galaxy in galaxies {
        let id = ModalityId::from_codec("image", Survey::LegacySurvey).unwrap();
        let Some(Measurement::Image(image)) = galaxy.object.get(id) else {
            panic!("image expected");
        };
        let peak = image.flux.iter().copied().fold(0.0, f32::max);
        assert!((0.05..15.0).contains(&peak), "{} {peak}", galaxy.object.id);
        let flux = &spectrum(&galaxy.object, Survey::Desi).flux;
        let mean = flux[3000..5000].iter().sum::<f32>() / 2000.0;
        assert!((1.0..50.0).contains(&mean), "{} {mean}", galaxy.object.id);
        let r = 22.5 - 2.5 * scalar(&galaxy.object, "FLUX_R", Survey::LegacySurvey).log10();
        assert!((f64::from(r) - galaxy.truth.magnitude_r).abs() < 0.1);
        checked += 1;
    }
    assert!(checked > 3, "{checked}");
}

#[test]
fn h_alpha_is_where_the_redshift_puts_it() {
    let sky = Sky::new(4).with_coverage(Coverage::DESI);
    let mut checked = 0;
    for index in 0..200 {
        let galaxy = sky.galaxy(index);
        let truth = &galaxy.truth;
        let specific = truth.log_sfr.unwrap() - truth.log_mass.unwrap();
        if specific < -9.8 || truth.redshift > 0.3 || truth.magnitude_r > 19.5 {
            continue;
        }
        let found = spectrum(&galaxy.object, Survey::Desi);
        let expected = 6564.6 * (1.0 + truth.redshift);
        let first = ((expected - 3600.0) / 0.8).round() as usize - 40;
        let window = &found.flux[first..first + 80];
        let brightest = (0..80)
            .filter(|i| !found.mask[first + i])
            .max_by(|a, b| window[*a].total_cmp(&window[*b]))
            .unwrap();
        let wavelength = f64::from(found.wavelength[first + brightest]);
        assert!(
            (wavelength - expected).abs() < 5.0,
            "{index}: {wavelength} {expected}"
        );
        let z = f64::from(scalar(&galaxy.object, "Z", Survey::Any));
        assert!((z - truth.redshift).abs() < 1e-3);
        checked += 1;
    }
    assert!(checked > 5, "{checked}");
}

#[test]
fn signal_to_noise_falls_with_magnitude() {
    let sky = Sky::new(9).with_coverage(Coverage::SDSS);
    let mut stars: Vec<(f64, f32)> = (0..60)
        .map(|index| {
            let star = sky.star(index);
            let s = spectrum(&star.object, Survey::Sdss);
            let mut ratios: Vec<f32> = (1500..2500).map(|i| s.flux[i] * s.ivar[i].sqrt()).collect();
            ratios.sort_by(f32::total_cmp);
            (star.truth.magnitude_r, ratios[500])
        })
        .collect();
    stars.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mean = |part: &[(f64, f32)]| part.iter().map(|s| s.1).sum::<f32>() / part.len() as f32;
    assert!(mean(&stars[..20]) > 1.5 * mean(&stars[40..]));
}

#[test]
fn the_population_looks_like_the_surveys() {
    let sky = Sky::new(11).with_coverage(Coverage::NONE);
    let galaxies: Vec<Truth> = (0..400).map(|index| sky.galaxy(index).truth).collect();
    let mut redshifts: Vec<f64> = galaxies.iter().map(|t| t.redshift).collect();
    redshifts.sort_by(f64::total_cmp);
    assert!((0.2..0.4).contains(&redshifts[200]), "{}", redshifts[200]);
    assert!(galaxies.iter().all(|t| t.magnitude_r < 24.5));
    let classes: Vec<Class> = (0..400)
        .map(|index| sky.object(index).truth.class)
        .collect();
    let count = |class| classes.iter().filter(|c| **c == class).count();
    assert!(count(Class::Galaxy) > 200 && count(Class::Star) > 90 && count(Class::Quasar) > 5);
}

#[test]
fn spectra_of_stars_hold_the_flux_of_their_photometry() {
    let sky = Sky::new(6).with_coverage(Coverage::LEGACY | Coverage::DESI);
    for index in 0..20 {
        let star = sky.star(index);
        let found = spectrum(&star.object, Survey::Desi);
        let band = 2600..4450;
        let mean = band.clone().map(|i| f64::from(found.flux[i])).sum::<f64>() / band.len() as f64;
        let from_spectrum = sed::nanomaggies(mean, 6400.0);
        let photometry = f64::from(scalar(&star.object, "FLUX_R", Survey::LegacySurvey));
        let ratio = from_spectrum / photometry;
        assert!((0.85..1.15).contains(&ratio), "{index}: {ratio}");
    }
}
