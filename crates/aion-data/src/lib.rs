//! What was observed, and the files that hold it.
//!
//! [`modality`] is the table of modalities; [`observation`] and [`tokens`] are the two forms in
//! which an object travels; `survey`, `format` read and write files.
//! Nothing here knows a tensor library, so readers compile and test in seconds.

pub mod atomic;
pub mod band;
pub mod check;
pub mod crossmatch;
pub mod described;
pub mod error;
pub mod extract;
mod fits_out;
pub mod fnv;
pub mod format;
pub mod hats;
pub mod hats_rows;
pub mod modality;
pub mod observation;
pub mod observation_table;
pub mod output_format;
pub mod parquet_file;
pub mod parquet_writer;
mod read_options;
pub mod reader;
pub mod reasons;
pub mod shards;
pub mod sky;
pub mod survey;
pub mod table_out;
pub mod tensor_files;
pub mod token_files;
pub mod tokens;

pub use described::SurveyDescription;
pub use error::{DataError, Place, Problem, Result, Uncovered};
pub use modality::{Kind, MODALITIES, Modality, ModalityId, Survey};
pub use observation::{CATALOG_PADDING, Image, Measurement, Object, ScalarField, Source, Spectrum};
pub use tokens::{ObjectTokens, TokenRow, num_tokens};
