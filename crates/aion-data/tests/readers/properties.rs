//! Readers never panic, whatever the bytes.

use std::path::Path;

use aion_data::reader::{ReadOptions, read};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixtures::{
    Fits, Folder, Npy, Spec, column, gzipped, le_bytes, planes, text, write_npz,
};

/// Reads everything; a panic of ours or of a parser in pure safe Rust would show as this reason.
fn survives(path: &Path) {
    for pad in [false, true] {
        let options = ReadOptions {
            pad,
            with_position: pad,
            any_pixel_scale: pad,
            air_wavelengths: true,
            ..ReadOptions::default()
        };
        let messages: Vec<String> = match read(path, &options) {
            Err(error) => vec![error.to_string()],
            Ok(objects) => objects
                .take(10_000)
                .filter_map(|object| Some(object.err()?.to_string()))
                .collect(),
        };
        for message in messages {
            assert!(!message.contains("the reader failed"), "{message}");
        }
    }
}

/// One valid file of each kind.
fn valid_files() -> Vec<(&'static str, Vec<u8>)> {
    let folder = Folder::new();
    let npz = folder.path("a.npz");
    let array = Npy {
        name: "bp_coefficients",
        descr: "'<f4'",
        fortran: true,
        shape: "(2, 55)",
        bytes: le_bytes(&[1.0; 110]),
    };
    write_npz(&npz, &[array]);
    let spec = Spec::good().bytes();
    let cards = [("BANDS", text("g")), ("CTYPE1", text("RA---TAN"))];
    let table = vec![
        column("FLUX_G", vec![1.0f32; 5]),
        column("TARGETID", vec![1i64; 5]),
    ];
    let csv = "source_id,bp_coefficients,FLUX_G\n1,\"(1, 2)\",3\n2,\"[]\",x\n";
    vec![
        ("gz", gzipped(csv.as_bytes())),
        ("csv", csv.into()),
        ("npz", std::fs::read(&npz).unwrap()),
        (
            "image",
            Fits::new().image(&cards, &[96, 96], planes(1, 96)).bytes(),
        ),
        ("table", Fits::new().table(table).bytes()),
        ("spec.gz", gzipped(&spec)),
        ("spec", spec),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(start in 0usize..8, rest in vec(any::<u8>(), 0..400)) {
        let starts: [&[u8]; 8] = [
            b"",
            b"SIMPLE  =                    T",
            b"PK\x03\x04",
            b"\x1f\x8b\x08\0",
            b"\x20\0\0\0\0\0\0\0{",
            b"# %ECSV\n# - {name: a, unit: \nFLUX_G\n",
            b"FLUX_G,object_id,bp_coefficients\n",
            b"EBV\n",
        ];
        let folder = Folder::new();
        let bytes: Vec<u8> = starts[start].iter().copied().chain(rest).collect();
        survives(&folder.write("x", bytes));
    }

    #[test]
    fn no_damage_panics(
        which in 0usize..7,
        spots in vec((0.0f64..1.0, any::<u8>()), 1..12),
        keep in prop_oneof![3 => Just(1.0), 1 => 0.0f64..1.0],
    ) {
        let (name, mut bytes) = valid_files().swap_remove(which);
        let length = bytes.len();
        for (at, value) in spots {
            // Half of the damage goes where headers are.
            let span = if value % 2 == 0 { length } else { length.min(2880) };
            bytes[(at * span as f64) as usize] = value;
        }
        bytes.truncate((keep * length as f64) as usize);
        let folder = Folder::new();
        survives(&folder.write(name, bytes));
    }
}
