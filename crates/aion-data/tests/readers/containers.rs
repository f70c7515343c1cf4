//! The same simulated objects in every container (`fixtures/surveys/tables`, made by
//! `make_tables.py`): each gives the same, and each damaged copy an error.

use std::path::PathBuf;

use aion_data::reader::{ReadOptions, read};
use aion_data::{DataError, Object, Problem};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixtures::{Folder, coefficients, objects, results, scalar};

fn table(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/surveys/tables");
    PathBuf::from(folder).join(name)
}

fn truth(key: &str) -> Vec<Option<f64>> {
    let text = std::fs::read_to_string(table("truth.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&text).unwrap();
    let values = truth[key].as_array().unwrap();
    values.iter().map(serde_json::Value::as_f64).collect()
}

fn numbers(key: &str) -> Vec<f32> {
    let values = truth(key).into_iter().flatten();
    values.map(|value| value as f32).collect()
}

const VOTABLES: [&str; 3] = ["tabledata.vot", "binary.vot", "binary2.vot"];

#[test]
fn scalars_are_the_same_in_every_container() {
    let reference = objects(&table("scalars.csv"));
    assert_eq!(reference.len(), 6);
    assert_eq!(reference[1].id, "39627000000000002");
    for (object, (flux, ra)) in reference
        .iter()
        .zip(numbers("flux_g").iter().zip(truth("ra")))
    {
        assert_eq!(scalar(object, "tok_flux_g"), Some(*flux));
        assert_eq!(object.ra, ra);
    }
    let absent = |row: usize, key: &str| scalar(&reference[row], key).is_none();
    assert!(absent(1, "tok_flux_r"), "masked");
    assert!(absent(3, "tok_flux_z"), "NaN");
    assert!(absent(2, "tok_z"), "masked");
    assert_eq!(reference[1].flags["ZWARN"], "4");
    assert_eq!(reference[3].flags["MASKBITS"], "8192");
    assert_eq!(reference[2].flags["TYPE"], "SER");
    assert!(!reference[2].flags.contains_key("ZWARN"), "masked");
    let others = ["tsv", "ecsv", "fits", "parquet"].map(|end| format!("scalars.{end}"));
    let others = others
        .into_iter()
        .chain(VOTABLES.map(|end| format!("scalars_{end}")));
    let spellings = ["scalars_comma.ecsv", "scalars_astropy.parquet"].map(str::to_owned);
    for other in others.chain(spellings) {
        assert_eq!(objects(&table(&other)), reference, "{other}");
    }
}

#[test]
fn units_in_the_metadata_of_parquet_fields_are_used() {
    let reference = objects(&table("scalars.csv"));
    for (object, expected) in objects(&table("scalars_ujy.parquet"))
        .iter()
        .zip(&reference)
    {
        for key in ["tok_flux_g", "tok_flux_r", "tok_flux_z", "tok_flux_w1"] {
            match scalar(object, key).zip(scalar(expected, key)) {
                Some((found, expected)) => assert!((found / expected - 1.0).abs() < 1e-6, "{key}"),
                None => assert_eq!(scalar(object, key), scalar(expected, key), "{key}"),
            }
        }
    }
}

#[test]
fn gaia_sources_are_the_same_in_every_container() {
    let reference = objects(&table("source.csv"));
    assert_eq!(reference[0].id, "4295806720");
    let parallax: Vec<Option<f32>> = reference
        .iter()
        .map(|source| scalar(source, "tok_parallax"))
        .collect();
    let expected = truth("parallax").into_iter();
    assert_eq!(
        parallax,
        expected
            .map(|value| value.map(|v| v as f32))
            .collect::<Vec<_>>()
    );
    assert!(scalar(&reference[2], "tok_flux_bp_gaia").is_none(), "null");
    assert!(scalar(&reference[2], "tok_flux_g_gaia").is_some());
    assert_eq!(reference[1].flags["duplicated_source"], "true");
    let others = ["source.fits", "source.ecsv", "source_bulk.csv.gz"].map(str::to_owned);
    for other in others
        .into_iter()
        .chain(VOTABLES.map(|end| format!("source_{end}")))
    {
        assert_eq!(objects(&table(&other)), reference, "{other}");
    }
}

/// The stars of a table of coefficients, of which the last has neither band.
fn stars(name: &str) -> Vec<Object> {
    let mut stars = results(&table(name), &ReadOptions::default());
    let last = stars.pop().unwrap().unwrap_err();
    assert_eq!(
        last.place.object.as_deref(),
        Some("5853498713190525699"),
        "{last}"
    );
    assert!(matches!(last.problem, Problem::Missing(_)), "{last}");
    stars.into_iter().map(Result::unwrap).collect()
}

#[test]
fn coefficients_are_the_same_in_every_container() {
    let reference = stars("xp.csv");
    assert_eq!(reference.len(), 3);
    assert_eq!(
        reference[0].id, "5853498713190525696",
        "more digits than a double holds"
    );
    assert_eq!(coefficients(&reference[0], "tok_xp_bp"), numbers("bp"));
    assert_eq!(coefficients(&reference[1], "tok_xp_rp"), numbers("rp"));
    assert_eq!(reference[1].measurements.len(), 1, "no BP");
    let others = ["xp.ecsv", "xp.fits", "xp_bulk.csv.gz"].map(str::to_owned);
    for other in others
        .into_iter()
        .chain(VOTABLES.map(|end| format!("xp_{end}")))
    {
        assert_eq!(stars(&other), reference, "{other}");
    }
}

/// Every text and XML file here, and every one gzipped.
const DAMAGED: [&str; 12] = [
    "scalars.csv",
    "scalars.ecsv",
    "scalars_tabledata.vot",
    "scalars_binary.vot",
    "scalars_binary2.vot",
    "xp.csv",
    "xp.ecsv",
    "xp_tabledata.vot",
    "xp_binary.vot",
    "xp_binary2.vot",
    "xp_bulk.csv.gz",
    "source_bulk.csv.gz",
];

/// What reading gives: the objects and errors, which end.
fn outcome(bytes: Vec<u8>) -> Result<Vec<Result<Object, DataError>>, DataError> {
    let folder = Folder::new();
    let path = folder.write("damaged", bytes);
    let objects: Vec<_> = read(&path, &ReadOptions::default())?.take(1000).collect();
    assert!(objects.len() < 1000, "reading does not end");
    let errors = objects.iter().filter_map(|object| object.as_ref().err());
    for error in errors {
        assert!(!error.to_string().contains("the reader failed"), "{error}");
    }
    Ok(objects)
}

#[test]
fn a_truncated_votable_or_gzip_is_an_error_wherever_it_is_cut() {
    for name in DAMAGED
        .iter()
        .filter(|name| !name.contains("csv") || name.contains("gz"))
    {
        let bytes = std::fs::read(table(name)).unwrap();
        let end = match name.ends_with("gz") {
            true => bytes.len(),
            // Behind the RESOURCE nothing is missed.
            false => {
                bytes
                    .windows(11)
                    .position(|part| part == b"</RESOURCE>")
                    .unwrap()
                    + 11
            }
        };
        for cut in (0..end).step_by(1 + end / 60) {
            let failed = match outcome(bytes[..cut].to_vec()) {
                Err(_) => true,
                Ok(objects) => objects.last().is_some_and(Result::is_err),
            };
            assert!(failed, "{name} cut at {cut} of {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_ends_in_objects_or_errors(
        which in 0usize..12,
        spots in vec((0.0f64..1.0, any::<u8>(), any::<bool>()), 1..10),
        keep in prop_oneof![3 => Just(1.0), 1 => 0.0f64..1.0],
    ) {
        let mut bytes = std::fs::read(table(DAMAGED[which])).unwrap();
        for (at, value, inserted) in spots {
            let at = (at * bytes.len() as f64) as usize;
            match inserted {
                true => bytes.insert(at, b"<>&;\"'#,\n/"[usize::from(value) % 10]),
                false => bytes[at] = value,
            }
        }
        bytes.truncate((keep * bytes.len() as f64) as usize);
        let _ = outcome(bytes);
    }
}
