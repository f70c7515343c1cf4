//! Fetching many targets: what is settled already is kept, the rest is shared among threads.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use aion_data::Survey;

use crate::client::{Access, Client};
use crate::date;
use crate::error::FetchError;
use crate::gate::locked;
use crate::manifest::{FileRecord, Manifest, Record};
use crate::service::{self, Context, Found, takes_identifiers};
use crate::services::Services;
use crate::staging::{Staging, remove_abandoned};
use crate::target::{Sought, Target, distinct};

/// How far from a position an object may be unless the caller says, arcsec.
const RADIUS: f64 = 2.0;
/// No object is sought further away than this, arcsec.
const WIDEST: f64 = 60.0;
/// So many targets in a row without an answer: the service, or the network, is away.
const AWAY: usize = 3;

const FETCHED: &str = "fetched";
const ABSENT: &str = "absent";
const FAILED: &str = "failed";

/// How to fetch.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// End points and manners.
    pub services: &'a Services,
    /// The folder; files go into a folder of it that bears the survey's name.
    pub output: &'a Path,
    /// Targets worked on at a time; the services' limit a host holds besides.
    pub jobs: usize,
    /// How far from a position an object may be, arcsec; 2 by default. Not for cutouts.
    pub radius: Option<f64>,
    /// Credentials and proxy.
    pub access: Access,
}

/// What became of a target.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// It came.
    Fetched,
    /// An earlier run fetched it, and its files are unchanged.
    Kept,
    /// The survey has nothing there, and why we think so.
    Absent(String),
    /// It could not be fetched, and why.
    Failed(String),
}

/// One target and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The target's name.
    pub name: String,
    /// What became of it.
    pub status: Status,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// Their size together.
    pub bytes: u64,
    /// What the readers call the object.
    pub object: Option<String>,
}

/// Fetches the targets of one survey, and calls `done` for each as it is settled. The outcomes are in
/// the targets' order.
///
/// A target fails by itself; the run ends early, with the remaining targets failed, where the service
/// does not accept the credentials or does not answer any more.
///
/// # Errors
/// Nothing was asked: targets or a radius that this survey's services do not take, one name for two
/// targets, a folder that cannot be written.
pub fn fetch(
    survey: Survey,
    targets: Vec<Target>,
    options: &Options<'_>,
    done: &(dyn Fn(&Outcome) + Sync),
) -> Result<Vec<Outcome>, FetchError> {
    let targets = distinct(targets)?;
    let radius = radius(survey, &targets, options)?;
    let folder = options.output.join(survey.name());
    fs::create_dir_all(&folder).map_err(FetchError::io(&folder))?;
    remove_abandoned(&folder);
    let run = Run {
        survey,
        options,
        radius,
        client: Client::new(&options.services.politeness, &options.access)?,
        manifest: Manifest::open(options.output)?,
        folder,
        unanswered: AtomicUsize::new(0),
        stopped: Mutex::new(None),
    };
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; targets.len()]);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(target) = targets.get(index) else {
                break;
            };
            let outcome = run.settle(target);
            done(&outcome);
            if let Some(slot) = locked(&outcomes).get_mut(index) {
                *slot = Some(outcome);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, targets.len().max(1)) {
            scope.spawn(work);
        }
    });
    let outcomes = std::mem::take(&mut *locked(&outcomes));
    Ok(outcomes.into_iter().flatten().collect())
}

/// The radius to search within, where everything fits the survey's services.
fn radius(survey: Survey, targets: &[Target], options: &Options) -> Result<f64, FetchError> {
    let wrong = |reason: String| Err(FetchError::Target(reason));
    if !takes_identifiers(survey) {
        if options.radius.is_some() {
            return wrong(format!(
                "{survey}: images are cut out at a position, without a radius"
            ));
        }
        let identified = |target: &&Target| matches!(target.sought, Sought::Identifier(_));
        if let Some(target) = targets.iter().find(identified) {
            return wrong(format!(
                "{survey}: images are cut out at a position, not by identifier ({})",
                target.name
            ));
        }
    }
    match options.radius.unwrap_or(RADIUS) {
        radius if radius > 0.0 && radius <= WIDEST => Ok(radius),
        radius => wrong(format!("radius {radius}, expected up to {WIDEST} arcsec")),
    }
}

struct Run<'a> {
    survey: Survey,
    options: &'a Options<'a>,
    radius: f64,
    client: Client,
    manifest: Manifest,
    folder: PathBuf,
    /// Targets in a row that the service gave no answer for.
    unanswered: AtomicUsize,
    /// Why nothing more is asked.
    stopped: Mutex<Option<String>>,
}

impl Run<'_> {
    /// Keeps, fetches or gives up one target, and writes down which.
    fn settle(&self, target: &Target) -> Outcome {
        let services = self.options.services;
        let asked = service::asked(self.survey, target, services, self.radius);
        if let Some(outcome) = self.settled_before(target, &asked) {
            return outcome;
        }
        if let Some(reason) = locked(&self.stopped).clone() {
            return failed(target, format!("not asked: {reason}"));
        }
        let mut addresses = Vec::new();
        let result = self.fetch(target, &mut addresses);
        self.note_health(&result);
        let (status, reason, files, objects) = match result {
            Ok((files, object)) => (FETCHED, None, files, vec![object]),
            Err(FetchError::Absent(reason)) => (ABSENT, Some(reason), Vec::new(), Vec::new()),
            Err(error) => (FAILED, Some(error.to_string()), Vec::new(), Vec::new()),
        };
        let record = Record {
            survey: self.survey.name().to_owned(),
            name: target.name.clone(),
            asked,
            status: status.to_owned(),
            reason,
            objects,
            files,
            addresses,
            time: date::iso(SystemTime::now()),
            program: format!("aion {}", env!("CARGO_PKG_VERSION")),
            acknowledgement: services.acknowledgement(self.survey).to_owned(),
        };
        match self.manifest.add(&record) {
            Ok(()) => self.outcome(target, &record, Status::Fetched),
            Err(error) => failed(target, error.to_string()),
        }
    }

    /// The outcome of an earlier run, where it still holds. What failed is tried again.
    fn settled_before(&self, target: &Target, asked: &str) -> Option<Outcome> {
        let record = self.manifest.known(self.survey.name(), &target.name)?;
        let output = self.options.output;
        let holds = record.asked == asked && record.status != FAILED;
        let holds = holds && record.files.iter().all(|file| file.holds(output));
        holds.then(|| self.outcome(target, record, Status::Kept))
    }

    fn outcome(&self, target: &Target, record: &Record, good: Status) -> Outcome {
        let reason = record.reason.clone().unwrap_or_default();
        Outcome {
            name: target.name.clone(),
            status: match record.status.as_str() {
                FETCHED => good,
                ABSENT => Status::Absent(reason),
                _ => Status::Failed(reason),
            },
            files: record
                .files
                .iter()
                .map(|file| self.options.output.join(&file.path))
                .collect(),
            bytes: record.files.iter().map(|file| file.bytes).sum(),
            object: record.objects.first().cloned(),
        }
    }

    /// Fetches a target and puts its files in place.
    fn fetch(
        &self,
        target: &Target,
        addresses: &mut Vec<String>,
    ) -> Result<(Vec<FileRecord>, String), FetchError> {
        let staging = Staging::new(&self.folder)?;
        let context = Context {
            client: &self.client,
            services: self.options.services,
            credentials: self.options.access.credentials.as_ref(),
            radius: self.radius,
            staging: &staging,
            addresses: Mutex::default(),
        };
        let found = service::fetch(self.survey, target, &context);
        *addresses = std::mem::take(&mut *locked(&context.addresses));
        let Found { files, object } = found?;
        staging.deliver(&files)?;
        let survey = self.survey.name();
        let describe =
            |file: &String| FileRecord::of(self.options.output, format!("{survey}/{file}"));
        let files: Result<Vec<FileRecord>, FetchError> = files.iter().map(describe).collect();
        Ok((files?, object))
    }

    /// Ends the run where asking on is of no use, or rude.
    fn note_health<T>(&self, result: &Result<T, FetchError>) {
        let stop = match result {
            Err(error @ (FetchError::Credentials(_) | FetchError::Settings(_))) => {
                Some(error.to_string())
            }
            Err(error @ FetchError::GaveUp { .. }) => {
                let unanswered = self.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
                (unanswered >= AWAY).then(|| error.to_string())
            }
            _ => {
                self.unanswered.store(0, Ordering::Relaxed);
                None
            }
        };
        if let Some(reason) = stop {
            locked(&self.stopped).get_or_insert(reason);
        }
    }
}

fn failed(target: &Target, reason: String) -> Outcome {
    Outcome {
        name: target.name.clone(),
        status: Status::Failed(reason),
        files: Vec::new(),
        bytes: 0,
        object: None,
    }
}
