//! Results that this program wrote: tables of embeddings and predictions.

use std::collections::BTreeMap;
use std::path::Path;

use aion_data::tensor_files::TensorFile;

use crate::input::parquet_metadata;

/// Metadata that every result has.
const MARK: &str = "aion.version";

/// Number of objects, and shapes by column; `None` for files that are no results.
pub fn read(path: &Path) -> Option<(usize, BTreeMap<String, String>)> {
    tensors(path).or_else(|| table(path))
}

fn tensors(path: &Path) -> Option<(usize, BTreeMap<String, String>)> {
    let file = TensorFile::open(path).ok()?;
    file.metadata().get(MARK)?;
    let tensors = file
        .names()
        .filter_map(|name| Some((name, file.get(name)?)));
    let mut objects = 0;
    let mut columns = BTreeMap::new();
    for (name, tensor) in tensors {
        objects = tensor.rows();
        let axes: Vec<String> = tensor.shape().iter().map(usize::to_string).collect();
        columns.insert(name.to_owned(), axes.join("x"));
    }
    Some((objects, columns))
}

fn table(path: &Path) -> Option<(usize, BTreeMap<String, String>)> {
    let metadata = parquet_metadata(path)?;
    let footer = metadata.metadata().file_metadata();
    let mut entries = footer.key_value_metadata()?.iter();
    entries.find(|entry| entry.key == MARK)?;
    let fields = metadata.schema().fields().iter();
    let columns = fields.map(|field| (field.name().clone(), field.data_type().to_string()));
    let objects = usize::try_from(footer.num_rows()).ok()?;
    Some((objects, columns.collect()))
}
