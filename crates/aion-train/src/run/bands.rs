//! A trained checkpoint for a survey in bands of its own: the weights from and to these bands are trained,
//! everything else stays as it is, and the transformer gets the survey's embeddings and head (paper §2.1).

use std::collections::HashMap;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use aion_codec::codec::open_image;
use aion_codec::image::{BandsConfig, ImageCodec};
use aion_codec::{Codec, CodecSet, OpenCodec};
use aion_data::{ModalityId, SurveyDescription, band, described};
use aion_kernel::tensor_file::{self, replace_file};
use aion_kernel::{WeightNames, Weights};
use aion_model::checkpoint::CONFIG_FILE;

use super::{Run, Summary};
use crate::codec_report::{Watched, judge_held_out, write_report};
use crate::codec_step::CodecStep;
use crate::data::measurements;
use crate::error::TrainError;
use crate::fit::write_config;
use crate::mix::Mix;

/// File of the weights that training starts from, in the run's folder.
const START_FILE: &str = "start.safetensors";

impl Run<'_> {
    /// Trains the weights of the survey's bands for the image codec in `checkpoint`, and saves that
    /// checkpoint with the survey. What the codec makes of the survey is judged before and after.
    pub(super) fn bands(
        &mut self,
        checkpoint: &Path,
        survey: &SurveyDescription,
    ) -> Result<Summary, TrainError> {
        described::read(checkpoint)?;
        let (id, like) = (survey.register()?, survey.check()?);
        let config = self.config;
        let (examples, counts) = measurements(&config.data, &[id], config.run.seed)?;
        self.data(counts, examples.len());
        let task = CodecStep {
            watched: Watched::new(config, vec![id])?,
            examples: Mix::even(examples),
            batch: config.run.batch,
            device: self.device.clone(),
            codec: PhantomData,
        };
        let network = open_image(&codec_folder(checkpoint, like), self.device)?;
        let start = config.run.output.join(START_FILE);
        let rows = network.rows_like(&survey.like_channels());
        tensor_file::save(&start, &rows, HashMap::new())?;
        let open = |file: &Path| -> Result<(ImageCodec, Weights), TrainError> {
            let weights = Weights::open(file, self.device)?;
            let bands = band::of_codec(id.info());
            Ok((network.clone().with_bands(bands, &weights), weights))
        };
        let codecs = CodecSet::new(checkpoint, self.device);
        let codecs = codecs.with(id, as_opened(open(&start)?)?);
        let before = judge_held_out(config, &codecs, &[id], self.device)?;
        let newest = self.from.as_ref().map(|checkpoint| checkpoint.weights());
        let (codec, weights) = open(&newest.unwrap_or(start))?;
        let folder = config.save.folder.as_ref();
        let folder = folder.unwrap_or(&config.save.checkpoint);
        let save = |codec: &ImageCodec, names: &WeightNames, half| {
            copy_codecs(&codecs, folder)?;
            let bands = codec_folder(folder, id);
            let extends = like.info().codec.to_owned();
            write_config(&bands, &BandsConfig { extends })?;
            names.save(codec, &bands.join("model.safetensors"), half)?;
            let described = described::read(checkpoint)?;
            described::add(folder, &[described, vec![id]].concat())?;
            // The configuration comes last: with it the checkpoint is one that has the survey.
            match checkpoint.join(CONFIG_FILE).is_file() {
                true => Ok(aion_model::extend(checkpoint, folder, id, like)?),
                false => Ok(()),
            }
        };
        let mut summary = self.train(&task, codec, &weights, folder, &save)?;
        if !summary.stopped {
            let codecs = CodecSet::new(folder, self.device);
            summary.before = before;
            summary.report = judge_held_out(config, &codecs, &[id], self.device)?;
            write_report(config, &summary.report)?;
        }
        Ok(summary)
    }
}

fn as_opened((codec, weights): (ImageCodec, Weights)) -> Result<OpenCodec, TrainError> {
    let (names, report) = weights.finish()?;
    let codec = Codec::Image(Box::new(codec));
    Ok(OpenCodec {
        codec,
        names,
        report,
    })
}

fn codec_folder(checkpoint: &Path, id: ModalityId) -> PathBuf {
    checkpoint.join("codecs").join(id.info().codec)
}

/// Copies a checkpoint's codecs, unless they are there already because the checkpoint is itself extended.
fn copy_codecs(codecs: &CodecSet, to: &Path) -> Result<(), TrainError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::io(&path, source)
    };
    let (from, to) = (codecs.folder(), to.join("codecs"));
    fs::create_dir_all(&to).map_err(failed(&to))?;
    let same = |path: &Path| path.canonicalize().map_err(failed(path));
    if same(from)? == same(&to)? {
        return Ok(());
    }
    for name in codecs.available() {
        let folder = to.join(&name);
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        for file in ["model.safetensors", CONFIG_FILE] {
            let source = from.join(&name).join(file);
            let bytes = fs::read(&source).map_err(failed(&source))?;
            let target = folder.join(file);
            replace_file(&target, &bytes).map_err(failed(&target))?;
        }
    }
    Ok(())
}
