//! Tokens in Parquet: what both directions share.

mod read;
mod write;

pub(super) use read::open;
pub(super) use write::write;
pub use write::{TokenWriter, rank};

const OBJECT_ID: &str = "object_id";
const RA: &str = "ra";
const DEC: &str = "dec";
/// The name that HATS catalogues use.
const HEALPIX: &str = "_healpix_29";
/// Before the name of a survey flag.
const FLAG: &str = "flag_";
/// Rows decoded at a time.
const BATCH: usize = 1024;
