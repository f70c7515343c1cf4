//! A folder and a server to fetch into and from.

use std::path::{Path, PathBuf};

use aion_data::reader::{ReadOptions, read};
use aion_data::{DataError, Object, Survey};
use aion_fetch::{Access, FetchError, Options, Outcome, Services, Target, fetch};
use tempfile::TempDir;

use crate::server::{Asked, Reply, Server};

/// Settings that point every service at `address`, and do not wait.
pub fn services(address: &str, politeness: &str) -> Services {
    let text = format!(
        "[politeness]\ninterval_s = 0.0\nbackoff_s = 0.001\n{politeness}\n\
         [legacy]\ncutout = \"{address}/viewer/cutout.fits\"\n\
         [hsc]\ncutout = \"{address}/das/cutout\"\n\
         [sdss]\nquery = \"{address}/dr17/sql\"\n\
         spectrum = \"{address}/sas/dr17/{{project}}/{{run2d}}/{{plate}}/spec-{{plate}}-{{mjd}}-{{fiber}}.fits\"\n\
         [desi]\nfind = \"{address}/sparc/find/\"\nretrieve = \"{address}/sparc/spectras/\"\n\
         [gaia]\ntap = \"{address}/tap/sync\"\ndatalink = \"{address}/data\"\n"
    );
    Services::with(&text).expect("settings")
}

/// One server, one output folder.
pub struct Work {
    pub server: Server,
    pub folder: TempDir,
    pub services: Services,
    pub jobs: usize,
    pub radius: Option<f64>,
    pub access: Access,
}

impl Work {
    pub fn new(handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        Work::with(handler, "")
    }

    /// With keys of the table `politeness`.
    pub fn with(
        handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
        politeness: &str,
    ) -> Self {
        let server = Server::start(handler);
        Work {
            services: services(server.address(), politeness),
            server,
            folder: tempfile::tempdir().expect("a folder"),
            jobs: 1,
            radius: None,
            access: Access::default(),
        }
    }

    pub fn try_fetch(
        &self,
        survey: Survey,
        targets: Vec<Target>,
    ) -> Result<Vec<Outcome>, FetchError> {
        let options = Options {
            services: &self.services,
            output: self.folder.path(),
            jobs: self.jobs,
            radius: self.radius,
            access: self.access.clone(),
        };
        fetch(survey, targets, &options, &|_| {})
    }

    pub fn fetch(&self, survey: Survey, targets: Vec<Target>) -> Vec<Outcome> {
        self.try_fetch(survey, targets).expect("a run")
    }

    /// The only outcome.
    pub fn one(&self, survey: Survey, target: Target) -> Outcome {
        let mut outcomes = self.fetch(survey, vec![target]);
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    /// Every file below the output folder, relative to it, hidden ones included, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        list(self.folder.path(), Path::new(""), &mut files);
        files.sort();
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn list(root: &Path, below: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(root.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            list(root, &path, files);
        } else {
            files.push(path.display().to_string());
        }
    }
}

/// The objects of a file, all good.
pub fn objects(path: &Path) -> Vec<Object> {
    let objects = read(path, &ReadOptions::default()).expect("a file");
    let objects: Result<Vec<Object>, DataError> = objects.collect();
    objects.expect("good objects")
}

pub fn at(ra: f64, dec: f64) -> Target {
    Target::named("m87", ra, dec).expect("a target")
}
