//! What tells that an input file is still the same.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic::io_error;
use crate::error::Result;

/// Files up to this length are hashed whole.
const WHOLE: u64 = 8 << 20;
/// Bytes hashed at the beginning and at the end of longer ones.
const END: u64 = 1 << 20;

/// Length and hash of a file.
///
/// Up to 8 MiB the hash is that of the content. Of longer files, the first and the last MiB are hashed:
/// every process that joins a run looks at every input, and a survey's volume cannot be read for that.
/// The ends hold the headers of FITS and HDF5 and the footer of Parquet, which change with the
/// content; pixels changed in place in the middle of a large file are not noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Fingerprint {
    /// Looks at a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let look = || -> io::Result<Self> {
            let mut file = File::open(path)?;
            let bytes = file.metadata()?.len();
            let mut hasher = Sha256::new();
            if bytes <= WHOLE {
                io::copy(&mut file, &mut hasher)?;
            } else {
                io::copy(&mut (&mut file).take(END), &mut hasher)?;
                file.seek(SeekFrom::Start(bytes - END))?;
                io::copy(&mut file.take(END), &mut hasher)?;
            }
            let sha256 = hexadecimal(hasher);
            Ok(Fingerprint { bytes, sha256 })
        };
        look().map_err(|error| io_error(path, error))
    }
}

/// SHA-256 of a whole file, in hexadecimal.
///
/// # Errors
/// It cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hasher))
        .map_err(|error| io_error(path, error))?;
    Ok(hexadecimal(hasher))
}

fn hexadecimal(hasher: Sha256) -> String {
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
