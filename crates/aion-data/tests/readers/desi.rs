//! DESI spectra: files written by astropy (`fixtures/surveys/make_spectra.py`), the real samples,
//! and what must be refused.

use std::fs;
use std::path::Path;

use aion_data::reader::{ReadOptions, num_objects, without_repeats};
use aion_data::{Object, Survey};
use serde_json::Value;

use crate::fixtures::{
    Fits, Folder, Npy, column, error, error_with, expect_error, gzipped, inflated, le_bytes, made,
    objects, objects_with, results, scalar, spectrum, text, with_card, words, write_npz,
};
use crate::samples::samples;

const COADD: &str = "coadd-sv3-dark-100.fits.gz";
const REDROCK: &str = "redrock-sv3-dark-100.fits";
const EXPOSURES: &str = "spectra-sv3-dark-200.fits.gz";
const DEAD: &str = "-2713437";

/// The good objects of a file, and the ids and messages of the bad.
fn sorted(path: &Path) -> (Vec<Object>, Vec<String>) {
    let (good, bad): (Vec<_>, Vec<_>) = results(path, &ReadOptions::default())
        .into_iter()
        .partition(Result::is_ok);
    let bad = bad.into_iter().filter_map(Result::err);
    (
        good.into_iter().filter_map(Result::ok).collect(),
        bad.map(|error| error.to_string()).collect(),
    )
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 2e-6 * expected.abs().max(1e-3)
}

/// Compares a co-added spectrum with what numpy made of it.
fn expect_numpy(object: &Object) {
    let expected = fs::read_to_string(made("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let expected = &expected[&object.id];
    let spectrum = spectrum(object, "tok_spectrum_desi");
    assert_eq!(spectrum.flux.len(), 7781);
    assert_eq!(spectrum.wavelength[0], 3600.0);
    assert_eq!(spectrum.wavelength[7780], 9824.0);
    let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(
        close(sum(&spectrum.flux), number(&expected["flux_sum"])),
        "{}",
        object.id
    );
    assert!(
        close(sum(&spectrum.ivar), number(&expected["ivar_sum"])),
        "{}",
        object.id
    );
    let masked = spectrum.mask.iter().filter(|&&bad| bad).count();
    assert_eq!(
        masked as u64,
        expected["masked"].as_u64().unwrap(),
        "{}",
        object.id
    );
    for (pixel, values) in expected["pixels"].as_object().unwrap() {
        let pixel: usize = pixel.parse().unwrap();
        let found = (spectrum.flux[pixel], spectrum.ivar[pixel]);
        let expected = (number(&values[0]) as f32, number(&values[1]) as f32);
        assert_eq!(found, expected, "{} at {pixel}", object.id);
    }
}

#[test]
fn cameras_are_coadded_as_numpy_does() {
    let (good, bad) = sorted(&made(COADD));
    let ids: Vec<&str> = good.iter().map(|object| object.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "39627776344457978",
            "39627776344457979",
            "39633345008634465",
            "7"
        ]
    );
    good.iter().for_each(expect_numpy);
    assert_eq!(bad.len(), 1);
    assert!(
        bad[0].contains(DEAD) && bad[0].contains("nowhere positive"),
        "{}",
        bad[0]
    );
    assert_eq!(good[0].ra, Some(150.0));
    assert_eq!(good[3].dec, Some(-2.0));
}

#[test]
fn masked_pixels_have_no_flux() {
    let object = &objects_good(COADD)[0];
    let spectrum = spectrum(object, "tok_spectrum_desi");
    for pixel in 995..1005 {
        assert!(spectrum.mask[pixel]);
        assert_eq!((spectrum.flux[pixel], spectrum.ivar[pixel]), (0.0, 0.0));
    }
    assert!(!spectrum.mask[994] && !spectrum.mask[2702]);
}

fn objects_good(name: &str) -> Vec<Object> {
    sorted(&made(name)).0
}

#[test]
fn photometry_belongs_to_targets_that_have_some() {
    let good = objects_good(COADD);
    let target = &good[0];
    assert_eq!(scalar(target, "tok_flux_g"), Some(12.5));
    assert_eq!(
        scalar(target, "tok_flux_w1"),
        Some(0.0),
        "observed, and zero"
    );
    assert_eq!(scalar(target, "tok_shape_r"), Some(1.5));
    assert_eq!(scalar(target, "tok_ebv"), Some(0.02));
    let keys =
        |object: &Object| -> Vec<&str> { object.measurements.keys().map(|id| id.key()).collect() };
    assert_eq!(good[1].flags["OBJTYPE"], "SKY");
    assert_eq!(keys(&good[1]), ["tok_spectrum_desi"]);
    assert_eq!(scalar(&good[2], "tok_shape_r"), Some(0.0), "a point source");
    assert_eq!(scalar(&good[2], "tok_flux_w1"), None, "not observed");
    assert_eq!(good[2].flags["MASKBITS"], "2");
    assert_eq!(good[2].flags["COADD_FIBERSTATUS"], (1 << 23).to_string());
    assert_eq!(
        scalar(&good[3], "tok_shape_r"),
        None,
        "no photometry at all"
    );
    assert_eq!(scalar(&good[3], "tok_ebv"), Some(0.05));
}

#[test]
fn redshifts_are_joined_by_target() {
    let good = objects_good(COADD);
    assert_eq!(scalar(&good[0], "tok_z"), Some(0.125));
    assert_eq!(good[0].flags["SPECTYPE"], "GALAXY");
    assert_eq!(good[0].flags["DELTACHI2"], "5000");
    assert_eq!(scalar(&good[1], "tok_z"), None, "sky");
    assert_eq!(good[1].flags["Z"], "0.25");
    assert_eq!(scalar(&good[2], "tok_z"), None, "warned of");
    assert_eq!(good[2].flags["ZWARN"], "4");
    assert_eq!(good[1].flags["SUBTYPE"], "M");
    assert!(!good[2].flags.contains_key("SUBTYPE"), "blank");
}

#[test]
fn exposures_of_a_target_are_one_object() {
    let (good, bad) = sorted(&made(EXPOSURES));
    assert!(bad.is_empty(), "{bad:?}");
    let ids: Vec<&str> = good.iter().map(|object| object.id.as_str()).collect();
    assert_eq!(ids, ["201", "202", "203"]);
    good.iter().for_each(expect_numpy);
    assert_eq!(good[0].flags["exposures"], "3");
    assert!(!good[1].flags.contains_key("exposures"));
    assert_eq!(good[2].ra, Some(13.0));
    assert_eq!(
        num_objects(&made(EXPOSURES)),
        None,
        "it would have to be inflated"
    );
    let folder = Folder::new();
    let plain = folder.write("spectra-a.fits", inflated(EXPOSURES));
    assert_eq!(num_objects(&plain), Some(3));
    let options = ReadOptions {
        rows: Some(1..9),
        ..ReadOptions::default()
    };
    assert_eq!(objects_with(&plain, &options), good[1..]);
}

#[test]
fn merged_arms_are_read() {
    let [object] = &objects(&made("coadd-merged.fits.gz"))[..] else {
        panic!("one object");
    };
    expect_numpy(object);
}

/// A folder with a DESI file under a name, and its redshifts.
fn with_redrock(name: &str, redrock: &[u8]) -> (Folder, std::path::PathBuf) {
    let folder = Folder::new();
    let path = folder.write(name, fs::read(made(COADD)).unwrap());
    folder.write("redrock-x.fits", redrock);
    (folder, path)
}

#[test]
fn redshifts_of_other_targets_are_refused() {
    let redshifts = |ids: Vec<i64>| {
        let count = ids.len();
        Fits::new()
            .empty(&[])
            .table(vec![
                column("TARGETID", ids),
                column("Z", vec![0.5f64; count]),
                column("ZWARN", vec![0i64; count]),
            ])
            .bytes()
    };
    let (folder, path) = with_redrock("coadd-x.fits.gz", &redshifts(vec![1, 2, 3, 4, 5]));
    let message = aion_data::reader::read(&path, &ReadOptions::default())
        .err()
        .map(|error| error.to_string())
        .unwrap();
    for part in [
        "redrock-x.fits",
        "TARGETID",
        "39627776344457978",
        "other spectra",
    ] {
        assert!(message.contains(part), "{message}");
    }
    folder.write("redrock-x.fits", redshifts(vec![7, 7]));
    let error = |path: &Path| aion_data::reader::read(path, &ReadOptions::default()).err();
    let message = error(&path).unwrap().to_string();
    assert!(message.contains("more than one redshift"), "{message}");
    folder.write("redrock-x.fits", &redshifts(vec![7])[..4000]);
    let message = error(&path).unwrap().to_string();
    assert!(message.contains("redrock-x.fits"), "{message}");
    folder.write(
        "redrock-x.fits",
        Fits::new()
            .empty(&[])
            .table(vec![column("TARGETID", vec![7i64])])
            .bytes(),
    );
    let message = error(&path).unwrap().to_string();
    assert!(message.contains("TARGETID, Z, ZWARN"), "{message}");
}

#[test]
fn redshifts_and_exposures_beside_a_coadd_are_not_objects_again() {
    let redrock = fs::read(made(REDROCK)).unwrap();
    let (folder, coadd) = with_redrock("coadd-x.fits.gz", &redrock);
    let spectra = folder.write("spectra-x.fits.gz", fs::read(made(EXPOSURES)).unwrap());
    let redrock = folder.path("redrock-x.fits");
    let all = vec![redrock.clone(), coadd.clone(), spectra.clone()];
    assert_eq!(without_repeats(all), [coadd]);
    // Without the coadd, the exposures take its place; alone, the redshifts are a table.
    fs::remove_file(folder.path("coadd-x.fits.gz")).unwrap();
    assert_eq!(
        without_repeats(vec![redrock.clone(), spectra.clone()]),
        [spectra]
    );
    assert_eq!(
        without_repeats(vec![redrock.clone()]),
        vec![redrock.clone()]
    );
    assert_eq!(objects(&redrock).len(), 5);
}

#[test]
fn wrong_units_grids_and_shapes_are_refused_by_hdu() {
    let folder = Folder::new();
    let write = |name: &str, bytes: Vec<u8>| folder.write(name, gzipped(&bytes));
    let flux = "BUNIT   = '10**-17 erg";
    let magnitudes = write(
        "a.fits.gz",
        with_card(inflated(EXPOSURES), flux, "BUNIT   = 'mag'"),
    );
    expect_error(
        &magnitudes,
        &["B_FLUX", "BUNIT", "the unit is `mag`", "flux density"],
    );
    let ivar = with_card(inflated(EXPOSURES), "BUNIT   = '10**+34", "BUNIT   = 'erg'");
    expect_error(&write("b.fits.gz", ivar), &["B_IVAR", "BUNIT", "`erg`"]);
    let short = with_card(
        inflated(EXPOSURES),
        "NAXIS2  =                    5",
        "NAXIS2  = 4",
    );
    let message = error(&write("c.fits.gz", short)).to_string();
    assert!(message.contains("c.fits.gz"), "{message}");
    let unnamed = with_card(
        inflated(EXPOSURES),
        "EXTNAME = 'R_IVAR",
        "EXTNAME = 'R_NOISE '",
    );
    expect_error(&write("d.fits.gz", unnamed), &["missing HDU R_IVAR"]);
    let air = with_card(inflated(EXPOSURES), "AIRORVAC=", "AIRORVAC= 'air'");
    let air = write("e.fits.gz", air);
    expect_error(&air, &["B_WAVELENGTH", "AIRORVAC", "--air-to-vacuum"]);
    let options = ReadOptions {
        air_wavelengths: true,
        ..ReadOptions::default()
    };
    let object = objects_with(&air, &options).remove(0);
    let shifted = spectrum(&object, "tok_spectrum_desi").wavelength[3704];
    assert!((shifted - 6565.01).abs() < 0.01, "{shifted}");
}

#[test]
fn other_scales_are_converted() {
    let folder = Folder::new();
    let flux = "BUNIT   = '10**-17 erg";
    let bytes = with_card(inflated(EXPOSURES), flux, "BUNIT   = '1e-16 erg/s/cm2/A'");
    let bytes = with_card(bytes, "BUNIT   = '10**+34", "COMMENT without a unit");
    let converted = objects(&folder.write("a.fits.gz", gzipped(&bytes))).remove(1);
    let plain = objects(&made(EXPOSURES)).remove(1);
    let (found, plain) = (
        spectrum(&converted, "tok_spectrum_desi"),
        spectrum(&plain, "tok_spectrum_desi"),
    );
    for pixel in [0, 2725, 7780] {
        assert!((found.flux[pixel] / plain.flux[pixel] - 10.0).abs() < 1e-5);
        assert!((found.ivar[pixel] * 100.0 / plain.ivar[pixel] - 1.0).abs() < 1e-5);
    }
}

/// A file with one arm, from a grid and a fibermap.
fn one_arm(wavelengths: Vec<f32>, rows: usize, fibermap: Option<Vec<i64>>) -> Vec<u8> {
    let pixels = wavelengths.len();
    let named = |name: &str| [("EXTNAME", text(name))];
    let mut file = Fits::new().empty(&[]);
    if let Some(ids) = fibermap {
        let kinds = vec!["TGT"; ids.len()];
        file = file.named_table(
            "FIBERMAP",
            vec![column("TARGETID", ids), words("OBJTYPE", &kinds)],
        );
    }
    file.image(&named("B_WAVELENGTH"), &[pixels], wavelengths)
        .image(&named("B_FLUX"), &[rows, pixels], vec![1.0; rows * pixels])
        .image(&named("B_IVAR"), &[rows, pixels], vec![1.0; rows * pixels])
        .bytes()
}

fn grid(start: f32, step: f32) -> Vec<f32> {
    (0..50).map(|pixel| start + step * pixel as f32).collect()
}

#[test]
fn an_absent_arm_leaves_its_pixels_masked() {
    let folder = Folder::new();
    let path = folder.write("a.fits", one_arm(grid(4000.0, 0.8), 2, None));
    let found = objects(&path);
    let ids: Vec<&str> = found.iter().map(|object| object.id.as_str()).collect();
    assert_eq!(ids, ["1", "2"], "rows where there is no FIBERMAP");
    let spectrum = spectrum(&found[1], "tok_spectrum_desi");
    assert_eq!(spectrum.mask.iter().filter(|&&bad| !bad).count(), 50);
    assert_eq!((spectrum.flux[499], spectrum.flux[500]), (0.0, 1.0));
}

#[test]
fn fibermaps_and_grids_must_fit() {
    let folder = Folder::new();
    let other_length = one_arm(grid(4000.0, 0.8), 2, Some(vec![1, 2, 3]));
    expect_error(
        &folder.write("a.fits", other_length),
        &["FIBERMAP", "3 rows", "2 spectra"],
    );
    for (name, wavelengths) in [
        ("coarse", grid(4000.0, 1.0)),
        ("shifted", grid(4000.4, 0.8)),
        ("nanometre", grid(400.0, 0.08)),
        ("beyond", grid(9820.0, 0.8)),
        ("nan", vec![f32::NAN; 50]),
    ] {
        let path = folder.write(name, one_arm(wavelengths, 1, None));
        expect_error(&path, &["B_WAVELENGTH", "DESI's grid"]);
    }
    let named = |name: &str| [("EXTNAME", text(name))];
    let narrow = Fits::new()
        .empty(&[])
        .image(&named("B_WAVELENGTH"), &[50], grid(4000.0, 0.8))
        .image(&named("B_FLUX"), &[1, 49], vec![1.0; 49])
        .image(&named("B_IVAR"), &[1, 49], vec![1.0; 49]);
    expect_error(
        &folder.write("narrow.fits", narrow.bytes()),
        &["B_FLUX", "[1, 50]"],
    );
}

#[test]
fn identifiers_are_never_real_numbers() {
    let folder = Folder::new();
    let named = |name: &str| [("EXTNAME", text(name))];
    let file = Fits::new()
        .empty(&[])
        .named_table("FIBERMAP", vec![column("TARGETID", vec![3.9627776e16f64])])
        .image(&named("B_WAVELENGTH"), &[50], grid(4000.0, 0.8))
        .image(&named("B_FLUX"), &[1, 50], vec![1.0; 50])
        .image(&named("B_IVAR"), &[1, 50], vec![1.0; 50]);
    expect_error(
        &folder.write("a.fits", file.bytes()),
        &["FIBERMAP", "TARGETID", "whole number"],
    );
}

#[test]
fn truncated_files_are_refused() {
    let folder = Folder::new();
    let bytes = inflated(EXPOSURES);
    for cut in [0.2, 0.5, 0.9, 0.999] {
        let end = (bytes.len() as f64 * cut) as usize;
        let path = folder.write("a.fits", &bytes[..end]);
        error(&path);
    }
    let zipped = fs::read(made(EXPOSURES)).unwrap();
    error(&folder.write("b.fits.gz", &zipped[..zipped.len() / 2]));
}

#[test]
fn merged_arrays_are_a_spectrum_of_desi_only_on_its_grid() {
    let folder = Folder::new();
    let arrays = |wavelengths: Vec<f32>| {
        let values = |name, values: Vec<f32>| Npy {
            name,
            descr: "'<f4'",
            fortran: false,
            shape: "(50,)",
            bytes: le_bytes(&values),
        };
        [
            values("flux", vec![2.0; 50]),
            values("ivar", vec![1.0; 50]),
            values("wavelength", wavelengths),
        ]
    };
    let path = folder.path("a.npz");
    write_npz(&path, &arrays(grid(4000.0, 0.8)));
    assert_eq!(objects(&path)[0].id, "a");
    write_npz(&path, &arrays(grid(4000.0, 1.2)));
    expect_error(&path, &["wavelength", "not DESI's grid", "--survey"]);
    let options = ReadOptions {
        survey: Some(Survey::Sdss),
        ..ReadOptions::default()
    };
    let object = objects_with(&path, &options).remove(0);
    assert_eq!(spectrum(&object, "tok_spectrum_sdss").flux.len(), 50);
    let gaia = ReadOptions {
        survey: Some(Survey::Gaia),
        ..ReadOptions::default()
    };
    let message = error_with(&path, &gaia).to_string();
    assert!(message.contains("has no spectra"), "{message}");
}

/// What `fixtures/surveys/coadd_desi.py` prints for the real files: number of masked pixels, sums
/// of flux and inverse variance.
const REAL: [(&str, &str, usize, f64, f64); 12] = [
    (
        "coadd-1-80693-thru20210204",
        "39633559463397282",
        0,
        4144.49,
        465802.0,
    ),
    (
        "coadd-1-80693-thru20210204",
        "39633559467591522",
        0,
        21699.4,
        343376.0,
    ),
    (
        "coadd-1-80693-thru20210204",
        "39633559463398815",
        0,
        5701.11,
        519848.0,
    ),
    (
        "coadd-1-80693-thru20210204",
        "39633559467592484",
        0,
        1417.54,
        608608.0,
    ),
    (
        "coadd-1-80693-thru20210204",
        "39633560340006508",
        0,
        1619.25,
        591327.0,
    ),
    (
        "coadd-4-80613-thru20210324",
        "39633345008634465",
        0,
        8558.48,
        344388.0,
    ),
    (
        "coadd-sv3-dark-26065",
        "39627866878511337",
        35,
        1745.22,
        132627.0,
    ),
    (
        "coadd-sv3-dark-26065",
        "39627866878514741",
        0,
        1957.48,
        131422.0,
    ),
    (
        "coadd-sv3-dark-9144",
        "39632936152072660",
        0,
        2707.29,
        105756.0,
    ),
    (
        "coadd-sv3-dark-9144",
        "39632936152073654",
        23,
        4719.96,
        92093.4,
    ),
    ("quasarnp_coadd_25", "1", 1, -300.436, 698906.0),
    ("quasarnp_coadd_25", "25", 0, 691.734, 754470.0),
];

#[test]
fn real_spectra_equal_numpy() {
    let Some(folder) = samples("desi") else {
        return;
    };
    for (file, id, masked, flux, ivar) in REAL {
        let (good, _) = sorted(&folder.join(format!("{file}.fits")));
        let object = good.iter().find(|object| object.id == id).unwrap();
        let spectrum = spectrum(object, "tok_spectrum_desi");
        let bad = spectrum.mask.iter().filter(|&&bad| bad).count();
        assert_eq!(bad, masked, "{id}");
        let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
        assert!((sum(&spectrum.flux) / flux - 1.0).abs() < 1e-5, "{id}");
        assert!((sum(&spectrum.ivar) / ivar - 1.0).abs() < 1e-5, "{id}");
    }
}

#[test]
fn every_real_file_is_read() {
    let Some(folder) = samples("desi") else {
        return;
    };
    let counts = |name: &str| {
        let (good, bad) = sorted(&folder.join(name));
        assert!(
            bad.iter().all(|reason| reason.contains("nowhere positive")),
            "{bad:?}"
        );
        (good.len(), bad.len())
    };
    assert_eq!(counts("coadd-1-80693-thru20210204.fits"), (5, 0));
    assert_eq!(counts("coadd-4-80613-thru20210324.fits"), (1, 0));
    assert_eq!(counts("coadd-sv3-dark-26065.fits"), (2, 3));
    assert_eq!(counts("coadd-sv3-dark-9144.fits"), (2, 0));
    assert_eq!(counts("quasarnp_coadd_25.fits"), (24, 1));
    let npz = objects(&folder.join("desi_sv3_39627776344457978_z0.204.npz"));
    assert_eq!(npz[0].id, "39627776344457978");
    assert_eq!(npz[0].flags["z_true"], "0.20356396");
    assert_eq!(
        spectrum(&npz[0], "tok_spectrum_desi").flux[1],
        -0.421_859_32
    );
    assert_eq!(
        objects(&folder.join("redrock-4-80613-thru20210324.fits")).len(),
        1
    );

    let galaxy = objects(&folder.join("coadd-4-80613-thru20210324.fits")).remove(0);
    assert_eq!(scalar(&galaxy, "tok_z"), Some(0.368_743_55));
    assert_eq!(galaxy.flags["SPECTYPE"], "GALAXY");
    assert_eq!(scalar(&galaxy, "tok_flux_r"), Some(5.947_273));
    assert_eq!(scalar(&galaxy, "tok_shape_r"), Some(0.387_784_15));
    assert_eq!(galaxy.ra, Some(105.489_774_524_989_02));
}
