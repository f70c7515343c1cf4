//! What results are written to: formats by extension, row by row where the format allows.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use aion_data::output_format::OutputFormat;
use aion_data::parquet_writer::Rank;
use aion_data::table_out::Floats;
use aion_data::token_files::TokenWriter;
use aion_data::{
    DataError, Object, Place, Problem, TokenRow, observation_table, tensor_files, token_files,
};

/// Metadata of a file.
pub type Metadata = BTreeMap<String, String>;

/// A file being written; absent unless finished.
pub trait RowWriter<R> {
    /// Adds rows.
    ///
    /// # Errors
    /// A row does not suit the file, or the file cannot be written.
    fn push(&mut self, rows: Vec<R>) -> aion_data::Result<()>;

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// The file cannot be written.
    fn finish(self: Box<Self>, metadata: &Metadata) -> aion_data::Result<()>;
}

/// Begins a file, with its numbers stored so.
pub type Create<R> = fn(&Path, Floats) -> aion_data::Result<Box<dyn RowWriter<R>>>;

/// How rows of one type are written.
pub struct Format<R> {
    /// Formats of a single file.
    pub allowed: &'static [OutputFormat],
    /// Extension of shards.
    pub shard: &'static str,
    /// The order of columns, where shards are tables whose columns have to agree.
    pub rank: Option<Rank>,
    /// Begins a file, with its numbers stored so.
    pub create: Create<R>,
}

/// Rows of tokens.
pub static TOKENS: Format<TokenRow> = Format {
    allowed: &[
        OutputFormat::Safetensors,
        OutputFormat::Parquet,
        OutputFormat::Fits,
    ],
    shard: "parquet",
    rank: Some(token_files::rank),
    create: |path, floats| match OutputFormat::of(path)? {
        OutputFormat::Parquet => Ok(Box::new(TokenWriter::create(path)?)),
        _ => Ok(Whole::create(path, floats, |path, rows, metadata, _| {
            token_files::write_tokens(path, rows, metadata)
        })),
    },
};

/// Objects with their measurements.
pub static OBSERVATIONS: Format<Object> = Format {
    allowed: &[OutputFormat::Safetensors, OutputFormat::Parquet],
    shard: "safetensors",
    rank: None,
    create: |path, floats| {
        Ok(Whole::create(
            path,
            floats,
            |path, rows, metadata, _| match OutputFormat::of(path)? {
                OutputFormat::Parquet => {
                    observation_table::write_observations(path, rows, metadata)
                }
                _ => tensor_files::write_observations(path, rows, metadata),
            },
        ))
    },
};

impl RowWriter<TokenRow> for TokenWriter {
    fn push(&mut self, rows: Vec<TokenRow>) -> aion_data::Result<()> {
        TokenWriter::push(self, rows)
    }

    fn finish(self: Box<Self>, metadata: &Metadata) -> aion_data::Result<()> {
        TokenWriter::finish(*self, metadata)
    }
}

/// Writes all rows of a file at once.
pub type WriteWhole<R> = fn(&Path, &[R], &Metadata, Floats) -> aion_data::Result<()>;

/// A file whose format needs all rows at once: in safetensors a tensor holds one field of all objects.
pub struct Whole<R> {
    path: PathBuf,
    rows: Vec<R>,
    floats: Floats,
    write: WriteWhole<R>,
}

impl<R: 'static> Whole<R> {
    /// Begins to collect.
    pub fn create(path: &Path, floats: Floats, write: WriteWhole<R>) -> Box<dyn RowWriter<R>> {
        Box::new(Whole {
            path: path.to_owned(),
            rows: Vec::new(),
            floats,
            write,
        })
    }
}

impl<R> RowWriter<R> for Whole<R> {
    fn push(&mut self, rows: Vec<R>) -> aion_data::Result<()> {
        self.rows.extend(rows);
        Ok(())
    }

    fn finish(self: Box<Self>, metadata: &Metadata) -> aion_data::Result<()> {
        (self.write)(&self.path, &self.rows, metadata, self.floats)
    }
}

/// Whether an output is a directory of shards: its name has no extension.
pub fn is_directory(path: &Path) -> bool {
    path.extension().is_none()
}

/// Checks early what would otherwise fail after the work.
///
/// # Errors
/// The extension names no format that suits, the folder is not there or cannot be written, or a
/// file's name is taken by a folder.
pub fn check<R>(path: &Path, format: &Format<R>) -> aion_data::Result<()> {
    let failed = |error: io::Error| DataError::new(Place::file(path), error.into());
    let parent = parent(path);
    if !parent.is_dir() {
        let error = io::Error::new(io::ErrorKind::NotFound, "its folder does not exist");
        return Err(failed(error));
    }
    if !is_directory(path) {
        check_extension(path, format.allowed)?;
        if path.is_dir() {
            let error = io::Error::new(io::ErrorKind::AlreadyExists, "the output is a folder");
            return Err(failed(error));
        }
    }
    let inside = if is_directory(path) && path.is_dir() {
        path
    } else {
        parent
    };
    probe(inside).map_err(failed)
}

fn check_extension(path: &Path, allowed: &[OutputFormat]) -> aion_data::Result<()> {
    if allowed.contains(&OutputFormat::of(path)?) {
        return Ok(());
    }
    let name = |format: &OutputFormat| match format {
        OutputFormat::Safetensors => ".safetensors",
        OutputFormat::Parquet => ".parquet",
        OutputFormat::Csv => ".csv",
        OutputFormat::Fits => ".fits",
    };
    let names: Vec<&str> = allowed.iter().map(name).collect();
    let problem = format!("the extension should be {} here", names.join(" or "));
    Err(DataError::new(
        Place::file(path),
        Problem::Unrecognised(problem),
    ))
}

/// Makes sure that files can be made in a folder, by making one: without a name where the system can, so
/// that nothing stays behind whenever the process is killed.
fn probe(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aion_data::{ModalityId, ObjectTokens};

    use super::*;

    #[test]
    fn nothing_stays_of_an_unfinished_output() {
        let redshift = ModalityId::from_key("tok_z").expect("a modality");
        let row = TokenRow {
            id: "1".to_owned(),
            tokens: ObjectTokens::from([(redshift, vec![7])]),
            ..TokenRow::default()
        };
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["tokens.parquet", "tokens.safetensors"] {
            let path = folder.path().join(name);
            check(&path, &TOKENS).expect("good");
            let mut writer = (TOKENS.create)(&path, Floats::F32).expect("created");
            writer.push(vec![row.clone(); 5000]).expect("taken");
            drop(writer);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        assert!(check(&folder.path().join("a.csv"), &TOKENS).is_err());
        assert!(check(&folder.path().join("no/a.parquet"), &TOKENS).is_err());
        assert!(check(&folder.path().join("no/a"), &TOKENS).is_err());
    }
}
