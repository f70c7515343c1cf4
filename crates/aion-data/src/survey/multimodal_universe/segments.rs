//! The segmentation map: which kind of source covers each pixel.
//!
//! The Multimodal Universe draws every source as an ellipse with the number of its type: 0 sky,
//! 1 PSF, 2 REX, 3 EXP, 4 DEV, 5 SER, 6 DUP. The codec takes values in [0, 1], and how the
//! authors scaled the types is not published. We divide by 6, which keeps them apart and in order.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits};

use super::Cells;
use super::names::Columns;
use crate::error::{Problem, Result};
use crate::format::table::Cell;
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::ScalarField;

/// The types as an array, and as a picture in a struct.
const TYPES: &str = "object_mask";
const PICTURE: &str = "bytes";
/// The largest number of a type.
const LAST_TYPE: f32 = 6.0;
/// The most bytes that a picture may need.
const MOST_BYTES: usize = 64 << 20;

/// The column of a map.
pub(super) struct SegmentColumn {
    column: usize,
    types: bool,
}

impl SegmentColumn {
    pub(super) fn find(columns: &Columns<'_>, prefix: &str) -> Option<Self> {
        let id = ModalityId::of_kind(Kind::ScalarField, Survey::LegacySurvey)?;
        let types = columns.at(prefix, TYPES);
        let types = types.or_else(|| columns.field(prefix, TYPES, PICTURE));
        // Tables of ours have the map itself.
        let column = types.or_else(|| columns.at(prefix, id.info().codec))?;
        let types = types.is_some();
        Some(SegmentColumn { column, types })
    }

    /// The same with another number for the column.
    pub(super) fn moved(self, mut to: impl FnMut(usize) -> usize) -> Self {
        let column = to(self.column);
        SegmentColumn { column, ..self }
    }

    /// The map of a row.
    pub(super) fn read(&self, row: &mut Cells<'_>) -> Result<Option<(ModalityId, ScalarField)>> {
        let picture = match row.cell(self.column) {
            Cell::Bytes(bytes) => Some(decode(bytes)),
            _ => None,
        };
        let map = match picture {
            Some(Ok(map)) => Some(map),
            Some(Err(problem)) => return Err(row.refuse(self.column, problem)),
            None => row.array(self.column)?,
        };
        let Some((shape, mut field)) = map else {
            return Ok(None);
        };
        let &[height, width] = shape.as_slice() else {
            let problem = Problem::Shape {
                found: format!("{shape:?}"),
                expected: "(height, width)".into(),
            };
            return Err(row.refuse(self.column, problem));
        };
        if self.types {
            let known = |value: &f32| value.fract() == 0.0 && (0.0..=LAST_TYPE).contains(value);
            if let Some(other) = field.iter().find(|value| !known(value)) {
                let what = format!("{other} is no type of source, expected 0 to {LAST_TYPE}");
                return Err(row.refuse(self.column, Problem::Values(what)));
            }
            field.iter_mut().for_each(|value| *value /= LAST_TYPE);
        }
        let id = ModalityId::of_kind(Kind::ScalarField, Survey::LegacySurvey);
        let map = ScalarField {
            height,
            width,
            field,
        };
        Ok(id.map(|id| (id, map)))
    }
}

/// The axes and values of a picture with one grey byte a pixel.
fn decode(bytes: &[u8]) -> std::result::Result<(Vec<usize>, Vec<f32>), Problem> {
    let damaged = |reason: String| Problem::Values(format!("not a readable PNG picture: {reason}"));
    let limits = Limits { bytes: MOST_BYTES };
    let mut reader = Decoder::new_with_limits(Cursor::new(bytes), limits)
        .read_info()
        .map_err(|error| damaged(error.to_string()))?;
    let size = reader
        .output_buffer_size()
        .filter(|&size| size <= MOST_BYTES);
    let mut pixels = vec![0; size.ok_or_else(|| damaged("too large".into()))?];
    let frame = reader
        .next_frame(&mut pixels)
        .map_err(|error| damaged(error.to_string()))?;
    if (frame.color_type, frame.bit_depth) != (ColorType::Grayscale, BitDepth::Eight) {
        let what = "a picture in colour, expected one byte a pixel, the source's type";
        return Err(Problem::Values(what.into()));
    }
    pixels.truncate(frame.buffer_size());
    let values = pixels.into_iter().map(f32::from);
    Ok((
        vec![frame.height as usize, frame.width as usize],
        values.collect(),
    ))
}
