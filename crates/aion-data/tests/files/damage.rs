//! No bytes make a reader panic, whatever it answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aion_data::tensor_files::{ObservationFile, read_grids, write_observations};
use aion_data::token_files::{read_tokens, write_tokens};
use aion_data::{Measurement, ModalityId, Object, Source, Spectrum, TokenRow};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sample::{modality, scratch};

fn read_everything(path: &Path) {
    if let Ok(file) = ObservationFile::open(path) {
        let _ = file.objects().count();
    }
    let _ = read_grids(path);
    let _ = read_tokens(path);
}

fn some_objects() -> Vec<Object> {
    let source = Source {
        x: 3,
        y: 4,
        shape_e1: 0.1,
        shape_e2: 0.2,
        shape_r: 1.0,
    };
    let spectrum = Spectrum {
        flux: vec![1.0; 9],
        ivar: vec![1.0; 9],
        wavelength: vec![4000.0; 9],
        mask: vec![false; 9],
    };
    let mut first = Object::named("12");
    first.ra = Some(10.0);
    first.flags.insert("CLASS".to_owned(), "GALAXY".to_owned());
    first.measurements = BTreeMap::from([
        (
            modality("tok_spectrum_sdss"),
            Measurement::Spectrum(spectrum),
        ),
        (modality("catalog"), Measurement::Catalog(vec![source; 3])),
        (
            modality("tok_xp_bp"),
            Measurement::Coefficients(vec![1.0; 55]),
        ),
    ]);
    let mut second = Object::named("13");
    second.simulated = true;
    second.measurements = BTreeMap::from([(modality("tok_z"), Measurement::Scalar(0.1))]);
    vec![first, second]
}

fn some_tokens() -> Vec<TokenRow> {
    let token = |id: ModalityId, row: usize| ((7 * row + id.index()) % id.info().vocabulary) as u16;
    (0..40)
        .map(|row| TokenRow {
            id: format!("object {row}"),
            ra: Some(row as f64),
            dec: Some(-(row as f64)),
            tokens: ["tok_z", "tok_segmap", "catalog"]
                .into_iter()
                .map(|key| {
                    (
                        modality(key),
                        vec![token(modality(key), row); modality(key).info().num_tokens()],
                    )
                })
                .collect(),
            flags: BTreeMap::from([("ZWARNING".to_owned(), "0".to_owned())]),
        })
        .collect()
}

/// Files that are good, as bytes.
fn good_files() -> Vec<(&'static str, Vec<u8>)> {
    let none = BTreeMap::new();
    let mut files = Vec::new();
    for name in [
        "objects.safetensors",
        "tokens.safetensors",
        "tokens.parquet",
    ] {
        let (_folder, path) = scratch(name);
        match name.starts_with("objects") {
            true => write_observations(&path, &some_objects(), &none).unwrap(),
            false => write_tokens(&path, &some_tokens(), &none).unwrap(),
        }
        files.push((name, fs::read(&path).unwrap()));
    }
    files
}

#[test]
fn files_cut_anywhere_are_refused() {
    for (name, bytes) in good_files() {
        let (_folder, path) = scratch(name);
        for len in (0..bytes.len()).step_by(bytes.len() / 97 + 1) {
            fs::write(&path, &bytes[..len]).unwrap();
            match name.starts_with("objects") {
                true => assert!(ObservationFile::open(&path).is_err(), "{name} cut at {len}"),
                false => assert!(read_tokens(&path).is_err(), "{name} cut at {len}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_never_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
        in_the_first in proptest::option::of(1usize..400),
    ) {
        for (name, mut bytes) in good_files() {
            let reach = in_the_first.unwrap_or(bytes.len()).min(bytes.len());
            for (index, byte) in &changes {
                bytes[index.index(reach)] = *byte;
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            let (_folder, path) = scratch(name);
            fs::write(&path, &bytes).unwrap();
            read_everything(&path);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        for name in ["any.safetensors", "any.parquet"] {
            let (_folder, path) = scratch(name);
            fs::write(&path, &bytes).unwrap();
            read_everything(&path);
        }
    }

    #[test]
    fn any_header_never_panics(
        shape in vec(prop_oneof![0u64..4, any::<u64>()], 0..5),
        start in prop_oneof![Just(0u64), any::<u64>()],
        end in prop_oneof![0u64..64, any::<u64>()],
        dtype in prop::sample::select(vec!["F32", "BOOL", "F4", "U64", "C64"]),
        name in prop::sample::select(vec!["tok_z/value", "tok_z", "object_id", "catalog/X", "tok_image/flux"]),
    ) {
        let header = format!(
            "{{\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}}}"
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; end.min(64) as usize]);
        let (_folder, path) = scratch("header.safetensors");
        fs::write(&path, &bytes).unwrap();
        read_everything(&path);
    }
}
