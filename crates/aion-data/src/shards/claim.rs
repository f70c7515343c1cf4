//! Claims: which worker does which shard.
//!
//! A claim is a file that only one process can have created: a hard link to a finished temporary file,
//! which is atomic on NFS too, or an exclusive creation where the file system has no links. While a
//! worker lives it writes to its claims again and again; a claim is given up for dead when its process
//! is gone from the same machine, or when the file has not changed for the timeout, as the file
//! server's own clock tells. A dead claim is never removed or renamed, which could hit its successor: the
//! next worker creates the claim of the next generation, and the highest one counts.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use super::worker::Worker;
use crate::atomic::io_error;
use crate::error::Result;

/// Heartbeats within a timeout.
const BEATS: u32 = 8;
/// Temporary names used by this process, in whatever folder.
static TEMPORARIES: AtomicU64 = AtomicU64::new(0);

/// The claims of a folder, as this process sees and keeps them.
#[derive(Debug)]
pub struct Claims {
    folder: PathBuf,
    timeout: Duration,
    content: Vec<u8>,
    worker: Worker,
    shared: Arc<Shared>,
    heartbeat: Option<JoinHandle<()>>,
}

/// What the heartbeat's thread sees.
#[derive(Debug, Default)]
struct Shared {
    held: Mutex<Held>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    claims: BTreeSet<PathBuf>,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What became of asking for a claim.
#[derive(Debug)]
pub enum Claimed {
    /// It is ours. `after` is the worker that died at it, if one did.
    Mine {
        /// The claim.
        claim: Claim,
        /// Who had it before and died.
        after: Option<Worker>,
    },
    /// Another worker is at it; unknown where its claim cannot be read.
    Taken(Option<Worker>),
}

/// A claim of this process, given up when dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    folder: PathBuf,
    name: String,
    generation: u64,
    shared: Arc<Shared>,
}

impl Claims {
    /// Takes part in the claims of `folder`, which is made if need be.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path, worker: Worker, timeout: Duration) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| io_error(folder, error))?;
        let shared = Arc::new(Shared::default());
        let content = serde_json::to_vec(&worker)
            .map_err(|error| io_error(folder, io::Error::other(error)))?;
        let heartbeat = {
            let (shared, content) = (shared.clone(), content.clone());
            let pause = timeout / BEATS;
            thread::spawn(move || beat(&shared, &content, pause))
        };
        Ok(Claims {
            folder: folder.to_owned(),
            timeout,
            content,
            worker,
            shared,
            heartbeat: Some(heartbeat),
        })
    }

    /// Asks for the claim called `name`.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn claim(&self, name: &str) -> Result<Claimed> {
        let failed = |error: io::Error| io_error(&self.folder, error);
        let mut after = None;
        let generation = match generations(&self.folder, name).map_err(failed)?.last() {
            None => 0,
            Some(&latest) => {
                let path = self.folder.join(file_name(name, latest));
                match self.holder(&path).map_err(failed)? {
                    Holder::Dead(worker) => after = worker,
                    Holder::Alive(worker) => return Ok(Claimed::Taken(worker)),
                    // It was given up a moment ago; whoever asks again gets it.
                    Holder::Absent => return Ok(Claimed::Taken(None)),
                }
                latest + 1
            }
        };
        let path = self.folder.join(file_name(name, generation));
        let temporary = self.write_temporary().map_err(failed)?;
        let created = create(&temporary, &path, &self.content);
        // The link stays; nothing can be done about a temporary name that stays too.
        let _ = fs::remove_file(&temporary);
        if !created.map_err(failed)? {
            return Ok(Claimed::Taken(None));
        }
        self.shared.lock().claims.insert(path.clone());
        let claim = Claim {
            path,
            folder: self.folder.clone(),
            name: name.to_owned(),
            generation,
            shared: self.shared.clone(),
        };
        Ok(Claimed::Mine { claim, after })
    }

    /// Whether a worker that may be alive holds the claim called `name`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn is_held(&self, name: &str) -> Result<bool> {
        let failed = |error: io::Error| io_error(&self.folder, error);
        let generations = generations(&self.folder, name).map_err(failed)?;
        let Some(latest) = generations.last() else {
            return Ok(false);
        };
        let path = self.folder.join(file_name(name, *latest));
        Ok(matches!(
            self.holder(&path).map_err(failed)?,
            Holder::Alive(_)
        ))
    }

    /// Removes the claims of workers that are dead, of whatever is done by now, and temporary files of
    /// workers that were killed before they had written to them.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn sweep(&self) -> Result<()> {
        let failed = |error: io::Error| io_error(&self.folder, error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_dead = matches!(self.holder(&path).map_err(failed)?, Holder::Dead(_));
            if is_dead || self.is_left_over(&path) {
                // Another worker may have removed it.
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// Whether a worker other than this one holds any claim and may be alive.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn other(&self) -> Result<Option<Worker>> {
        let failed = |error: io::Error| io_error(&self.folder, error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
            if path.file_name().is_none_or(hidden) {
                continue;
            }
            if let Holder::Alive(Some(worker)) = self.holder(&path).map_err(failed)?
                && worker != self.worker
            {
                return Ok(Some(worker));
            }
        }
        Ok(None)
    }

    /// Who holds a claim, and whether it lives.
    fn holder(&self, path: &Path) -> io::Result<Holder> {
        let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let bytes = match fs::read(path) {
            Err(error) if absent(&error) => return Ok(Holder::Absent),
            bytes => bytes?,
        };
        // Where there are no links, a claim may be seen before it is written: then its age counts.
        let worker: Option<Worker> = serde_json::from_slice(&bytes).ok();
        if worker.as_ref().is_some_and(Worker::is_gone) {
            return Ok(Holder::Dead(worker));
        }
        let changed = match fs::metadata(path).and_then(|metadata| metadata.modified()) {
            Err(error) if absent(&error) => return Ok(Holder::Absent),
            changed => changed?,
        };
        let age = self.now()?.duration_since(changed).unwrap_or_default();
        Ok(match age > self.timeout {
            true => Holder::Dead(worker),
            false => Holder::Alive(worker),
        })
    }

    /// The time by the clock that stamps files here, which on a file server is not ours.
    fn now(&self) -> io::Result<SystemTime> {
        let temporary = self.write_temporary()?;
        let now = fs::metadata(&temporary).and_then(|metadata| metadata.modified());
        let _ = fs::remove_file(&temporary);
        now
    }

    /// Whether a temporary file's name tells that the worker that made it has ended.
    fn is_left_over(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let worker = name.and_then(|name| name.strip_prefix('.')?.rsplit_once('-'));
        worker.is_some_and(|(worker, _)| self.worker.has_ended(worker))
    }

    fn write_temporary(&self) -> io::Result<PathBuf> {
        let count = TEMPORARIES.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}-{count}", self.worker.name());
        let path = self.folder.join(name);
        fs::write(&path, &self.content)?;
        Ok(path)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.ended.notify_all();
        if let Some(heartbeat) = self.heartbeat.take() {
            // It does not panic; and if it had, there would be nothing to do here.
            let _ = heartbeat.join();
        }
    }
}

/// Who holds a claim.
enum Holder {
    Alive(Option<Worker>),
    Dead(Option<Worker>),
    Absent,
}

impl Claim {
    /// Whether nobody has taken the claim over, believing this process dead.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn is_mine(&self) -> Result<bool> {
        let latest =
            generations(&self.folder, &self.name).map_err(|error| io_error(&self.folder, error))?;
        Ok(latest.last() == Some(&self.generation))
    }

    /// Removes the claim with those of the workers that died at it: the work is done.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn settle(self) -> Result<()> {
        let generations =
            generations(&self.folder, &self.name).map_err(|error| io_error(&self.folder, error))?;
        // The own one goes last (when this is dropped), so that the others stay superseded.
        for generation in generations.into_iter().filter(|g| *g < self.generation) {
            // Another worker that did the same may have removed it.
            let _ = fs::remove_file(self.folder.join(file_name(&self.name, generation)));
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.lock().claims.remove(&self.path);
        // A claim that cannot be removed is given up for dead when its process ends.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes to all claims held, time and again, until told to end.
fn beat(shared: &Shared, content: &[u8], pause: Duration) {
    let mut held = shared.lock();
    while !held.ended {
        let waited = shared.ended.wait_timeout(held, pause);
        let (guard, wait) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        held = guard;
        if !wait.timed_out() {
            continue;
        }
        // With the lock held a claim cannot be given up meanwhile, so none is created anew.
        for path in &held.claims {
            let written = OpenOptions::new().write(true).open(path);
            // A claim that cannot be written ages, and others may take it: no worse than death.
            let _ = written.and_then(|mut file| file.write_all(content));
        }
    }
}

/// Creates a claim; false where it is there already.
fn create(temporary: &Path, path: &Path, content: &[u8]) -> io::Result<bool> {
    match fs::hard_link(temporary, path) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A server that lost its answer reports the repeated request as failed.
            return Ok(same_file(temporary, path));
        }
        Err(_) => {}
    }
    match File::create_new(path) {
        Ok(mut file) => file.write_all(content).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| {
        fs::metadata(path)
            .map(|found| (found.dev(), found.ino()))
            .ok()
    };
    identity(a).is_some() && identity(a) == identity(b)
}

#[cfg(not(unix))]
fn same_file(_: &Path, _: &Path) -> bool {
    false
}

fn file_name(name: &str, generation: u64) -> String {
    format!("{name}.{generation}")
}

/// The generations of a claim, in order.
fn generations(folder: &Path, name: &str) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let generation = file.to_str().and_then(|file| {
            let (of, generation) = file.rsplit_once('.')?;
            (of == name).then(|| generation.parse::<u64>().ok())?
        });
        found.extend(generation);
    }
    found.sort_unstable();
    Ok(found)
}
