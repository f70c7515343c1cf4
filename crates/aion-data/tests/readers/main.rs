//! Readers of survey files: good, odd and broken files written here, and the real samples.

mod bricks;
mod broken;
mod checks;
mod column_maps;
mod containers;
mod desi;
mod fixtures;
mod images;
mod multimodal_universe;
mod native_images;
mod properties;
mod ranges;
mod sample_tables;
mod samples;
mod sdss;
mod spectra;
mod tables;
mod text_tables;
mod votables;
