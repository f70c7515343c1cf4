//! The files that the patterns of a run file stand for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aion_data::format::partitions::partitions;
use aion_data::reader::without_repeats;
use aion_data::shards::Manifest;
use aion_data::{DataError, Place, Problem};

use crate::error::TrainError;

/// Files of tokens have one of these endings.
const TOKENS: [&str; 2] = ["parquet", "safetensors"];
/// What `aion tokenize` leaves beside its shards when all are there.
const MANIFEST: &str = "manifest.json";
/// Where it keeps its plan, so that an unfinished folder is known as one.
const PLAN: &str = ".aion/plan.json";

/// The files that patterns stand for, in order, each once; `key` is where they are written.
pub(crate) fn survey_files(
    key: &'static str,
    patterns: &[String],
) -> Result<Vec<PathBuf>, TrainError> {
    let mut files = Vec::new();
    for pattern in patterns {
        let found = matching(key, pattern)?;
        let before = files.len();
        files.extend(found.into_iter().filter(|path| path.is_file()));
        if files.len() == before {
            return Err(absent(key, pattern));
        }
    }
    Ok(without_repeats(files))
}

/// The files of tokens that patterns stand for, in order, each once. A folder stands for its shards: those
/// of its manifest, the partitions of a HATS catalogue, or the files in it by name.
///
/// # Errors
/// A pattern matches nothing (`key` is where it is written); a folder holds no tokens, is not finished, or
/// lacks a file of its manifest.
pub fn token_files(key: &'static str, patterns: &[String]) -> Result<Vec<PathBuf>, TrainError> {
    let mut files = Vec::new();
    for pattern in patterns {
        let found = matching(key, pattern)?;
        if found.is_empty() {
            return Err(absent(key, pattern));
        }
        for path in found {
            match path.is_dir() {
                true => files.extend(shards(&path)?),
                false => files.push(path),
            }
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn matching(key: &'static str, pattern: &str) -> Result<Vec<PathBuf>, TrainError> {
    let options = glob::MatchOptions {
        require_literal_leading_dot: true,
        ..glob::MatchOptions::default()
    };
    let found = glob::glob_with(pattern, options);
    let found = found.map_err(|error| TrainError::config(key, error))?;
    Ok(found.flatten().collect())
}

fn absent(key: &'static str, pattern: &str) -> TrainError {
    TrainError::config(key, format!("`{pattern}`: no such file"))
}

/// The shards of a folder.
fn shards(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if folder.join(MANIFEST).is_file() {
        return of_manifest(folder);
    }
    if folder.join(PLAN).is_file() {
        let problem =
            format!("no {MANIFEST}: the folder is not finished; `aion tokenize --resume`");
        return Err(DataError::new(Place::file(folder), Problem::Missing(problem)).into());
    }
    if let Some(files) = partitions(folder)? {
        return Ok(files);
    }
    let failed = |source| TrainError::io(folder, source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
        let ending = path.extension().and_then(|ending| ending.to_str());
        if !path.file_name().is_some_and(hidden) && ending.is_some_and(|e| TOKENS.contains(&e)) {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(DataError::new(Place::file(folder), Problem::Empty).into()),
        false => Ok(files),
    }
}

/// The files that a manifest lists, which have to be there and as long as it says.
fn of_manifest(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read(&path).map_err(|source| TrainError::io(&path, source))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        let (format, reason) = ("JSON", error.to_string());
        DataError::new(Place::file(&path), Problem::Container { format, reason })
    })?;
    let mut files = Vec::new();
    for shard in &manifest.files {
        let Some(name) = &shard.file else { continue };
        let file = folder.join(name);
        let found = std::fs::metadata(&file).map_err(|source| TrainError::io(&file, source))?;
        if found.len() != shard.bytes {
            let problem = format!("{} bytes, {MANIFEST} says {}", found.len(), shard.bytes);
            return Err(DataError::new(Place::file(&file), Problem::Mismatch(problem)).into());
        }
        files.push(file);
    }
    match files.is_empty() {
        true => Err(DataError::new(Place::file(folder), Problem::Empty).into()),
        false => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const KEY: &str = "data.tokens.paths";

    fn found(patterns: &[&Path]) -> Result<Vec<PathBuf>, TrainError> {
        let patterns: Vec<String> = patterns.iter().map(|p| p.display().to_string()).collect();
        token_files(KEY, &patterns)
    }

    #[test]
    fn folders_and_patterns_become_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["b.parquet", "a.safetensors", ".c.parquet", "README.md"] {
            fs::write(at(name), "x").expect("written");
        }
        let expected = vec![at("a.safetensors"), at("b.parquet")];
        assert_eq!(found(&[folder.path()]).expect("files"), expected);
        let again = found(&[&at("*.parquet"), folder.path()]).expect("files");
        assert_eq!(again, [at("b.parquet"), at("a.safetensors")]);
        let error = found(&[&at("*.nothing")]).expect_err("nothing");
        assert!(error.to_string().contains(KEY), "{error}");
        fs::create_dir(at("empty")).expect("made");
        let error = found(&[&at("empty")]).expect_err("nothing");
        assert!(error.to_string().contains("no objects"), "{error}");
    }

    #[test]
    fn unfinished_and_incomplete_folders_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at(".aion")).expect("made");
        fs::write(at(PLAN), "{}").expect("written");
        fs::write(at("00000.parquet"), "x").expect("written");
        let error = found(&[folder.path()]).expect_err("unfinished");
        assert!(error.to_string().contains("--resume"), "{error}");
        fs::write(at(MANIFEST), "{}").expect("written");
        let error = found(&[folder.path()]).expect_err("damaged");
        assert!(error.to_string().contains(MANIFEST), "{error}");
    }
}
