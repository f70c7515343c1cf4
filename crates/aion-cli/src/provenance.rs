//! The record of how a result came about, written into its file's metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aion_data::ModalityId;
use serde_json::{Map, Value, json};

use crate::args::MachineArgs;
use crate::digest::Digests;
use crate::model_source::Model;

/// File of weights, in the transformer's folder and in every codec's.
const WEIGHTS_FILE: &str = "model.safetensors";

/// What a result was made with.
#[derive(Debug)]
pub struct Provenance {
    entries: BTreeMap<String, String>,
    folder: PathBuf,
    digests: Digests,
    surveys: BTreeSet<&'static str>,
}

impl Provenance {
    /// Begins a record; weight files are added as they are used.
    pub fn new(model: &Model, machine: &MachineArgs) -> Self {
        let mut entries = BTreeMap::new();
        let mut put = |name: &str, value: String| entries.insert(format!("aion.{name}"), value);
        put("model", model.name.clone());
        if let Some(revision) = &model.revision {
            put("revision", revision.clone());
        }
        put("version", env!("CARGO_PKG_VERSION").to_owned());
        put("device", machine.device.to_string());
        put("seed", machine.seed.to_string());
        put("command", command());
        Provenance {
            entries,
            folder: model.folder.clone(),
            digests: Digests::default(),
            surveys: BTreeSet::new(),
        }
    }

    /// The transformer is used.
    pub fn uses_transformer(&mut self) {
        let path = self.folder.join(WEIGHTS_FILE);
        self.digests.start(WEIGHTS_FILE, &path);
    }

    /// The codecs of these modalities are used.
    pub fn uses_codecs(&mut self, modalities: impl IntoIterator<Item = ModalityId>) {
        for modality in modalities {
            let name = format!("codecs/{}/{WEIGHTS_FILE}", modality.info().codec);
            self.digests.start(&name, &self.folder.join(&name));
        }
    }

    /// Tokens or measurements of these modalities are in the result.
    pub fn holds(&mut self, modalities: impl IntoIterator<Item = ModalityId>) {
        let surveys = modalities.into_iter().map(|id| id.info().survey);
        let named = surveys.filter(|survey| *survey != aion_data::Survey::Any);
        self.surveys.extend(named.map(|survey| survey.name()));
    }

    /// Notes what the layout of the result asks for beside the record.
    pub fn note(&mut self, key: String, value: String) {
        self.entries.insert(key, value);
    }

    /// The record for the report of a command.
    ///
    /// # Errors
    /// A weight file cannot be read.
    pub fn summary(&mut self) -> anyhow::Result<Map<String, Value>> {
        let record = json!({"provenance": self.metadata()?});
        Ok(record.as_object().cloned().unwrap_or_default())
    }

    /// The record as metadata, complete for what was used so far.
    ///
    /// # Errors
    /// A weight file cannot be read.
    pub fn metadata(&mut self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut metadata = self.entries.clone();
        let digests = self.digests.wait()?;
        metadata.insert("aion.sha256".to_owned(), json!(digests).to_string());
        if !self.surveys.is_empty() {
            let surveys: Vec<&str> = self.surveys.iter().copied().collect();
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
