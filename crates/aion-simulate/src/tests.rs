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

#[test]
fn the_break_of_old_galaxies_reddens_with_redshift() {
    let sky = Sky::new(21)
        .with_coverage(Coverage::LEGACY)
        .with_images(false);
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for index in 0..500 {
        let galaxy = sky.galaxy(index);
        let truth = &galaxy.truth;
        if truth.log_sfr.unwrap() - truth.log_mass.unwrap() > -11.0 {
            continue;
        }
        let flux = |codec| scalar(&galaxy.object, codec, Survey::LegacySurvey);
        let colour = 2.5 * (flux("FLUX_R") / flux("FLUX_G")).log10();
        match truth.redshift {
            z if z < 0.12 => near.push(colour),
            z if (0.33..0.5).contains(&z) => far.push(colour),
            _ => {}
        }
    }
    let median = |colours: &mut Vec<f32>| {
        colours.sort_by(f32::total_cmp);
        colours[colours.len() / 2]
    };
    let (near, far) = (median(&mut near), median(&mut far));
    // Red-sequence galaxies: g - r of 0.95 nearby and 1.65 where the break has left g.
    assert!((0.8..1.2).contains(&near), "{near}");
    assert!((1.45..1.85).contains(&far), "{far}");
}

#[test]
fn parallax_and_flux_give_the_sun_s_brightness() {
    let sky = Sky::new(22).with_coverage(Coverage::GAIA);
    let mut found = 0;
    let mut pulls = Vec::new();
    for index in 0..600 {
        let star = sky.star(index);
        let truth = &star.truth;
        let g = 25.801 - 2.5 * scalar(&star.object, "phot_g_mean_flux", Survey::Gaia).log10();
        let parallax = f64::from(scalar(&star.object, "parallax", Survey::Gaia));
        let error = 0.02 * (1.0 + 10f64.powf(0.4 * (f64::from(g) - 14.5))).sqrt();
        pulls.push((parallax - truth.parallax) / error);
        let like_the_sun = (5500.0..6050.0).contains(&truth.teff.unwrap())
            && (4.2..4.65).contains(&truth.logg.unwrap());
        if like_the_sun {
            let absolute = f64::from(g) + 5.0 * truth.parallax.log10() - 10.0;
            // The Sun has 4.8 in G (AB); dust and evolution move stars by some tenths.
            assert!((3.9..5.5).contains(&absolute), "{index}: {absolute}");
            found += 1;
        }
    }
    let spread = pulls.iter().map(|pull| pull * pull).sum::<f64>() / pulls.len() as f64;
    assert!(found > 10, "{found}");
    assert!((0.8..1.25).contains(&spread), "{spread}");
}

#[test]
fn noise_is_what_the_inverse_variance_says() {
    let sky = Sky::new(23).with_coverage(Coverage::LEGACY | Coverage::HSC | Coverage::DESI);
    let mut pixels = Vec::new();
    let mut points = Vec::new();
    for index in 0..8 {
        let object = sky.star(index).object;
        for survey in [Survey::LegacySurvey, Survey::Hsc] {
            let id = ModalityId::of_kind(aion_data::Kind::Image, survey).unwrap();
            let Some(Measurement::Image(image)) = object.get(id) else {
                panic!("image expected");
            };
            let ivar = image.ivar.as_ref().unwrap();
            // Differences of neighbours, where sources are flat.
            let pull = |i: usize| {
                let variance = 1.0 / ivar[i] + 1.0 / ivar[i + 1];
                (image.flux[i + 1] - image.flux[i]) / variance.sqrt()
            };
            pixels.extend((0..image.flux.len() - 1).step_by(2).map(pull));
        }
        let found = spectrum(&object, Survey::Desi);
        let good = |i: &usize| found.ivar[*i] > 0.0 && found.ivar[i + 1] > 0.0;
        let pull = |i: usize| {
            let variance = 1.0 / found.ivar[i] + 1.0 / found.ivar[i + 1];
            (found.flux[i + 1] - found.flux[i]) / variance.sqrt()
        };
        points.extend((0..7780).filter(good).map(pull));
    }
    for mut pulls in [pixels, points] {
        pulls.sort_by(f32::total_cmp);
        let at = |share: f64| pulls[(share * pulls.len() as f64) as usize];
        let sigma = 0.5 * (at(0.8413) - at(0.1587));
        assert!((0.93..1.1).contains(&sigma), "{sigma}");
    }
}

#[test]
fn truth_is_complete_for_its_class() {
    let sky = Sky::new(24).with_coverage(Coverage::NONE);
    for index in 0..40 {
        let galaxy = sky.galaxy(index).truth;
        let star = sky.star(index).truth;
        let quasar = sky.quasar(index).truth;
        for truth in [&galaxy, &star, &quasar] {
            assert!(truth.redshift.is_finite() && truth.magnitude_r.is_finite());
            assert!(truth.ebv >= 0.0);
        }
        let of_galaxies = |truth: &Truth| {
            [
                truth.log_mass,
                truth.log_sfr,
                truth.age,
                truth.attenuation,
                truth.sersic_index,
                truth.axis_ratio,
                truth.position_angle,
            ]
        };
        assert!(of_galaxies(&galaxy).iter().all(|v| v.unwrap().is_finite()));
        assert!(galaxy.metallicity.is_some() && galaxy.half_light_radius > 0.0);
        assert!(of_galaxies(&star).iter().all(Option::is_none));
        assert!(star.teff.is_some() && star.logg.is_some() && star.metallicity.is_some());
        assert!(star.parallax > 0.0 && galaxy.parallax == 0.0 && quasar.parallax == 0.0);
        assert!(quasar.teff.is_none() && quasar.redshift > 0.2);
    }
}

#[test]
fn without_images_and_spectra_the_numbers_stay() {
    let full = Sky::new(25).with_everything();
    let bare = full.clone().with_images(false).with_spectra(false);
    for index in 0..4 {
        let (full, bare) = (full.object(index), bare.object(index));
        assert_eq!(full.truth, bare.truth);
        let left_out = full.object.measurements.len() - bare.object.measurements.len();
        assert_eq!(left_out, 5, "two images, a map and two spectra");
        for (id, value) in &bare.object.measurements {
            assert_eq!(full.object.get(*id), Some(value), "{id}");
        }
    }
}

#[test]
fn a_limit_takes_surveys_away() {
    let all = Sky::new(26);
    let limited = all.clone().limited_to(Coverage::GAIA);
    for index in 0..30 {
        let (all, limited) = (all.object(index).object, limited.object(index).object);
        let gaia = |id: &ModalityId| id.info().survey == Survey::Gaia;
        assert!(limited.measurements.keys().all(gaia));
        let expected = all.measurements.keys().filter(|id| gaia(id)).count();
        assert_eq!(limited.measurements.len(), expected);
    }
}
