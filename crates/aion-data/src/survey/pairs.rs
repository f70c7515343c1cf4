//! Tables of pairs, as [`crate::crossmatch`] writes them: each row is one object seen by two surveys,
//! with the columns of one side named `left_...` and those of the other `right_...`.
//!
//! Each side is read as a table of its own, by whatever reads its columns without the prefix (so a
//! side may be a table of pairs again), and the two objects become one. It has the left side's
//! identifier, the mean position, the measurements of both, and the flags `left_object_id`,
//! `right_object_id` and `separation_arcsec`. Where both sides measured the same modality the left
//! side's counts, and the flag `measured_twice` names the modality. A flag of the right side whose
//! name the left has taken begins with `right_`.

use std::ops::Range;

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Cell, Column, Row, Rows, Table};
use crate::modality::ModalityId;
use crate::observation::Object;
use crate::read_options::{Objects, ReadOptions};

/// Before the names of columns, by side.
pub const PREFIXES: [&str; 2] = ["left_", "right_"];
/// Columns of the pair: what it is called on either side, how far the sides are apart, where it is.
const OWN: [&str; 5] = [
    "left_object_id",
    "right_object_id",
    "separation_arcsec",
    "ra",
    "dec",
];
/// Those of [`OWN`] that become flags.
const FLAGS: usize = 3;
/// The flag that names what both sides measured.
const TWICE: &str = "measured_twice";

/// Opens the same table again.
pub type Open<'a> = &'a dyn Fn() -> Result<Box<dyn Table>>;

/// Whether a table with these columns holds pairs.
pub fn recognises(columns: &[Column]) -> bool {
    let identifiers = OWN.iter().take(PREFIXES.len());
    identifiers
        .into_iter()
        .all(|name| columns.iter().any(|column| column.name == **name))
}

/// The pairs of a table as objects; `read` reads the table of one side.
///
/// Errors: neither side has a recognised column, or one has columns that are wrong (the table);
/// either side's row cannot be read (the object).
pub fn read(
    open: Open,
    read: &dyn Fn(Open) -> Result<Objects>,
    options: &ReadOptions,
) -> Result<Objects> {
    let side = |prefix: &'static str| {
        let open = || Ok(Box::new(Side::new(open()?, prefix)) as Box<dyn Table>);
        read(&open)
    };
    // A side without measurements is a name and a position.
    let optional = |side: Result<Objects>| match side {
        Err(error) if matches!(error.problem, Problem::Unrecognised(_)) => Ok(None),
        side => side.map(Some),
    };
    let mut left = optional(side(PREFIXES[0]))?;
    let mut right = match left {
        Some(_) => optional(side(PREFIXES[1]))?,
        None => Some(side(PREFIXES[1])?),
    };
    let table = open()?;
    let place = |name: &str| {
        let mut columns = table.columns().iter();
        columns.position(|column| column.name == name)
    };
    let places = OWN.map(place);
    let wanted: Vec<usize> = places.iter().flatten().copied().collect();
    let mut own = table.rows(&wanted, options.range())?;
    let pairs = std::iter::from_fn(move || {
        let row = own.next()?;
        let objects = [&mut left, &mut right].map(|side| side.as_mut().map(Iterator::next));
        Some(row.and_then(|row| {
            let [left, right] = objects.map(|side| match side {
                Some(Some(object)) => object.map(Some),
                Some(None) => Err(ended()),
                None => Ok(None),
            });
            Ok(merged(&Pair::new(&places, &row), left?, right?))
        }))
    });
    Ok(Box::new(pairs))
}

fn ended() -> DataError {
    let what = "one side has fewer rows than the other".to_owned();
    DataError::new(Place::default(), Problem::Mismatch(what))
}

/// What a row says of the pair itself.
struct Pair {
    flags: [Option<String>; FLAGS],
    position: [Option<f64>; 2],
}

impl Pair {
    fn new(places: &[Option<usize>; 5], row: &Row) -> Pair {
        let mut cells = row.iter();
        let cells = places.map(|place| place.and(cells.next()).unwrap_or(&Cell::Missing));
        let [left, right, separation, ra, dec] = cells;
        Pair {
            flags: [left, right, separation].map(Cell::label),
            position: [ra, dec].map(|cell| cell.number().ok().flatten()),
        }
    }
}

/// Both sides as one object.
fn merged(pair: &Pair, left: Option<Object>, right: Option<Object>) -> Object {
    let mut object = left.unwrap_or_default();
    let right = right.unwrap_or_default();
    if let Some(id) = &pair.flags[0] {
        object.id.clone_from(id);
    }
    let [ra, dec] = pair.position;
    object.ra = ra.or(object.ra).or(right.ra);
    object.dec = dec.or(object.dec).or(right.dec);
    object.simulated |= right.simulated;
    let mut twice: Vec<ModalityId> = Vec::new();
    for (id, measurement) in right.measurements {
        match object.measurements.contains_key(&id) {
            true => twice.push(id),
            false => {
                object.measurements.insert(id, measurement);
            }
        }
    }
    for (name, value) in right.flags {
        let name = match object.flags.contains_key(&name) {
            true => format!("{}{name}", PREFIXES[1]),
            false => name,
        };
        object.flags.insert(name, value);
    }
    for (name, value) in OWN.iter().zip(&pair.flags) {
        if let Some(value) = value {
            object.flags.insert((*name).to_owned(), value.clone());
        }
    }
    if !twice.is_empty() {
        let keys: Vec<&str> = twice.iter().map(|id| id.key()).collect();
        object.flags.insert(TWICE.to_owned(), keys.join(","));
    }
    object
}

/// The columns of one side, without their prefix.
struct Side {
    table: Box<dyn Table>,
    columns: Vec<Column>,
    /// Where each stands in the table.
    places: Vec<usize>,
}

impl Side {
    fn new(table: Box<dyn Table>, prefix: &str) -> Side {
        let columns = table.columns().iter().enumerate();
        let (places, columns) = columns
            .filter_map(|(place, column)| {
                let name = column.name.strip_prefix(prefix)?.to_owned();
                let column = Column {
                    name,
                    ..column.clone()
                };
                Some((place, column))
            })
            .unzip();
        Side {
            table,
            columns,
            places,
        }
    }
}

impl Table for Side {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn row_count(&self) -> Option<u64> {
        self.table.row_count()
    }

    fn rows(self: Box<Self>, wanted: &[usize], range: Range<u64>) -> Result<Rows> {
        let place = |&index: &usize| self.places.get(index).copied();
        let wanted: Vec<usize> = wanted.iter().filter_map(place).collect();
        self.table.rows(&wanted, range)
    }
}
