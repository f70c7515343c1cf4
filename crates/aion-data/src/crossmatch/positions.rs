//! The light pass over one side: identifier, position and motion of every row, no measurements.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::crossmatch::epoch::{Known, Motion};
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::ModalityId;
use crate::observation::Object;
use crate::reader::{self, ReadOptions};
use crate::sky::{UnitVector, check_dec, check_ra, unit_vector};
use crate::survey::astrometry::{Astrometry, Entry};

/// A file of a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a directory listed it, so that it need not be data at all.
    pub listed: bool,
}

/// How the rows of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Rows of a table.
    Table,
    /// Objects: spectra, images, observations in safetensors.
    Objects,
}

/// What the objects of a side hold, so that their columns are settled before the second pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    pub modalities: BTreeSet<ModalityId>,
    pub flags: BTreeSet<String>,
    pub simulated: bool,
}

impl Seen {
    fn add(&mut self, object: &Object) {
        self.modalities.extend(object.measurements.keys());
        for flag in object.flags.keys() {
            if !self.flags.contains(flag) {
                self.flags.insert(flag.clone());
            }
        }
        self.simulated |= object.simulated;
    }
}

/// A file and its share of the rows of a side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileRows {
    pub path: PathBuf,
    pub content: Content,
    /// Its first row among those of the side.
    pub first: usize,
    /// Its rows, unusable ones included.
    pub len: usize,
}

/// Texts, one after another.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Names {
    text: String,
    ends: Vec<usize>,
}

impl Names {
    fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }

    /// The text of a row; empty where there is none.
    pub fn get(&self, row: usize) -> &str {
        let start = match row.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(row).copied().unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }
}

/// Where the rows of one side are.
#[derive(Debug, Default)]
pub(super) struct Positions {
    pub files: Vec<FileRows>,
    pub ids: Names,
    pub seen: Seen,
    /// Degrees; NaN in rows that cannot be matched.
    places: Vec<(f64, f64)>,
    /// NaN where a row has none; empty when no row has one.
    motions: Vec<Motion>,
    /// Rows without a position.
    pub without: usize,
    /// Rows that are wrong, and files of directories that cannot be used.
    pub problems: Vec<DataError>,
}

const NO_PLACE: (f64, f64) = (f64::NAN, f64::NAN);
const NO_MOTION: Motion = Motion {
    pmra: f64::NAN,
    pmdec: f64::NAN,
    epoch: f64::NAN,
};

impl Positions {
    /// Reads the positions of all files in order.
    ///
    /// # Errors
    /// A file that was named cannot be used: unreadable, unrecognised, without positions. No file
    /// at all can be used.
    pub fn read(inputs: &[Input], options: &ReadOptions) -> Result<Positions> {
        let mut all = Positions::default();
        for input in inputs {
            let before = all.len();
            match all.read_file(&input.path, options) {
                Ok(content) => all.files.push(FileRows {
                    path: input.path.clone(),
                    content,
                    first: before,
                    len: all.len() - before,
                }),
                Err(error) if input.listed => {
                    all.cut(before);
                    all.problems.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        if all.files.is_empty() {
            let nothing = DataError::new(Place::default(), Problem::Empty);
            return Err(all.problems.into_iter().next().unwrap_or(nothing));
        }
        Ok(all)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Rows that can be matched.
    pub fn usable(&self) -> usize {
        self.places.iter().filter(|place| !place.0.is_nan()).count()
    }

    fn cut(&mut self, rows: usize) {
        self.places.truncate(rows);
        self.motions.truncate(rows);
        self.ids.ends.truncate(rows);
        let end = self.ids.ends.last().copied().unwrap_or(0);
        self.ids.text.truncate(end);
    }

    fn read_file(&mut self, path: &Path, options: &ReadOptions) -> Result<Content> {
        let Some(table) = reader::open_table(path)? else {
            for object in reader::read(path, options)? {
                object.iter().for_each(|object| self.seen.add(object));
                self.push(
                    path,
                    object.map(|object| Entry {
                        position: object.ra.zip(object.dec),
                        id: object.id,
                        motion: None,
                        epoch: None,
                    }),
                );
            }
            return Ok(Content::Objects);
        };
        let astrometry = Astrometry::of(path, table.columns())?;
        let rows = reader::table_rows(path, table, &astrometry.wanted)?;
        for (number, row) in (1..).zip(rows) {
            self.push(path, row.and_then(|row| astrometry.entry(number, &row)));
        }
        Ok(Content::Table)
    }

    /// Takes a row; one that is wrong keeps its number, but not its position.
    fn push(&mut self, path: &Path, entry: Result<Entry>) {
        let (mut place, mut motion) = (NO_PLACE, NO_MOTION);
        match entry {
            Ok(entry) => {
                match entry.position.map(checked) {
                    Some(Ok(good)) => place = good,
                    Some(Err(error)) => {
                        self.problems.push(error.in_object(&entry.id).in_file(path));
                    }
                    None => self.without += 1,
                }
                // Tables that carry Gaia's columns have 0 where Gaia has no star.
                let motion_of = entry.motion.filter(|motion| *motion != (0.0, 0.0));
                if let Some((pmra, pmdec)) = motion_of {
                    let epoch = entry.epoch.unwrap_or(f64::NAN);
                    motion = Motion { pmra, pmdec, epoch };
                }
                self.ids.push(&entry.id);
            }
            Err(error) => {
                self.problems.push(error.in_file(path));
                self.ids.push("");
            }
        }
        if !motion.pmra.is_nan() && self.motions.is_empty() {
            self.motions = vec![NO_MOTION; self.places.len()];
        }
        if !self.motions.is_empty() || !motion.pmra.is_nan() {
            self.motions.push(motion);
        }
        self.places.push(place);
    }

    /// What is known of years, where `given` is that of rows which do not say it.
    pub fn known(&self, given: Option<f64>) -> Known {
        let mut known = Known {
            epoch: given,
            ..Known::default()
        };
        let mut years = Vec::new();
        for motion in self.motions.iter().filter(|motion| !motion.pmra.is_nan()) {
            match Some(motion.epoch).filter(|year| !year.is_nan()).or(given) {
                Some(year) => years.push(year),
                None => known.undated += 1,
            }
        }
        known.moving = years.len();
        if !years.is_empty() {
            let middle = years.len() / 2;
            known.epoch = Some(*years.select_nth_unstable_by(middle, f64::total_cmp).1);
        }
        known
    }

    /// The direction of a row in the year `to`, or as it stands; NaN where it cannot be matched.
    pub fn direction(&self, row: usize, to: Option<f64>, given: Option<f64>) -> UnitVector {
        let (ra, dec) = self.places.get(row).copied().unwrap_or(NO_PLACE);
        let Some((to, motion)) = to.zip(self.motions.get(row)) else {
            return unit_vector(ra, dec);
        };
        let epoch = match motion.epoch.is_nan() {
            true => given.unwrap_or(f64::NAN),
            false => motion.epoch,
        };
        if motion.pmra.is_nan() || epoch.is_nan() {
            return unit_vector(ra, dec);
        }
        Motion { epoch, ..*motion }.direction(ra, dec, to)
    }
}

/// A position on the sky, or which coordinate is none.
fn checked((ra, dec): (f64, f64)) -> Result<(f64, f64)> {
    let wrong = |field: &'static str| move |problem| DataError::new(Place::field(field), problem);
    check_ra(ra).map_err(wrong("ra"))?;
    check_dec(dec).map_err(wrong("dec"))?;
    Ok((ra, dec))
}
