//! SHA-256 of weight files, for the record of what a result was made with.
//!
//! A digest is computed beside the work that uses the file, and remembered by the file's path, size
//! and time of change, so that a command on a large checkpoint does not wait for it again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::UNIX_EPOCH;

use aion_data::fnv::fnv1a;
use aion_kernel::WeightsError;
use aion_kernel::tensor_file::{replace_file, sha256};

/// Digests being computed, by the name under which they are recorded.
#[derive(Debug, Default)]
pub struct Digests {
    running: BTreeMap<String, JoinHandle<Result<String, WeightsError>>>,
    done: BTreeMap<String, String>,
}

impl Digests {
    /// Begins with a file, unless it has begun already.
    pub fn start(&mut self, name: &str, path: &Path) {
        if self.running.contains_key(name) || self.done.contains_key(name) {
            return;
        }
        let path = path.to_owned();
        let handle = thread::spawn(move || remembered(&path));
        self.running.insert(name.to_owned(), handle);
    }

    /// Waits for those that have begun.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn wait(&mut self) -> anyhow::Result<&BTreeMap<String, String>> {
        for (name, handle) in std::mem::take(&mut self.running) {
            let digest = handle
                .join()
                .map_err(|_| anyhow::anyhow!("the digest of {name} was interrupted"))?;
            self.done.insert(name, digest?);
        }
        Ok(&self.done)
    }
}

/// The digest of a file, from the record where it is there.
fn remembered(path: &Path) -> Result<String, WeightsError> {
    let record = identity(path)
        .zip(cache_folder("sha256"))
        .map(|(identity, folder)| {
            // The name has to be short and safe; the identity itself is inside the file.
            let name = format!("{:016x}", fnv1a(&identity));
            (identity, folder.join(name))
        });
    let Some((identity, record)) = record else {
        return sha256(path);
    };
    let known = fs::read_to_string(&record).unwrap_or_default();
    if let Some((digest, of)) = known.split_once(' ')
        && of == identity
        && digest.len() == 64
    {
        return Ok(digest.to_owned());
    }
    let digest = sha256(path)?;
    let folder = record.parent().unwrap_or(Path::new("."));
    // Nothing is lost where the record cannot be kept: the next command computes again.
    let _ = fs::create_dir_all(folder)
        .and_then(|()| replace_file(&record, format!("{digest} {identity}").as_bytes()));
    Ok(digest)
}

/// Path, size and time of change: what changes when the content does.
fn identity(path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&path).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!(
        "{} {} {}",
        metadata.len(),
        changed.as_nanos(),
        path.display()
    ))
}

/// Where this program keeps what it can make or fetch again.
pub fn cache_folder(of: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
    Some(cache?.join("aion").join(of))
}
