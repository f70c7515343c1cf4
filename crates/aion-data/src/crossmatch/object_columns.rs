//! Spectra, images and observations as rows: the columns of the Multimodal Universe for all that the
//! objects of a side hold.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema};

use crate::crossmatch::positions::Seen;
use crate::crossmatch::rows::checked;
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation_table::{Layout, Row};

/// The columns of a side's objects.
pub(super) struct ObjectColumns {
    /// One a survey: spectra of one often carry the photometry of another.
    layouts: Vec<Layout>,
    schema: Arc<Schema>,
    /// Which fields of each layout are taken: identity and position come once.
    taken: Vec<Range<usize>>,
}

/// The fields of identity and position, which each layout has first.
const IDENTITY: usize = 4;

impl ObjectColumns {
    /// Columns for all that objects hold.
    ///
    /// Errors: two surveys took images, or spectra, which have one column a side.
    pub fn of(path: &Path, seen: &Seen) -> Result<Self> {
        let survey = |id: &ModalityId| id.info().survey;
        let numbers = |id: &ModalityId| id.info().kind == Kind::Scalar;
        let mut surveys: Vec<Survey> = Vec::new();
        // What no survey owns, and flags, go with the survey of images and spectra.
        let (scalars, arrays): (Vec<_>, Vec<_>) =
            seen.modalities.iter().partition(|id| numbers(id));
        for id in arrays.into_iter().chain(scalars) {
            if survey(id) != Survey::Any && !surveys.contains(&survey(id)) {
                surveys.push(survey(id));
            }
        }
        let first = surveys.first().copied().unwrap_or(Survey::Any);
        let ids = seen.modalities.iter().copied();
        let mut layout = Layout::new(first, ids.clone()).with_flags(&seen.flags);
        if seen.simulated {
            layout = layout.simulated();
        }
        let mut layouts = vec![layout];
        for other in surveys.iter().skip(1) {
            let own = ids.clone().filter(|id| survey(id) == *other);
            layouts.push(Layout::new(*other, own));
        }
        let mut fields: Vec<Field> = Vec::new();
        let mut taken = Vec::new();
        for layout in &layouts {
            let own = layout.fields();
            let range = if taken.is_empty() { 0 } else { IDENTITY }..own.len();
            let new = own.get(range.clone()).unwrap_or_default();
            let clash = |new: &&Field| fields.iter().any(|field| field.name() == new.name());
            if let Some(field) = new.iter().find(clash) {
                let names: Vec<&str> = surveys.iter().map(|survey| survey.name()).collect();
                let what = format!(
                    "the objects of this side have this of {}, expected one survey a side",
                    names.join(" and of ")
                );
                let place = Place::file(path).with_field(field.name());
                return Err(DataError::new(place, Problem::Mismatch(what)));
            }
            fields.extend(new.iter().cloned());
            taken.push(range);
        }
        Ok(ObjectColumns {
            layouts,
            schema: Arc::new(Schema::new(fields)),
            taken,
        })
    }

    /// Objects as rows.
    ///
    /// Errors: an array of another length than its measurement says.
    pub fn batch(&self, path: &Path, rows: &[Row]) -> Result<RecordBatch> {
        let all: Vec<&Row> = rows.iter().collect();
        let mut arrays = Vec::new();
        for (layout, taken) in self.layouts.iter().zip(&self.taken) {
            for row in rows {
                let named = |error: DataError| error.in_object(&row.object.id).in_file(path);
                layout.check(row).map_err(named)?;
            }
            let own = layout.arrays(&all);
            arrays.extend(own.get(taken.clone()).unwrap_or_default().iter().cloned());
        }
        checked(path, RecordBatch::try_new(self.schema.clone(), arrays))
    }
}
