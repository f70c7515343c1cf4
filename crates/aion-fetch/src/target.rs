//! What is sought: a position or a survey's own identifier, under a name that its files bear.

use std::collections::BTreeMap;
use std::path::Path;

use aion_data::fnv::fnv1a;
use aion_data::reader::{ReadOptions, read};
use aion_data::sky;

use crate::error::FetchError;

/// The longest name of a file, characters, so that endings still fit.
const LONGEST_NAME: usize = 100;

/// What the services are asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Sought {
    /// The nearest object to a position (ICRS, degrees).
    Position {
        /// Right ascension, 0 to 360.
        ra: f64,
        /// Declination, -90 to 90.
        dec: f64,
    },
    /// The object that the survey calls so.
    Identifier(String),
}

/// An object to fetch.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The name of its files; only letters, digits and `._+-`.
    pub name: String,
    /// What is asked for.
    pub sought: Sought,
}

impl Target {
    /// The object at a position, named by it.
    ///
    /// # Errors
    /// Not a position in degrees.
    pub fn at(ra: f64, dec: f64) -> Result<Self, FetchError> {
        let sought = position(ra, dec)?;
        // The position as it was given: a name must be the same the next time.
        let name = file_name(&format!("ra{ra:.6}_dec{dec:+.6}"));
        Ok(Target { name, sought })
    }

    /// The object at a position, under a name of the user's.
    ///
    /// # Errors
    /// Not a position in degrees, an empty name.
    pub fn named(name: &str, ra: f64, dec: f64) -> Result<Self, FetchError> {
        let sought = position(ra, dec)?;
        if name.trim().is_empty() {
            return Err(FetchError::Target("an empty name".into()));
        }
        let name = file_name(name);
        Ok(Target { name, sought })
    }

    /// The object that the survey calls `identifier`.
    ///
    /// # Errors
    /// Empty, or other characters than letters, digits, `-`, `_` and `.`, which no survey uses and a
    /// query language could mistake.
    pub fn identified(identifier: &str) -> Result<Self, FetchError> {
        let identifier = identifier.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if identifier.is_empty() || !identifier.chars().all(fits) {
            return Err(FetchError::Target(format!(
                "`{identifier}` is no identifier; expected letters, digits, - and _"
            )));
        }
        Ok(Target {
            name: file_name(identifier),
            sought: Sought::Identifier(identifier.to_owned()),
        })
    }

    /// A target for each object of a table or any other file that the readers take: its identifier as
    /// the name, its position as what is sought. Repeated objects are taken once.
    ///
    /// # Errors
    /// A file that cannot be read, an object that cannot or has no position, one name for two
    /// positions.
    pub fn table(path: &Path) -> Result<Vec<Self>, FetchError> {
        let options = ReadOptions {
            with_position: true,
            ..ReadOptions::default()
        };
        let mut targets = Vec::new();
        for object in read(path, &options)? {
            let object = object?;
            let Some((ra, dec)) = object.ra.zip(object.dec) else {
                return Err(FetchError::Target(format!(
                    "{}, object {}: no position (columns ra, dec)",
                    path.display(),
                    object.id
                )));
            };
            targets.push(Target::named(&object.id, ra, dec)?);
        }
        distinct(targets)
    }
}

/// The targets without repetitions, in the order given.
///
/// # Errors
/// One name for two things.
pub fn distinct(targets: Vec<Target>) -> Result<Vec<Target>, FetchError> {
    let mut known: BTreeMap<String, Sought> = BTreeMap::new();
    let mut kept = Vec::with_capacity(targets.len());
    for target in targets {
        match known.get(&target.name) {
            None => {
                known.insert(target.name.clone(), target.sought.clone());
                kept.push(target);
            }
            Some(sought) if *sought == target.sought => {}
            Some(_) => {
                return Err(FetchError::Target(format!(
                    "{}: two positions bear this name; expected one name an object",
                    target.name
                )));
            }
        }
    }
    Ok(kept)
}

fn position(ra: f64, dec: f64) -> Result<Sought, FetchError> {
    let checked = sky::check_ra(ra).and_then(|()| sky::check_dec(dec));
    checked.map_err(|problem| FetchError::Target(problem.to_string()))?;
    let ra = ra.rem_euclid(360.0);
    Ok(Sought::Position { ra, dec })
}

/// A name that every file system takes. Where characters had to go, or the name was too long, a
/// digest keeps it apart from others.
fn file_name(name: &str) -> String {
    let name = name.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let mut safe: String = name
        .chars()
        .map(|c| if fits(c) { c } else { '_' })
        .collect();
    if safe.starts_with(['.', '-']) {
        safe.insert(0, '_');
    }
    safe.truncate(LONGEST_NAME);
    if safe != name {
        safe.push_str(&format!("-{:08x}", fnv1a(name) >> 32));
    }
    safe
}

/// The angle between two positions in degrees, arcsec.
pub fn separation(from: (f64, f64), to: (f64, f64)) -> f64 {
    let [from, to] = [from, to].map(|(ra, dec)| sky::unit_vector(ra, dec));
    sky::separation(from, to) * sky::ARCSEC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_distinct_and_stable() {
        let name = |name: &str| Target::named(name, 1.0, 2.0).expect("a target").name;
        assert_eq!(name("8000-330248-2"), "8000-330248-2");
        assert_eq!(name("3C_273"), "3C_273");
        let (slash, space) = (name("a/b"), name("a b"));
        assert!(slash.starts_with("a_b-") && space.starts_with("a_b-") && slash != space);
        assert!(name("../../etc").starts_with("_.._"));
        assert!(name(&"x".repeat(300)).len() <= LONGEST_NAME + 9);
        assert_eq!(
            Target::at(187.27792, -2.5).expect("a target").name,
            "ra187.277920_dec-2.500000"
        );
    }

    #[test]
    fn targets_that_cannot_be_meant_are_refused() {
        for (ra, dec) in [
            (400.0, 0.0),
            (0.0, 91.0),
            (f64::NAN, 0.0),
            (0.0, f64::INFINITY),
        ] {
            assert!(Target::at(ra, dec).is_err());
        }
        assert!(Target::named(" ", 0.0, 0.0).is_err());
        for identifier in ["", "1;drop", "a b", "1' or '1'='1"] {
            assert!(Target::identified(identifier).is_err(), "{identifier}");
        }
        assert!(Target::identified("0266-51630-0023").is_ok());
    }

    #[test]
    fn repeated_targets_are_taken_once_and_clashes_refused() {
        let target = |name: &str, ra: f64| Target::named(name, ra, 0.0).expect("a target");
        let kept = distinct(vec![target("a", 1.0), target("b", 1.0), target("a", 1.0)]);
        assert_eq!(kept.expect("targets").len(), 2);
        assert!(distinct(vec![target("a", 1.0), target("a", 2.0)]).is_err());
    }
}
