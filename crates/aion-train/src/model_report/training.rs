//! What the training set says by itself: how often codes occur, and a table to regress redshifts on.

use aion_data::Object;
use aion_model::Aion;
use rayon::prelude::*;

use super::features::{RedshiftTable, has_row, imaging_surveys, row};
use super::sample::tokenise;
use super::unigram::Unigrams;
use crate::data::observed::{part_of, survey_objects};
use crate::data::{DataConfig, Part, SimulatedSource};
use crate::error::TrainError;

/// Simulated objects drawn at once.
const CHUNK: u64 = 64;
/// Simulated objects whose images and spectra are counted; numbers are counted of all.
const WITH_PIXELS: u64 = 256;

/// Frequencies of codes, and a table for each survey that takes images.
///
/// # Errors
/// A survey file cannot be read, or a codec not be opened.
pub(super) fn look_through(
    data: &DataConfig,
    aion: &Aion,
) -> Result<(Unigrams, Vec<RedshiftTable>), TrainError> {
    let mut found = Found {
        aion,
        unigrams: Unigrams::default(),
        tables: imaging_surveys()
            .into_iter()
            .map(RedshiftTable::new)
            .collect(),
    };
    let (objects, _) = survey_objects(data, &[Part::Train])?;
    for (object, times) in objects {
        found.add(object, times, true)?;
    }
    if let Some(source) = &data.simulated {
        let total = source.total();
        for start in (0..total).step_by(CHUNK as usize) {
            let chunk = start..(start + CHUNK).min(total);
            let chunk: Vec<(u64, Object)> = chunk
                .into_par_iter()
                .map(|index| (index, draw(source, index)))
                .filter(|(_, object)| part_of(data, object) == Part::Train)
                .collect();
            for (index, object) in chunk {
                found.add(object, 1, index < WITH_PIXELS)?;
            }
        }
    }
    Ok((found.unigrams, found.tables))
}

/// A simulated object, with images and spectra only where they are looked at.
fn draw(source: &SimulatedSource, index: u64) -> Object {
    if index >= source.count {
        return source.object(index, &[]);
    }
    let object = source.without_pixels(index);
    let mut surveys = imaging_surveys().into_iter();
    if index < WITH_PIXELS || surveys.any(|survey| has_row(&object, survey)) {
        return source.object(index, &[]);
    }
    object
}

struct Found<'a> {
    aion: &'a Aion,
    unigrams: Unigrams,
    tables: Vec<RedshiftTable>,
}

impl Found<'_> {
    /// Counts an object's tokens, those of images and spectra only where `with_pixels`.
    fn add(&mut self, mut object: Object, times: u64, with_pixels: bool) -> Result<(), TrainError> {
        for (table, survey) in self.tables.iter_mut().zip(imaging_surveys()) {
            let row = row(&object, survey, times, &self.aion.codecs)?;
            table.train.extend(row);
        }
        if !with_pixels {
            object.measurements.retain(|id, _| id.info().is_number());
        }
        if let Some(tokens) = tokenise(self.aion, &object)? {
            self.unigrams.add(&tokens, times);
        }
        Ok(())
    }
}
