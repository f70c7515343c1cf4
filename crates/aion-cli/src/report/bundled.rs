//! The objects that come with the repository, none of which the bundled model was trained on:
//! published figures of real ones in `demo/real.csv`, and simulated ones that are drawn anew each
//! time, from a seed that training does not use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_data::Object;
use aion_data::reader::{ReadOptions, read};
use aion_simulate::{Coverage, Simulated, Sky};
use anyhow::{Context, Result};

/// Seed of the demo's sky; no training run may use it.
pub const DEMO_SEED: u64 = 1009;
/// Faintest galaxy and star whose spectrum is worth a look, r magnitude.
const FAINTEST: f64 = 20.0;
/// Surveys that look at the simulated galaxies, in turn.
const GALAXY_SURVEYS: [&[Coverage]; 4] = [
    &[Coverage::LEGACY, Coverage::DESI],
    &[Coverage::LEGACY, Coverage::SDSS],
    &[Coverage::LEGACY, Coverage::HSC, Coverage::DESI],
    &[Coverage::HSC, Coverage::SDSS],
];
const GALAXIES: usize = 12;
/// Surveys that look at the simulated stars, in turn.
const STAR_SURVEYS: [&[Coverage]; 2] = [
    &[Coverage::GAIA, Coverage::DESI],
    &[Coverage::GAIA, Coverage::SDSS],
];
const STARS: usize = 4;

/// A path in the repository that this program was built from.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// Published figures of real objects, and where each comes from by object identifier.
///
/// # Errors
/// The table cannot be read.
pub fn real() -> Result<(Vec<Object>, BTreeMap<String, String>)> {
    let path = in_repository("demo/real.csv");
    let objects: Result<Vec<Object>, _> = read(&path, &ReadOptions::default())?.collect();
    let sources = sources(&path).with_context(|| path.display().to_string())?;
    Ok((objects?, sources))
}

/// The column `source` by `object_id`.
pub fn sources(path: &Path) -> Result<BTreeMap<String, String>> {
    let mut table = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_path(path)?;
    let header = table.headers()?.clone();
    let column = |name: &str| header.iter().position(|found| found == name);
    let (id, source) = (column("object_id"), column("source"));
    let (id, source) = id
        .zip(source)
        .context("expected columns object_id and source")?;
    let mut sources = BTreeMap::new();
    for row in table.records() {
        let row = row?;
        let cell = |column: usize| row.get(column).unwrap_or_default().trim().to_owned();
        sources.insert(cell(id), cell(source));
    }
    Ok(sources)
}

/// Simulated galaxies and stars with pixels and spectra.
pub fn simulated() -> Vec<Object> {
    let galaxies = draw(&GALAXY_SURVEYS, GALAXIES, |sky, index| sky.galaxy(index));
    let stars = draw(&STAR_SURVEYS, STARS, |sky, index| sky.star(index));
    galaxies.into_iter().chain(stars).collect()
}

/// The first `count` objects of the demo's sky that are bright enough.
fn draw(
    surveys: &[&[Coverage]],
    count: usize,
    object: impl Fn(&Sky, u64) -> Simulated,
) -> Vec<Object> {
    let sky = |number: usize| {
        let surveys = surveys
            .iter()
            .cycle()
            .nth(number)
            .copied()
            .unwrap_or_default();
        let all = surveys.iter().fold(Coverage::NONE, |all, one| all | *one);
        Sky::new(DEMO_SEED).with_coverage(all)
    };
    let unseen = Sky::new(DEMO_SEED).with_coverage(Coverage::NONE);
    let bright = |index: &u64| object(&unseen, *index).truth.magnitude_r < FAINTEST;
    let indices = (0..).filter(bright).take(count).enumerate();
    indices
        .map(|(number, index)| object(&sky(number), index).object)
        .collect()
}

#[cfg(test)]
mod tests {
    use aion_train::data::is_held_out;

    use super::*;

    #[test]
    fn simulated_objects_say_so() {
        let objects = simulated();
        assert_eq!(objects.len(), GALAXIES + STARS);
        assert!(
            objects
                .iter()
                .all(|object| object.simulated && object.id.starts_with("sim-"))
        );
        assert_eq!(objects, simulated());
    }

    #[test]
    fn every_real_object_has_a_source_and_is_held_out() {
        let (objects, sources) = real().expect("readable");
        assert!(objects.len() >= 30);
        for object in &objects {
            assert!(
                !object.simulated && is_held_out(&object.id),
                "{}",
                object.id
            );
            assert!(
                sources.get(&object.id).is_some_and(|s| !s.is_empty()),
                "{}",
                object.id
            );
        }
    }
}
