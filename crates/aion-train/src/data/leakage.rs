//! Whether what is kept from training is trained on after all, in another set.
//!
//! One rule splits every set, but an object can lie on either side of a cell's edge in two surveys, be without
//! a position in one of them, or belong to a test set that was chosen otherwise. Held-out objects are kept
//! in memory, those trained on pass by.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use aion_data::crossmatch::Places;
use aion_data::sky::{ARCSEC, UnitVector, coarser, healpix29, unit_vector};
use aion_data::token_files::TokenReader;
use aion_data::{DataError, TokenRow};
use rayon::prelude::*;
use serde::Serialize;

use super::files::token_files;
use super::split::{Part, SplitConfig};
use super::{DataConfig, TokenSource};
use crate::error::TrainError;

/// Leaks that are listed; more are counted.
const LISTED: usize = 20;

/// A set of token files and what is trained on of it.
#[derive(Debug, Clone)]
pub struct CheckedSet {
    /// What the report calls it.
    pub name: String,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// How it is split; without, all of it is held out.
    pub split: Option<SplitConfig>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leakage {
    /// Objects trained on and held out, by set.
    pub sets: Vec<SetParts>,
    /// Objects nearer than this count as one, arcsec.
    pub radius_arcsec: f64,
    /// Objects trained on that are held out in the same or another set.
    pub objects: u64,
    /// Number of them by pair of sets: trained on, held out.
    pub pairs: Vec<(String, String, u64)>,
    /// Resolution of the cells: the finest of the splits.
    pub nside: u32,
    /// Cells that hold objects trained on and objects held out, by rising number.
    pub cells: BTreeSet<i64>,
    /// The first of the objects.
    pub examples: Vec<Leak>,
}

/// How much of a set is trained on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SetParts {
    /// The set.
    pub name: String,
    /// Objects trained on.
    pub train: u64,
    /// Objects held out, for validation or test.
    pub held_out: u64,
    /// Objects without a position, placed by their identifier.
    pub without_position: u64,
}

/// An object on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leak {
    /// The set in which it is trained on.
    pub train_set: String,
    /// Its identifier there.
    pub train_object: String,
    /// The set in which it is held out.
    pub held_out_set: String,
    /// Its identifier there.
    pub held_out_object: String,
    /// Distance, arcsec; none where the identifier tells.
    pub separation_arcsec: Option<f64>,
}

impl SetParts {
    fn of(set: &CheckedSet) -> Self {
        SetParts {
            name: set.name.clone(),
            ..SetParts::default()
        }
    }
}

impl Leakage {
    /// Whether nothing is on both sides.
    pub fn is_none(&self) -> bool {
        self.objects == 0 && self.cells.is_empty()
    }
}

/// The sets of tokens of a run; `name` stands before theirs in the report.
///
/// # Errors
/// See [`token_files`].
pub fn sets_of(name: &str, config: &DataConfig) -> Result<Vec<CheckedSet>, TrainError> {
    let set = |source: &TokenSource| {
        Ok(CheckedSet {
            name: format!("{name}: {}", source.paths.join(", ")),
            files: token_files("data.tokens.paths", &source.paths)?,
            split: Some(config.split.clone()),
        })
    };
    config.tokens.iter().map(set).collect()
}

/// Looks for objects, and cells of the sky, that are trained on in one set and held out in another. Objects
/// are the same if they are at most `radius` arcsec apart or, where one has no position, of one name.
///
/// # Errors
/// A file cannot be read; 2^32 or more objects are held out.
pub fn check(sets: &[CheckedSet], radius: f64) -> Result<Leakage, TrainError> {
    let splits = sets.iter().filter_map(|set| set.split.as_ref());
    let nside = splits.map(|split| split.nside).max().unwrap_or(1);
    let order = nside.ilog2() as u8;
    let mut parts: Vec<SetParts> = sets.iter().map(SetParts::of).collect();
    let held = HeldOut::read(sets, order, &mut parts)?;
    let found: Result<Vec<Found>, TrainError> = files(sets)
        .into_par_iter()
        .map(|(set, path)| held.compare(set, &sets[set], path, radius / ARCSEC))
        .collect();
    let mut report = Leakage {
        sets: parts,
        radius_arcsec: radius,
        objects: 0,
        pairs: Vec::new(),
        nside,
        cells: BTreeSet::new(),
        examples: Vec::new(),
    };
    let mut pairs: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for found in found? {
        report.sets[found.set].train += found.train;
        report.sets[found.set].without_position += found.without_position;
        report.cells.extend(found.cells);
        for (held, count) in found.leaks {
            *pairs.entry((found.set, held)).or_default() += count;
        }
        let room = LISTED - report.examples.len();
        report
            .examples
            .extend(found.examples.into_iter().take(room));
    }
    report.objects = pairs.values().sum();
    let name = |set: usize| sets[set].name.clone();
    let pairs = pairs
        .into_iter()
        .map(|((a, b), count)| (name(a), name(b), count));
    report.pairs = pairs.collect();
    Ok(report)
}

/// Every file with its set.
fn files(sets: &[CheckedSet]) -> Vec<(usize, &PathBuf)> {
    let numbered = sets.iter().enumerate();
    numbered
        .flat_map(|(number, set)| set.files.iter().map(move |file| (number, file)))
        .collect()
}

/// Whether a set trains on a row.
fn trains(set: &CheckedSet, row: &TokenRow) -> bool {
    set.split.as_ref().is_some_and(|split| {
        let cell = split.cell(row.ra, row.dec);
        split.part(cell, &row.id) == Part::Train
    })
}

/// The cell of order 29 of a row with a position.
fn cell29(row: &TokenRow) -> Option<i64> {
    healpix29(row.ra?, row.dec?)
}

/// An object that is held out.
struct HeldObject {
    set: usize,
    id: String,
    placed: bool,
}

/// All that is held out.
struct HeldOut {
    names: Vec<String>,
    objects: Vec<HeldObject>,
    /// Where they are; NaN where that is unknown, which is near nothing.
    places: Places,
    by_id: HashMap<String, usize>,
    /// Order of the cells below.
    order: u8,
    cells: HashSet<i64>,
}

/// What one file trains on, and what of it is held out elsewhere.
#[derive(Default)]
struct Found {
    set: usize,
    train: u64,
    without_position: u64,
    /// Number of leaks by the set that holds out.
    leaks: BTreeMap<usize, u64>,
    examples: Vec<Leak>,
    cells: BTreeSet<i64>,
}

/// The rows of all sets that are held out, each with its set.
fn held_rows(sets: &[CheckedSet]) -> Result<Vec<(usize, TokenRow)>, TrainError> {
    let read = |(set, path): (usize, &PathBuf)| -> Result<Vec<(usize, TokenRow)>, DataError> {
        let mut held = Vec::new();
        for row in TokenReader::open_identities(path)? {
            let row = row?;
            if !trains(&sets[set], &row) {
                held.push((set, row));
            }
        }
        Ok(held)
    };
    let rows: Result<Vec<_>, DataError> = files(sets).into_par_iter().map(read).collect();
    Ok(rows?.into_iter().flatten().collect())
}

impl HeldOut {
    /// Reads the held-out objects of all sets, and counts them in `parts`.
    fn read(sets: &[CheckedSet], order: u8, parts: &mut [SetParts]) -> Result<Self, TrainError> {
        let (mut objects, mut directions, mut cells) = (Vec::new(), Vec::new(), HashSet::new());
        for (set, row) in held_rows(sets)? {
            let cell = cell29(&row);
            cells.extend(cell.map(|cell| coarser(cell, order)));
            directions.push(direction(&row).unwrap_or([f64::NAN; 3]));
            parts[set].held_out += 1;
            parts[set].without_position += u64::from(cell.is_none());
            objects.push(HeldObject {
                set,
                id: row.id,
                placed: cell.is_some(),
            });
        }
        let names = |placed: bool| {
            let objects = objects.iter().enumerate();
            let objects = objects.filter(move |(_, object)| object.placed == placed);
            objects.map(|(place, object)| (object.id.clone(), place))
        };
        Ok(HeldOut {
            names: sets.iter().map(|set| set.name.clone()).collect(),
            // Of several objects of one name, one without a position, which only its name tells.
            by_id: names(true).chain(names(false)).collect(),
            places: Places::new(&directions)?,
            objects,
            order,
            cells,
        })
    }

    /// What of a file's training objects is held out; `radius` in radians.
    fn compare(
        &self,
        number: usize,
        set: &CheckedSet,
        path: &Path,
        radius: f64,
    ) -> Result<Found, TrainError> {
        let mut found = Found {
            set: number,
            ..Found::default()
        };
        for row in TokenReader::open_identities(path)? {
            let row = row?;
            if !trains(set, &row) {
                continue;
            }
            let cell = cell29(&row).map(|cell| coarser(cell, self.order));
            found.train += 1;
            found.without_position += u64::from(cell.is_none());
            let shared = cell.filter(|cell| self.cells.contains(cell));
            found.cells.extend(shared);
            let Some((place, separation)) = self.same(&row, radius) else {
                continue;
            };
            let held = &self.objects[place];
            *found.leaks.entry(held.set).or_default() += 1;
            if found.examples.len() < LISTED {
                found.examples.push(Leak {
                    train_set: set.name.clone(),
                    train_object: row.id,
                    held_out_set: self.names[held.set].clone(),
                    held_out_object: held.id.clone(),
                    separation_arcsec: separation.map(|angle| angle * ARCSEC),
                });
            }
        }
        Ok(found)
    }

    /// The held-out object that is the same as this one, and the angle between them.
    fn same(&self, row: &TokenRow, radius: f64) -> Option<(usize, Option<f64>)> {
        let direction = direction(row);
        if let Some(direction) = direction
            && let Some((place, separation)) = self.places.nearest(&direction, radius)
        {
            return Some((place, Some(separation)));
        }
        let place = *self.by_id.get(&row.id)?;
        // Of two objects with positions, the positions tell.
        (direction.is_none() || !self.objects[place].placed).then_some((place, None))
    }
}

fn direction(row: &TokenRow) -> Option<UnitVector> {
    cell29(row)?;
    Some(unit_vector(row.ra?, row.dec?))
}
