//! Neural tokenizers: one codec a modality, from measurements to tokens and back.
//!
//! [`codec_set`] serves whole objects; [`codec`] is the closed list of codecs, each in its own
//! module; [`quantizer`] turns latents into integers; [`range`] counts what codecs cannot express.

pub mod catalog;
pub mod codec;
pub mod codec_set;
pub mod error;
pub mod image;
pub mod quantizer;
pub mod range;
pub mod scalar;
pub mod scalar_field;
pub mod spectrum;

pub use codec::{Codec, OpenCodec};
pub use codec_set::{CodecSet, Encoded, check_tokens, survey_bands};
pub use error::{CodecError, Result};
pub use range::{Coverage, RangeReport};
