//! Inputs of a command: files, directories, globs and lists become one stream of objects or rows of
//! tokens, each with the file it came from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aion_codec::catalog::CODES_PER_SOURCE;
use aion_data::format::partitions::partitions;
use aion_data::reader::{self, ReadOptions};
use aion_data::tensor_files::TensorFile;
use aion_data::token_files::TokenReader;
use aion_data::{DataError, ModalityId, Object, Place, Problem, Result, TokenRow};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use rayon::prelude::*;

/// Extensions that are read in a directory; files that are named are read whatever they are called.
const DATA_EXTENSIONS: &[&str] = &[
    "safetensors",
    "parquet",
    "fits",
    "fit",
    "fts",
    "fz",
    "gz",
    "csv",
    "ecsv",
    "tsv",
    "vot",
    "votable",
    "xml",
    "npz",
    "hdf5",
    "h5",
];

/// A file of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a directory listed it, so that it need not be data at all.
    pub listed: bool,
}

/// The files that patterns mean, in the order given; a directory's are sorted.
///
/// # Errors
/// A path does not exist, a glob matches nothing, a directory or list is empty or unreadable.
pub fn find_files(patterns: &[String]) -> Result<Vec<InputFile>> {
    let mut files = Vec::new();
    for pattern in patterns {
        match pattern.strip_prefix('@') {
            Some(list) => add_list(Path::new(list), &mut files)?,
            None => add_pattern(pattern, &mut files)?,
        }
    }
    if files.len() < 2 {
        return Ok(files);
    }
    let paths = files.iter().map(|file| file.path.clone()).collect();
    let kept = reader::without_repeats(paths);
    let mut kept = kept.into_iter().peekable();
    files.retain(|file| kept.next_if_eq(&file.path).is_some());
    Ok(files)
}

fn add_list(list: &Path, files: &mut Vec<InputFile>) -> Result<()> {
    let text = fs::read_to_string(list).map_err(|error| io_error(list, error))?;
    let lines = text.lines().map(str::trim);
    let before = files.len();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        add_pattern(line, files)?;
    }
    if files.len() == before {
        return Err(DataError::new(Place::file(list), Problem::Empty));
    }
    Ok(())
}

fn add_pattern(pattern: &str, files: &mut Vec<InputFile>) -> Result<()> {
    let path = Path::new(pattern);
    if path.is_dir() {
        return add_directory(path, files);
    }
    if path.exists() || !pattern.contains(['*', '?', '[']) {
        // That it can be read shows when it is read.
        let file = InputFile {
            path: path.to_owned(),
            listed: false,
        };
        files.push(file);
        return Ok(());
    }
    let wrong = |reason: String| DataError::new(Place::file(path), Problem::Unrecognised(reason));
    let matches = glob::glob(pattern).map_err(|error| wrong(error.to_string()))?;
    let mut found: Vec<PathBuf> = matches.filter_map(|entry| entry.ok()).collect();
    found.retain(|path| path.is_file());
    if found.is_empty() {
        return Err(wrong("the pattern matches no file".to_owned()));
    }
    found.sort();
    let file = |path| InputFile {
        path,
        listed: false,
    };
    files.extend(found.into_iter().map(file));
    Ok(())
}

fn add_directory(folder: &Path, files: &mut Vec<InputFile>) -> Result<()> {
    if let Some(found) = partitions(folder)? {
        let file = |path| InputFile {
            path,
            listed: false,
        };
        files.extend(found.into_iter().map(file));
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(|error| io_error(folder, error))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| io_error(folder, error))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let extension = extension.map(str::to_lowercase).unwrap_or_default();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden && DATA_EXTENSIONS.contains(&extension.as_str()) {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(DataError::new(Place::file(folder), Problem::Empty));
    }
    found.sort();
    let file = |path| InputFile { path, listed: true };
    files.extend(found.into_iter().map(file));
    Ok(())
}

fn io_error(path: &Path, error: std::io::Error) -> DataError {
    DataError::new(Place::file(path), error.into())
}

/// What a file holds of one object.
#[derive(Debug, Clone)]
pub enum Row {
    /// Measurements.
    Observed(Object),
    /// Tokens.
    Tokenized(TokenRow),
}

/// Something with the file that it came from.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The file.
    pub file: Arc<Path>,
    /// Its number among all rows of the input, bad ones included.
    pub number: usize,
    /// What it holds.
    pub row: T,
}

/// Which rows a command can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Measurements only.
    Observations,
    /// Tokens only.
    Tokens,
    /// Both.
    Any,
}

type RowIterator = Box<dyn Iterator<Item = Result<Row>>>;

/// A file of an input, or some of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// The file.
    pub file: InputFile,
    /// The rows; all without.
    pub rows: Option<Range<u64>>,
    /// The number that its first row has among all rows of the input; by counting without.
    pub first: Option<usize>,
}

/// The rows of files, in order. An error stands for an object, or for a file that cannot be used at
/// all; the next one follows.
pub struct Rows {
    files: std::vec::IntoIter<Extract>,
    options: ReadOptions,
    accept: Accept,
    current: Option<(Arc<Path>, RowIterator)>,
    number: usize,
    ignored: Vec<DataError>,
}

impl Rows {
    /// The rows of whole files.
    pub fn of_files(files: Vec<InputFile>, options: ReadOptions, accept: Accept) -> Self {
        let whole = |file| Extract {
            file,
            rows: None,
            first: None,
        };
        Rows::new(files.into_iter().map(whole).collect(), options, accept)
    }

    /// The rows of extracts.
    pub fn new(files: Vec<Extract>, options: ReadOptions, accept: Accept) -> Self {
        Rows {
            files: files.into_iter(),
            options,
            accept,
            current: None,
            number: 0,
            ignored: Vec::new(),
        }
    }

    /// Files of directories that held no data, with the reason.
    pub fn into_ignored(self) -> Vec<DataError> {
        self.ignored
    }

    fn open_next(&mut self, extract: Extract) -> Option<DataError> {
        let file = extract.file;
        let shared: Arc<Path> = file.path.as_path().into();
        self.number = extract.first.unwrap_or(self.number);
        let options = ReadOptions {
            rows: extract.rows,
            ..self.options.clone()
        };
        match read_file(&file.path, &options, self.accept) {
            Ok(rows) => {
                self.current = Some((shared, rows));
                None
            }
            Err(error) if file.listed && matches!(error.problem, Problem::Unrecognised(_)) => {
                self.ignored.push(error);
                None
            }
            Err(error) => Some(error),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Located<Row>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((file, rows)) = &mut self.current {
                match rows.next() {
                    Some(row) => {
                        let (file, number) = (file.clone(), self.number);
                        self.number += 1;
                        return Some(row.map(|row| Located { file, number, row }));
                    }
                    None => self.current = None,
                }
            }
            let file = self.files.next()?;
            if let Some(error) = self.open_next(file) {
                return Some(Err(error));
            }
        }
    }
}

/// The rows of one file, told apart by content.
///
/// # Errors
/// The file cannot be used, or holds what the command cannot use.
pub fn read_file(path: &Path, options: &ReadOptions, accept: Accept) -> Result<RowIterator> {
    let unusable = |what: &str| {
        let problem = Problem::Unrecognised(what.to_owned());
        Err(DataError::new(Place::file(path), problem))
    };
    if holds_tokens(path) {
        if accept == Accept::Observations {
            return unusable("a file of tokens; expected observations");
        }
        let rows = TokenReader::open_rows(path, options.range())?;
        return Ok(Box::new(rows.map(|row| row.map(Row::Tokenized))));
    }
    let objects = reader::read(path, options)?;
    if accept == Accept::Tokens {
        return unusable("a file of observations; expected tokens");
    }
    Ok(Box::new(objects.map(|object| object.map(Row::Observed))))
}

/// Whether every file of an input holds tokens, so that no codec is needed to read it.
pub fn all_tokens(files: &[InputFile]) -> bool {
    files.par_iter().all(|file| holds_tokens(&file.path))
}

/// Whether a file holds tokens: safetensors whose names have no field, or Parquet with whole numbers
/// under a token key. Files that cannot be opened are left to the reader, which says why.
pub fn holds_tokens(path: &Path) -> bool {
    match container(path) {
        Some(Container::Safetensors) => TensorFile::open(path).is_ok_and(|file| {
            let mut names = file.names().filter(|name| !ROW_TENSORS.contains(name));
            names.next().is_some_and(|first| !first.contains('/'))
                && !names.any(|n| n.contains('/'))
        }),
        Some(Container::Parquet) => parquet_metadata(path).is_some_and(|metadata| {
            metadata.schema().fields().iter().any(|field| {
                ModalityId::from_key(field.name()).is_some() && is_whole(field.data_type())
            })
        }),
        None => false,
    }
}

/// Tensors of any file that describe objects.
const ROW_TENSORS: [&str; 4] = ["object_id", "ra", "dec", "simulated"];

fn is_whole(of: &DataType) -> bool {
    match of {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_whole(item.data_type())
        }
        other => other.is_integer(),
    }
}

/// Length of the rows of padded sequences in tensor files, in tokens, so that an output's rows can be as
/// long.
pub fn sequence_lengths(files: &[InputFile]) -> BTreeMap<ModalityId, usize> {
    let mut lengths = BTreeMap::new();
    for (modality, length) in files.iter().flat_map(|file| lengths_of(&file.path)) {
        let longest = lengths.entry(modality).or_insert(length);
        *longest = length.max(*longest);
    }
    lengths
}

/// Tokens in a row of each padded sequence of a tensor file.
fn lengths_of(path: &Path) -> Vec<(ModalityId, usize)> {
    let Some(Container::Safetensors) = container(path) else {
        return Vec::new();
    };
    let Ok(file) = TensorFile::open(path) else {
        return Vec::new();
    };
    let sequences = ModalityId::all().filter(|id| id.info().is_sequence());
    // A tensor without rows may claim any length.
    let row_len = |name: &str| Some(file.get(name).filter(|t| t.rows() > 0)?.row_len());
    let length = |id: ModalityId| {
        let tokens = row_len(id.key());
        let sources = row_len(&format!("{id}/SHAPE_R"));
        Some((
            id,
            tokens.or(sources.map(|sources| sources.saturating_mul(CODES_PER_SOURCE)))?,
        ))
    };
    sequences.filter_map(length).collect()
}

/// About how many objects there are: exact where files say so, one a file elsewhere.
pub fn estimate(files: &[InputFile]) -> u64 {
    let objects = files
        .par_iter()
        .map(|file| num_objects(&file.path).unwrap_or(1));
    objects.sum()
}

/// How many objects a file holds, where it says so without being read.
pub fn num_objects(path: &Path) -> Option<u64> {
    match holds_tokens(path) {
        true => Some(TokenReader::open(path).ok()?.len() as u64),
        false => reader::num_objects(path),
    }
}

/// Containers that are looked into before reading.
enum Container {
    Safetensors,
    Parquet,
}

fn container(path: &Path) -> Option<Container> {
    let mut start = [0u8; 9];
    let mut file = File::open(path).ok()?;
    std::io::Read::read_exact(&mut file, &mut start).ok()?;
    match start {
        [b'P', b'A', b'R', b'1', ..] => Some(Container::Parquet),
        [.., 0, b'{'] => Some(Container::Safetensors),
        _ => None,
    }
}

/// Schema, metadata and row count of a Parquet file. The library panics on some damaged ones.
pub fn parquet_metadata(path: &Path) -> Option<ArrowReaderMetadata> {
    let file = File::open(path).ok()?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let load = || ArrowReaderMetadata::load(&file, options);
    catch_unwind(AssertUnwindSafe(load)).ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[InputFile]) -> Vec<String> {
        let name = |file: &InputFile| file.path.file_name().map(|n| n.to_string_lossy().into());
        files.iter().filter_map(name).collect()
    }

    #[test]
    fn patterns_become_files() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.csv", "a.fits", ".hidden.csv", "README.md", "c.fits"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let all = find_files(&[at("")]).expect("a directory");
        assert_eq!(names(&all), ["a.fits", "b.csv", "c.fits"]);
        let some = find_files(&[at("*.fits")]).expect("a glob");
        assert_eq!(names(&some), ["a.fits", "c.fits"]);
        fs::write(
            at("list.txt"),
            format!("# two\n{}\n\n{}\n", at("b.csv"), at("a*")),
        )
        .expect("written");
        let listed = find_files(&[format!("@{}", at("list.txt"))]).expect("a list");
        assert_eq!(names(&listed), ["b.csv", "a.fits"]);
        assert!(find_files(&[at("*.nothing")]).is_err());
        assert!(find_files(&[format!("@{}", at("absent.txt"))]).is_err());
    }
}
