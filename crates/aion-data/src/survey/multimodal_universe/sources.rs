//! The sources around an object, from lists that are filled up with zeros.

use super::Cells;
use super::names::Columns;
use crate::check::MIN_PIXELS;
use crate::error::Result;
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::Source;
use crate::survey::universe_columns::{CATALOG, CATALOG_OFFSET};

const STRUCT: &str = "catalog";

/// The columns of a list of sources, in the order of [`CATALOG`].
pub(super) struct SourceColumns([usize; CATALOG.len()]);

impl SourceColumns {
    pub(super) fn find(columns: &Columns<'_>, prefix: &str) -> Option<Self> {
        let mut found = [0; CATALOG.len()];
        for (place, name) in found.iter_mut().zip(CATALOG) {
            *place = columns.field(prefix, STRUCT, name)?;
        }
        Some(SourceColumns(found))
    }

    /// The same with other numbers for columns.
    pub(super) fn moved(self, to: impl FnMut(usize) -> usize) -> Self {
        SourceColumns(self.0.map(to))
    }

    /// The sources in the object's frame of a row, nearest to its middle first and no more than
    /// the modality takes; `None` without any.
    pub(super) fn read(&self, row: &mut Cells<'_>) -> Result<Option<(ModalityId, Vec<Source>)>> {
        let mut fields: [Vec<f32>; CATALOG.len()] = Default::default();
        for (field, column) in fields.iter_mut().zip(self.0) {
            *field = row.list(column)?.unwrap_or_default();
        }
        let [x, y, shape_e1, shape_e2, shape_r] = &fields;
        for (field, column) in fields.iter().zip(self.0) {
            row.expect_length(column, field.len(), x.len())?;
        }
        let shapes = shape_e1.iter().zip(shape_e2).zip(shape_r);
        let listed = x.iter().zip(y).zip(shapes);
        let mut sources: Vec<Source> = listed
            .filter_map(|((&x, &y), ((&shape_e1, &shape_e2), &shape_r))| {
                Some(Source {
                    x: in_frame(x)?,
                    y: in_frame(y)?,
                    shape_e1,
                    shape_e2,
                    shape_r,
                })
            })
            .collect();
        let Some(id) = ModalityId::of_kind(Kind::Catalog, Survey::LegacySurvey) else {
            return Ok(None);
        };
        sources.sort_by_key(|source| from_middle(source.x) + from_middle(source.y));
        sources.truncate(id.info().num_tokens() / CATALOG.len());
        Ok(Some((id, sources)).filter(|(_, sources)| !sources.is_empty()))
    }
}

/// A position in the object's frame, of one in the stamp of 160 pixels; `None` outside. The zeros
/// that lists are filled up with lie outside.
fn in_frame(position: f32) -> Option<i32> {
    let frame = 0..MIN_PIXELS as i32;
    let pixel = position.is_finite().then(|| position.round() as i32)?;
    Some(pixel.saturating_sub(CATALOG_OFFSET)).filter(|pixel| frame.contains(pixel))
}

/// Four times the square of the distance from the frame's middle along an axis.
fn from_middle(pixel: i32) -> i32 {
    (2 * pixel - (MIN_PIXELS as i32 - 1)).pow(2)
}
