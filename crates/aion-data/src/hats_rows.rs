//! Rows that lie in files anyhow, sorted into the partitions of a HATS catalogue.
//!
//! Files are read three times at most, a batch at a time: for their columns, to count objects by cell, and to
//! collect the rows of some partitions, as many as fit into memory together.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use parquet::arrow::ProjectionMask;

use crate::error::{DataError, Place, Problem, Result};
use crate::hats::{Cell, make_partition};
use crate::parquet_file::{ParquetFile, damaged, open_parquet, read_step};
use crate::sky::CELL_ORDER;
use crate::survey::universe_columns::HEALPIX;

/// The finest partitions: more objects than asked for stay together there.
const FINEST: u8 = 10;
/// Bytes of rows that are collected at a time, beyond one partition.
const BYTES_AT_ONCE: usize = 256 << 20;
/// Rows read at a time.
const ROWS_READ: usize = 1024;

impl Cell {
    /// The cells of order 29 within.
    fn range(self) -> Range<i64> {
        let shift = 2 * u32::from(CELL_ORDER.saturating_sub(self.order));
        let bound = |pixel: u64| i64::try_from(pixel << shift).unwrap_or(i64::MAX);
        bound(self.pixel)..bound(self.pixel + 1)
    }

    /// The cell that a partition's path names: `Norder=k/Dir=d/Npix=n.parquet`, or a file of the folder
    /// `Npix=n`.
    pub fn of_path(path: &Path) -> Option<Cell> {
        let (mut order, mut pixel) = (None, None);
        for part in path.components() {
            let part = part.as_os_str().to_str()?;
            let number = |text: &str| {
                text.split('.')
                    .next()
                    .and_then(|digits| digits.parse().ok())
            };
            if let Some(text) = part.strip_prefix("Norder=") {
                order = number(text).and_then(|order| u8::try_from(order).ok());
            } else if let Some(text) = part.strip_prefix("Npix=") {
                pixel = number(text);
            }
        }
        let (order, pixel) = (order?, pixel?);
        (order <= CELL_ORDER).then_some(Cell { order, pixel })
    }
}

/// How many objects lie where.
#[derive(Debug, Default)]
pub struct Counts {
    /// Objects by cell of order [`FINEST`].
    fine: BTreeMap<u64, u64>,
    /// The cells of order 29 that each file spans.
    spans: Vec<(PathBuf, Range<i64>)>,
}

impl Counts {
    /// Counts the rows of files, which all have positions.
    ///
    /// # Errors
    /// A file cannot be read, or a row has no cell.
    pub fn of(files: &[PathBuf]) -> Result<Self> {
        let mut counts = Counts::default();
        for path in files {
            let mut span: Option<Range<i64>> = None;
            for batch in read(path, Some(HEALPIX))? {
                for cell in cells(path, &batch?)? {
                    let known = span.unwrap_or(cell..cell + 1);
                    span = Some(known.start.min(cell)..known.end.max(cell + 1));
                    *counts.fine.entry(fine(cell)).or_default() += 1;
                }
            }
            counts.spans.extend(span.map(|span| (path.clone(), span)));
        }
        Ok(counts)
    }

    /// The partitions: `given` ones, and cells of at most `most` objects for the rest.
    pub fn partitions(&self, given: &[Cell], most: u64) -> BTreeMap<Cell, u64> {
        let mut partitions = BTreeMap::new();
        let mut rest = self.fine.clone();
        let mut given = given.to_vec();
        // A cell within another one of the list has its objects.
        given.sort_by(|a, b| b.cmp(a));
        for cell in given {
            let inside: Vec<u64> = match cell.order <= FINEST {
                true => rest
                    .range(fine_range(cell))
                    .map(|(pixel, _)| *pixel)
                    .collect(),
                // Finer than what is counted by: its rows are taken with its parent's.
                false => Vec::new(),
            };
            let objects = inside.iter().filter_map(|pixel| rest.remove(pixel)).sum();
            if objects > 0 {
                partitions.insert(cell, objects);
            }
        }
        let mut open: Vec<Cell> = (0..12).map(|pixel| Cell { order: 0, pixel }).collect();
        while let Some(cell) = open.pop() {
            let objects: u64 = rest.range(fine_range(cell)).map(|(_, count)| count).sum();
            let taken = partitions.keys().any(|other| {
                let (inner, outer) = (other.range(), cell.range());
                outer.start <= inner.start && inner.end <= outer.end
            });
            if objects == 0 {
                continue;
            }
            if cell.order < FINEST && (objects > most || taken) {
                let (order, first) = (cell.order + 1, cell.pixel * 4);
                open.extend((first..first + 4).map(|pixel| Cell { order, pixel }));
            } else {
                partitions.insert(cell, objects);
            }
        }
        partitions
    }

    /// Writes the partitions into the folder of a catalogue, each sorted by cell; objects of one cell
    /// stay in the order of the files.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn write(
        &self,
        partitions: &BTreeMap<Cell, u64>,
        (schema, metadata): (&SchemaRef, &BTreeMap<String, String>),
        catalogue: &Path,
    ) -> Result<()> {
        let mut left: Vec<Cell> = partitions.keys().copied().collect();
        left.sort_by_key(|cell| cell.range().start);
        let mut left = left.as_slice();
        while !left.is_empty() {
            let mut collected = self.collect(left)?;
            let count = collected.len().max(1);
            for (cell, batches) in left.iter().zip(collected.drain(..)) {
                let path = make_partition(catalogue, *cell)?;
                write_sorted(&path, schema, metadata, &batches)?;
            }
            left = left.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// The rows of the first partitions of a list, as many as fit into memory and at least one's.
    fn collect(&self, cells_wanted: &[Cell]) -> Result<Vec<Vec<RecordBatch>>> {
        let ranges: Vec<Range<i64>> = cells_wanted.iter().map(|cell| cell.range()).collect();
        let mut kept = ranges.len();
        let mut rows: Vec<Vec<RecordBatch>> = vec![Vec::new(); kept];
        let mut bytes: Vec<usize> = vec![0; kept];
        for (path, span) in &self.spans {
            let overlaps = |range: &Range<i64>| range.start < span.end && span.start < range.end;
            if !ranges.iter().take(kept).any(overlaps) {
                continue;
            }
            for batch in read(path, None)? {
                let batch = batch?;
                let mut chosen: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
                for (row, cell) in (0u32..).zip(cells(path, &batch)?) {
                    let place = ranges.partition_point(|range| range.end <= cell);
                    let inside = ranges.get(place).is_some_and(|range| range.contains(&cell));
                    if inside && place < kept {
                        chosen.entry(place).or_default().push(row);
                    }
                }
                for (place, chosen) in chosen {
                    let taken = take_record_batch(&batch, &UInt32Array::from(chosen));
                    let taken = taken.map_err(|error| wrong(path, error.to_string()))?;
                    bytes[place] += taken.get_array_memory_size();
                    rows[place].push(taken);
                }
                while kept > 1 && bytes.iter().take(kept).sum::<usize>() > BYTES_AT_ONCE {
                    kept -= 1;
                    rows[kept] = Vec::new();
                }
            }
        }
        rows.truncate(kept);
        Ok(rows)
    }
}

fn write_sorted(
    path: &Path,
    schema: &SchemaRef,
    metadata: &BTreeMap<String, String>,
    batches: &[RecordBatch],
) -> Result<()> {
    let failed = |error: arrow_schema::ArrowError| wrong(path, error.to_string());
    let rows = concat_batches(schema, batches).map_err(failed)?;
    let cells = cells(path, &rows)?;
    let count = u32::try_from(cells.len())
        .map_err(|_| wrong(path, "a partition of more than 2^32 rows".to_owned()))?;
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_by_key(|row| cells.get(*row as usize));
    let mut file = ParquetFile::create(path, schema.clone(), metadata)?;
    // A part at a time: sorting all columns at once would hold every row twice.
    for part in order.chunks(ROWS_READ) {
        let part = take_record_batch(&rows, &UInt32Array::from(part.to_vec()));
        file.write(&part.map_err(failed)?)?;
    }
    file.finish()
}

fn fine(cell29: i64) -> u64 {
    let shift = 2 * u32::from(CELL_ORDER - FINEST);
    u64::try_from(cell29).unwrap_or(0) >> shift
}

/// The cells of order [`FINEST`] within one that is not finer.
fn fine_range(cell: Cell) -> Range<u64> {
    let shift = 2 * u32::from(FINEST.saturating_sub(cell.order));
    cell.pixel << shift..(cell.pixel + 1) << shift
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

/// The rows of a file, of one column or of all.
fn read(path: &Path, column: Option<&str>) -> Result<Batches> {
    let builder = open_parquet(path, true)?;
    let mask = match column {
        Some(column) => ProjectionMask::columns(builder.parquet_schema(), [column]),
        None => ProjectionMask::all(),
    };
    let batches = read_step(path, || {
        builder
            .with_projection(mask)
            .with_batch_size(ROWS_READ)
            .build()
    })?;
    let path = path.to_owned();
    let batches = batches.map(move |batch| batch.map_err(|error| wrong(&path, error.to_string())));
    Ok(Box::new(batches))
}

/// The cells of a batch's rows.
fn cells(path: &Path, batch: &RecordBatch) -> Result<Vec<i64>> {
    let cells = batch
        .column_by_name(HEALPIX)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .filter(|cells| cells.null_count() == 0);
    match cells {
        Some(cells) => Ok(cells.values().to_vec()),
        None => {
            let problem = Problem::Missing("cell of the sky: a row without position".to_owned());
            Err(DataError::new(
                Place::file(path).with_field(HEALPIX),
                problem,
            ))
        }
    }
}

fn wrong(path: &Path, reason: String) -> DataError {
    DataError::new(Place::file(path), damaged(reason))
}
