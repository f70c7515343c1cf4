//! A trained transformer for a modality that it lacks: embeddings and head of its own, everything else as it
//! is.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use aion_data::ModalityId;
use aion_kernel::tensor_file::{StoredTensor, TensorFile, save};

use crate::checkpoint::{CONFIG_FILE, WEIGHTS_FILE};
use crate::config::{ConfigError, ModelConfig};
use crate::error::ModelError;

/// Writes the transformer in `from` into the folder `to`, with `new` among its modalities wherever `like`
/// is. The embeddings and the head of `new` start as those of `like`, which is right where their codes mean
/// the same (images through one network); all tensors that are there stay, byte for byte. A transformer that
/// has `new` already is copied.
///
/// # Errors
/// The checkpoint cannot be read or lacks `like`, or the folder cannot be written.
pub fn extend(from: &Path, to: &Path, new: ModalityId, like: ModalityId) -> Result<(), ModelError> {
    let mut config = ModelConfig::read(&from.join(CONFIG_FILE))?;
    if !config.inputs()?.contains(&like) {
        return Err(ConfigError::Value {
            key: "domains_in",
            found: config.domains_in.join(", "),
            expected: format!("{like} among them, which {new} starts from"),
        }
        .into());
    }
    for list in [&mut config.domains_in, &mut config.domains_out] {
        let has = |id: ModalityId| list.iter().any(|key| key == id.key());
        if has(like) && !has(new) {
            list.push(new.key().to_owned());
        }
    }
    let file = TensorFile::open(&from.join(WEIGHTS_FILE))?;
    let mut tensors = BTreeMap::new();
    for name in file.names() {
        let Some(tensor) = stored(&file, name) else {
            continue;
        };
        if let Some(copy) = renamed(name, like, new).filter(|copy| file.shape(copy).is_none()) {
            tensors.insert(copy, tensor.clone());
        }
        tensors.insert(name.to_owned(), tensor);
    }
    let mut aliases: HashMap<String, String> = file.metadata().clone();
    for (name, target) in file.metadata() {
        if let (Some(name), Some(target)) = (renamed(name, like, new), renamed(target, like, new)) {
            aliases.insert(name, target);
        }
    }
    save(&to.join(WEIGHTS_FILE), &tensors, aliases)?;
    Ok(config.write(&to.join(CONFIG_FILE))?)
}

fn stored(file: &TensorFile, name: &str) -> Option<StoredTensor> {
    Some(StoredTensor {
        dtype: file.dtype(name)?,
        shape: file.shape(name)?.to_vec(),
        bytes: file.raw(name)?.to_vec(),
    })
}

/// The name for `new` of a tensor of `like`; none of other tensors.
fn renamed(name: &str, like: ModalityId, new: ModalityId) -> Option<String> {
    let (side, rest) = name.split_once('.')?;
    let field = rest.strip_prefix(like.key())?.strip_prefix('.')?;
    side.ends_with("_embeddings")
        .then(|| format!("{side}.{new}.{field}"))
}
