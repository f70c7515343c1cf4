//! Rows brought from the order of their files into the order of the output, in bounded memory.
//!
//! Each file is read once. The output is divided into buckets of consecutive rows that fit into
//! memory; rows are put into the bucket where they belong, and when too many are held, the fullest
//! buckets are written to files. Then bucket after bucket is put in order.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;

use crate::atomic::io_error;
use crate::crossmatch::cells;
use crate::error::{DataError, Place, Problem, Result};
use crate::parquet_file::{damaged, open_parquet, read_step, write_parquet};

/// The column of places in the output, in files of a bucket.
const SLOT: &str = "__slot";

/// A folder for the rows that memory does not hold, made when it is needed and removed at the end.
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A folder of this name.
    pub fn new(path: PathBuf) -> Self {
        Scratch { path }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Fails where nothing was ever written.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Rows with their places in the output.
type Placed = (RecordBatch, Vec<u32>);

#[derive(Default)]
struct Bucket {
    held: Vec<Placed>,
    bytes: usize,
    files: Vec<PathBuf>,
}

/// The rows of one side on their way into the output's order.
pub(super) struct Gather {
    fields: Vec<FieldRef>,
    buckets: Vec<Bucket>,
    bucket_rows: usize,
    memory: usize,
    held: usize,
    scratch: Scratch,
    spilled: usize,
}

impl Gather {
    /// Rows for buckets of `bucket_rows` each, of which at most about `memory` bytes are held.
    pub fn new(rows: usize, bucket_rows: usize, memory: usize, scratch: Scratch) -> Self {
        let buckets = rows.div_ceil(bucket_rows.max(1));
        Gather {
            fields: Vec::new(),
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            bucket_rows: bucket_rows.max(1),
            memory,
            held: 0,
            scratch,
            spilled: 0,
        }
    }

    /// Takes rows from the file at `path`, with their places in the output.
    ///
    /// # Errors
    /// A column has another type than in earlier files; the scratch folder cannot be written.
    pub fn push(&mut self, path: &Path, batch: RecordBatch, slots: Vec<u32>) -> Result<()> {
        self.widen(path, batch.schema_ref())?;
        let bucket = |slot: u32| slot as usize / self.bucket_rows;
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.sort_by_key(|&row| bucket(slots[row]));
        let groups: Vec<Vec<usize>> = order
            .chunk_by(|&a, &b| bucket(slots[a]) == bucket(slots[b]))
            .map(<[usize]>::to_vec)
            .collect();
        for rows in &groups {
            let part = match groups.len() {
                1 => batch.clone(),
                _ => picked(path, &[&batch], rows.iter().map(|&row| (0, row)))?,
            };
            let slots: Vec<u32> = rows.iter().map(|&row| slots[row]).collect();
            let index = slots.first().map_or(0, |&slot| bucket(slot));
            let bytes = part.get_array_memory_size();
            if let Some(bucket) = self.buckets.get_mut(index) {
                bucket.held.push((part, slots));
                bucket.bytes += bytes;
                self.held += bytes;
            }
        }
        match self.held > self.memory {
            true => self.spill(self.memory / 2),
            false => Ok(()),
        }
    }

    /// Widens the columns to hold those of a schema too.
    fn widen(&mut self, path: &Path, schema: &Schema) -> Result<()> {
        for new in schema.fields() {
            let known = self
                .fields
                .iter_mut()
                .find(|field| field.name() == new.name());
            let Some(known) = known else {
                self.fields
                    .push(Arc::new(new.as_ref().clone().with_nullable(true)));
                continue;
            };
            let (old, new) = (known.data_type(), new.data_type());
            if old == new {
                continue;
            }
            let Some(wider) = cells::wider(old, new) else {
                let what = format!("type {new}, but {old} in other files of this side");
                let place = Place::file(path).with_field(known.name());
                return Err(DataError::new(place, Problem::Mismatch(what)));
            };
            *known = Arc::new(known.as_ref().clone().with_data_type(wider));
        }
        Ok(())
    }

    /// Writes the fullest buckets to files until at most `bytes` are held.
    fn spill(&mut self, bytes: usize) -> Result<()> {
        while self.held > bytes {
            let fullest = self.buckets.iter_mut().max_by_key(|bucket| bucket.bytes);
            let Some(bucket) = fullest.filter(|bucket| !bucket.held.is_empty()) else {
                break;
            };
            let folder = &self.scratch.path;
            fs::create_dir_all(folder).map_err(|error| io_error(folder, error))?;
            let path = folder.join(format!("{}.parquet", self.spilled));
            let mut fields = self.fields.clone();
            fields.push(Arc::new(Field::new(SLOT, DataType::UInt32, false)));
            let schema = Arc::new(Schema::new(fields));
            let batches = bucket.held.drain(..).map(|(batch, slots)| {
                let mut arrays = conformed(&path, &batch, &self.fields)?;
                arrays.push(Arc::new(UInt32Array::from(slots)));
                arrow(&path, RecordBatch::try_new(schema.clone(), arrays))
            });
            write_parquet(&path, schema.clone(), &Default::default(), batches)?;
            self.spilled += 1;
            self.held = self.held.saturating_sub(bucket.bytes);
            bucket.bytes = 0;
            bucket.files.push(path);
        }
        Ok(())
    }

    /// All rows are there.
    ///
    /// # Errors
    /// The scratch folder cannot be written.
    pub fn finish(mut self) -> Result<Gathered> {
        if self.spilled > 0 {
            self.spill(0)?;
        }
        // A column without any value has no type; numbers are missing more often than text.
        let typed = |field: &FieldRef| match field.data_type() {
            DataType::Null => Arc::new(field.as_ref().clone().with_data_type(DataType::Float64)),
            _ => field.clone(),
        };
        Ok(Gathered {
            fields: self.fields.iter().map(typed).collect(),
            buckets: self.buckets,
            bucket_rows: self.bucket_rows,
            _scratch: self.scratch,
        })
    }
}

/// The rows of one side, bucket by bucket.
pub(super) struct Gathered {
    /// The columns.
    pub fields: Vec<FieldRef>,
    buckets: Vec<Bucket>,
    bucket_rows: usize,
    _scratch: Scratch,
}

/// The rows of one bucket, and where each row of the output is among them.
pub(super) struct Ordered {
    batches: Vec<RecordBatch>,
    places: Vec<(usize, usize)>,
}

impl Gathered {
    /// The rows of a bucket of `len` rows, which are given away.
    ///
    /// # Errors
    /// The scratch folder cannot be read; a row is missing.
    pub fn take(&mut self, index: usize, len: usize) -> Result<Ordered> {
        let bucket = self.buckets.get_mut(index).map(std::mem::take);
        let bucket = bucket.unwrap_or_default();
        let schema: SchemaRef = Arc::new(Schema::new(self.fields.clone()));
        let mut places = vec![None; len];
        let mut batches = Vec::new();
        let mut add = |path: &Path, (batch, slots): Placed| -> Result<()> {
            for (row, slot) in slots.iter().enumerate() {
                let place = (*slot as usize).checked_sub(index * self.bucket_rows);
                if let Some(place) = place.and_then(|place| places.get_mut(place)) {
                    *place = Some((batches.len(), row));
                }
            }
            let arrays = conformed(path, &batch, &self.fields)?;
            batches.push(arrow(path, RecordBatch::try_new(schema.clone(), arrays))?);
            Ok(())
        };
        for placed in bucket.held {
            add(Path::new(""), placed)?;
        }
        for path in &bucket.files {
            let builder = open_parquet(path, true)?;
            let mut rows = read_step(path, || builder.build())?;
            let mut next = || read_step(path, || rows.next().transpose().map_err(Into::into));
            while let Some(mut batch) = next()? {
                let slots = batch.remove_column(batch.num_columns().saturating_sub(1));
                let slots = slots.as_primitive::<UInt32Type>().values().to_vec();
                add(path, (batch, slots))?;
            }
            fs::remove_file(path).map_err(|error| io_error(path, error))?;
        }
        let places: Option<Vec<(usize, usize)>> = places.into_iter().collect();
        let places = places.ok_or_else(|| {
            let what = "a matched row did not come again".to_owned();
            DataError::new(Place::default(), Problem::Mismatch(what))
        })?;
        Ok(Ordered { batches, places })
    }
}

impl Ordered {
    /// Columns of some rows, in order.
    pub fn rows(&self, rows: std::ops::Range<usize>) -> Result<Vec<ArrayRef>> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let places = self.places.get(rows).unwrap_or_default();
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let picked = picked(Path::new(""), &batches, places.iter().copied())?;
        Ok(picked.columns().to_vec())
    }
}

fn picked(
    path: &Path,
    batches: &[&RecordBatch],
    rows: impl Iterator<Item = (usize, usize)>,
) -> Result<RecordBatch> {
    let rows: Vec<(usize, usize)> = rows.collect();
    arrow(path, interleave_record_batch(batches, &rows))
}

/// The columns of a batch at the types of `fields`; those that it lacks are null.
fn conformed(path: &Path, batch: &RecordBatch, fields: &[FieldRef]) -> Result<Vec<ArrayRef>> {
    let column = |field: &FieldRef| {
        let Some(array) = batch.column_by_name(field.name()) else {
            return Ok(arrow_array::new_null_array(
                field.data_type(),
                batch.num_rows(),
            ));
        };
        cells::widened(array, field.data_type()).ok_or_else(|| {
            let what = format!("{} cannot become {}", array.data_type(), field.data_type());
            DataError::new(
                Place::file(path).with_field(field.name()),
                Problem::Mismatch(what),
            )
        })
    };
    fields.iter().map(column).collect()
}

fn arrow<T>(path: &Path, made: std::result::Result<T, ArrowError>) -> Result<T> {
    made.map_err(|error| DataError::new(Place::file(path), damaged(error.to_string())))
}
