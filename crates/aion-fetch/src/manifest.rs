//! `manifest.jsonl`: a line of JSON for each target that was settled, the last one for a target
//! holds. It is what a later run goes by, and what a paper needs to say where data are from.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aion_data::shards::sha256;
use serde::{Deserialize, Serialize};

use crate::error::FetchError;
use crate::gate::locked;

const NAME: &str = "manifest.jsonl";

/// One target's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The survey.
    pub survey: String,
    /// The target's name.
    pub name: String,
    /// What was sought, of which release: a run with another question asks again.
    pub asked: String,
    /// `fetched`, `absent` or `failed`.
    pub status: String,
    /// Why it is absent or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the readers call the objects that came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    /// The files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileRecord>,
    /// Addresses that were asked, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// When, UTC.
    pub time: String,
    /// The program.
    pub program: String,
    /// How the survey wants to be acknowledged.
    pub acknowledgement: String,
}

/// One file of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Relative to the manifest.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// The manifest of an output folder.
pub struct Manifest {
    path: PathBuf,
    known: HashMap<(String, String), Record>,
    file: Mutex<File>,
}

impl Manifest {
    /// Opens the manifest of `folder`, or begins it. A line that a killed run left unfinished is
    /// ended, and does not count.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, FetchError> {
        let path = folder.join(NAME);
        let mut known = HashMap::new();
        let mut ended = true;
        match File::open(&path) {
            Ok(file) => {
                let mut lines = BufReader::new(file);
                let mut line = Vec::new();
                while lines
                    .read_until(b'\n', &mut line)
                    .map_err(FetchError::io(&path))?
                    > 0
                {
                    ended = line.ends_with(b"\n");
                    if let Ok(record) = serde_json::from_slice::<Record>(&line) {
                        known.insert((record.survey.clone(), record.name.clone()), record);
                    }
                    line.clear();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FetchError::io(&path)(error)),
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.map_err(FetchError::io(&path))?;
        if !ended {
            file.write_all(b"\n").map_err(FetchError::io(&path))?;
        }
        let file = Mutex::new(file);
        Ok(Manifest { path, known, file })
    }

    /// What an earlier run wrote of a target.
    pub fn known(&self, survey: &str, name: &str) -> Option<&Record> {
        self.known.get(&(survey.to_owned(), name.to_owned()))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&self, record: &Record) -> Result<(), FetchError> {
        let failed = |error: serde_json::Error| FetchError::io(&self.path)(error.into());
        let mut line = serde_json::to_vec(record).map_err(failed)?;
        line.push(b'\n');
        // One write a line: lines of several processes do not mix.
        let mut file = locked(&self.file);
        file.write_all(&line).map_err(FetchError::io(&self.path))
    }
}

impl FileRecord {
    /// Describes the file `path` under `folder`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(folder: &Path, path: String) -> Result<Self, FetchError> {
        let file = folder.join(&path);
        let metadata = fs::metadata(&file).map_err(FetchError::io(&file))?;
        let (bytes, sha256) = (metadata.len(), sha256(&file)?);
        Ok(FileRecord {
            path,
            bytes,
            sha256,
        })
    }

    /// Whether the file is still there, unchanged.
    pub fn holds(&self, folder: &Path) -> bool {
        let path = folder.join(&self.path);
        let same_size = fs::metadata(&path).is_ok_and(|found| found.len() == self.bytes);
        same_size && sha256(&path).is_ok_and(|sha256| sha256 == self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, status: &str) -> Record {
        Record {
            survey: "sdss".into(),
            name: name.into(),
            asked: "here".into(),
            status: status.into(),
            reason: None,
            objects: Vec::new(),
            files: Vec::new(),
            addresses: Vec::new(),
            time: "2026-11-23T21:00:00Z".into(),
            program: "aion".into(),
            acknowledgement: "thanks".into(),
        }
    }

    #[test]
    fn the_last_line_holds_and_an_unfinished_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = Manifest::open(folder.path()).expect("a manifest");
        manifest.add(&record("a", "failed")).expect("written");
        manifest.add(&record("a", "fetched")).expect("written");
        drop(manifest);
        let path = folder.path().join(NAME);
        let mut text = fs::read(&path).expect("a file");
        text.extend_from_slice(b"{\"survey\":\"sdss\",\"name\":\"b\",");
        fs::write(&path, text).expect("written");
        let manifest = Manifest::open(folder.path()).expect("a manifest");
        assert_eq!(
            manifest.known("sdss", "a").map(|r| r.status.as_str()),
            Some("fetched")
        );
        assert_eq!(manifest.known("sdss", "b"), None);
        manifest.add(&record("c", "absent")).expect("written");
        let manifest = Manifest::open(folder.path()).expect("a manifest");
        assert_eq!(
            manifest.known("sdss", "c").map(|r| r.status.as_str()),
            Some("absent")
        );
    }

    #[test]
    fn a_changed_file_does_not_hold() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("x"), b"abc").expect("written");
        let file = FileRecord::of(folder.path(), "x".into()).expect("described");
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file.sha256, expected);
        assert!(file.holds(folder.path()));
        fs::write(folder.path().join("x"), b"abd").expect("written");
        assert!(!file.holds(folder.path()));
    }
}
