//! The record of how a result came about, written into its file's metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aion_data::{ModalityId, SurveyDescription, described};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::args::MachineArgs;
use crate::digest::Digests;
use crate::model_source::Model;

/// File of weights, in the transformer's folder and in every codec's.
const WEIGHTS_FILE: &str = "model.safetensors";
/// File beside it that says what the weights are of.
const CONFIG_FILE: &str = "config.json";

/// What results are made with.
#[derive(Debug)]
pub struct Provenance {
    entries: BTreeMap<String, String>,
    folder: PathBuf,
    digests: Digests,
}

/// What one result was made with, and holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    weights: BTreeSet<String>,
    surveys: BTreeSet<String>,
}

impl Record {
    /// The transformer is used.
    pub fn uses_transformer(&mut self) {
        self.weights.insert(WEIGHTS_FILE.to_owned());
    }

    /// The codecs of these modalities are used, and for a described survey the one that its bands extend.
    pub fn uses_codecs(&mut self, modalities: impl IntoIterator<Item = ModalityId>) {
        for modality in modalities {
            let extended = described::description(modality).and_then(SurveyDescription::like);
            for id in [Some(modality), extended].into_iter().flatten() {
                let name = format!("codecs/{}/{WEIGHTS_FILE}", id.info().codec);
                self.weights.insert(name);
            }
        }
    }

    /// Tokens or measurements of these modalities are in the result.
    pub fn holds(&mut self, modalities: impl IntoIterator<Item = ModalityId>) {
        let surveys = modalities.into_iter().map(|id| id.info().survey);
        let named = surveys.filter(|survey| *survey != aion_data::Survey::Any);
        self.surveys
            .extend(named.map(|survey| survey.name().to_owned()));
    }

    /// Adds what another record says.
    pub fn add(&mut self, other: &Record) {
        self.weights.extend(other.weights.iter().cloned());
        self.surveys.extend(other.surveys.iter().cloned());
    }
}

impl Provenance {
    /// Begins a record of a model's use.
    pub fn new(model: &Model, machine: &MachineArgs) -> Self {
        let mut entries = BTreeMap::new();
        let mut put = |name: &str, value: String| entries.insert(format!("aion.{name}"), value);
        put("model", model.name.clone());
        if let Some(revision) = &model.revision {
            put("revision", revision.clone());
        }
        put("version", env!("CARGO_PKG_VERSION").to_owned());
        put("device", machine.processor.device.to_string());
        put("seed", machine.seed.to_string());
        put("command", command());
        Provenance {
            entries,
            folder: model.folder.clone(),
            digests: Digests::default(),
        }
    }

    /// Leaves the command out: that of a run in shards says who did which shard, and shards must not
    /// depend on it.
    pub fn without_command(&mut self) {
        self.entries.remove("aion.command");
    }

    /// Notes what the layout of the result asks for beside the record.
    pub fn note(&mut self, key: String, value: String) {
        self.entries.insert(key, value);
    }

    /// Begins with the digests of what a record names, beside other work.
    pub fn start(&mut self, record: &Record) {
        for name in &record.weights {
            self.digests.start(name, &self.folder.join(name));
        }
    }

    /// Digests of the checkpoint's files: those of the codecs, and of the transformer where it is used.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn model(&mut self, transformer: bool) -> anyhow::Result<BTreeMap<String, String>> {
        let mut names = vec![CONFIG_FILE.to_owned()];
        names.extend(transformer.then(|| WEIGHTS_FILE.to_owned()));
        let codecs = ModalityId::all().map(|id| id.info().codec);
        for codec in codecs.collect::<BTreeSet<_>>() {
            let files = [CONFIG_FILE, WEIGHTS_FILE];
            names.extend(files.map(|file| format!("codecs/{codec}/{file}")));
        }
        names.retain(|name| self.folder.join(name).is_file());
        for name in &names {
            self.digests.start(name, &self.folder.join(name));
        }
        let digests = self.digests.wait()?;
        let digest = |name: String| digests.get(&name).map(|digest| (name, digest.clone()));
        Ok(names.into_iter().filter_map(digest).collect())
    }

    /// A record for the report of a command.
    ///
    /// # Errors
    /// A weight file cannot be read.
    pub fn summary(&mut self, record: &Record) -> anyhow::Result<Map<String, Value>> {
        let record = json!({"provenance": self.metadata(record)?});
        Ok(record.as_object().cloned().unwrap_or_default())
    }

    /// A record as a result's metadata.
    ///
    /// # Errors
    /// A weight file cannot be read.
    pub fn metadata(&mut self, record: &Record) -> anyhow::Result<BTreeMap<String, String>> {
        self.start(record);
        let mut metadata = self.entries.clone();
        let digests = self.digests.wait()?;
        let used = digests
            .iter()
            .filter(|(name, _)| record.weights.contains(*name));
        let used: BTreeMap<&String, &String> = used.collect();
        metadata.insert("aion.sha256".to_owned(), json!(used).to_string());
        if !record.surveys.is_empty() {
            let surveys: Vec<&str> = record.surveys.iter().map(String::as_str).collect();
            metadata.insert("aion.surveys".to_owned(), surveys.join(","));
        }
        Ok(metadata)
    }
}

/// The command as it was given; arguments with blanks in quotes.
pub fn command() -> String {
    let quoted = |argument: String| {
        if argument.is_empty() || argument.contains(char::is_whitespace) {
            format!("'{argument}'")
        } else {
            argument
        }
    };
    let arguments = std::env::args_os().skip(1);
    let arguments = arguments.map(|argument| quoted(argument.to_string_lossy().into_owned()));
    let words: Vec<String> = std::iter::once("aion".to_owned())
        .chain(arguments)
        .collect();
    words.join(" ")
}
