//! The transformer over tokens of all modalities: objects' tokens in, states and predictions out.
//!
//! [`config`] is the published configuration; [`transformer`] encodes and decodes packed batches of
//! objects that differ in what was measured, and gives [`states`]; [`ask`] puts questions that share passes and [`predict`] turns
//! logits into answers; [`loss`] is what training minimises; [`checkpoint`] opens and saves; [`mod@extend`]
//! adds a modality; [`aion`] joins transformer and codecs.

pub mod aion;
pub mod ask;
mod attention;
mod block;
pub mod budget;
pub mod checkpoint;
pub mod config;
mod embedding;
pub mod error;
pub mod extend;
pub mod layout;
pub mod loss;
mod mlp;
pub mod predict;
pub mod sequence;
pub mod states;
mod target_attention;
pub mod transformer;
pub mod visible;

pub use aion::Aion;
pub use budget::budget;
pub use checkpoint::Checkpoint;
pub use config::{Activation, ConfigError, ModelConfig, Preset};
pub use error::ModelError;
pub use extend::extend;
pub use layout::{Group, Layout};
pub use loss::Loss;
pub use predict::{Distribution, Prediction};
pub use states::{Decoded, Encoded};
pub use target_attention::DecoderAttention;
pub use transformer::Transformer;
pub use visible::{Target, Targets, Visible, VisibleTokens, show_all};
