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
    let [arm, plate, early] = native_spectra();
    vec![
        ("arm", arm),
        ("plate", plate),
        ("early", early),
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

/// One arm of DESI with a FIBERMAP, an SDSS plate, and a spectrum of an early SDSS release.
fn native_spectra() -> [Vec<u8>; 3] {
    let named = |name: &str| [("EXTNAME", text(name))];
    let wavelengths = (0..20).map(|pixel| 4000.0 + 0.8 * pixel as f32).collect();
    let arm = Fits::new()
        .empty(&[])
        .named_table("FIBERMAP", vec![column("TARGETID", vec![1i64, 2, 1])])
        .image(&named("B_WAVELENGTH"), &[20], wavelengths)
        .image(&named("B_FLUX"), &[3, 20], vec![1.0; 60])
        .image(&named("B_IVAR"), &[3, 20], vec![1.0; 60]);
    let grid = [("COEFF0", 3.6.into()), ("COEFF1", 1e-4.into())];
    let plate = (0..3).fold(
        Fits::new().image(&grid, &[2, 20], vec![1.0; 40]),
        |fits, _| fits.image(&[], &[2, 20], vec![1.0; 40]),
    );
    let plate = plate.image(&[], &[2, 20], vec![0.0; 40]);
    let plate = plate.table(vec![column("FIBERID", vec![1i32, 2])]);
    let early = Fits::new().image(&grid, &[4, 20], vec![1.0; 80]);
    [arm.bytes(), plate.bytes(), early.bytes()]
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
        which in 0usize..10,
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
