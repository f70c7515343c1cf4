//! Reads the training cases.

use std::path::{Path, PathBuf};

use aion_data::Object;
use aion_data::tensor_files::ObservationFile;
use aion_kernel::tensor_file::TensorFile;
use aion_train::optim::AdamWConfig;
use aion_train::schedule::Schedule;
use serde::Deserialize;

/// `case.json`, as `fixtures/README.md` describes it.
#[derive(Debug, Deserialize)]
pub struct About {
    pub kind: String,
    pub model: String,
    pub objects: usize,
    pub attention: Option<String>,
    pub balance: Option<String>,
    pub loss: f32,
    pub losses: Vec<f32>,
    pub optim: AdamWConfig,
    pub schedule: Schedule,
}

#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub about: About,
    folder: PathBuf,
    root: PathBuf,
}

/// All training cases, by name.
pub fn cases() -> Vec<Case> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let root = std::env::var_os("AION_FIXTURES").map_or(own, PathBuf::from);
    let folder = root.join("training");
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .collect();
    folders.sort();
    let open = |folder: PathBuf| {
        let text = std::fs::read(folder.join("case.json")).expect("a description");
        Case {
            name: folder
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned(),
            about: serde_json::from_slice(&text).expect("a valid description"),
            folder,
            root: root.clone(),
        }
    };
    folders.into_iter().map(open).collect()
}

impl Case {
    /// The checkpoint that the case starts from.
    pub fn model(&self) -> PathBuf {
        self.root.join("models").join(&self.about.model)
    }

    /// The path of one of the case's files.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// One of the case's tensor files.
    pub fn tensors(&self, file: &str) -> TensorFile {
        TensorFile::open(&self.path(file)).expect("a readable file")
    }

    /// What was observed.
    pub fn observations(&self) -> Vec<Object> {
        let file = ObservationFile::open(&self.path("observations.safetensors"));
        let objects: Vec<Object> = file
            .expect("observations")
            .objects()
            .map(|object| object.expect("a good object"))
            .collect();
        assert_eq!(objects.len(), self.about.objects, "{}", self.name);
        objects
    }
}
