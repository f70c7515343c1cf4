//! What a trained transformer knows of objects that it has not seen: cross-entropy of each modality
//! beside the unigram and with less shown, redshifts as distributions, and what its codecs lose.
//!
//! Held out are survey objects that the run kept from training, and simulated ones beyond those trained
//! on. The two are never mixed. For other methods there is a table of the same galaxies' photometry, of
//! those trained on and of those held out.

mod cross_entropy;
mod features;
mod redshift;
mod sample;
pub mod statistics;
mod training;
mod unigram;

use std::path::PathBuf;

use aion_codec::CodecSet;
use aion_data::{ModalityId, Object, Survey};
use aion_model::Aion;
use burn::tensor::Device;
use serde::Serialize;

use crate::codec_report::{ModalityReport, judge};
use crate::config::RunConfig;
use crate::error::TrainError;
pub use cross_entropy::{CrossEntropy, Without};
pub use features::{RedshiftRow, RedshiftTable};
use features::{has_row, imaging_surveys, row};
pub use redshift::RedshiftReport;
use sample::HeldOut;
use unigram::Unigrams;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Objects of each modality, simulated ones and as many real ones.
    pub objects: usize,
    /// Galaxies of each survey whose redshift is asked for, simulated ones and as many real ones.
    pub redshifts: usize,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelReport {
    /// The checkpoint.
    pub model: PathBuf,
    /// On simulated objects, and on real ones.
    pub samples: Vec<SampleReport>,
    /// Redshifts by survey, of simulated and of real galaxies.
    pub redshifts: Vec<RedshiftReport>,
}

/// The report on objects that are all simulated or all real.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampleReport {
    /// Whether they are simulated.
    pub simulated: bool,
    /// Objects.
    pub objects: usize,
    /// What the codecs lose.
    pub reconstruction: Vec<ModalityReport>,
    /// Cross-entropy of each modality.
    pub cross_entropy: Vec<CrossEntropy>,
    /// The same of the objects that have numbers, an image and a spectrum.
    pub ablation: Vec<CrossEntropy>,
}

/// Reports on the model that a run file makes, which has been trained. `stage` hears what is being
/// done.
///
/// # Errors
/// The run file trains no model or names no objects to hold out; data or checkpoint cannot be read.
pub fn report(
    config: &RunConfig,
    settings: Settings,
    device: &Device,
    stage: &mut dyn FnMut(&str),
) -> Result<(ModelReport, Vec<RedshiftTable>), TrainError> {
    let (data, save) = (&config.data, &config.save);
    let Some(task) = &config.model else {
        let reason = "is missing: the run file trains a codec, expected a model to report on";
        return Err(TrainError::config("model", reason));
    };
    if !data.has_objects() {
        let reason = "names tokens alone, expected `survey` or `simulated` to hold objects out of";
        return Err(TrainError::config("data", reason));
    }
    let model = save.folder.as_ref().unwrap_or(&save.checkpoint);
    let codecs = task.codecs.as_ref().unwrap_or(&save.checkpoint);
    let mut aion = Aion::open(model, device, None)?;
    aion.codecs = CodecSet::new(codecs, device);

    stage("looking through the training set");
    let (unigrams, mut tables) = training::look_through(data, &aion)?;
    let mut samples = Vec::new();
    let mut redshifts = Vec::new();
    let most = [settings.objects, config.report.objects];
    let mut galaxies = |objects: &dyn Fn(Survey) -> Vec<Object>, simulated| {
        for (table, survey) in tables.iter_mut().zip(imaging_surveys()) {
            let objects = objects(survey);
            for object in &objects {
                table.test.extend(row(object, survey, 1, &aion.codecs)?);
            }
            redshifts.extend(redshift::ask(&aion, &objects, survey, simulated)?);
        }
        Ok::<(), TrainError>(())
    };
    if let Some(source) = &data.simulated {
        stage("asking for what simulated objects have");
        let objects = sample::simulated(source, settings.objects);
        let objects = sample::held_out(&aion, objects, most)?;
        samples.extend(sample_report(&aion, &objects, &unigrams, device)?);
        stage("asking for redshifts of simulated galaxies");
        let of = |survey| redshift::simulated(source, survey, settings.redshifts);
        galaxies(&of, true)?;
    }
    let real = sample::of_surveys(data)?;
    stage("asking for what real objects have, and for their redshifts");
    let objects = sample::held_out(&aion, real.iter().cloned(), most)?;
    samples.extend(sample_report(&aion, &objects, &unigrams, device)?);
    let of = |survey: Survey| -> Vec<Object> {
        real.iter()
            .filter(|object| has_row(object, survey))
            .take(settings.redshifts)
            .cloned()
            .collect()
    };
    galaxies(&of, false)?;
    let model = model.clone();
    let report = ModelReport {
        model,
        samples,
        redshifts,
    };
    Ok((report, tables))
}

/// The report on objects that are all simulated or all real; none of no objects.
fn sample_report(
    aion: &Aion,
    held_out: &[HeldOut],
    unigrams: &Unigrams,
    device: &Device,
) -> Result<Option<SampleReport>, TrainError> {
    let Some(first) = held_out.first() else {
        return Ok(None);
    };
    let objects: Vec<Object> = held_out.iter().map(|known| known.object.clone()).collect();
    let mut reconstruction = Vec::new();
    for id in ModalityId::all().filter(|id| aion.codecs.has(*id)) {
        reconstruction.extend(judge(&aion.codecs, id, &objects, device)?);
    }
    let asked = cross_entropy::ask(&aion.transformer, held_out, unigrams)?;
    let complete = asked.iter().filter(|asked| asked.is_complete);
    Ok(Some(SampleReport {
        simulated: first.object.simulated,
        objects: held_out.len(),
        reconstruction,
        cross_entropy: cross_entropy::rows(asked.iter()),
        ablation: cross_entropy::rows(complete),
    }))
}
