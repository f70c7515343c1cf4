//! Rows of tokens from Parquet, a batch at a time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use super::{BATCH, DEC, FLAG, OBJECT_ID, RA};
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::ModalityId;
use crate::parquet_file::{open_parquet, read_step};
use crate::token_files::{Part, TokenMetadata, TokenReader, at, parse};
use crate::tokens::{ObjectTokens, TokenRow};

pub(in crate::token_files) fn open(
    path: &Path,
    wanted: Range<usize>,
    part: Part,
) -> Result<TokenReader> {
    // Parquet's own types are fewer than Arrow's: every list is a plain list.
    let builder = open_parquet(path, false)?;
    let footer = builder.metadata().file_metadata();
    let len = usize::try_from(footer.num_rows())
        .ok()
        .filter(|len| *len > 0)
        .ok_or_else(|| DataError::new(Place::file(path), Problem::Empty))?;
    let entries = footer.key_value_metadata().into_iter().flatten();
    let metadata: TokenMetadata = entries
        // Arrow keeps its schema there.
        .filter(|entry| entry.key != "ARROW:schema")
        .filter_map(|entry| Some((entry.key.clone(), entry.value.clone()?)))
        .collect();
    let mut columns = Columns::of(path, builder.schema())?;
    let modalities = columns.modalities.clone();
    let largest = largest(builder.metadata(), &modalities);
    if part == Part::Identity {
        columns.leave_out_measurements(builder.schema());
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.roots.iter().copied());
    let reader = read_step(path, || {
        builder
            .with_projection(mask)
            .with_batch_size(BATCH)
            .with_offset(wanted.start)
            .with_limit(wanted.len())
            .build()
    })?;
    let batches = Batches {
        reader: Some(reader),
        columns,
        row: wanted.start,
    };
    Ok(TokenReader {
        metadata,
        len,
        modalities,
        largest,
        rows: Box::new(batches.flatten()),
    })
}

/// The largest token of each modality, where every row group states one.
fn largest(footer: &ParquetMetaData, modalities: &[ModalityId]) -> BTreeMap<ModalityId, i64> {
    let of = |modality: &ModalityId| {
        let mut largest = None;
        for group in footer.row_groups() {
            let of_modality = |chunk: &&ColumnChunkMetaData| {
                let path = chunk.column_path().parts();
                path.first().is_some_and(|root| root == modality.key())
            };
            let chunk = group.columns().iter().find(of_modality)?;
            largest = largest.max(Some(match chunk.statistics()? {
                Statistics::Int32(found) => i64::from(*found.max_opt()?),
                Statistics::Int64(found) => *found.max_opt()?,
                _ => return None,
            }));
        }
        Some((*modality, largest?))
    };
    let grids = modalities.iter().filter(|id| !id.info().is_sequence());
    grids.filter_map(of).collect()
}

/// Columns that are read.
struct Columns {
    path: PathBuf,
    /// Their places in the schema.
    roots: Vec<usize>,
    modalities: Vec<ModalityId>,
    /// Columns of survey flags.
    flags: Vec<String>,
}

impl Columns {
    /// Columns of a token file; those that it does not know are left alone, except lists and columns
    /// named as tokens are, which must be modalities.
    fn of(path: &Path, schema: &Schema) -> Result<Self> {
        let mut columns = Columns {
            path: path.to_owned(),
            roots: Vec::new(),
            modalities: Vec::new(),
            flags: Vec::new(),
        };
        for (root, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            let is_list = matches!(field.data_type(), DataType::List(_));
            let known = ModalityId::from_key(name);
            if let Some(modality) = known {
                require_list(path, modality, field.data_type())?;
                columns.modalities.push(modality);
            } else if is_list || name.starts_with("tok_") {
                let place = Place::file(path).with_field(name);
                return Err(DataError::new(
                    place,
                    Problem::UnknownModality(name.clone()),
                ));
            } else if name.starts_with(FLAG) {
                columns.flags.push(name.clone());
            } else if ![OBJECT_ID, RA, DEC].contains(&name.as_str()) {
                continue;
            }
            columns.roots.push(root);
        }
        if columns.modalities.is_empty() {
            let problem = Problem::Missing("columns of tokens".to_owned());
            return Err(DataError::new(Place::file(path), problem));
        }
        columns.modalities.sort();
        Ok(columns)
    }

    /// Keeps identifier and position.
    fn leave_out_measurements(&mut self, schema: &Schema) {
        self.modalities.clear();
        self.flags.clear();
        self.roots.retain(|root| {
            let name = schema
                .fields()
                .get(*root)
                .map(|field| field.name().as_str());
            name.is_some_and(|name| [OBJECT_ID, RA, DEC].contains(&name))
        });
    }

    fn rows(&self, first: usize, batch: &RecordBatch) -> Result<Vec<Result<TokenRow>>> {
        let ids = match batch.column_by_name(OBJECT_ID) {
            Some(ids) => texts(ids).ok_or_else(|| self.wrong_type(OBJECT_ID, ids.data_type()))?,
            None => Vec::new(),
        };
        let ra = self.degrees(batch, RA)?;
        let dec = self.degrees(batch, DEC)?;
        let mut rows: Vec<Result<TokenRow>> = (0..batch.num_rows())
            .map(|row| {
                let id = ids.get(row).cloned().flatten();
                Ok(TokenRow {
                    id: id.unwrap_or_else(|| (first + row).to_string()),
                    ra: ra.get(row).copied().flatten(),
                    dec: dec.get(row).copied().flatten(),
                    ..TokenRow::default()
                })
            })
            .collect();
        for name in &self.flags {
            self.add_flag(batch, name, &mut rows)?;
        }
        for &modality in &self.modalities {
            self.add_tokens(batch, modality, &mut rows)?;
        }
        Ok(rows)
    }

    fn degrees(&self, batch: &RecordBatch, name: &str) -> Result<Vec<Option<f64>>> {
        let Some(column) = batch.column_by_name(name) else {
            return Ok(Vec::new());
        };
        match column.data_type() {
            DataType::Float64 => Ok(column.as_primitive::<Float64Type>().iter().collect()),
            DataType::Float32 => {
                let degrees = column.as_primitive::<Float32Type>().iter();
                Ok(degrees.map(|value| value.map(f64::from)).collect())
            }
            other => Err(self.wrong_type(name, other)),
        }
    }

    fn add_flag(
        &self,
        batch: &RecordBatch,
        name: &str,
        rows: &mut [Result<TokenRow>],
    ) -> Result<()> {
        let Some(column) = batch.column_by_name(name) else {
            return Ok(());
        };
        let values = texts(column).ok_or_else(|| self.wrong_type(name, column.data_type()))?;
        let flag = name.strip_prefix(FLAG).unwrap_or(name);
        for (row, value) in rows.iter_mut().zip(values) {
            if let (Ok(row), Some(value)) = (row, value) {
                row.flags.insert(flag.to_owned(), value);
            }
        }
        Ok(())
    }

    fn add_tokens(
        &self,
        batch: &RecordBatch,
        modality: ModalityId,
        rows: &mut [Result<TokenRow>],
    ) -> Result<()> {
        let Some(list) = batch
            .column_by_name(modality.key())
            .and_then(|column| column.as_list_opt::<i32>())
        else {
            return Ok(());
        };
        let wrong_type = || self.wrong_type(modality.key(), list.data_type());
        let values = integers(list.values().as_ref()).ok_or_else(wrong_type)?;
        let ends = list.value_offsets().windows(2);
        for ((number, row), ends) in rows.iter_mut().enumerate().zip(ends) {
            let Ok(found) = row else { continue };
            if list.is_null(number) {
                continue;
            }
            let tokens = match ends {
                [start, end] => values
                    .get(*start as usize..*end as usize)
                    .unwrap_or_default(),
                _ => &[],
            };
            match self.tokens(modality, tokens) {
                Ok(tokens) => {
                    let tokens = tokens.map(|tokens| (modality, tokens));
                    ObjectTokens::extend(&mut found.tokens, tokens);
                }
                Err(error) => *row = Err(error.in_object(&found.id)),
            }
        }
        Ok(())
    }

    fn tokens(&self, modality: ModalityId, row: &[Option<i64>]) -> Result<Option<Vec<u16>>> {
        let row: Option<Vec<i64>> = row.iter().copied().collect();
        let missing = || Problem::Missing("token within the list".to_owned());
        row.ok_or_else(missing)
            .and_then(|row| parse(modality, &row))
            .map_err(|problem| at(&self.path, modality, problem))
    }

    fn wrong_type(&self, name: &str, found: &DataType) -> DataError {
        wrong_type(&self.path, name, found)
    }
}

fn require_list(path: &Path, modality: ModalityId, found: &DataType) -> Result<()> {
    match found {
        DataType::List(item) if item.data_type().is_integer() => Ok(()),
        other => Err(wrong_type(path, modality.key(), other)),
    }
}

fn wrong_type(path: &Path, name: &str, found: &DataType) -> DataError {
    let problem = format!(
        "column of type {found}; tokens are lists of whole numbers, positions real numbers, \
         identifiers and flags text"
    );
    DataError::new(Place::file(path).with_field(name), Problem::Values(problem))
}

/// Rows of one batch after another; ends at the first damaged batch.
struct Batches {
    reader: Option<ParquetRecordBatchReader>,
    columns: Columns,
    /// The next row's place in the file.
    row: usize,
}

impl Iterator for Batches {
    type Item = Vec<Result<TokenRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let batch = read_step(&self.columns.path, || Ok(reader.next().transpose()?)).transpose()?;
        let rows = batch.and_then(|batch| {
            let first = self.row;
            self.row += batch.num_rows();
            self.columns.rows(first, &batch)
        });
        Some(rows.unwrap_or_else(|error| {
            self.reader = None;
            vec![Err(error)]
        }))
    }
}

/// Text, or whole numbers as text.
fn texts(column: &dyn Array) -> Option<Vec<Option<String>>> {
    match column.data_type() {
        DataType::Utf8 => {
            let values = column.as_string::<i32>().iter();
            Some(values.map(|value| value.map(str::to_owned)).collect())
        }
        DataType::UInt64 => {
            let values = column.as_primitive::<UInt64Type>().iter();
            Some(
                values
                    .map(|value| value.map(|value| value.to_string()))
                    .collect(),
            )
        }
        _ => {
            let values = integers(column)?.into_iter();
            Some(
                values
                    .map(|value| value.map(|value| value.to_string()))
                    .collect(),
            )
        }
    }
}

/// Whole numbers of any width, capped where no vocabulary reaches.
fn integers(column: &dyn Array) -> Option<Vec<Option<i64>>> {
    Some(match column.data_type() {
        DataType::Int8 => widen::<Int8Type>(column),
        DataType::Int16 => widen::<Int16Type>(column),
        DataType::Int32 => widen::<Int32Type>(column),
        DataType::Int64 => widen::<Int64Type>(column),
        DataType::UInt8 => widen::<UInt8Type>(column),
        DataType::UInt16 => widen::<UInt16Type>(column),
        DataType::UInt32 => widen::<UInt32Type>(column),
        DataType::UInt64 => widen::<UInt64Type>(column),
        _ => return None,
    })
}

fn widen<T: ArrowPrimitiveType>(column: &dyn Array) -> Vec<Option<i64>>
where
    i64: TryFrom<T::Native>,
{
    let widen = |value: T::Native| i64::try_from(value).unwrap_or(i64::MAX);
    let values = column.as_primitive::<T>().iter();
    values.map(|value| value.map(widen)).collect()
}
