//! Tensor files: observations in safetensors, one tensor a field, objects along the first axis.
//!
//! | measurement | tensors | metadata |
//! |---|---|---|
//! | image | `<key>/flux` (B,C,H,W), `<key>/ivar` (same shape, optional) | `<key>/bands` = `DES-G,DES-R` |
//! | spectrum | `<key>/{flux,ivar,wavelength}` (B,N), `<key>/mask` (B,N), true = bad | |
//! | scalar | `<key>/value` (B,1) or (B,) | |
//! | coefficients | `<key>/value` (B,55) | |
//! | catalogue | `catalog/{X,Y,SHAPE_E1,SHAPE_E2,SHAPE_R}` (B,L), 9999 = padding anywhere in the row | |
//! | scalar field | `<key>/field` (B,H,W) or (B,1,H,W) | |
//!
//! Numbers may be f16, bf16, f32, f64 or whole numbers. A spectrum without `mask` has no bad pixels.
//! Rows of a catalogue are as long as the longest, or as the metadata entry `catalog/length` asks.
//! What a file lists is used as listed: positions given as `tok_ra/value` are measurements.
//!
//! Objects of one file need not be alike. A boolean tensor `<key>/present` (B,) says which rows hold a
//! measurement (all without it; the others are filled with NaN or padding), and `<key>/length` (B,) how
//! many pixels of a spectrum are valid (all without it; the rest have flux, ivar and wavelength 0 and
//! mask true). Both are written only where they are needed. An image whose `ivar` is NaN throughout
//! has none. A boolean tensor `simulated` (B,) marks simulated objects.
//!
//! Identifiers are the metadata entry `object_id`, a JSON list of strings (a comma-separated list is
//! read too), and also an integer tensor `object_id` (B,) when all are whole numbers; without either,
//! row numbers. Positions are the tensors `ra` and `dec` (B,), degrees, NaN where unknown. Survey flags
//! are the metadata entry `flags`, a JSON object of lists.

mod container;
mod grid;
pub(crate) mod identity;
mod layout;
pub(crate) mod output;
mod read;
mod write;

pub use container::{Dtype, Tensor, TensorFile};
pub use grid::{Grid, read_grids};
pub use read::ObservationFile;
pub(crate) use write::check as check_arrays;
pub use write::write_observations;

/// Tensor of booleans, true for simulated objects.
const SIMULATED: &str = "simulated";
