//! Rows of tokens to Parquet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, ListBuilder, UInt16Builder};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{DEC, FLAG, HEALPIX, OBJECT_ID, RA};
use crate::error::{DataError, Place, Result};
use crate::modality::ModalityId;
use crate::parquet_file::damaged;
use crate::parquet_writer::ParquetWriter;
use crate::sky::healpix29;
use crate::token_files::{TokenMetadata, check_rows};
use crate::tokens::TokenRow;

/// Rows encoded at once.
const ROWS_A_BATCH: usize = 4096;

/// A Parquet file of tokens, written row group by row group; absent unless finished.
pub struct TokenWriter {
    path: PathBuf,
    writer: ParquetWriter,
    rows: Vec<TokenRow>,
}

impl TokenWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(TokenWriter {
            path: path.to_owned(),
            writer: ParquetWriter::new(path, rank),
            rows: Vec::new(),
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A token is outside the vocabulary, or the number of tokens is wrong (file, object and field
    /// are named); the file cannot be written.
    pub fn push(&mut self, rows: Vec<TokenRow>) -> Result<()> {
        check_rows(&self.path, &rows)?;
        match self.rows.is_empty() {
            true => self.rows = rows,
            false => self.rows.extend(rows),
        }
        if self.rows.len() >= ROWS_A_BATCH {
            self.write()?;
        }
        Ok(())
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// There are no rows; the file cannot be written.
    pub fn finish(mut self, metadata: &TokenMetadata) -> Result<()> {
        if !self.rows.is_empty() {
            self.write()?;
        }
        self.writer.finish(metadata)
    }

    fn write(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let columns = Columns::of(&rows);
        let batch = RecordBatch::try_new(columns.schema(), columns.arrays(&rows));
        let batch = batch
            .map_err(|error| DataError::new(Place::file(&self.path), damaged(error.to_string())))?;
        self.writer.write(&batch)
    }
}

/// Identity and position, then modalities in registry order, then flags by name.
pub fn rank(column: &str) -> (usize, &str) {
    let first = [OBJECT_ID, RA, DEC, HEALPIX];
    match first.iter().position(|name| *name == column) {
        Some(place) => (place, column),
        None => match ModalityId::all().position(|id| id.key() == column) {
            Some(place) => (first.len() + place, column),
            None => (usize::MAX, column),
        },
    }
}

pub(in crate::token_files) fn write(
    path: &Path,
    rows: &[TokenRow],
    metadata: &TokenMetadata,
) -> Result<()> {
    let mut writer = TokenWriter::create(path)?;
    for rows in rows.chunks(ROWS_A_BATCH) {
        writer.push(rows.to_vec())?;
    }
    writer.finish(metadata)
}

/// Columns that the rows need beside identity and position.
struct Columns<'a> {
    modalities: BTreeSet<ModalityId>,
    flags: BTreeSet<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a [TokenRow]) -> Self {
        let modalities = rows.iter().flat_map(|row| row.tokens.keys().copied());
        let flags = rows.iter().flat_map(|row| row.flags.keys());
        Columns {
            modalities: modalities.collect(),
            flags: flags.map(String::as_str).collect(),
        }
    }

    fn schema(&self) -> SchemaRef {
        let mut fields = vec![
            Field::new(OBJECT_ID, DataType::Utf8, false),
            Field::new(RA, DataType::Float64, true),
            Field::new(DEC, DataType::Float64, true),
            Field::new(HEALPIX, DataType::Int64, true),
        ];
        fields.extend(
            self.modalities
                .iter()
                .map(|&modality| Field::new(modality.key(), list_type(modality), true)),
        );
        fields.extend(
            self.flags
                .iter()
                .map(|name| Field::new(format!("{FLAG}{name}"), DataType::Utf8, true)),
        );
        Arc::new(Schema::new(fields))
    }

    fn arrays(&self, rows: &[TokenRow]) -> Vec<ArrayRef> {
        let ids = rows.iter().map(|row| Some(row.id.as_str()));
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(ids.collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.ra).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.dec).collect::<Float64Array>()),
            Arc::new(rows.iter().map(healpix).collect::<Int64Array>()),
        ];
        arrays.extend(
            self.modalities
                .iter()
                .map(|&modality| tokens(modality, rows)),
        );
        arrays.extend(self.flags.iter().map(|name| {
            let values = rows.iter().map(|row| row.flags.get(*name));
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        }));
        arrays
    }
}

/// The HEALPix cell of a row that has a position on the sphere.
fn healpix(row: &TokenRow) -> Option<i64> {
    healpix29(row.ra?, row.dec?)
}

fn item() -> Field {
    Field::new("item", DataType::UInt16, true)
}

fn list_type(modality: ModalityId) -> DataType {
    match modality.info().is_sequence() {
        true => DataType::List(Arc::new(item())),
        false => DataType::FixedSizeList(Arc::new(item()), width(modality)),
    }
}

fn width(modality: ModalityId) -> i32 {
    modality.info().num_tokens() as i32
}

fn tokens(modality: ModalityId, rows: &[TokenRow]) -> ArrayRef {
    let tokens = rows.iter().map(|row| row.tokens.get(&modality));
    if modality.info().is_sequence() {
        let mut list = ListBuilder::new(UInt16Builder::new()).with_field(item());
        for tokens in tokens {
            list.values()
                .append_slice(tokens.map_or(&[], Vec::as_slice));
            list.append(tokens.is_some());
        }
        return Arc::new(list.finish());
    }
    let width = width(modality);
    let mut list = FixedSizeListBuilder::new(UInt16Builder::new(), width).with_field(item());
    for tokens in tokens {
        match tokens {
            Some(tokens) => list.values().append_slice(tokens),
            None => list.values().append_nulls(width as usize),
        }
        list.append(tokens.is_some());
    }
    Arc::new(list.finish())
}
