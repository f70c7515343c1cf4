//! The real samples: every file is read or refused with a reason, and values equal what astropy
//! and numpy give. `AION_SAMPLES` names their folder; without it, and outside CI, they are skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_data::reader::{ReadOptions, read, without_repeats};
use aion_data::{Object, Survey};

use crate::fixtures::{
    coefficients, error, image, objects, objects_with, results, scalar, spectrum,
};

pub fn samples(folder: &str) -> Option<PathBuf> {
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("AION_SAMPLES").map_or_else(|| bundled.into(), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "no samples at {}", path.display());
    eprintln!("skipped: no samples at {}", path.display());
    None
}

fn one(path: &Path) -> Object {
    let mut objects = objects(path);
    assert_eq!(objects.len(), 1, "{}", path.display());
    objects.remove(0)
}

fn close(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 2e-6 * expected.abs()
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_sdss_spectrum_agrees_with_the_manifest() {
    let Some(folder) = samples("sdss") else {
        return;
    };
    let mut manifest = csv::Reader::from_path(folder.join("MANIFEST.csv")).unwrap();
    let mut read = 0;
    for line in manifest.deserialize::<BTreeMap<String, String>>() {
        let line = line.unwrap();
        let number = |key: &str| line[key].parse::<f64>().unwrap();
        let object = one(&folder.join(&line["file"]));
        let name = line["file"]
            .trim_start_matches("spec-")
            .trim_end_matches(".fits");
        assert_eq!(object.id, name);
        assert!((object.ra.unwrap() - number("ra")).abs() < 1e-5, "{name}");
        assert!((object.dec.unwrap() - number("dec")).abs() < 1e-5, "{name}");
        let trusted = number("zwarning") == 0.0 && line["cls"] != "SKY";
        match scalar(&object, "tok_z") {
            Some(z) => assert!(
                trusted && (f64::from(z) - number("z")).abs() < 1e-5,
                "{name}"
            ),
            None => assert!(!trusted, "{name}"),
        }
        let spectrum = spectrum(&object, "tok_spectrum_sdss");
        assert_eq!(spectrum.flux.len(), number("npix") as usize, "{name}");
        let last = spectrum.wavelength[spectrum.wavelength.len() - 1];
        assert!(
            (f64::from(spectrum.wavelength[0]) - number("wmin")).abs() < 0.1,
            "{name}"
        );
        assert!((f64::from(last) - number("wmax")).abs() < 0.1, "{name}");
        read += 1;
    }
    assert_eq!(read, 169);
}

#[test]
fn a_boss_spectrum_equals_astropy() {
    let Some(folder) = samples("sdss") else {
        return;
    };
    let object = one(&folder.join("spec-3655-55240-0002.fits"));
    let spectrum = spectrum(&object, "tok_spectrum_sdss");
    assert_eq!(spectrum.flux[1000], 5.407_374);
    assert_eq!(spectrum.ivar[1000], 2.786_793_2);
    assert!(close(spectrum.wavelength[1000], 4_482.290_4));
    assert_eq!(spectrum.mask.iter().filter(|&&bad| bad).count(), 199);
}

#[test]
fn legacy_survey_cutouts_equal_astropy() {
    let Some(folder) = samples("legacysurvey") else {
        return;
    };
    let des = one(&folder.join("des_ra27.9520_dec0.2635_i.fits"));
    assert_eq!(des.id, "des_ra27.9520_dec0.2635");
    let griz = image(&des, "tok_image");
    assert_eq!(griz.bands, ["DES-G", "DES-R", "DES-I", "DES-Z"]);
    let pixel = 120 * 241 + 121;
    assert!(close(griz.flux[pixel], 0.578_969));
    assert!(close(griz.flux[2 * 241 * 241 + pixel], 1.786_904_4));
    assert!(close(griz.ivar.as_ref().unwrap()[pixel], 0.148_798_32e6));
    assert!((des.ra.unwrap() - 27.9520).abs() < 1e-4);

    let dr9 = one(&folder.join("ls_dr9_ra357.9087_dec-54.8817_grz_left160.fits"));
    let grz = image(&dr9, "tok_image");
    assert_eq!(grz.bands, ["DES-G", "DES-R", "DES-Z"]);
    assert_eq!(grz.flux[(256 + 100) * 160 + 80], 0.010_118_929);
    assert!((dr9.ra.unwrap() - 357.914_772_55).abs() < 1e-7);
    assert!((dr9.dec.unwrap() + 54.881_699_85).abs() < 1e-7);

    let dr10 = one(&folder.join("ls_dr10_ra62.0932_dec-53.4546_grz_left352.fits"));
    assert_eq!(
        image(&dr10, "tok_image").flux[(2 * 512 + 256) * 352 + 176],
        0.001_512_61
    );

    let invvar = one(&folder.join("ls_dr9south_ra59.1067_dec-30.4848_grz_invvar_left160.fits"));
    let grz = image(&invvar, "tok_image");
    let pixel = (256 + 128) * 160 + 80;
    assert_eq!(grz.flux[pixel], -0.001_882_184_1);
    assert_eq!(grz.ivar.as_ref().unwrap()[pixel], 181_614.78);
}

#[test]
fn other_legacy_survey_files_are_refused_with_a_reason() {
    let Some(folder) = samples("legacysurvey") else {
        return;
    };
    let (mut good, mut reasons) = (0, BTreeMap::<&str, usize>::new());
    for path in without_repeats(files(&folder)) {
        if read(&path, &ReadOptions::default()).is_ok() {
            good += 1;
            continue;
        }
        let message = error(&path).to_string();
        let known = [
            "a single exposure",
            "a brick",
            "no recognised column",
            "3 bands",
        ];
        let reason = known.into_iter().find(|reason| message.contains(reason));
        *reasons
            .entry(reason.unwrap_or_else(|| panic!("{message}")))
            .or_default() += 1;
    }
    assert_eq!(good, 4);
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        [
            ("3 bands", 1),
            ("a brick", 2),
            ("a single exposure", 18),
            ("no recognised column", 3)
        ]
    );
}

#[test]
fn hsc_images_equal_astropy() {
    let Some(folder) = samples("hsc") else { return };
    let object = one(&folder.join("hsc_lsbg.fits"));
    let grizy = image(&object, "tok_image_hsc");
    assert_eq!(grizy.bands.join(","), "HSC-G,HSC-R,HSC-I,HSC-Z,HSC-Y");
    assert_eq!(grizy.flux[(3 * 191 + 95) * 191 + 95], 2.166_906);
    assert!((object.ra.unwrap() - 31.897_073_74).abs() < 1e-7);

    let one_band = one(&folder.join("hsc_pymfit_galaxy1_I.fits"));
    let i = image(&one_band, "tok_image_hsc");
    assert_eq!(i.bands, ["HSC-I"]);
    assert!(close(i.flux[179 * 358 + 179], 109.035_47));
    assert!(close(i.ivar.as_ref().unwrap()[179 * 358 + 179], 73.213_5));

    let gri = one(&folder.join("hsc_tract8762_gri_left.fits"));
    assert_eq!(image(&gri, "tok_image_hsc").bands.len(), 3);

    let options = ReadOptions {
        survey: Some(Survey::Hsc),
        pad: true,
        ..ReadOptions::default()
    };
    let scene = objects_with(&folder.join("hsc_cosmos_weights.npz"), &options).remove(0);
    let scene = image(&scene, "tok_image_hsc");
    let (top, left) = ((96 - 69) / 2, (96 - 57) / 2);
    let pixel = (2 * 96 + top + 30) * 96 + left + 20;
    assert_eq!(scene.flux[pixel], 0.683_653_9);
    assert_eq!(scene.ivar.as_ref().unwrap()[pixel], 372.772_16);
}

#[test]
fn small_hsc_images_are_read_only_with_padding() {
    let Some(folder) = samples("hsc") else { return };
    let (mut small, mut padded) = (0, 0);
    for path in files(&folder) {
        let Ok(mut objects) = read(&path, &ReadOptions::default()) else {
            continue;
        };
        let Some(Err(error)) = objects.next() else {
            continue;
        };
        assert!(error.to_string().contains("at least 96 x 96"), "{error}");
        small += 1;
        let options = ReadOptions {
            pad: true,
            ..ReadOptions::default()
        };
        padded += objects_with(&path, &options).len();
    }
    assert_eq!((small, padded), (10, 10));
}

#[test]
fn gaia_tables_equal_numpy() {
    let Some(folder) = samples("gaia") else {
        return;
    };
    let stars = objects(&folder.join("gaia_dr3_xp_coefficients.npz"));
    assert_eq!(stars.len(), 2338);
    assert_eq!(stars[7].id, "2690647825256267264");
    let bp = coefficients(&stars[7], "tok_xp_bp");
    assert_eq!(bp[..3], [576.998_05, -298.716_7, 86.682_36]);
    let rp = coefficients(&stars[2337], "tok_xp_rp");
    assert_eq!(rp[53..], [0.039_889_05, 0.114_211_924]);

    let sources = objects(&folder.join("gdr3_sm.fits"));
    assert_eq!(sources.len(), 1000);
    assert_eq!(sources[3].id, "5971301282285218048");
    assert!(close(
        scalar(&sources[3], "tok_parallax").unwrap(),
        0.587_659_8
    ));
    assert!(close(
        scalar(&sources[3], "tok_flux_g_gaia").unwrap(),
        164.659_78
    ));
    let with_bp = sources
        .iter()
        .filter(|source| scalar(source, "tok_flux_bp_gaia").is_some());
    assert_eq!(with_bp.count(), 1000 - 77);

    assert_eq!(objects(&folder.join("XP_CONTINUOUS_RAW.csv")).len(), 2);
    let stars = objects(&folder.join("XP_CONTINUOUS_RAW_with_missing_BP.csv"));
    assert_eq!(stars[1].id, "5405570973190252288");
    assert_eq!(stars[1].measurements.len(), 1);
    assert_eq!(coefficients(&stars[1], "tok_xp_rp")[0], 38.180_183);
}

#[test]
fn catalogues_equal_astropy() {
    let Some(folder) = samples("catalogs") else {
        return;
    };
    let tractor = one(&folder.join("ls_tractor-1054p567.fits"));
    assert_eq!(tractor.id, "9011-607466-2657");
    assert_eq!(scalar(&tractor, "tok_flux_g"), Some(3.237_032_7));
    assert_eq!(scalar(&tractor, "tok_flux_w4"), Some(-339.649_6));
    assert_eq!(scalar(&tractor, "tok_shape_r"), Some(0.387_784_15));
    assert_eq!(scalar(&tractor, "tok_shape_e1"), Some(0.0));
    assert_eq!(
        scalar(&tractor, "tok_parallax"),
        None,
        "not Gaia's own column"
    );
    assert_eq!(tractor.ra, Some(105.489_774_524_989_02));

    for (name, bands) in [("north", [3883, 3883, 3753]), ("south", [5083, 5094, 5190])] {
        let path = folder.join(format!("ls_dr8_{name}_galaxies.fits"));
        let good: Vec<Object> = results(&path, &ReadOptions::default())
            .into_iter()
            .filter_map(Result::ok)
            .collect();
        let count = |key: &str| {
            good.iter()
                .filter(|object| scalar(object, key).is_some())
                .count()
        };
        assert_eq!(["tok_flux_g", "tok_flux_r", "tok_flux_z"].map(count), bands);
    }
    let hsc = objects(&folder.join("hsc_s16a_massive_galaxies.fits"));
    assert_eq!(hsc.len(), 1950);
    assert_eq!(hsc[9].id, "40977037430642506");
    assert_eq!(scalar(&hsc[9], "tok_mag_i"), Some(18.496_462));
    assert_eq!(scalar(&hsc[9], "tok_z"), Some(0.490_35));
    let sdss = objects(&folder.join("sdss_ugriz_class_redshift.csv"));
    assert_eq!(sdss.len(), 41_695);
    assert_eq!(sdss[0].measurements.len(), 1);
    assert_eq!(scalar(&sdss[0], "tok_z"), Some(0.539_301));
    for name in ["ls_sweep-310m005-320p000", "ls_tractor-3301m002"] {
        let objects = objects(&folder.join(format!("{name}.fits")));
        assert_eq!(objects.len(), 6);
        assert!(objects.iter().all(|object| object.measurements.len() == 8));
    }
}
