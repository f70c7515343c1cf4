//! The codec of catalogues: five codes a source (paper §2.5).

use aion_data::{DataError, Place, Problem, Source};
use aion_kernel::Weights;
use aion_kernel::tensor_file::StoredTensor;
use serde::{Deserialize, Serialize};

use crate::quantizer::Codebook;
use crate::range::Coverage;

/// Pixels of the frame that sources lie in, along each axis.
const FRAME: u16 = 96;
/// Codes of each shape parameter; the sample behind them. Not stored in checkpoints.
const SHAPE_CODES: usize = 1024;
const RESERVOIR_SIZE: usize = 100_000;
/// First code of x, y, e1, e2, r.
const OFFSETS: [u16; 5] = [0, 96, 192, 1216, 2240];
/// Codes a source.
pub const CODES_PER_SOURCE: usize = 5;
/// What a field that cannot be decoded is set to, as the reference does.
const UNDECODABLE: f32 = -1.0;

/// `config.json` of the catalogue codec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogConfig {
    /// The value that marks padding in files.
    pub mask_value: i64,
}

/// Positions as they are, shapes through codebooks, each in its own part of the vocabulary.
#[derive(Debug, Clone)]
pub struct CatalogCodec {
    shapes: [Codebook; 3],
}

impl CatalogCodec {
    /// Reads the shape codebooks.
    pub fn new(weights: &Weights) -> Self {
        let weights = weights.at("_quantizer.quantizers");
        for axis in ["X", "Y"] {
            let size = StoredTensor::int64(&[], &[i64::from(FRAME)]);
            weights.at(axis).constant("_codebook_size", size);
        }
        let shape = |name: &str| {
            let weights = weights.at(name);
            let size = weights
                .stored_shape("_reservoir")
                .and_then(|shape| shape.first().copied());
            Codebook::new(&weights, SHAPE_CODES, size.unwrap_or(RESERVOIR_SIZE), 0.0)
        };
        CatalogCodec {
            shapes: ["SHAPE_E1", "SHAPE_E2", "SHAPE_R"].map(shape),
        }
    }

    /// Codes of the sources, object-major.
    ///
    /// # Errors
    /// A source lies outside the frame.
    pub fn encode(&self, sources: &[Source]) -> Result<Vec<u16>, DataError> {
        let mut codes = Vec::with_capacity(sources.len() * CODES_PER_SOURCE);
        for source in sources {
            for (field, pixel) in [("X", source.x), ("Y", source.y)] {
                let pixel = u16::try_from(pixel).ok().filter(|pixel| *pixel < FRAME);
                codes.push(pixel.ok_or_else(|| {
                    let problem = format!("source outside the frame of {FRAME} pixels");
                    DataError::new(
                        Place::field(format!("catalog/{field}")),
                        Problem::Values(problem),
                    )
                })?);
            }
            let values = [source.shape_e1, source.shape_e2, source.shape_r];
            for (codebook, value) in self.shapes.iter().zip(values) {
                codes.push(codebook.encode(value));
            }
            let start = codes.len() - CODES_PER_SOURCE;
            for (code, offset) in codes[start..].iter_mut().zip(OFFSETS) {
                *code += offset;
            }
        }
        Ok(codes)
    }

    /// Sources of codes; a code outside its field's part of the vocabulary gives -1.
    pub fn decode(&self, codes: &[u16]) -> Vec<Source> {
        let source = |codes: &[u16; CODES_PER_SOURCE]| {
            let field = |index: usize, size: u16| {
                codes[index]
                    .checked_sub(OFFSETS[index])
                    .filter(|code| *code < size)
            };
            let pixel = |index| field(index, FRAME).map_or(UNDECODABLE as i32, i32::from);
            let shape = |index: usize| {
                field(index, SHAPE_CODES as u16)
                    .map_or(UNDECODABLE, |code| self.shapes[index - 2].decode(code))
            };
            Source {
                x: pixel(0),
                y: pixel(1),
                shape_e1: shape(2),
                shape_e2: shape(3),
                shape_r: shape(4),
            }
        };
        codes.as_chunks().0.iter().map(source).collect()
    }

    /// How many shape parameters the codebooks span.
    pub fn coverage(&self, sources: &[Source]) -> Coverage {
        let mut total = Coverage::default();
        let fields: [fn(&Source) -> f32; 3] = [|s| s.shape_e1, |s| s.shape_e2, |s| s.shape_r];
        for (codebook, field) in self.shapes.iter().zip(fields) {
            total.add(Coverage::of(sources.iter().map(field), |v| {
                codebook.spans(v)
            }));
        }
        total
    }
}
