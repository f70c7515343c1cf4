//! The dataset of pairs: `left_object_id`, `right_object_id`, `separation_arcsec`, then the columns
//! of both sides with `left_` and `right_` before their names, then the mean position as `ra`,
//! `dec` and `_healpix_29`, by which rows are sorted.

use std::collections::{BTreeMap, HashMap};
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::atomic::{io_error, write_atomically};
use crate::crossmatch::gather::{Gather, Gathered, Ordered, Scratch};
use crate::crossmatch::matching::Pair;
use crate::crossmatch::positions::{FileRows, Positions};
use crate::crossmatch::statistics::Report;
use crate::crossmatch::{Options, rows};
use crate::error::{DataError, Place, Problem, Result};
use crate::format::arrow_cells;
use crate::format::table::Cell;
use crate::output_format::OutputFormat;
use crate::parquet_file::{damaged, write_parquet};
use crate::sky::{ARCSEC, UnitVector, healpix29, midpoint, position};
use crate::survey::pairs::PREFIXES;

/// The column of identifiers, after a prefix.
const OBJECT_ID: &str = "object_id";
const SEPARATION: &str = "separation_arcsec";
const MEAN_POSITION: [&str; 3] = ["ra", "dec", "_healpix_29"];
/// Bytes of rows written at a time, about.
const BATCH_BYTES: usize = 32 << 20;

/// Pairs in the order of the output, with their mean positions.
pub(super) struct Sky {
    pairs: Vec<Pair>,
    /// Right ascension and declination, degrees, and the order-29 cell.
    places: Vec<(f64, f64, i64)>,
}

impl Sky {
    /// Sorts pairs by the cell of their mean position.
    pub fn of(pairs: Vec<Pair>, [left, right]: &[Vec<UnitVector>; 2]) -> Self {
        let place = |pair: &Pair| {
            let middle = midpoint(left[pair.left as usize], right[pair.right as usize]);
            let (ra, dec) = position(middle);
            (ra, dec, healpix29(ra, dec).unwrap_or(-1))
        };
        let mut both: Vec<(Pair, (f64, f64, i64))> =
            pairs.into_iter().map(|pair| (pair, place(&pair))).collect();
        both.sort_unstable_by_key(|(pair, place)| (place.2, pair.left));
        let (pairs, places) = both.into_iter().unzip();
        Sky { pairs, places }
    }
}

/// Fails unless pairs can be written to a file of this name.
///
/// # Errors
/// Another extension than `.parquet` or `.csv`.
pub(super) fn check_output(path: &Path) -> Result<()> {
    match OutputFormat::of(path) {
        Ok(OutputFormat::Parquet | OutputFormat::Csv) => Ok(()),
        _ => {
            let what = "the extension should be .parquet or .csv".to_owned();
            Err(DataError::new(
                Place::file(path),
                Problem::Unrecognised(what),
            ))
        }
    }
}

/// Writes the pairs and all columns of both sides.
///
/// # Errors
/// See [`super::crossmatch`].
pub(super) fn write(
    output: &Path,
    sides: [&Positions; 2],
    sky: &Sky,
    options: &Options,
    report: &Report,
) -> Result<()> {
    let mut row_bytes = [0; 2];
    for (bytes, side) in row_bytes.iter_mut().zip(sides) {
        *bytes = mean_row_bytes(&side.files)?;
    }
    let row_bytes = row_bytes[0].saturating_add(row_bytes[1]);
    let bucket_rows = (options.memory / row_bytes).max(1);
    let gathered = |side: usize| {
        let scratch = Scratch::new(scratch_path(output, side));
        let gather = Gather::new(sky.pairs.len(), bucket_rows, options.memory, scratch);
        let row = |pair: &Pair| [pair.left, pair.right][side] as usize;
        gather_side(sides[side], gather, sky.pairs.iter().map(row), options)
    };
    let (left, right) = rayon::join(|| gathered(0), || gathered(1));
    let gathered = [left?, right?];

    let schema = schema(&gathered);
    let metadata = metadata(&schema, report)?;
    // Where a file has a schema of Arrow's, pyarrow shows the metadata in it and no other.
    let entries: std::collections::HashMap<String, String> = metadata.clone().into_iter().collect();
    let schema = Arc::new(Arc::unwrap_or_clone(schema).with_metadata(entries));
    let mut batches = Batches {
        output,
        sides,
        sky,
        schema: schema.clone(),
        gathered,
        bucket_rows,
        step: (BATCH_BYTES / row_bytes).clamp(1, 8192),
        next: 0,
        bucket: None,
    };
    let batches = std::iter::from_fn(move || batches.next().transpose());
    match OutputFormat::of(output)? {
        OutputFormat::Csv => write_csv(output, &schema, batches),
        _ => write_parquet(output, schema.clone(), &metadata, batches),
    }
}

/// About how many bytes a row of these files takes in memory.
fn mean_row_bytes(files: &[FileRows]) -> Result<usize> {
    let (mut bytes, mut rows) = (0usize, 0usize);
    for file in files.iter().filter(|file| file.len > 0) {
        bytes = bytes.saturating_add(rows::row_bytes(file)?.saturating_mul(file.len));
        rows += file.len;
    }
    Ok(bytes / rows.max(1) + 1)
}

/// A folder beside the output that no other process uses.
fn scratch_path(output: &Path, side: usize) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let process = std::process::id();
    output.with_file_name(format!(".{name}.{process}-{}rows", PREFIXES[side]))
}

/// Collects the rows of a side; `pair_rows` are those of the pairs in the order of the output.
fn gather_side(
    side: &Positions,
    mut gather: Gather,
    pair_rows: impl Iterator<Item = usize>,
    options: &Options,
) -> Result<Gathered> {
    let source = rows::Source {
        options: &options.read,
        seen: &side.seen,
    };
    let mut wanted: Vec<(usize, u32)> = pair_rows.zip(0..).collect();
    wanted.sort_unstable();
    for (index, file) in side.files.iter().enumerate() {
        let start = wanted.partition_point(|&(row, _)| row < file.first);
        let end = wanted.partition_point(|&(row, _)| row < file.first + file.len);
        let share = wanted.get(start..end).unwrap_or_default();
        // Where there is no pair at all, the first file says which columns there would be.
        if share.is_empty() && !(wanted.is_empty() && index == 0) {
            continue;
        }
        let rows: Vec<usize> = share.iter().map(|(row, _)| row - file.first).collect();
        let mut slots = share.iter().map(|&(_, slot)| slot);
        rows::read(&source, file, &rows, &mut |batch: RecordBatch| {
            let slots = slots.by_ref().take(batch.num_rows()).collect();
            gather.push(&file.path, batch, slots)
        })?;
    }
    gather.finish()
}

/// The output's rows, made batch by batch.
struct Batches<'a> {
    output: &'a Path,
    sides: [&'a Positions; 2],
    sky: &'a Sky,
    schema: SchemaRef,
    gathered: [Gathered; 2],
    bucket_rows: usize,
    step: usize,
    next: usize,
    /// Where the bucket in memory begins, and its rows.
    bucket: Option<(usize, [Ordered; 2])>,
}

impl Batches<'_> {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let rows = self.sky.pairs.len();
        if self.next >= rows {
            return Ok(None);
        }
        let index = self.next / self.bucket_rows;
        let start = index * self.bucket_rows;
        let end = (start + self.bucket_rows).min(rows);
        if self.next == start {
            // The former bucket goes before the next one comes.
            self.bucket = None;
            let [left, right] = &mut self.gathered;
            let ordered = [
                left.take(index, end - start)?,
                right.take(index, end - start)?,
            ];
            self.bucket = Some((start, ordered));
        }
        let Some((start, [left, right])) = &self.bucket else {
            return Ok(None);
        };
        let range = self.next..(self.next + self.step).min(end);
        let local = range.start - start..range.end - start;
        let columns = [left.rows(local.clone())?, right.rows(local)?];
        self.next = range.end;
        let arrays = self.arrays(range, columns);
        let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(|error| {
            DataError::new(Place::file(self.output), damaged(error.to_string()))
        })?;
        Ok(Some(batch))
    }

    fn arrays(&self, rows: Range<usize>, columns: [Vec<ArrayRef>; 2]) -> Vec<ArrayRef> {
        let pairs = self.sky.pairs.get(rows.clone()).unwrap_or_default();
        let places = self.sky.places.get(rows).unwrap_or_default();
        let ids = |side: usize| -> ArrayRef {
            let name = |pair: &Pair| {
                let row = [pair.left, pair.right][side] as usize;
                Some(self.sides[side].ids.get(row))
            };
            Arc::new(pairs.iter().map(name).collect::<StringArray>())
        };
        let numbers = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let separations = pairs.iter().map(|pair| pair.separation * ARCSEC);
        let mut arrays = vec![ids(0), ids(1), numbers(separations.collect())];
        let own = self.gathered.iter().zip(columns);
        arrays.extend(own.flat_map(|(side, columns)| {
            let both = side.fields.iter().zip(columns);
            both.filter(|(field, _)| is_copied(field))
                .map(|(_, column)| column)
        }));
        arrays.push(numbers(places.iter().map(|place| place.0).collect()));
        arrays.push(numbers(places.iter().map(|place| place.1).collect()));
        let cells = places.iter().map(|place| place.2);
        arrays.push(Arc::new(Int64Array::from_iter_values(cells)));
        arrays
    }
}

/// Whether a column of a side is copied: its `object_id` already stands at the front.
fn is_copied(field: &FieldRef) -> bool {
    field.name() != OBJECT_ID
}

fn schema(gathered: &[Gathered; 2]) -> SchemaRef {
    let mut fields: Vec<Field> = PREFIXES
        .map(|prefix| Field::new(format!("{prefix}{OBJECT_ID}"), DataType::Utf8, false))
        .to_vec();
    fields.push(with_unit(SEPARATION, DataType::Float64, "arcsec"));
    for (prefix, side) in PREFIXES.iter().zip(gathered) {
        let copied = side.fields.iter().filter(|field| is_copied(field));
        fields.extend(copied.map(|field| {
            let name = format!("{prefix}{}", field.name());
            field.as_ref().clone().with_name(name)
        }));
    }
    let [ra, dec, cell] = MEAN_POSITION;
    fields.push(with_unit(ra, DataType::Float64, "deg"));
    fields.push(with_unit(dec, DataType::Float64, "deg"));
    fields.push(Field::new(cell, DataType::Int64, false));
    Arc::new(Schema::new(fields))
}

fn with_unit(name: &str, of: DataType, unit: &str) -> Field {
    let metadata = HashMap::from([(rows::UNIT.to_owned(), unit.to_owned())]);
    Field::new(name, of, false).with_metadata(metadata)
}

/// How the pairs were made, and the units of columns in the form in which Astropy keeps them.
fn metadata(schema: &Schema, report: &Report) -> Result<BTreeMap<String, String>> {
    let mut yaml = String::from("datatype:\n");
    for field in schema.fields() {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let unit = field.metadata().get(rows::UNIT);
        let unit = unit.map(|unit| format!("unit: {}, ", quoted(unit)));
        let of = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 => "string".to_owned(),
            DataType::Boolean => "bool".to_owned(),
            of if of.is_numeric() => of.to_string().to_lowercase(),
            _ => "object".to_owned(),
        };
        yaml.push_str(&format!(
            "- {{name: {}, {}datatype: {of}}}\n",
            quoted(field.name()),
            unit.unwrap_or_default(),
        ));
    }
    let made = serde_json::to_string(report)
        .map_err(|error| DataError::new(Place::default(), Problem::Values(error.to_string())))?;
    Ok(BTreeMap::from([
        ("table_meta_yaml".to_owned(), yaml),
        ("aion_crossmatch".to_owned(), made),
    ]))
}

/// Writes numbers and text as comma-separated values.
fn write_csv(
    path: &Path,
    schema: &Schema,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let failed = |error: csv::Error| io_error(path, error.into());
    let array = |name: &str| {
        let what = "a CSV file holds one number a cell; write arrays to .parquet";
        let place = Place::file(path).with_field(name);
        DataError::new(place, Problem::Unrecognised(what.to_owned()))
    };
    write_atomically(path, |file| {
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let names = schema.fields().iter().map(|field| field.name());
        writer.write_record(names).map_err(failed)?;
        for batch in batches {
            let batch = batch?;
            let mut columns = Vec::with_capacity(batch.num_columns());
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                let cells = arrow_cells::cells(column).ok_or_else(|| array(field.name()))?;
                if cells.iter().any(Cell::is_array) {
                    return Err(array(field.name()));
                }
                columns.push(cells);
            }
            for row in 0..batch.num_rows() {
                let cell = |cells: &Vec<Cell>| cells.get(row).and_then(Cell::label);
                let record = columns.iter().map(|cells| cell(cells).unwrap_or_default());
                writer.write_record(record).map_err(failed)?;
            }
        }
        writer.flush().map_err(|error| io_error(path, error))
    })
}
