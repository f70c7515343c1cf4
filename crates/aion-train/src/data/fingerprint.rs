//! That tokens were made by the codecs that a run goes with.
//!
//! `aion tokenize` writes the SHA-256 of each codec's weights into a file of tokens (`aion.sha256`). The
//! same token means something else under another codec, so all files of a run have to agree, with each
//! other and with the checkpoint that the model becomes part of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_data::token_files::TokenMetadata;
use aion_data::{DataError, Place, Problem};
use aion_kernel::tensor_file::sha256;

use crate::error::TrainError;

/// Metadata entry of a file of tokens: digests by path within the checkpoint.
const ENTRY: &str = "aion.sha256";
/// Codecs lie below this folder of a checkpoint.
const CODECS: &str = "codecs/";

/// Which codecs tokens have to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codecs {
    /// Those of this checkpoint, every one.
    Of(PathBuf),
    /// Those of this checkpoint, as far as it has any.
    Beside(PathBuf),
}

/// The digests that files have to agree with.
#[derive(Debug)]
pub struct Fingerprints {
    codecs: Codecs,
    /// By path within the checkpoint: the digest, and where it was found.
    known: BTreeMap<String, (String, PathBuf)>,
}

impl Fingerprints {
    /// Begins with a checkpoint's codecs.
    pub fn new(codecs: Codecs) -> Self {
        Fingerprints {
            codecs,
            known: BTreeMap::new(),
        }
    }

    /// Checks a file of tokens by its metadata; whether it says what made it.
    ///
    /// # Errors
    /// It was made by other codecs than the checkpoint's or than another file; it does not say by which,
    /// where the run file names the codecs; or a codec cannot be read.
    pub fn check(&mut self, path: &Path, metadata: &TokenMetadata) -> Result<bool, TrainError> {
        let Some(entry) = metadata.get(ENTRY) else {
            let Codecs::Of(folder) = &self.codecs else {
                return Ok(false);
            };
            let problem = format!(
                "digests of its codecs; expected those of {}, which the run file names",
                folder.display()
            );
            return Err(refused(path, Problem::Missing(problem)));
        };
        let digests: BTreeMap<String, String> = serde_json::from_str(entry).map_err(|error| {
            let problem = format!("is no JSON object of digests: {error}");
            refused(path, Problem::Values(problem))
        })?;
        for (name, digest) in digests {
            if name.starts_with(CODECS) {
                self.check_codec(path, &name, digest)?;
            }
        }
        Ok(true)
    }

    fn check_codec(&mut self, path: &Path, name: &str, digest: String) -> Result<(), TrainError> {
        if !self.known.contains_key(name)
            && let Some(known) = self.of_checkpoint(name)?
        {
            self.known.insert(name.to_owned(), known);
        }
        let known = self.known.entry(name.to_owned());
        let (expected, source) = known.or_insert_with(|| (digest.clone(), path.to_owned()));
        if *expected == digest {
            return Ok(());
        }
        let problem = format!(
            "made by {name} with SHA-256 {digest}, expected {expected} as in {}",
            source.display()
        );
        Err(refused(path, Problem::Mismatch(problem)))
    }

    /// The digest of a codec of the checkpoint; none where it need not have it.
    fn of_checkpoint(&self, name: &str) -> Result<Option<(String, PathBuf)>, TrainError> {
        let (folder, required) = match &self.codecs {
            Codecs::Of(folder) => (folder, true),
            Codecs::Beside(folder) => (folder, false),
        };
        let file = folder.join(name);
        if !required && !file.is_file() {
            return Ok(None);
        }
        Ok(Some((sha256(&file)?, file)))
    }
}

fn refused(path: &Path, problem: Problem) -> TrainError {
    DataError::new(Place::file(path).with_field(ENTRY), problem).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(digest: &str) -> TokenMetadata {
        let entry = format!("{{\"codecs/image/model.safetensors\": \"{digest}\"}}");
        TokenMetadata::from([(ENTRY.to_owned(), entry)])
    }

    #[test]
    fn files_agree_with_each_other() {
        let mut fingerprints = Fingerprints::new(Codecs::Beside("/nowhere".into()));
        let mut check =
            |path: &str, metadata: &TokenMetadata| fingerprints.check(Path::new(path), metadata);
        assert!(check("a.parquet", &metadata("1234")).expect("the first"));
        assert!(check("b.parquet", &metadata("1234")).expect("the same"));
        assert!(!check("c.parquet", &TokenMetadata::new()).expect("says nothing"));
        let error = check("d.parquet", &metadata("5678")).expect_err("another codec");
        let text = error.to_string();
        for part in ["d.parquet", ENTRY, "5678", "1234", "a.parquet"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let broken = TokenMetadata::from([(ENTRY.to_owned(), "[]".to_owned())]);
        check("e.parquet", &broken).expect_err("no digests");
    }

    #[test]
    fn named_codecs_are_required() {
        let folder = tempfile::tempdir().expect("a folder");
        let codec = folder.path().join("codecs/image");
        std::fs::create_dir_all(&codec).expect("made");
        std::fs::write(codec.join("model.safetensors"), "foobar").expect("written");
        // echo -n foobar | sha256sum
        let digest = "c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2";
        let mut named = Fingerprints::new(Codecs::Of(folder.path().to_owned()));
        let path = Path::new("a.parquet");
        assert!(named.check(path, &metadata(digest)).expect("the same"));
        named.check(path, &metadata("1234")).expect_err("another");
        let error = named
            .check(path, &TokenMetadata::new())
            .expect_err("silent");
        assert!(error.to_string().contains("missing digests"), "{error}");
        let mut elsewhere = Fingerprints::new(Codecs::Of("/nowhere".into()));
        elsewhere
            .check(path, &metadata(digest))
            .expect_err("no such codec");
    }
}
