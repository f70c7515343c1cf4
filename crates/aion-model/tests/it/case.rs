//! Reads the reference cases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_data::{ModalityId, ObjectTokens};
use aion_kernel::tensor_file::TensorFile;
use aion_model::Checkpoint;
use burn::tensor::Device;
use serde::Deserialize;

/// Marks catalogue padding in token files.
const PADDING: f32 = 9999.0;

#[derive(Debug, Deserialize)]
pub struct Description {
    pub model: String,
    pub kind: String,
    pub targets: Vec<String>,
    #[serde(default)]
    pub valid: Vec<usize>,
    #[serde(default)]
    pub sampled_positions: BTreeMap<String, Vec<usize>>,
}

#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub description: Description,
}

pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    std::env::var_os("AION_FIXTURES").map_or(own, PathBuf::from)
}

/// All cases that the transformer takes part in.
pub fn cases() -> Vec<Case> {
    let folder = root().join("cases");
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut cases: Vec<Case> = entries
        .map(|entry| {
            let folder = entry.expect("a folder entry").path();
            let text = std::fs::read_to_string(folder.join("case.json")).expect("a description");
            Case {
                name: folder.file_name().unwrap().to_string_lossy().into_owned(),
                description: serde_json::from_str(&text).expect("a valid description"),
                folder,
            }
        })
        .filter(|case| case.description.kind != "codec")
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() >= 9, "only {} cases", cases.len());
    cases
}

pub fn open(model: &str) -> Checkpoint {
    let folder = root().join("models").join(model);
    Checkpoint::open(&folder, &Device::flex()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn key(key: &str) -> ModalityId {
    ModalityId::from_key(key).expect("a known key")
}

impl Case {
    pub fn tensors(&self, file: &str) -> Option<TensorFile> {
        let path = self.folder.join(file);
        path.exists()
            .then(|| TensorFile::open(&path).expect("a readable file"))
    }

    /// The case's objects, without padding.
    pub fn objects(&self) -> Vec<ObjectTokens> {
        let file = self.tensors("tokens.safetensors").expect("tokens");
        let mut objects = vec![ObjectTokens::new(); self.description.valid.len()];
        for name in file.names() {
            let values = file.values(name).expect("integers");
            let length = values.len() / objects.len();
            for (object, row) in objects.iter_mut().zip(values.chunks(length)) {
                let real = row.iter().filter(|value| **value != PADDING);
                object.insert(key(name), real.map(|value| *value as u16).collect());
            }
        }
        objects
    }

    pub fn targets(&self) -> Vec<ModalityId> {
        self.description
            .targets
            .iter()
            .map(|name| key(name))
            .collect()
    }
}

/// Largest difference over the largest magnitude expected.
pub fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "numbers of values");
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, f32::max);
    let scale = largest(&mut expected.iter().map(|value| value.abs()));
    assert!(found.iter().all(|value| value.is_finite()), "finite values");
    largest(&mut found.iter().zip(expected).map(|(f, e)| (f - e).abs())) / scale
}
