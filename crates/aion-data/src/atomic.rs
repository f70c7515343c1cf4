//! Whole files or none: every output is written beside its final name and renamed when complete.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{DataError, Place, Problem, Result};

/// Number of temporary names that this process has used, so that threads never share one.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Runs `write` on a new file in the folder of `path`, syncs it to disk and renames it to `path`.
///
/// Readers see the old file or the new one, never a part. If `write` fails (or panics) nothing is
/// left behind and an older file at `path` stays as it was.
///
/// # Errors
/// Whatever `write` returns, with the file named; [`Problem::Io`] where the folder does not exist or
/// cannot be written to, or where `path` is something other than a plain file.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let mut new = NewFile::create(path)?;
    write(&mut new.file).map_err(|error| error.in_file(path))?;
    new.finish()
}

/// A file that is written bit by bit beside its final name, which it takes when it is finished.
/// One that is dropped before leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    partial: Partial,
    file: File,
}

impl NewFile {
    /// Opens an empty file in the folder of `path`.
    ///
    /// # Errors
    /// [`Problem::Io`] where the folder does not exist or cannot be written to, or where `path` is
    /// something other than a plain file.
    pub fn create(path: &Path) -> Result<NewFile> {
        let failed = |error: io::Error| io_error(path, error);
        require_plain_file(path).map_err(failed)?;
        let partial = Partial(partial_name(path).map_err(failed)?);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&partial.0)
            .map_err(failed)?;
        Ok(NewFile {
            path: path.to_owned(),
            partial,
            file,
        })
    }

    /// The name that the file has until it is finished.
    pub fn partial_path(&self) -> &Path {
        &self.partial.0
    }

    /// Another handle of the file to write through; all share one position.
    ///
    /// # Errors
    /// [`Problem::Io`] where the system gives no further handle.
    pub fn handle(&self) -> Result<File> {
        let handle = self.file.try_clone();
        handle.map_err(|error| io_error(&self.path, error))
    }

    /// Syncs the file to disk and gives it its name, in place of an older file.
    ///
    /// # Errors
    /// [`Problem::Io`]; nothing is left behind then.
    pub fn finish(self) -> Result<()> {
        let failed = |error: io::Error| io_error(&self.path, error);
        self.file.sync_all().map_err(failed)?;
        fs::rename(&self.partial.0, &self.path).map_err(failed)
    }
}

/// An input or output error of a file.
pub(crate) fn io_error(path: &Path, error: io::Error) -> DataError {
    DataError::new(Place::file(path), Problem::Io(error))
}

/// A name whose file is removed when it goes out of scope; after the rename there is nothing to
/// remove.
#[derive(Debug)]
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Only fails where the file is already gone, or where nothing can be done about it.
        let _ = fs::remove_file(&self.0);
    }
}

/// Renaming onto a device or a folder would replace it or fail late.
fn require_plain_file(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the output exists and is not a plain file",
        )),
        _ => Ok(()),
    }
}

fn partial_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the output has no file name")
    })?;
    let mut partial = OsString::from(".");
    partial.push(name);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    partial.push(format!(".{}-{count}.partial", process::id()));
    Ok(path.with_file_name(partial))
}
