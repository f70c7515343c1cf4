//! The commands, one file each.

pub mod bench;
pub mod crossmatch;
pub mod cutout;
pub mod demo;
pub mod detokenize;
pub mod embed;
pub mod evaluate;
pub mod fetch;
pub mod inspect;
pub mod leakage;
pub mod masks;
pub mod plan;
pub mod predict;
pub mod scaling;
pub mod simulate;
pub mod tokenize;
pub mod train;
