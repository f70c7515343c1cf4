//! Containers: how bytes become headers, images and tables. Nothing here knows a survey.

pub(crate) mod arrow_cells;
pub mod csv_table;
mod ecsv;
pub mod fits;
pub mod fits_sky;
mod fits_source;
pub mod fits_table;
pub mod hdf5_table;
pub mod lzf;
pub mod npz;
pub mod parquet_table;
pub mod partitions;
pub mod table;
pub mod votable;
