//! Real pairs among the samples. `AION_SAMPLES` names their folder; without it, and outside CI,
//! these tests are skipped.

use std::path::{Path, PathBuf};

use aion_data::crossmatch::{Input, Options, Report, crossmatch};
use aion_data::reader::{self, ReadOptions};
use aion_data::{Measurement, ModalityId, Object};

fn samples(folder: &str) -> Option<PathBuf> {
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

fn files(folder: &Path, start: &str) -> Vec<Input> {
    let entries = std::fs::read_dir(folder).expect("listed");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.retain(|path| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with(start)
    });
    paths.sort();
    let input = |path| Input {
        path,
        listed: false,
    };
    paths.into_iter().map(input).collect()
}

fn matched(left: &[Input], right: &[Input], radius: f64) -> (Report, Vec<Object>) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("pairs.parquet");
    let mut problem = Err;
    let report = crossmatch(left, right, &Options::within(radius), &output, &mut problem);
    let report = report.expect("matched");
    let objects = reader::read(&output, &ReadOptions::default()).expect("read");
    let objects = objects.map(|object| object.expect("an object")).collect();
    (report, objects)
}

fn key(name: &str) -> ModalityId {
    ModalityId::from_key(name).expect("a modality")
}

#[test]
fn a_galaxy_of_the_legacy_survey_finds_its_desi_spectrum() {
    let (Some(catalogs), Some(desi)) = (samples("catalogs"), samples("desi")) else {
        return;
    };
    let left = files(&catalogs, "ls_tractor-1054p567");
    let right = files(&desi, "coadd-4-80613");
    let (report, objects) = matched(&left, &right, 1.0);
    assert_eq!(report.pairs, 1);
    assert!(report.statistics.expect("statistics").max < 0.1);
    let galaxy = &objects[0];
    assert!(galaxy.scalar(key("tok_flux_r")).is_some());
    let redshift = galaxy
        .scalar(key("tok_z"))
        .expect("the redshift of the spectrum");
    assert!((redshift - 0.3687).abs() < 1e-3, "{redshift}");
    let Some(Measurement::Spectrum(spectrum)) = galaxy.get(key("tok_spectrum_desi")) else {
        panic!("no spectrum in {:?}", galaxy.measurements.keys());
    };
    let alone = reader::read(&right[0].path, &ReadOptions::default()).expect("read");
    let alone: Vec<Object> = alone.map(|object| object.expect("an object")).collect();
    let id = &galaxy.flags["right_object_id"];
    let same = alone
        .iter()
        .find(|object| object.id == *id)
        .expect("the same object");
    assert_eq!(
        same.get(key("tok_spectrum_desi")),
        Some(&Measurement::Spectrum(spectrum.clone()))
    );
}

#[test]
fn two_spectra_of_one_quasar_are_a_pair() {
    let Some(folder) = samples("sdss") else {
        return;
    };
    let left = files(&folder, "spec-1325-52762-0133");
    let (report, objects) = matched(&left, &files(&folder, "spec-7339-56783-"), 2.0);
    assert_eq!(report.pairs, 1);
    assert_eq!(objects[0].id, "1325-52762-0133");
    assert_eq!(objects[0].flags["right_object_id"], "7339-56783-0735");
    let twice = &objects[0].flags["measured_twice"];
    assert!(twice.contains("tok_spectrum_sdss"), "{twice}");
}

#[test]
fn every_spectrum_is_its_own_neighbour() {
    let Some(folder) = samples("sdss") else {
        return;
    };
    let all = files(&folder, "spec-1");
    let (report, objects) = matched(&all, &all, 0.1);
    assert_eq!(report.left.files, all.len());
    assert_eq!((report.left.without_position, report.left.bad), (0, 0));
    for object in &objects {
        assert_eq!(
            object.flags["left_object_id"],
            object.flags["right_object_id"]
        );
    }
    // A few objects were observed twice at exactly one position.
    assert!(objects.len() * 10 > all.len() * 9, "{}", objects.len());
}

#[test]
fn gaia_moves_among_the_samples() {
    let Some(folder) = samples("gaia") else {
        return;
    };
    let gaia = files(&folder, "gdr3_sm.fits");
    let (report, objects) = matched(&gaia, &gaia, 0.001);
    assert_eq!(report.left.rows, 1000);
    assert_eq!(
        (report.pairs, report.epoch),
        (report.left.usable, Some(2016.0))
    );
    assert_eq!(objects.len(), report.pairs);
}
