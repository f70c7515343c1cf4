//! A run as one TOML file, read and checked before any work starts.

use std::path::{Path, PathBuf};

use aion_data::{Kind, SurveyDescription, described};
use aion_model::{ModelConfig, Preset};
use serde::{Deserialize, Serialize};

use crate::codec_report::ReportConfig;
use crate::data::DataConfig;
use crate::data::fingerprint::Codecs;
use crate::error::TrainError;
use crate::lora::LoraConfig;
use crate::masking::MaskConfig;
use crate::mix::{self, Shares};
use crate::optim::AdamWConfig;
use crate::schedule::Schedule;
use crate::trainer::LoopConfig;

/// Everything that determines a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Steps, batches, reports.
    pub run: LoopConfig,
    /// The optimiser.
    #[serde(default)]
    pub optim: AdamWConfig,
    /// The learning rate's course.
    #[serde(default)]
    pub schedule: Schedule,
    /// Low-rank adapters, instead of whole matrices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// What is learned from.
    pub data: DataConfig,
    /// Where the trained weights go, in the published layout.
    pub save: SaveConfig,
    /// How a trained codec is judged.
    #[serde(default)]
    pub report: ReportConfig,
    /// The codec to train, unless `model` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<CodecTask>,
    /// The transformer to train, unless `codec` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelTask>,
}

/// Section `save`: the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaveConfig {
    /// The checkpoint directory that the codec or model becomes part of.
    pub checkpoint: PathBuf,
    /// The folder that gets `config.json` and `model.safetensors` themselves, whatever is trained,
    /// instead of their place in `checkpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Store 16-bit floats.
    #[serde(default)]
    pub half: bool,
}

/// Section `codec`: what to train and from where to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum CodecTask {
    /// The image codec.
    Image {
        /// The published keys of its `config.json`.
        config: aion_codec::image::ImageConfig,
        /// How often each survey's images come.
        #[serde(default, skip_serializing_if = "Shares::is_empty")]
        mix: Shares,
    },
    /// The spectrum codec.
    Spectrum {
        /// The published keys of its `config.json`.
        config: aion_codec::spectrum::SpectrumConfig,
        /// How often each survey's spectra come.
        #[serde(default, skip_serializing_if = "Shares::is_empty")]
        mix: Shares,
    },
    /// The codec of segmentation maps.
    Field {
        /// The published keys of its `config.json`.
        config: aion_codec::scalar_field::ScalarFieldConfig,
    },
    /// The codebooks of numbers and catalogues, fitted in one pass over all objects: it takes as
    /// many as there are, whatever `steps` says.
    Numbers {
        /// Most values that a codebook is made of.
        sample: usize,
    },
    /// Bands of a new survey for a trained image codec: only the weights from and to them are trained. The
    /// result is the checkpoint with the survey, transformer included.
    Bands {
        /// The trained checkpoint.
        checkpoint: PathBuf,
        /// The survey.
        survey: SurveyDescription,
    },
}

/// Section `model`: the transformer and how it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTask {
    /// A size by name, unless `size` is given. The modalities are those that occur in the training
    /// data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// A size of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ModelSize>,
    /// The checkpoint whose codecs turn observations into tokens, and that files of tokens have to come
    /// from. Without it the codecs of `save.checkpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codecs: Option<PathBuf>,
    /// What counts alike in the loss.
    #[serde(default)]
    pub balance: Balance,
    /// Where modalities count alike: standard deviation, in codes, of the targets of numbers at the start of
    /// the run. It shrinks evenly to 0 in the first half. For small models that see few objects.
    #[serde(default = "smoothing")]
    pub smoothing: f32,
    /// Only the rows between blocks are kept for the backward pass, and each block runs again in it: a third more
    /// arithmetic for a fraction of the memory of activations, and the same weights. On the CPU only. (Absent from run
    /// files that do without.)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
    /// Input and target tokens.
    #[serde(default)]
    pub mask: MaskConfig,
}

fn smoothing() -> f32 {
    12.0
}

/// Section `model.size`: a size that has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSize {
    /// Width.
    pub dim: usize,
    /// Encoder blocks.
    pub encoder_depth: usize,
    /// Decoder blocks.
    pub decoder_depth: usize,
    /// Attention heads, a divisor of the width.
    pub heads: usize,
}

/// What counts alike in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Balance {
    /// Every target token, as in the paper.
    #[default]
    Token,
    /// Every modality, as in 4M.
    Modality,
}

impl RunConfig {
    /// Reads and checks a run file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown or missing key, or a value that cannot
    /// be used.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|source| TrainError::io(path, source))?;
        let config: RunConfig = text.parse()?;
        config.describe()?;
        Ok(config)
    }

    /// Makes the surveys known that the run's checkpoints describe.
    fn describe(&self) -> Result<(), TrainError> {
        let codecs = self.model.as_ref().and_then(|model| model.codecs.as_ref());
        let start = self.run.start.as_ref();
        let folders = [codecs, start, Some(&self.save.checkpoint)];
        for folder in folders.into_iter().flatten() {
            described::read(folder)?;
        }
        Ok(())
    }

    /// The same run with everything that it writes in one folder: log, checkpoints, and the result as
    /// `config.json` and `model.safetensors`. What it reads stays where it is.
    pub fn with_output(mut self, folder: &Path) -> Self {
        self.run.output = folder.to_owned();
        self.save.folder = Some(folder.to_owned());
        self
    }

    /// The configuration as text, the same for equal configurations.
    ///
    /// # Errors
    /// A value that TOML cannot hold.
    pub fn to_text(&self) -> Result<String, TrainError> {
        toml::to_string(self).map_err(|error| TrainError::config("run", error))
    }

    pub(crate) fn check(&self) -> Result<(), TrainError> {
        self.run.check()?;
        self.optim.check()?;
        self.schedule.check()?;
        self.data.check()?;
        if let Some(lora) = &self.lora {
            lora.check()?;
        }
        match (&self.codec, &self.model) {
            (Some(_), None) if !self.data.tokens.is_empty() => {
                let reason = "a codec learns from measurements: `survey` or `simulated`";
                Err(TrainError::config("data.tokens", reason))
            }
            (Some(CodecTask::Bands { .. }), None) if self.run.start.is_some() => {
                let reason = "a survey's bands start from those that they are `like`";
                Err(TrainError::config("run.start", reason))
            }
            (Some(codec), None) => codec.check(),
            (None, Some(model)) => model.check(),
            _ => {
                let reason = "a run has either a section `codec` or a section `model`";
                Err(TrainError::config("codec", reason))
            }
        }
    }
}

impl std::str::FromStr for RunConfig {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let config: RunConfig = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }
}

impl CodecTask {
    fn check(&self) -> Result<(), TrainError> {
        let problem = match self {
            CodecTask::Image { config, mix } => {
                mix::shares(mix, Kind::Image)?;
                config.problem()
            }
            CodecTask::Spectrum { config, mix } => {
                mix::shares(mix, Kind::Spectrum)?;
                config.problem()
            }
            CodecTask::Field { config } => config.problem(),
            CodecTask::Numbers { sample: 0 } => Some("sample must be at least 1".to_owned()),
            CodecTask::Numbers { .. } => None,
            CodecTask::Bands { survey, .. } => {
                survey.check()?;
                None
            }
        };
        problem.map_or(Ok(()), |reason| Err(TrainError::config("codec", reason)))
    }
}

impl ModelTask {
    /// The codecs that tokens have to come from, in a run that saves to `checkpoint`.
    pub fn token_codecs(&self, checkpoint: &Path) -> Codecs {
        match &self.codecs {
            Some(folder) if folder != checkpoint => Codecs::Of(folder.clone()),
            _ => Codecs::Beside(checkpoint.to_owned()),
        }
    }

    /// The size, with all modalities.
    ///
    /// # Errors
    /// There is none of this name, its numbers do not go together, or there are none or two sizes.
    pub fn config(&self) -> Result<ModelConfig, TrainError> {
        match (&self.preset, &self.size) {
            (Some(name), None) => Ok(preset(name)?.config()),
            (None, Some(size)) => size.config(),
            _ => {
                let reason = "a model has either a `preset` or a `size`";
                Err(TrainError::config("model.preset", reason))
            }
        }
    }

    fn check(&self) -> Result<(), TrainError> {
        self.config()?;
        if !(self.smoothing >= 0.0 && self.smoothing.is_finite()) {
            let reason = format!("is {}, expected a number from 0 up", self.smoothing);
            return Err(TrainError::config("model.smoothing", reason));
        }
        self.mask.check()
    }
}

fn preset(name: &str) -> Result<Preset, TrainError> {
    Preset::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name()).collect();
        let reason = format!("is `{name}`, expected one of {}", known.join(", "));
        TrainError::config("model.preset", reason)
    })
}

impl ModelSize {
    /// The configuration, with all modalities.
    ///
    /// # Errors
    /// The numbers do not go together.
    pub fn config(&self) -> Result<ModelConfig, TrainError> {
        let depths = [self.encoder_depth, self.decoder_depth];
        let config = ModelConfig::sized(self.dim, depths, self.heads);
        let checked = config.validate();
        checked.map_err(|error| TrainError::config("model.size", error))?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A complete run file with one change.
    fn with(from: &str, to: &str) -> Result<RunConfig, TrainError> {
        let text = r#"
            [run]
            seed = 1
            steps = 10
            batch = 2
            output = "out"
            [data.simulated]
            seed = 1
            count = 4
            [model]
            preset = "tiny"
            [save]
            checkpoint = "model"
        "#;
        assert!(text.contains(from));
        text.replace(from, to).parse()
    }

    #[test]
    fn survives_the_round_trip() {
        let config = with("seed", "seed").expect("valid");
        let text = config.to_text().expect("text");
        assert_eq!(text.parse::<RunConfig>().expect("valid"), config);
        // Absent unless set, so that runs begun before it can be gone on with.
        assert!(!text.contains("recompute"));
        let config = with("\"tiny\"", "\"tiny\"\nrecompute = true").expect("valid");
        let text = config.to_text().expect("text");
        assert!(text.contains("recompute = true"));
        assert_eq!(text.parse::<RunConfig>().expect("valid"), config);
    }

    #[test]
    fn a_model_can_have_a_size_of_its_own() {
        let size = SIZE.replace("heads = 5", "heads = 4");
        let config = with("preset = \"tiny\"", &size).expect("valid");
        let model = config.model.expect("a model").config().expect("valid");
        assert_eq!((model.dim, model.num_heads), (32, 4));
        assert_eq!((model.encoder_depth, model.decoder_depth), (1, 2));
    }

    /// Heads that do not divide the width.
    const SIZE: &str = "size = { dim = 32, encoder_depth = 1, decoder_depth = 2, heads = 5 }";

    #[test]
    fn wrong_values_name_their_key() {
        for (key, from, to) in [
            ("run.steps", "steps = 10", "steps = 0"),
            ("stepz", "steps = 10", "stepz = 10"),
            ("batch", "batch = 2", ""),
            ("data.simulated.count", "count = 4", "count = 0"),
            (
                "data",
                "[data.simulated]\n            seed = 1\n            count = 4",
                "[data]",
            ),
            ("model.preset", "\"tiny\"", "\"huge\""),
            ("model.preset", "preset = \"tiny\"", ""),
            ("model.size", "preset = \"tiny\"", SIZE),
            (
                "model.smoothing",
                "preset = \"tiny\"",
                "preset = \"tiny\"\nsmoothing = -1.0",
            ),
            ("codec", "[model]\n            preset = \"tiny\"", ""),
            (
                "codec",
                "[model]",
                "[codec]\nkind = \"numbers\"\nsample = 0\n[model]",
            ),
            ("kind", "[model]", "[codec]\nkind = \"sound\"\n[model]"),
            (
                "recompute",
                "[model]\n            preset = \"tiny\"",
                "[codec]\nkind = \"numbers\"\nsample = 9\nrecompute = true",
            ),
            ("recompute", "\"tiny\"", "\"tiny\"\nrecompute = \"always\""),
            (
                "optim.betas",
                "[model]",
                "[optim]\nbetas = [0.9, 1.0]\n[model]",
            ),
            (
                "optim.max_norm",
                "[model]",
                "[optim]\nmax_norm = 0.0\n[model]",
            ),
            (
                "schedule.floor",
                "[model]",
                "[schedule]\nfloor = 2.0\n[model]",
            ),
            (
                "mask.target_beta",
                "[save]",
                "[model.mask]\ntarget_beta = [0.5, 9.0]\n[save]",
            ),
            (
                "mask.withheld",
                "[save]",
                "[model.mask]\nwithheld = 1.0\n[save]",
            ),
            (
                "mask.dirichlet_alphas",
                "[save]",
                "[model.mask]\ndirichlet_alphas = []\n[save]",
            ),
            (
                "sampler",
                "[save]",
                "[model.mask]\nsampler = \"magic\"\n[save]",
            ),
            (
                "data.split.nside",
                "[model]",
                "[data.split]\nnside = 12\n[model]",
            ),
            (
                "data.tokens.weight",
                "[model]",
                "[[data.tokens]]\npaths = [\"a\"]\nweight = -1.0\n[model]",
            ),
            (
                "data.tokens",
                "[model]\n            preset = \"tiny\"",
                "[[data.tokens]]\npaths = [\"a\"]\n[codec]\nkind = \"numbers\"\nsample = 9",
            ),
            (
                "run.validate_every",
                "batch = 2",
                "batch = 2\nvalidate_every = 0",
            ),
            (
                "mask.input_budget",
                "[save]",
                "[model.mask]\ninput_budget = 0\n[save]",
            ),
        ] {
            let error = with(from, to).expect_err(key).to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
    }

    #[test]
    fn shipped_run_files_are_valid() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        for name in [
            "codec/tiny-numbers",
            "codec/tiny-image",
            "codec/tiny-spectrum",
            "pretrain/smoke",
            "pretrain/tiny",
            "pretrain/tiny-second",
            "codec/smoke-image",
            "codec/smoke-spectrum",
            "codec/smoke-field",
            "survey/rubin-like",
        ] {
            RunConfig::read(&configs.join(format!("{name}.toml"))).expect(name);
        }
    }
}
