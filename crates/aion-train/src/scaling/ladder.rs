//! A study as one TOML file: what its runs share, and the sizes in which they differ.

use std::path::{Path, PathBuf};

use aion_data::ModalityId;
use serde::{Deserialize, Serialize};

use crate::codec_report::ReportConfig;
use crate::config::{ModelSize, ModelTask, RunConfig, SaveConfig};
use crate::data::DataConfig;
use crate::error::TrainError;
use crate::optim::AdamWConfig;
use crate::schedule::Schedule;
use crate::trainer::LoopConfig;

/// A run file with a section `ladder` in place of one size and a place to save.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// The sizes.
    pub ladder: Rungs,
    /// Every run's loop: as many steps of as many objects, hence of as many tokens, whatever the size.
    /// `output` is the study's folder.
    pub run: LoopConfig,
    /// The optimiser; its learning rate is replaced by each size's own.
    #[serde(default)]
    pub optim: AdamWConfig,
    /// The learning rate's course.
    #[serde(default)]
    pub schedule: Schedule,
    /// The objects that all training sets and the held-out set are drawn from: those of the training part
    /// of its `split`.
    pub data: DataConfig,
    /// The task, without a size.
    pub model: ModelTask,
}

/// Section `ladder`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rungs {
    /// Objects in each training set; the smaller are parts of the larger.
    pub objects: Vec<u64>,
    /// Objects that no run learns from and all are tested on.
    pub held_out: u64,
    /// Token keys that are left out of every object.
    #[serde(default)]
    pub without: Vec<String>,
    /// Bootstrap draws behind the intervals.
    #[serde(default = "draws")]
    pub draws: u64,
    /// The models.
    pub sizes: Vec<RungSize>,
}

/// One model of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungSize {
    /// Peak learning rate: the best one falls as models grow.
    pub learning_rate: f64,
    /// Its size.
    pub size: ModelSize,
}

fn draws() -> u64 {
    1000
}

/// One run of the study.
#[derive(Debug, Clone, PartialEq)]
pub struct Rung {
    /// Its name, `<width>x<encoder>+<decoder>-<objects>`, which is also its folder's.
    pub name: String,
    /// The model.
    pub size: ModelSize,
    /// Objects in the training set.
    pub objects: u64,
    /// The run.
    pub config: RunConfig,
}

impl Ladder {
    /// Reads and checks a ladder file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown or missing key, or a value that cannot
    /// be used.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|source| TrainError::io(path, source))?;
        text.parse()
    }

    /// The ladder as text, the same for equal ladders.
    ///
    /// # Errors
    /// A value that TOML cannot hold.
    pub fn to_text(&self) -> Result<String, TrainError> {
        toml::to_string(self).map_err(|error| TrainError::config("ladder", error))
    }

    /// Every run: the models in order, each with every training set in order.
    pub fn rungs(&self) -> Vec<Rung> {
        let sizes = self.ladder.sizes.iter();
        let pairs = sizes.flat_map(|size| self.ladder.objects.iter().map(move |n| (size, *n)));
        pairs
            .map(|(size, objects)| self.rung(size, objects))
            .collect()
    }

    fn rung(&self, of: &RungSize, objects: u64) -> Rung {
        let size = of.size;
        let depths = format!("{}+{}", size.encoder_depth, size.decoder_depth);
        let name = format!("{}x{depths}-{objects}", size.dim);
        let output = self.folder(&name);
        let config = RunConfig {
            save: SaveConfig {
                checkpoint: output.join("model"),
                folder: None,
                half: false,
            },
            run: LoopConfig {
                output,
                ..self.run.clone()
            },
            optim: AdamWConfig {
                learning_rate: of.learning_rate,
                ..self.optim.clone()
            },
            schedule: self.schedule.clone(),
            lora: None,
            data: self.data.clone(),
            report: ReportConfig::default(),
            codec: None,
            model: Some(ModelTask {
                size: Some(size),
                ..self.model.clone()
            }),
        };
        Rung {
            name,
            size,
            objects,
            config,
        }
    }

    /// Where a run leaves its log, its model and its result.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.run.output.join("rungs").join(name)
    }

    /// The modalities that are left out.
    pub(crate) fn without(&self) -> Vec<ModalityId> {
        let keys = self.ladder.without.iter();
        keys.filter_map(|key| ModalityId::from_key(key)).collect()
    }

    fn check(&self) -> Result<(), TrainError> {
        let rungs = &self.ladder;
        for (key, empty) in [
            (
                "ladder.objects",
                rungs.objects.is_empty() || rungs.objects.contains(&0),
            ),
            ("ladder.sizes", rungs.sizes.is_empty()),
            ("ladder.held_out", rungs.held_out == 0),
            ("ladder.draws", rungs.draws == 0),
        ] {
            if empty {
                return Err(TrainError::config(key, "is empty or 0"));
            }
        }
        for key in &rungs.without {
            if ModalityId::from_key(key).is_none() {
                let reason = format!("`{key}` is no modality");
                return Err(TrainError::config("ladder.without", reason));
            }
        }
        if self.model.preset.is_some() || self.model.size.is_some() {
            let reason = "has a size, but sizes are those of `ladder.sizes`";
            return Err(TrainError::config("model", reason));
        }
        if self.run.start.is_some() {
            let reason = "one start does not fit models of several sizes";
            return Err(TrainError::config("run.start", reason));
        }
        if self.run.validate_every.is_some() {
            let reason = "a study tests on `ladder.held_out` objects when a run is done";
            return Err(TrainError::config("run.validate_every", reason));
        }
        if !self.data.tokens.is_empty() {
            let reason = "a study makes its own tokens of `survey` and `simulated`";
            return Err(TrainError::config("data.tokens", reason));
        }
        if self.data.survey.iter().any(|source| source.repeat > 1) {
            let reason = "an object that comes twice could be trained on and held out";
            return Err(TrainError::config("data.survey.repeat", reason));
        }
        let mut names: Vec<String> = Vec::new();
        for rung in self.rungs() {
            rung.config.check()?;
            if names.contains(&rung.name) {
                let reason = format!("{} comes twice", rung.name);
                return Err(TrainError::config("ladder.sizes", reason));
            }
            names.push(rung.name);
        }
        Ok(())
    }
}

impl std::str::FromStr for Ladder {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let ladder: Ladder = toml::from_str(text)?;
        ladder.check()?;
        Ok(ladder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [ladder]
        objects = [10, 20]
        held_out = 5
        without = ["tok_image"]
        [[ladder.sizes]]
        learning_rate = 2e-3
        size = { dim = 16, encoder_depth = 1, decoder_depth = 2, heads = 2 }
        [[ladder.sizes]]
        learning_rate = 1e-3
        size = { dim = 32, encoder_depth = 2, decoder_depth = 2, heads = 2 }
        [run]
        seed = 1
        steps = 4
        batch = 2
        output = "out"
        [data.simulated]
        seed = 1
        count = 40
        [model]
        codecs = "models/aion-tiny"
    "#;

    #[test]
    fn every_size_meets_every_training_set() {
        let ladder: Ladder = TEXT.parse().expect("valid");
        let names: Vec<String> = ladder.rungs().into_iter().map(|rung| rung.name).collect();
        assert_eq!(names, ["16x1+2-10", "16x1+2-20", "32x2+2-10", "32x2+2-20"]);
        let last = ladder.rungs().remove(3);
        assert_eq!(last.config.optim.learning_rate, 1e-3);
        assert_eq!(last.config.run.steps, 4);
        assert!(last.config.run.output.ends_with("rungs/32x2+2-20"));
        let text = ladder.to_text().expect("text");
        assert_eq!(text.parse::<Ladder>().expect("valid"), ladder);
    }

    #[test]
    fn wrong_values_name_their_key() {
        for (key, from, to) in [
            ("ladder.objects", "[10, 20]", "[]"),
            ("ladder.objects", "[10, 20]", "[10, 0]"),
            ("ladder.sizes", "[10, 20]", "[10, 10]"),
            ("ladder.held_out", "held_out = 5", "held_out = 0"),
            ("ladder.without", "tok_image", "tok_none"),
            ("model.size", "heads = 2", "heads = 3"),
            ("optim.learning_rate", "2e-3", "-1"),
            ("model", "[model]", "[model]\npreset = \"tiny\""),
            ("run.start", "seed = 1", "seed = 1\nstart = \"a\""),
            (
                "run.validate_every",
                "seed = 1",
                "seed = 1\nvalidate_every = 2",
            ),
            (
                "data.tokens",
                "[model]",
                "[[data.tokens]]\npaths = [\"a\"]\n[model]",
            ),
            ("sizez", "[[ladder.sizes]]", "[[ladder.sizez]]"),
        ] {
            let text = TEXT.replacen(from, to, 1);
            let error = text.parse::<Ladder>().expect_err(key).to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
    }

    #[test]
    fn shipped_ladders_are_valid() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/scaling");
        for name in ["simulated", "smoke"] {
            Ladder::read(&configs.join(format!("{name}.toml"))).expect(name);
        }
    }
}
