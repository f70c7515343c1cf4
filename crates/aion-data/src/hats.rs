//! HATS catalogues on disk: partitions by HEALPix cell, and the files that make a folder of them a
//! catalogue for the Python packages `hats` and `lsdb`.
//!
//! `dataset/Norder=k/Dir=d/Npix=n.parquet` hold the rows, each file sorted by `_healpix_29`;
//! `hats.properties`, `partition_info.csv` and `dataset/_common_metadata` (the schema) describe them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{Field, Schema};

use crate::atomic::{io_error, write_atomically};
use crate::error::Result;
use crate::parquet_file::ParquetFile;
use crate::sky::CELL_ORDER;
use crate::survey::universe_columns::{DEC, HEALPIX, RA};

/// File of properties; its presence makes a folder a catalogue.
pub const PROPERTIES: &str = "hats.properties";
/// File that lists the partitions.
pub const PARTITIONS: &str = "partition_info.csv";
/// File that holds the schema, without rows.
pub const SCHEMA: &str = "dataset/_common_metadata";
/// The standard's version.
const VERSION: &str = "v1.0";
/// Cells that share a folder.
const CELLS_A_FOLDER: u64 = 10_000;

/// A nested HEALPix cell whose objects are a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The order, 0 to 29.
    pub order: u8,
    /// The cell's number at that order.
    pub pixel: u64,
}

impl Cell {
    /// Path of the partition's file in the catalogue's folder.
    pub fn path(self) -> PathBuf {
        let Cell { order, pixel } = self;
        let folder = pixel / CELLS_A_FOLDER * CELLS_A_FOLDER;
        PathBuf::from(format!(
            "dataset/Norder={order}/Dir={folder}/Npix={pixel}.parquet"
        ))
    }

    /// Part of the sphere that the cell takes.
    fn share(self) -> f64 {
        1.0 / (12.0 * 4f64.powi(i32::from(self.order)))
    }
}

/// Makes the folder of a partition and returns the partition's path.
///
/// # Errors
/// [`Problem::Io`](crate::Problem::Io).
pub fn make_partition(catalogue: &Path, cell: Cell) -> Result<PathBuf> {
    let path = catalogue.join(cell.path());
    let folder = path.parent().unwrap_or(catalogue);
    fs::create_dir_all(folder).map_err(|error| io_error(folder, error))?;
    Ok(path)
}

/// Completes a folder of partitions to a catalogue of objects called `name`: writes its schema, its
/// partitions with their numbers of rows, and last its properties. `more` are further properties,
/// which take precedence over ours (`dataproduct_type`, say).
///
/// # Errors
/// [`Problem::Io`](crate::Problem::Io).
pub fn complete(
    catalogue: &Path,
    name: &str,
    fields: Vec<Field>,
    partitions: &BTreeMap<Cell, u64>,
    more: &BTreeMap<String, String>,
) -> Result<()> {
    let schema_path = catalogue.join(SCHEMA);
    let dataset = schema_path.parent().unwrap_or(catalogue);
    fs::create_dir_all(dataset).map_err(|error| io_error(dataset, error))?;
    ParquetFile::create(&schema_path, Arc::new(Schema::new(fields)), more)?.finish()?;
    write_lines(&catalogue.join(PARTITIONS), |out| {
        writeln!(out, "Norder,Npix,num_rows")?;
        partitions
            .iter()
            .try_for_each(|(cell, rows)| writeln!(out, "{},{},{rows}", cell.order, cell.pixel))
    })?;
    let properties = properties(name, partitions, more);
    write_lines(&catalogue.join(PROPERTIES), |out| {
        writeln!(out, "#HATS catalog")?;
        properties
            .iter()
            .try_for_each(|(key, value)| writeln!(out, "{key}={value}"))
    })
}

fn properties(
    name: &str,
    partitions: &BTreeMap<Cell, u64>,
    more: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let rows: u64 = partitions.values().sum();
    let largest = partitions.values().max().copied().unwrap_or(0);
    let order = partitions.keys().map(|cell| cell.order).max().unwrap_or(0);
    let fraction: f64 = partitions.keys().map(|cell| cell.share()).sum();
    let ours = [
        ("obs_collection", name.to_owned()),
        ("dataproduct_type", "object".to_owned()),
        ("hats_nrows", rows.to_string()),
        ("hats_col_ra", RA.to_owned()),
        ("hats_col_dec", DEC.to_owned()),
        ("hats_col_healpix", HEALPIX.to_owned()),
        ("hats_col_healpix_order", CELL_ORDER.to_string()),
        ("hats_npix_suffix", ".parquet".to_owned()),
        ("hats_order", order.to_string()),
        ("hats_max_rows", largest.to_string()),
        ("moc_sky_fraction", format!("{fraction:.6}")),
        (
            "hats_builder",
            format!("aion {}", env!("CARGO_PKG_VERSION")),
        ),
        ("hats_version", VERSION.to_owned()),
    ];
    let ours = ours.into_iter().map(|(key, value)| (key.to_owned(), value));
    let mut all: BTreeMap<String, String> = ours.collect();
    // A line is a property.
    let more = more
        .iter()
        .map(|(key, value)| (key.clone(), value.replace(['\n', '\r'], " ")));
    all.extend(more);
    all
}

fn write_lines(path: &Path, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<()> {
    let mut text = Vec::new();
    write(&mut text).map_err(|error| io_error(path, error))?;
    write_atomically(path, |file| {
        file.write_all(&text).map_err(|error| io_error(path, error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_lie_where_hats_looks_for_them() {
        let cell = Cell {
            order: 6,
            pixel: 12_345,
        };
        assert_eq!(
            cell.path(),
            PathBuf::from("dataset/Norder=6/Dir=10000/Npix=12345.parquet")
        );
    }

    #[test]
    fn properties_say_what_the_partitions_are() {
        let cell = |order, pixel| Cell { order, pixel };
        let partitions = BTreeMap::from([(cell(1, 3), 5), (cell(2, 16), 7)]);
        let more = BTreeMap::from([
            ("dataproduct_type".to_owned(), "association".to_owned()),
            ("note".to_owned(), "two\nlines".to_owned()),
        ]);
        let found = properties("test", &partitions, &more);
        assert_eq!(found["hats_nrows"], "12");
        assert_eq!(found["hats_order"], "2");
        assert_eq!(found["hats_max_rows"], "7");
        assert_eq!(found["moc_sky_fraction"], "0.026042");
        assert_eq!(found["dataproduct_type"], "association");
        assert_eq!(found["note"], "two lines");
    }
}
