//! Files that the reference's own scripts wrote, in `fixtures/` or the folder `AION_FIXTURES`.

use std::env;
use std::path::{Path, PathBuf};

use aion_data::tensor_files::{Grid, ObservationFile, TensorFile, read_grids};
use aion_data::token_files::read_tokens;

fn cases() -> Vec<PathBuf> {
    let fixtures = match env::var_os("AION_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"),
    };
    let entries = fixtures.join("cases").read_dir().unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn observations_are_read_whole() {
    let mut files = 0;
    for path in cases()
        .iter()
        .map(|case| case.join("observations.safetensors"))
    {
        if !path.exists() {
            continue;
        }
        let file = ObservationFile::open(&path).unwrap();
        for object in file.objects() {
            assert_eq!(
                object.unwrap().measurements.len(),
                file.modalities().count()
            );
        }
        files += 1;
    }
    assert!(files > 10, "{files} files of observations");
}

#[test]
fn tokens_are_read_whole() {
    for path in cases().iter().map(|case| case.join("tokens.safetensors")) {
        let rows = read_tokens(&path).unwrap();
        let tensors = TensorFile::open(&path).unwrap();
        for row in &rows {
            assert_eq!(
                row.tokens.len(),
                tensors.names().count(),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn grids_are_read() {
    for path in cases().iter().map(|case| case.join("like.safetensors")) {
        if path.exists() {
            let grids = read_grids(&path).unwrap();
            assert!(
                grids
                    .values()
                    .all(|grid| matches!(grid, Grid::Wavelengths(_)))
            );
        }
    }
}
