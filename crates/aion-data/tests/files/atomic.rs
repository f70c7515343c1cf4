//! Outputs are whole or absent.

use std::fs;
use std::io::Write;
use std::path::Path;

use aion_data::atomic::write_atomically;
use aion_data::{DataError, Place, Problem};

use crate::sample::{files_in, scratch};

#[test]
fn success_leaves_the_file_alone_in_its_folder() {
    let (folder, path) = scratch("out.bin");
    fs::write(&path, "old").unwrap();
    let write = |file: &mut fs::File| {
        file.write_all(b"new").unwrap();
        Ok(())
    };
    write_atomically(&path, write).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(files_in(folder.path()), ["out.bin"]);
}

#[test]
fn failure_leaves_nothing_new_and_the_old_file_as_it_was() {
    let (folder, path) = scratch("out.bin");
    let fail = |file: &mut fs::File| {
        file.write_all(b"half").unwrap();
        Err(DataError::new(Place::default(), Problem::Empty))
    };
    let error = write_atomically(&path, fail).unwrap_err();
    assert_eq!(error.place.path.as_deref(), Some(path.as_path()));
    assert!(files_in(folder.path()).is_empty());
    fs::write(&path, "old").unwrap();
    write_atomically(&path, fail).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(files_in(folder.path()), ["out.bin"]);
}

#[test]
fn a_panic_leaves_nothing() {
    let (folder, path) = scratch("out.bin");
    let panicked = std::panic::catch_unwind(|| {
        let _ = write_atomically(&path, |_| panic!("on purpose"));
    });
    assert!(panicked.is_err());
    assert!(files_in(folder.path()).is_empty());
}

#[test]
fn unwritable_outputs_are_named() {
    let (folder, path) = scratch("missing/out.bin");
    for path in [
        path.as_path(),
        folder.path(),
        Path::new("/"),
        Path::new("/dev/null"),
    ] {
        let error = write_atomically(path, |_| Ok(())).unwrap_err();
        assert_eq!(error.place.path.as_deref(), Some(path));
        assert!(matches!(error.problem, Problem::Io(_)), "{error}");
    }
}
