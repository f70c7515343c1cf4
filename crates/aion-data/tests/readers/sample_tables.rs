//! The real tables of Gaia and of the catalogues: each is read, or refused with its reason.

use aion_data::Object;
use aion_data::reader::{ReadOptions, read};

use crate::samples::{files, samples};

/// File, good objects, refused objects, and the modalities of that with the most.
type Outcome<'a> = (&'a str, usize, usize, &'a [&'a str]);

const XP: &[&str] = &["tok_xp_bp", "tok_xp_rp"];
const GRZ: &[&str] = &["tok_flux_g", "tok_flux_r", "tok_flux_z"];
const TRACTOR_DR8: &[&str] = &[
    "tok_ebv",
    "tok_flux_g",
    "tok_flux_r",
    "tok_flux_z",
    "tok_flux_w1",
    "tok_flux_w2",
    "tok_flux_w3",
    "tok_flux_w4",
];

const GAIA: [Outcome<'_>; 4] = [
    ("XP_CONTINUOUS_RAW.csv", 2, 0, XP),
    ("XP_CONTINUOUS_RAW_with_missing_BP.csv", 3, 0, XP),
    ("gaia_dr3_xp_coefficients.npz", 2338, 0, XP),
    (
        "gdr3_sm.fits",
        1000,
        0,
        &[
            "tok_flux_g_gaia",
            "tok_flux_bp_gaia",
            "tok_flux_rp_gaia",
            "tok_parallax",
        ],
    ),
];

const CATALOGUES: [Outcome<'_>; 10] = [
    (
        "hsc_s16a_massive_galaxies.fits",
        1950,
        0,
        &[
            "tok_mag_g",
            "tok_mag_r",
            "tok_mag_i",
            "tok_mag_z",
            "tok_mag_y",
            "tok_z",
        ],
    ),
    // The refused ones have neither of the three bands: all fluxes 0 with NOBS 0.
    ("ls_dr8_north_galaxies.fits", 4020, 294, GRZ),
    ("ls_dr8_south_galaxies.fits", 5218, 408, GRZ),
    ("ls_sweep-310m005-320p000.fits", 6, 0, TRACTOR_DR8),
    ("ls_sweep-320m005-330p000.fits", 6, 0, TRACTOR_DR8),
    (
        "ls_tractor-1054p567.fits",
        1,
        0,
        &[
            "tok_ebv",
            "tok_flux_g",
            "tok_flux_r",
            "tok_flux_z",
            "tok_flux_w1",
            "tok_flux_w2",
            "tok_flux_w3",
            "tok_flux_w4",
            "tok_shape_r",
            "tok_shape_e1",
            "tok_shape_e2",
        ],
    ),
    ("ls_tractor-3301m002.fits", 6, 0, TRACTOR_DR8),
    ("ls_tractor-3301m007.fits", 6, 0, TRACTOR_DR8),
    ("ls_tractor-3303p000.fits", 6, 0, TRACTOR_DR8),
    ("sdss_ugriz_class_redshift.csv", 41_695, 0, &["tok_z"]),
];

/// Holds every file of a folder against what is expected of it.
fn expect(folder: &str, expected: &[Outcome<'_>]) {
    let Some(folder) = samples(folder) else {
        return;
    };
    let mut seen = 0;
    for path in files(&folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let objects = match read(&path, &ReadOptions::default()) {
            Ok(objects) => objects,
            Err(error) => {
                assert_eq!(name, "MANIFEST.csv", "{error}");
                assert!(
                    error.to_string().contains("no recognised column"),
                    "{error}"
                );
                continue;
            }
        };
        let (good, bad): (Vec<_>, Vec<_>) = objects.partition(Result::is_ok);
        let good: Vec<Object> = good.into_iter().map(Result::unwrap).collect();
        let keys = good.iter().map(|object| object.measurements.keys());
        let keys: Vec<&str> = keys
            .max_by_key(ExactSizeIterator::len)
            .unwrap()
            .map(|id| id.key())
            .collect();
        let found: Outcome<'_> = (name, good.len(), bad.len(), &keys);
        assert!(expected.contains(&found), "{found:?}");
        for error in bad {
            let error = error.unwrap_err();
            assert!(error.place.object.is_some(), "{error}");
            assert!(
                error
                    .to_string()
                    .contains("every recognised field is empty"),
                "{error}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, expected.len());
}

#[test]
fn every_gaia_file_is_read() {
    expect("gaia", &GAIA);
}

#[test]
fn every_catalogue_is_read() {
    expect("catalogs", &CATALOGUES);
}
