//! The services' own files, which others downloaded, served again: `AION_SAMPLES` names their folder;
//! without it, and outside CI, these tests are skipped.

use std::fs;
use std::path::PathBuf;

use aion_data::{Measurement, ModalityId, Survey};
use aion_fetch::{Status, Target};

use crate::answers;
use crate::server::Reply;
use crate::work::{Work, objects};

fn sample(file: &str) -> Option<Vec<u8>> {
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("AION_SAMPLES").map_or_else(|| bundled.into(), PathBuf::from);
    let path = root.join(file);
    if let Ok(bytes) = fs::read(&path) {
        return Some(bytes);
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "no sample {}", path.display());
    eprintln!("skipped: no sample {}", path.display());
    None
}

#[test]
fn a_spectrum_of_the_archive_server_is_taken() {
    let Some(spectrum) = sample("sdss/spec-10656-58163-0366.fits") else {
        return;
    };
    let work = Work::new(move |asked, _| match asked.path.as_str() {
        "/dr17/sql" => {
            let row = "10656,58163,366,v5_13_2,112.04723,40.351365\n";
            Reply::ok(answers::skyserver(row))
        }
        _ => Reply::ok(spectrum.clone()),
    });
    let target = Target::named("quasar", 112.04723, 40.351365).expect("a target");
    let outcome = work.one(Survey::Sdss, target);
    assert_eq!(outcome.status, Status::Fetched);
    assert_eq!(outcome.object.as_deref(), Some("10656-58163-0366"));
    let asked = work.server.asked();
    assert!(asked[1].path.ends_with("/10656/spec-10656-58163-0366.fits"));
}

#[test]
fn coefficients_of_data_link_are_taken() {
    const SOURCES: [u64; 2] = [5_853_498_713_190_525_696, 5_762_406_957_886_626_816];
    let Some(table) = sample("gaia/XP_CONTINUOUS_RAW.csv") else {
        return;
    };
    for source in SOURCES {
        let table = table.clone();
        let work = Work::new(move |asked, _| match asked.path.as_str() {
            "/tap/sync" => Reply::ok(answers::gaia_source(source, (10.0, 20.0), "true")),
            _ => Reply::ok(table.clone()),
        });
        let target = Target::identified(&source.to_string()).expect("a target");
        assert_eq!(work.one(Survey::Gaia, target).status, Status::Fetched);
        let object = objects(&work.path(&format!("gaia/{source}.csv"))).remove(0);
        assert_eq!(object.id, source.to_string());
        for key in ["tok_xp_bp", "tok_xp_rp"] {
            let id = ModalityId::from_key(key).expect("a modality");
            let Some(Measurement::Coefficients(values)) = object.get(id) else {
                panic!("no {key}");
            };
            assert_eq!(values.len(), 55);
        }
    }
}
