//! A folder in which files are put until they are known to be good. It lies inside the folder where
//! they will be, so that a rename moves them, and is removed with what is left in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::FetchError;

const PREFIX: &str = ".incoming-";
/// A killed run leaves its folder behind; one that nothing was written to for so long is nobody's.
const ABANDONED: Duration = Duration::from_secs(6 * 3600);

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The folder of one target.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    destination: PathBuf,
}

impl Staging {
    /// A new folder inside `destination`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(destination: &Path) -> Result<Self, FetchError> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = destination.join(format!("{PREFIX}{}-{count}", process::id()));
        fs::create_dir(&folder).map_err(FetchError::io(&folder))?;
        Ok(Staging {
            folder,
            destination: destination.to_owned(),
        })
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file into the folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, FetchError> {
        let path = self.path(name);
        fs::write(&path, bytes).map_err(FetchError::io(&path))?;
        Ok(path)
    }

    /// Moves the files of the folder to where they belong, replacing older ones.
    ///
    /// # Errors
    /// A file cannot be moved.
    pub fn deliver(self, names: &[String]) -> Result<(), FetchError> {
        for name in names {
            let from = self.path(name);
            // On disk before it has its name, so that a crash leaves no hollow file.
            let file = fs::File::open(&from).map_err(FetchError::io(&from))?;
            file.sync_all().map_err(FetchError::io(&from))?;
            let to = self.destination.join(name);
            fs::rename(&from, &to).map_err(FetchError::io(&to))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Fails only where nothing can be done about it; the next run tries again.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders that killed runs left in `destination`.
pub fn remove_abandoned(destination: &Path) {
    let entries = fs::read_dir(destination).into_iter().flatten().flatten();
    for entry in entries {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.map(|changed| SystemTime::now().duration_since(changed));
        if ours && matches!(age, Ok(Ok(age)) if age > ABANDONED) {
            // As above.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
