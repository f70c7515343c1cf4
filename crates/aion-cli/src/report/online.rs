//! Well-known objects for `aion demo --online`: listed in `demo/online.csv`, fetched from the surveys'
//! public services into a folder that later runs take them from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_data::reader::{ReadOptions, read};
use aion_data::{Object, Survey};
use aion_fetch::{Options, Outcome, Services, Target};
use anyhow::{Context, Result, bail};

use super::bundled::{in_repository, sources};
use crate::cmd::fetch;

/// The list.
const OBJECTS: &str = "demo/online.csv";
/// Surveys whose services anyone may ask: images, spectra, and numbers with coefficients.
const SURVEYS: [Survey; 3] = [Survey::LegacySurvey, Survey::Sdss, Survey::Gaia];
/// Objects fetched at a time.
const JOBS: usize = 4;

/// The objects, each with what the surveys have of it, and what it is known for by its identifier;
/// what could not be fetched is said on stderr.
///
/// # Errors
/// Nothing came: no network, or services that do not answer.
pub fn objects(
    services: &Services,
    folder: &Path,
) -> Result<(Vec<Object>, BTreeMap<String, String>)> {
    let list = in_repository(OBJECTS);
    let known = sources(&list).with_context(|| list.display().to_string())?;
    let targets = Target::table(&list)?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut objects: BTreeMap<String, Object> = BTreeMap::new();
    let mut first_reason = None;
    for survey in SURVEYS {
        let options = Options {
            services,
            output: folder,
            jobs: JOBS,
            radius: None,
            access: fetch::access(survey)?,
        };
        let outcomes = aion_fetch::fetch(survey, targets.clone(), &options, &|_| {})?;
        for outcome in &outcomes {
            match fetch::reason(outcome) {
                None => merge(outcome, &mut objects)?,
                Some(reason) => {
                    eprintln!("not fetched: {survey}: {}: {reason}", outcome.name);
                    first_reason.get_or_insert_with(|| reason.to_owned());
                }
            }
        }
        // Where the first survey cannot be reached, there is no network.
        if objects.is_empty() {
            let reason = first_reason.unwrap_or_default();
            bail!(
                "--online: nothing could be fetched ({reason}); without it the demo needs no network"
            );
        }
    }
    let order = targets
        .iter()
        .filter_map(|target| objects.remove(&target.name));
    Ok((order.collect(), known))
}

/// Adds what one survey measured to the object of this name.
fn merge(outcome: &Outcome, objects: &mut BTreeMap<String, Object>) -> Result<()> {
    let Some(file) = outcome.files.first() else {
        return Ok(());
    };
    let name = &outcome.name;
    let object = objects.entry(name.clone());
    let object = object.or_insert_with(|| Object::named(name.as_str()));
    for part in read(file, &ReadOptions::default())? {
        let part = part?;
        object.ra = object.ra.or(part.ra);
        object.dec = object.dec.or(part.dec);
        object.measurements.extend(part.measurements);
        object.flags.extend(part.flags);
    }
    Ok(())
}

/// Where the objects are kept.
pub fn cache_folder() -> PathBuf {
    crate::digest::cache_folder("fetch").unwrap_or_else(|| PathBuf::from("aion-fetch"))
}
