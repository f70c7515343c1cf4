//! What the targets share: bytes go through a reader as a file, and whatever they hold, the reader
//! gives objects or typed errors.
//!
//! Readers turn panics of third-party parsers into errors, so only panics in our own files count;
//! a panic that nobody catches always does. Sanitizer, memory limit and time limit are libFuzzer's.

use std::fs;
use std::panic;
use std::path::PathBuf;
use std::process;
use std::sync::Once;

use aion_data::reader::{ReadOptions, read};
use aion_data::token_files::TokenReader;

/// Objects looked at of one file; a hostile file may claim billions of rows.
const MOST: usize = 64;

/// Ends the process at a panic in our own code, even where a reader would catch it.
fn count_our_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info| {
            let file = info.location().map_or("", |location| location.file());
            if file.contains("aion-data") || file.contains("aion-fuzz") {
                eprintln!("{info}");
                process::abort();
            }
        }));
    });
}

/// The bytes as a file with this ending, in the folder for temporary files.
fn file(ending: &str, data: &[u8]) -> PathBuf {
    let name = format!("aion-fuzz-{}.{ending}", process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, data).expect("a temporary file");
    path
}

/// Reads the bytes as observations, with and without the options that change what is read.
pub fn observations(ending: &str, data: &[u8]) {
    count_our_panics();
    let path = file(ending, data);
    let options = ReadOptions {
        with_position: true,
        pad: true,
        ..ReadOptions::default()
    };
    for options in [ReadOptions::default(), options] {
        if let Ok(objects) = read(&path, &options) {
            for object in objects.take(MOST) {
                // An error says where it is.
                let _ = object.map_err(|error| error.to_string());
            }
        }
    }
}

/// Reads the bytes as tokens.
pub fn tokens(ending: &str, data: &[u8]) {
    count_our_panics();
    if let Ok(rows) = TokenReader::open(&file(ending, data)) {
        for row in rows.take(MOST) {
            let _ = row.map_err(|error| error.to_string());
        }
    }
}
