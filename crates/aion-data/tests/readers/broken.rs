//! Files that cannot be read: one test an error.

use aion_data::Problem;
use aion_data::reader::{ReadOptions, read};

use crate::fixtures::{
    Fits, Folder, Npy, Spec, column, error, expect_error, gzipped, planes, text, write_npz,
};

#[test]
fn a_missing_file_is_an_io_error() {
    let folder = Folder::new();
    assert!(matches!(
        error(&folder.path("none.fits")).problem,
        Problem::Io(_)
    ));
}

#[test]
fn an_empty_file_holds_no_objects() {
    let folder = Folder::new();
    assert!(matches!(
        error(&folder.write("a.fits", "")).problem,
        Problem::Empty
    ));
}

#[test]
fn tables_without_rows_hold_no_objects() {
    let folder = Folder::new();
    let empty = error(&folder.write("a.csv", "object_id,FLUX_G\n"));
    assert!(matches!(empty.problem, Problem::Empty), "{empty}");
    let columns = vec![column("FLUX_G", Vec::<f32>::new())];
    let empty = error(&folder.write("a.fits", Fits::new().table(columns).bytes()));
    assert!(matches!(empty.problem, Problem::Empty), "{empty}");
}

#[test]
fn unknown_content_is_named() {
    let folder = Folder::new();
    let unrecognised = |name: &str, bytes: &[u8], part: &str| {
        let path = folder.write(name, bytes);
        assert!(matches!(error(&path).problem, Problem::Unrecognised(_)));
        expect_error(&path, &[part]);
    };
    unrecognised("a.bin", &[1, 2, 0, 3, 4, 250, 7, 9, 11], "expected FITS");
    unrecognised("a.jpg", &[0xff, 0xd8, 0xff, 0xe0, 0, 1], "picture");
    unrecognised(
        "a.npy",
        b"\x93NUMPY\x01\x00v\0{'descr'",
        "single NumPy array",
    );
    unrecognised(
        "a.fits",
        &Fits::new().empty(&[]).bytes(),
        "no image and no binary table",
    );
    unrecognised(
        "prose.txt",
        b"It was a dark and stormy night.\n",
        "no recognised column",
    );
}

#[test]
fn desi_arms_without_wavelengths_are_refused() {
    let folder = Folder::new();
    let file = Fits::new()
        .empty(&[])
        .image(&[("EXTNAME", text("B_FLUX"))], &[2, 9], vec![1.0; 18]);
    expect_error(
        &folder.write("a.fits", file.bytes()),
        &["missing HDU B_WAVELENGTH"],
    );
}

/// Cuts the file at every block and in between.
fn truncated(bytes: &[u8], name: &str) {
    let folder = Folder::new();
    let last_byte = std::iter::once(bytes.len() - 1);
    for length in (1..bytes.len()).step_by(720).chain(last_byte) {
        let path = folder.write(name, &bytes[..length]);
        let error = error(&path);
        let told = matches!(
            error.problem,
            Problem::Container { .. } | Problem::Missing(_) | Problem::Unrecognised(_)
        );
        assert!(told, "{length} of {}: {error}", bytes.len());
    }
}

#[test]
fn truncated_fits_is_an_error_wherever_it_is_cut() {
    truncated(&Spec::good().bytes(), "spec.fits");
    let file = Fits::new().image(&[("BANDS", text("g"))], &[96, 96], planes(1, 96));
    truncated(&file.bytes(), "image.fits");
    let columns = vec![column("FLUX_G", vec![1.0f32; 3000])];
    truncated(&Fits::new().table(columns).bytes(), "table.fits");
}

#[test]
fn a_cut_inside_a_later_header_is_an_error() {
    let folder = Folder::new();
    let bytes = Spec::good().bytes();
    let second = bytes
        .windows(8)
        .rposition(|window| window == b"XTENSION")
        .unwrap();
    let path = folder.write("a.fits", &bytes[..second + 800]);
    expect_error(&path, &["truncated inside a header"]);
}

#[test]
fn truncated_gzip_is_an_error() {
    let folder = Folder::new();
    let bytes = gzipped(&Spec::good().bytes());
    let path = folder.write("a.fits.gz", &bytes[..bytes.len() / 2]);
    assert!(matches!(
        error(&path).problem,
        Problem::Io(_) | Problem::Container { .. }
    ));
    let table = "redshift\n".to_owned() + &"0.123456\n".repeat(40_000);
    let bytes = gzipped(table.as_bytes());
    let path = folder.write("a.csv.gz", &bytes[..bytes.len() / 2]);
    let objects = read(&path, &ReadOptions::default()).unwrap();
    let errors = objects.filter(Result::is_err).count();
    assert_eq!(errors, 1, "the rows up to the cut, then one error");
}

#[test]
fn truncated_archives_are_errors() {
    let folder = Folder::new();
    let path = folder.path("a.npz");
    let array = Npy {
        name: "EBV",
        descr: "'<f8'",
        fortran: false,
        shape: "(64,)",
        bytes: vec![1; 512],
    };
    write_npz(&path, &[array]);
    let bytes = std::fs::read(&path).unwrap();
    for length in 4..bytes.len() {
        let cut = folder.write("b.npz", &bytes[..length]);
        assert!(
            matches!(error(&cut).problem, Problem::Container { .. }),
            "{length}"
        );
    }
}

#[test]
fn damaged_parquet_is_an_error() {
    let folder = Folder::new();
    let path = folder.write("a.parquet", b"PAR1 and then nothing that is Parquet PAR1");
    assert!(matches!(error(&path).problem, Problem::Container { .. }));
    let path = folder.write("b.parquet", b"PAR1");
    assert!(matches!(error(&path).problem, Problem::Container { .. }));
}

#[test]
fn damaged_safetensors_is_an_error() {
    let folder = Folder::new();
    let path = folder.write("a.safetensors", b"\xff\0\0\0\0\0\0\0{\"cut\":");
    assert!(matches!(error(&path).problem, Problem::Container { .. }));
}
