//! An output whose rows come from one stream, with no plan to continue by: a file, or a folder of shards
//! that appears when all are there.

use std::fs;
use std::path::{Path, PathBuf};

use aion_data::table_out::Floats;
use aion_data::{DataError, Object, Place};
use serde_json::json;

use crate::failure::usage;
use crate::job::object_bytes;
use crate::output::{self, Format, Metadata, RowWriter, is_directory};

/// Bytes of measurements that make a shard.
const BYTES_A_SHARD: usize = 256 << 20;

/// An output being written.
pub struct Sink {
    path: PathBuf,
    format: &'static Format<Object>,
    writer: Option<Box<dyn RowWriter<Object>>>,
    /// Bytes and rows of the file at hand.
    bytes: usize,
    rows: usize,
    total: usize,
    shards: Option<Shards>,
}

/// The shards written so far, in a folder that is removed unless it is finished.
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

impl Sink {
    /// Opens an output: checks early what would otherwise fail after the work.
    ///
    /// # Errors
    /// As [`output::check`]; a directory exists.
    pub fn create(path: &Path, format: &'static Format<Object>) -> anyhow::Result<Self> {
        output::check(path, format)?;
        Ok(Sink {
            path: path.to_owned(),
            format,
            writer: None,
            bytes: 0,
            rows: 0,
            total: 0,
            shards: match is_directory(path) {
                true => Some(Shards::create(path)?),
                false => None,
            },
        })
    }

    /// Rows taken so far.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Takes objects; `metadata` is asked for when a shard is full.
    ///
    /// # Errors
    /// A shard cannot be written.
    pub fn push(
        &mut self,
        objects: impl IntoIterator<Item = Object>,
        metadata: impl FnOnce() -> anyhow::Result<Metadata>,
    ) -> anyhow::Result<()> {
        let objects: Vec<Object> = objects.into_iter().collect();
        self.bytes += objects.iter().map(object_bytes).sum::<usize>();
        self.rows += objects.len();
        self.total += objects.len();
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let path = self.shards.as_ref().map(|shards| shards.next(self.format));
                let path = path.unwrap_or_else(|| self.path.clone());
                self.writer
                    .insert((self.format.create)(&path, Floats::F32)?)
            }
        };
        writer.push(objects)?;
        if self.bytes >= BYTES_A_SHARD && self.shards.is_some() {
            self.end_file(&metadata()?)?;
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
        self.end_file(metadata)?;
        match &mut self.shards {
            Some(shards) => shards.finish(&self.path, metadata),
            None => Ok(()),
        }
    }

    fn end_file(&mut self, metadata: &Metadata) -> anyhow::Result<()> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        writer.finish(metadata)?;
        if let Some(shards) = &mut self.shards {
            let file = shards.name(self.format);
            shards.written.push((file, self.rows));
        }
        (self.bytes, self.rows) = (0, 0);
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
        fs::create_dir(&partial)
            .map_err(|error| DataError::new(Place::file(path), error.into()))?;
        Ok(Shards {
            partial,
            written: Vec::new(),
            finished: false,
        })
    }

    /// The name of the next shard.
    fn name(&self, format: &Format<Object>) -> String {
        format!("{:05}.{}", self.written.len(), format.shard)
    }

    fn next(&self, format: &Format<Object>) -> PathBuf {
        self.partial.join(self.name(format))
    }

    fn finish(&mut self, path: &Path, metadata: &Metadata) -> anyhow::Result<()> {
        let failed = |error: std::io::Error| DataError::new(Place::file(path), error.into());
        let shards = self.written.iter();
        let shards: Vec<_> = shards
            .map(|(file, objects)| json!({"file": file, "objects": objects}))
            .collect();
        let total: usize = self.written.iter().map(|(_, objects)| objects).sum();
        let manifest = json!({"objects": total, "files": shards, "metadata": metadata});
        let text = serde_json::to_string_pretty(&manifest)?;
        fs::write(self.partial.join("manifest.json"), text).map_err(failed)?;
        fs::rename(&self.partial, path).map_err(failed)?;
        self.finished = true;
        Ok(())
    }
}
