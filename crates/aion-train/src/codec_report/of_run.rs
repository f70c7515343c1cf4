//! The report of a run: at its end on the codec that it saved, and at any time on its newest
//! checkpoint.

use std::path::Path;

use aion_codec::{Codec, CodecSet};
use aion_data::{Kind, ModalityId};
use aion_kernel::tensor_file::replace_file;
use burn::tensor::Device;

use super::{ModalityReport, held_out, judge};
use crate::checkpoint::Checkpoint;
use crate::config::{CodecTask, RunConfig};
use crate::error::TrainError;
use crate::fit::write_config;
use crate::mix::of_kind;

/// Judges the codec in `folder` on the run's held-out data of its kind, and writes `report.json`
/// beside the run's log, where the run asks for a report.
///
/// # Errors
/// Data or codec cannot be read, or the file cannot be written.
pub(crate) fn of_codec(
    config: &RunConfig,
    kind: Kind,
    folder: &Path,
    device: &Device,
) -> Result<Vec<ModalityReport>, TrainError> {
    let modalities = of_kind(kind);
    let mut codecs = CodecSet::new(folder, device);
    if let Some(id) = modalities.first() {
        codecs = codecs.with(*id, Codec::open(folder, id.info(), device)?);
    }
    let found = judge_held_out(config, &codecs, &modalities, device)?;
    write_report(config, &found)?;
    Ok(found)
}

/// Judges codecs on the run's held-out data of some modalities; nothing where the run asks for no report.
///
/// # Errors
/// Data or a codec cannot be read.
pub(crate) fn judge_held_out(
    config: &RunConfig,
    codecs: &CodecSet,
    modalities: &[ModalityId],
    device: &Device,
) -> Result<Vec<ModalityReport>, TrainError> {
    let mut found = Vec::new();
    if config.report.objects > 0 {
        let objects = held_out(&config.data, modalities, config.report.objects)?;
        for modality in modalities {
            found.extend(judge(codecs, *modality, &objects, device)?);
        }
    }
    Ok(found)
}

/// Writes `report.json` beside the run's log, if there is anything to report.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_report(config: &RunConfig, found: &[ModalityReport]) -> Result<(), TrainError> {
    if found.is_empty() {
        return Ok(());
    }
    let path = config.run.output.join("report.json");
    let failed = |source| TrainError::io(&path, source);
    let text = serde_json::to_vec_pretty(found).map_err(|error| failed(error.into()))?;
    replace_file(&path, &text).map_err(failed)
}

/// Judges the newest checkpoint of a codec's run, which may still be going on. The codec is left
/// under `<output>/newest`, to be used as any other.
///
/// # Errors
/// The run trains no network, or has no checkpoint yet; and as for the report at the end.
pub fn of_newest(config: &RunConfig, device: &Device) -> Result<Vec<ModalityReport>, TrainError> {
    let output = &config.run.output;
    let (kind, text) = match &config.codec {
        Some(CodecTask::Image { config, .. }) => (Kind::Image, serde_json::to_value(config)),
        Some(CodecTask::Spectrum { config, .. }) => (Kind::Spectrum, serde_json::to_value(config)),
        Some(CodecTask::Field { config }) => (Kind::ScalarField, serde_json::to_value(config)),
        Some(CodecTask::Numbers { .. } | CodecTask::Bands { .. }) | None => {
            let reason = "names nothing to report on, expected an image, spectrum or field codec";
            return Err(TrainError::config("codec.kind", reason));
        }
    };
    let newest = Checkpoint::latest(output)?;
    let newest = newest.ok_or_else(|| TrainError::resume(output, "there is no checkpoint"))?;
    let codec = of_kind(kind).first().map_or("", |id| id.info().codec);
    let folder = output.join("newest/codecs").join(codec);
    let failed = |source| TrainError::io(&folder, source);
    write_config(&folder, &text.map_err(|error| failed(error.into()))?)?;
    let weights = std::fs::read(newest.weights()).map_err(failed)?;
    replace_file(&folder.join("model.safetensors"), &weights).map_err(failed)?;
    of_codec(config, kind, &folder, device)
}
