//! Where a checkpoint comes from: a folder, or the hub through its cache on this machine.
//!
//! One of the two users of the network, beside `aion-fetch`. Files of a hub id are taken at one commit, so that
//! configuration and weights belong together, and only those that a command needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aion_data::ModalityId;
use aion_data::described::{self, DESCRIPTION_FILE};
use anyhow::Context;
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use crate::args::ModelArgs;
use crate::failure::usage;

/// A checkpoint on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What the user called it.
    pub name: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// The hub's commit.
    pub revision: Option<String>,
}

/// Which parts of a checkpoint a command uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Names of codecs.
    pub codecs: BTreeSet<&'static str>,
    /// The transformer.
    pub transformer: bool,
}

impl Need {
    /// The transformer.
    pub fn transformer() -> Self {
        Need {
            transformer: true,
            ..Need::default()
        }
    }

    /// Every codec.
    pub fn all_codecs() -> Self {
        Need::default().and_codecs(ModalityId::all())
    }

    /// The same and the codecs of these modalities.
    pub fn and_codecs(mut self, modalities: impl IntoIterator<Item = ModalityId>) -> Self {
        let codecs = modalities.into_iter().map(|id| id.info().codec);
        self.codecs.extend(codecs);
        self
    }

    /// Whether a codec is needed; the bands of a survey that the checkpoint describes (`image_rubin`) go
    /// with the codec that they extend.
    fn has_codec(&self, codec: &str) -> bool {
        let extended = codec.split_once('_').map(|(extended, _)| extended);
        self.codecs.contains(codec) || extended.is_some_and(|codec| self.codecs.contains(codec))
    }

    /// The files among `available` that are needed.
    fn files<'a>(&self, available: &'a [String]) -> Vec<&'a str> {
        let wanted = |file: &str| match file.strip_prefix("codecs/") {
            Some(rest) => match rest.split_once('/') {
                Some((codec, "config.json" | "model.safetensors")) => self.has_codec(codec),
                _ => false,
            },
            None => {
                ["config.json", DESCRIPTION_FILE].contains(&file)
                    || (self.transformer && file == "model.safetensors")
            }
        };
        let files = available.iter().map(String::as_str);
        files.filter(|file| wanted(file)).collect()
    }
}

/// A repository of the hub, at one commit.
pub trait Repository {
    /// The commit.
    fn commit(&self) -> &str;

    /// Paths of its files.
    fn files(&self) -> &[String];

    /// Brings one of them to this machine.
    ///
    /// # Errors
    /// It cannot be had.
    fn fetch(&self, file: &str) -> anyhow::Result<PathBuf>;
}

/// Finds the checkpoint that the arguments name, fetching what a command needs of it, and makes the surveys
/// known that it describes.
///
/// # Errors
/// There is no such folder, and the name is no hub id or the hub does not give it; or a description is not
/// valid.
pub fn find(args: &ModelArgs, need: &Need) -> anyhow::Result<Model> {
    let model = place(args, need)?;
    described::read(&model.folder)?;
    Ok(model)
}

fn place(args: &ModelArgs, need: &Need) -> anyhow::Result<Model> {
    let path = Path::new(&args.model);
    if path.is_dir() {
        return Ok(Model {
            name: args.model.clone(),
            folder: path.to_owned(),
            revision: None,
        });
    }
    if path.exists() {
        return Err(usage(format!(
            "{}: a checkpoint is a folder with config.json and model.safetensors, not a file",
            args.model
        )));
    }
    if !is_hub_id(&args.model) {
        return Err(usage(format!("{}: no such folder", args.model)));
    }
    if args.hub.offline {
        fetch(&args.model, &Cached::open(args)?, need)
    } else {
        let repository = Online::open(args).with_context(|| {
            format!(
                "{}: no such folder here, and the hub did not give it",
                args.model
            )
        })?;
        fetch(&args.model, &repository, need)
    }
}

/// Fetches what is needed of a repository.
fn fetch(name: &str, repository: &dyn Repository, need: &Need) -> anyhow::Result<Model> {
    let files = need.files(repository.files());
    for required in ["config.json", "model.safetensors"] {
        let asked = required == "config.json" || need.transformer;
        if asked && !files.contains(&required) {
            return Err(usage(format!("{name}: the repository has no {required}")));
        }
    }
    let mut folder = None;
    for file in files {
        let path = repository
            .fetch(file)
            .with_context(|| format!("{name}: fetching {file}"))?;
        if file == "config.json" {
            folder = path.parent().map(Path::to_owned);
        }
    }
    Ok(Model {
        name: name.to_owned(),
        folder: folder.unwrap_or_default(),
        revision: Some(repository.commit().to_owned()),
    })
}

/// `owner/name` in the hub's characters.
fn is_hub_id(name: &str) -> bool {
    let fits = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
    };
    name.split_once('/')
        .is_some_and(|(owner, name)| fits(owner) && fits(name))
}

/// The hub.
struct Online {
    repo: ApiRepo,
    commit: String,
    files: Vec<String>,
}

impl Online {
    fn open(args: &ModelArgs) -> anyhow::Result<Self> {
        let api = ApiBuilder::from_env().build()?;
        let named = repo(args, &args.hub.revision);
        let info = api.repo(named.clone()).info()?;
        // So that --offline finds the commit by the same name later.
        Cache::from_env().repo(named).create_ref(&info.sha)?;
        Ok(Online {
            repo: api.repo(repo(args, &info.sha)),
            commit: info.sha,
            files: info
                .siblings
                .into_iter()
                .map(|file| file.rfilename)
                .collect(),
        })
    }
}

impl Repository for Online {
    fn commit(&self) -> &str {
        &self.commit
    }

    fn files(&self) -> &[String] {
        &self.files
    }

    fn fetch(&self, file: &str) -> anyhow::Result<PathBuf> {
        Ok(self.repo.get(file)?)
    }
}

fn repo(args: &ModelArgs, revision: &str) -> Repo {
    Repo::with_revision(args.model.clone(), RepoType::Model, revision.to_owned())
}

/// What the hub's cache on this machine holds.
struct Cached {
    folder: PathBuf,
    commit: String,
    files: Vec<String>,
}

impl Cached {
    fn open(args: &ModelArgs) -> anyhow::Result<Self> {
        Self::open_in(&Cache::from_env(), args)
    }

    fn open_in(cache: &Cache, args: &ModelArgs) -> anyhow::Result<Self> {
        let absent = || {
            let (model, revision) = (&args.model, &args.hub.revision);
            let cache = cache.path().display();
            usage(format!(
                "{model} at {revision}: not in the hub's cache {cache}, and --offline was given"
            ))
        };
        let config = cache
            .repo(repo(args, &args.hub.revision))
            .get("config.json");
        let folder = match config.as_deref().and_then(Path::parent) {
            Some(folder) => folder.to_owned(),
            // The revision may be a commit, which has no name of its own.
            None => cache.repo(repo(args, "")).pointer_path(&args.hub.revision),
        };
        if !folder.join("config.json").is_file() {
            return Err(absent());
        }
        let name = folder.file_name().unwrap_or_default();
        let mut files = Vec::new();
        list_files(&folder, "", &mut files)?;
        Ok(Cached {
            commit: name.to_string_lossy().into_owned(),
            files,
            folder,
        })
    }
}

impl Repository for Cached {
    fn commit(&self) -> &str {
        &self.commit
    }

    fn files(&self) -> &[String] {
        &self.files
    }

    fn fetch(&self, file: &str) -> anyhow::Result<PathBuf> {
        Ok(self.folder.join(file))
    }
}

fn list_files(folder: &Path, prefix: &str, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list_files(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;

    use super::*;
    use crate::args::HubArgs;

    struct Fake {
        files: Vec<String>,
        fetched: RefCell<Vec<String>>,
    }

    impl Repository for Fake {
        fn commit(&self) -> &str {
            "abc"
        }

        fn files(&self) -> &[String] {
            &self.files
        }

        fn fetch(&self, file: &str) -> anyhow::Result<PathBuf> {
            self.fetched.borrow_mut().push(file.to_owned());
            Ok(Path::new("/cache/abc").join(file))
        }
    }

    fn fake(files: &[&str]) -> Fake {
        Fake {
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            fetched: RefCell::default(),
        }
    }

    const PUBLISHED: [&str; 7] = [
        "README.md",
        "config.json",
        "model.safetensors",
        "codecs/image/config.json",
        "codecs/image/model.safetensors",
        "codecs/Z/config.json",
        "codecs/Z/model.safetensors",
    ];

    #[test]
    fn only_what_is_needed_is_fetched() {
        let hub = fake(&PUBLISHED);
        let redshift = ModalityId::from_key("tok_z").expect("a modality");
        let need = Need::default().and_codecs([redshift]);
        let model = fetch("a/b", &hub, &need).expect("a model");
        assert_eq!(model.folder, Path::new("/cache/abc"));
        assert_eq!(model.revision.as_deref(), Some("abc"));
        let expected = [
            "config.json",
            "codecs/Z/config.json",
            "codecs/Z/model.safetensors",
        ];
        assert_eq!(*hub.fetched.borrow(), expected);

        let hub = fake(&PUBLISHED);
        fetch("a/b", &hub, &Need::transformer()).expect("a model");
        assert_eq!(*hub.fetched.borrow(), ["config.json", "model.safetensors"]);

        let hub = fake(&PUBLISHED);
        fetch("a/b", &hub, &Need::all_codecs()).expect("a model");
        assert_eq!(hub.fetched.borrow().len(), 5);
    }

    #[test]
    fn a_repository_without_a_model_is_refused() {
        let error = fetch("a/b", &fake(&["README.md"]), &Need::default()).expect_err("no model");
        assert!(error.to_string().contains("config.json"), "{error}");
        let hub = fake(&["config.json"]);
        assert!(fetch("a/b", &hub, &Need::transformer()).is_err());
    }

    #[test]
    fn hub_ids_are_told_from_paths() {
        assert!(is_hub_id("polymathic-ai/aion-base"));
        for path in ["model", "../x", "./x", "/a/b", "a/b/c", "a b/c", "a/"] {
            assert!(!is_hub_id(path), "{path}");
        }
    }

    #[test]
    fn offline_reads_the_cache() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path().to_owned());
        let args = |revision: &str| ModelArgs {
            model: "a/b".to_owned(),
            hub: HubArgs {
                revision: revision.to_owned(),
                offline: true,
            },
        };
        assert!(Cached::open_in(&cache, &args("main")).is_err());
        let repo = cache.repo(repo(&args("main"), "main"));
        let snapshot = repo.pointer_path("c0ffee");
        fs::create_dir_all(snapshot.join("codecs/Z")).expect("a folder");
        fs::write(snapshot.join("config.json"), "{}").expect("written");
        fs::write(snapshot.join("codecs/Z/config.json"), "{}").expect("written");
        repo.create_ref("c0ffee").expect("a reference");
        for revision in ["main", "c0ffee"] {
            let cached = Cached::open_in(&cache, &args(revision)).expect("cached");
            let model = fetch("a/b", &cached, &Need::all_codecs()).expect("a model");
            assert_eq!(model.folder, snapshot);
            assert_eq!(model.revision.as_deref(), Some("c0ffee"));
        }
        assert!(Cached::open_in(&cache, &args("other")).is_err());
    }
}
