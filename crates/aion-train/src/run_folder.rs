//! The folder of a run: its configuration, its checkpoints, its log; what may be gone on with.
//!
//! ```text
//! <output>/run.toml         the run's configuration, written before any work
//!          checkpoints/     see [`crate::checkpoint`]
//!          losses.jsonl     reports, and the same for TensorBoard in events.out.tfevents.*
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_kernel::tensor_file::replace_file;
use toml::Value;

use crate::checkpoint::{self, Checkpoint};
use crate::error::TrainError;

/// File of the configuration.
pub const CONFIG_FILE: &str = "run.toml";
/// Keys that may differ when a run is resumed: where things go, how often, how the result is judged, and what
/// is kept in memory decide no weight.
const FREE: [&str; 8] = [
    "run.output",
    "run.log_every",
    "run.checkpoint_every",
    "run.keep_last",
    "run.keep_best",
    "save",
    "report",
    "model.recompute",
];

/// Prepares the folder `output` for the run that `config` (TOML) describes, and gives the checkpoint
/// to go on from, verified. With `resume` that is the newest one; `None` where the run was ended
/// before its first. Without `resume` the folder must have no checkpoint.
///
/// # Errors
/// The folder cannot be written; it holds another run, none, a damaged checkpoint, or one that
/// would be lost.
pub fn begin(output: &Path, config: &str, resume: bool) -> Result<Option<Checkpoint>, TrainError> {
    let found = checkpoint::folders(output)?.pop();
    if !resume && found.is_some() {
        let reason = "the folder already holds a run: resume it or give another folder";
        return Err(TrainError::resume(output, reason));
    }
    let from = match (resume, found) {
        (true, Some(folder)) => {
            let checkpoint = Checkpoint::open(&folder)?;
            require_same(&folder, &checkpoint.state.config, config)?;
            Some(checkpoint)
        }
        (true, None) => {
            require_same(output, &begun(output)?, config)?;
            None
        }
        (false, _) => None,
    };
    write_config(output, config)?;
    checkpoint::sweep(output)?;
    Ok(from)
}

/// The configuration of a run that has no checkpoint yet.
fn begun(output: &Path) -> Result<String, TrainError> {
    let path = output.join(CONFIG_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(TrainError::resume(output, "there is no run"))
        }
        Err(error) => Err(TrainError::io(&path, error)),
    }
}

fn write_config(output: &Path, config: &str) -> Result<(), TrainError> {
    let path: PathBuf = output.join(CONFIG_FILE);
    std::fs::create_dir_all(output)
        .and_then(|()| replace_file(&path, config.as_bytes()))
        .map_err(|source| TrainError::io(&path, source))
}

fn require_same(path: &Path, before: &str, now: &str) -> Result<(), TrainError> {
    let keys = |text: &str| {
        let table: toml::Table =
            toml::from_str(text).map_err(|error| TrainError::resume(path, error.message()))?;
        let mut keys = BTreeMap::new();
        flatten(String::new(), &Value::Table(table), &mut keys);
        Ok::<_, TrainError>(keys)
    };
    let (before, now) = (keys(before)?, keys(now)?);
    let is_free = |key: &str| {
        let under = |free: &str| {
            key.strip_prefix(free)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        FREE.iter().any(|free| key == *free || under(free))
    };
    let mut all = before.keys().chain(now.keys());
    let differing = all.find(|key| !is_free(key) && before.get(*key) != now.get(*key));
    let Some(key) = differing else {
        return Ok(());
    };
    let value = |keys: &BTreeMap<String, String>| keys.get(key).map_or("absent", |v| v).to_owned();
    let reason = format!(
        "the run file has changed since: `{key}` is {}, was {}",
        value(&now),
        value(&before)
    );
    Err(TrainError::resume(path, reason))
}

/// Every value of a table by its full key.
fn flatten(key: String, value: &Value, into: &mut BTreeMap<String, String>) {
    let Value::Table(table) = value else {
        into.insert(key, value.to_string());
        return;
    };
    for (name, value) in table {
        let full = match key.as_str() {
            "" => name.clone(),
            _ => format!("{key}.{name}"),
        };
        flatten(full, value, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "[run]\nsteps = 3\noutput = \"a\"\n[optim]\nbetas = [0.9, 0.95]";

    #[test]
    fn differences_name_their_key() {
        let same = |now: &str| require_same(Path::new("run"), CONFIG, now);
        same(CONFIG).expect("the same");
        same(&CONFIG.replace("\"a\"", "\"elsewhere\"")).expect("the same run elsewhere");
        for (from, to, expected) in [
            ("steps = 3", "steps = 4", "`run.steps` is 4, was 3"),
            ("0.95", "0.99", "`optim.betas` is [0.9, 0.99]"),
            (
                "steps = 3",
                "steps = 3\nstart = \"b\"",
                "`run.start` is \"b\", was absent",
            ),
        ] {
            let error = same(&CONFIG.replace(from, to))
                .expect_err("refused")
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn only_what_was_begun_is_resumed() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = begin(folder.path(), CONFIG, true).expect_err("nothing there");
        assert!(error.to_string().contains("there is no run"), "{error}");
        assert!(
            begin(folder.path(), CONFIG, false)
                .expect("begins")
                .is_none()
        );
        assert!(begin(folder.path(), CONFIG, true).expect("begun").is_none());
        let other = CONFIG.replace('3', "5");
        let error = begin(folder.path(), &other, true).expect_err("another run");
        assert!(error.to_string().contains("run.steps"), "{error}");
    }
}
