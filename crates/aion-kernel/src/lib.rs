//! Parameters, layers and fused operations under the codecs and the model.
//!
//! [`weights`] says where a parameter comes from (a mapped checkpoint or a seed) and under which
//! name it is saved; [`layer`] holds the layers; [`attention`] runs over ragged batches; [`conv`]
//! and its neighbours are the CPU's kernels, used where no gradient is wanted.

pub mod activation;
pub mod adamw;
mod aligned;
pub mod attention;
pub mod conv;
#[cfg(test)]
mod draws;
pub mod error;
mod gate;
mod gelu;
mod gradient;
pub mod init;
pub mod layer;
mod memory;
mod narrow;
mod product;
mod recompute;
pub mod roofline;
mod rows;
mod sequence;
mod simd;
mod source;
pub mod tensor_file;
pub mod weights;

pub use activation::Activation;
pub use attention::{Segments, attend, means, spread};
pub use error::WeightsError;
pub use init::Init;
pub use memory::objects_abreast;
pub use narrow::Narrow;
pub use recompute::recomputed;
pub use weights::{LoadReport, WeightNames, Weights};
