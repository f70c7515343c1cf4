//! Where results go: one file, whose extension tells the format, or a directory of shards.
//!
//! Nothing appears under the output's name before it is complete: a file is written beside it and
//! renamed, and so is a directory. A directory's shards are written as the work goes on, so memory
//! holds a shard and not the survey; one file is written at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aion_data::output_format::OutputFormat;
use aion_data::{
    DataError, Object, Place, Problem, TokenRow, observation_table, tensor_files, token_files,
};
use serde_json::json;

use crate::failure::usage;

/// Metadata of a file.
pub type Metadata = BTreeMap<String, String>;

/// Bytes of results that make a shard.
const BYTES_A_SHARD: usize = 256 << 20;

/// How rows of one type are written.
#[derive(Debug)]
pub struct Format<R> {
    /// Formats of a single file.
    pub allowed: &'static [OutputFormat],
    /// Extension of shards.
    pub shard: &'static str,
    /// About how many bytes a row takes.
    pub bytes: fn(&R) -> usize,
    /// Writes rows to a file, whole or not at all.
    pub write: fn(&Path, &[R], &Metadata) -> aion_data::Result<()>,
}

/// Rows of tokens.
pub static TOKENS: Format<TokenRow> = Format {
    allowed: &[OutputFormat::Safetensors, OutputFormat::Parquet],
    shard: "parquet",
    bytes: |row| 64 + 2 * aion_data::num_tokens(&row.tokens),
    write: token_files::write_tokens,
};

/// Objects with their measurements.
pub static OBSERVATIONS: Format<Object> = Format {
    allowed: &[OutputFormat::Safetensors, OutputFormat::Parquet],
    shard: "safetensors",
    bytes: object_bytes,
    write: |path, objects, metadata| match OutputFormat::of(path)? {
        OutputFormat::Parquet => observation_table::write_observations(path, objects, metadata),
        _ => tensor_files::write_observations(path, objects, metadata),
    },
};

fn object_bytes(object: &Object) -> usize {
    use aion_data::Measurement::{Catalog, Coefficients, Image, ScalarField, Spectrum};
    let numbers = object
        .measurements
        .values()
        .map(|measurement| match measurement {
            Image(image) => image.flux.len() * 2,
            Spectrum(spectrum) => spectrum.flux.len() * 4,
            Coefficients(values) => values.len(),
            Catalog(sources) => sources.len() * 5,
            ScalarField(map) => map.field.len(),
            _ => 1,
        });
    4 * numbers.sum::<usize>()
}

/// An output being written.
#[derive(Debug)]
pub struct Sink<R: 'static> {
    path: PathBuf,
    format: &'static Format<R>,
    rows: Vec<R>,
    bytes: usize,
    total: usize,
    shards: Option<Shards>,
}

/// The shards written so far, in a folder that is removed unless it is finished.
#[derive(Debug)]
struct Shards {
    partial: PathBuf,
    written: Vec<(String, usize)>,
    finished: bool,
}

impl Drop for Shards {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be done about a folder that stays.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

impl<R> Sink<R> {
    /// Opens an output: checks early what would otherwise fail after the work.
    ///
    /// # Errors
    /// The extension names no format that suits, or the folder is not there or cannot be written, or
    /// the directory exists.
    pub fn create(path: &Path, format: &'static Format<R>) -> anyhow::Result<Self> {
        let failed = |error: io::Error| io_error(path, error);
        let parent = parent(path);
        if !parent.is_dir() {
            let error = io::Error::new(io::ErrorKind::NotFound, "its folder does not exist");
            return Err(failed(error).into());
        }
        let shards = match path.extension() {
            Some(_) => {
                check_extension(path, format.allowed)?;
                None
            }
            None => Some(Shards::create(path)?),
        };
        if path.is_dir() {
            let error = io::Error::new(io::ErrorKind::AlreadyExists, "the output is a folder");
            return Err(failed(error).into());
        }
        tempfile_probe(parent).map_err(failed)?;
        Ok(Sink {
            path: path.to_owned(),
            format,
            rows: Vec::new(),
            bytes: 0,
            total: 0,
            shards,
        })
    }

    /// Rows taken so far.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Takes rows; `metadata` is asked for when a shard is full.
    ///
    /// # Errors
    /// A shard cannot be written.
    pub fn push(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        metadata: impl FnOnce() -> anyhow::Result<Metadata>,
    ) -> anyhow::Result<()> {
        for row in rows {
            self.bytes += (self.format.bytes)(&row);
            self.total += 1;
            self.rows.push(row);
        }
        if self.bytes >= BYTES_A_SHARD && self.shards.is_some() {
            self.write_shard(&metadata()?)?;
        }
        Ok(())
    }

    /// Writes what is left and gives the output its name.
    ///
    /// # Errors
    /// There are no rows, or the output cannot be written.
    pub fn finish(mut self, metadata: &Metadata) -> anyhow::Result<()> {
        if self.total == 0 {
            return Err(usage(format!("no objects for {}", self.path.display())));
        }
        if self.shards.is_none() {
            return Ok((self.format.write)(&self.path, &self.rows, metadata)?);
        }
        if !self.rows.is_empty() {
            self.write_shard(metadata)?;
        }
        match &mut self.shards {
            Some(shards) => shards.finish(&self.path, metadata),
            None => Ok(()),
        }
    }

    fn write_shard(&mut self, metadata: &Metadata) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if let Some(shards) = &mut self.shards {
            let name = format!("{:05}.{}", shards.written.len(), self.format.shard);
            (self.format.write)(&shards.partial.join(&name), &rows, metadata)?;
            shards.written.push((name, rows.len()));
        }
        Ok(())
    }
}

impl Shards {
    fn create(path: &Path) -> anyhow::Result<Self> {
        if path.exists() {
            return Err(usage(format!(
                "{}: exists; an output without extension is a new directory of shards",
                path.display()
            )));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        fs::create_dir(&partial).map_err(|error| io_error(path, error))?;
        Ok(Shards {
            partial,
            written: Vec::new(),
            finished: false,
        })
    }

    fn finish(&mut self, path: &Path, metadata: &Metadata) -> anyhow::Result<()> {
        let failed = |error: io::Error| io_error(path, error);
        let shards = self.written.iter();
        let shards: Vec<_> = shards
            .map(|(file, objects)| json!({"file": file, "objects": objects}))
            .collect();
        let total: usize = self.written.iter().map(|(_, objects)| objects).sum();
        let manifest = json!({"objects": total, "shards": shards, "metadata": metadata});
        let text = serde_json::to_string_pretty(&manifest)?;
        fs::write(self.partial.join("manifest.json"), text).map_err(failed)?;
        fs::rename(&self.partial, path).map_err(failed)?;
        self.finished = true;
        Ok(())
    }
}

fn check_extension(path: &Path, allowed: &[OutputFormat]) -> aion_data::Result<()> {
    if allowed.contains(&OutputFormat::of(path)?) {
        return Ok(());
    }
    let name = |format: &OutputFormat| match format {
        OutputFormat::Safetensors => ".safetensors",
        OutputFormat::Parquet => ".parquet",
        OutputFormat::Csv => ".csv",
    };
    let names: Vec<&str> = allowed.iter().map(name).collect();
    let problem = format!("the extension should be {} here", names.join(" or "));
    Err(DataError::new(
        Place::file(path),
        Problem::Unrecognised(problem),
    ))
}

/// Makes sure that files can be made in a folder, by making one.
fn tempfile_probe(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".aion.{}.probe", std::process::id()));
    fs::File::create(&probe)?;
    fs::remove_file(&probe)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn io_error(path: &Path, error: io::Error) -> DataError {
    DataError::new(Place::file(path), error.into())
}

#[cfg(test)]
mod tests {
    use aion_data::{ModalityId, ObjectTokens};

    use super::*;

    fn row(id: usize) -> TokenRow {
        let redshift = ModalityId::from_key("tok_z").expect("a modality");
        TokenRow {
            id: id.to_string(),
            tokens: ObjectTokens::from([(redshift, vec![7])]),
            ..TokenRow::default()
        }
    }

    #[test]
    fn shards_appear_when_complete() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens");
        let mut sink = Sink::create(&path, &TOKENS).expect("created");
        sink.push((0..3).map(row), || Ok(Metadata::new()))
            .expect("taken");
        assert!(!path.exists());
        sink.finish(&Metadata::new()).expect("written");
        let read = token_files::read_tokens(&path.join("00000.parquet")).expect("read");
        assert_eq!(read.len(), 3);
        assert!(path.join("manifest.json").is_file());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
        assert!(Sink::create(&path, &TOKENS).is_err());
    }

    #[test]
    fn nothing_stays_of_an_unfinished_output() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["tokens", "tokens.safetensors"] {
            let mut sink = Sink::create(&folder.path().join(name), &TOKENS).expect("created");
            sink.push([row(0)], || Ok(Metadata::new())).expect("taken");
            drop(sink);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        assert!(Sink::create(&folder.path().join("a.csv"), &TOKENS).is_err());
        assert!(Sink::create(&folder.path().join("no/a.parquet"), &TOKENS).is_err());
    }
}
