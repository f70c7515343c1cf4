//! How tables spell their columns: structs as `image.flux` or `image_flux`, and prefixes before the
//! columns of each survey.

use crate::format::table::Column;
use crate::modality::Survey;

/// Prefixes of surveys.
const PREFIXES: [(&str, Option<Survey>); 6] = [
    ("legacysurvey_", Some(Survey::LegacySurvey)),
    ("hsc_", Some(Survey::Hsc)),
    ("sdss_", Some(Survey::Sdss)),
    ("desi_", Some(Survey::Desi)),
    ("gaia_", Some(Survey::Gaia)),
    ("provabgs_", None),
];

/// Structs of numbers in the Gaia sets; their fields are columns of `gaia_source`.
const GROUPS: [&str; 6] = [
    "photometry",
    "astrometry",
    "radial_velocity",
    "gspphot",
    "flags",
    "corrections",
];

/// The redshift in the PROVABGS table, which is DESI's.
pub(super) const PROVABGS_REDSHIFT: &str = "Z_HP";

/// The columns of a table, by prefix and name.
pub(super) struct Columns<'a> {
    columns: &'a [Column],
    prefixes: Vec<&'a str>,
    renamed: Vec<Column>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(columns: &'a [Column]) -> Self {
        let mut prefixes: Vec<&str> = Vec::new();
        for column in columns {
            let (prefix, _) = split(&column.name);
            if !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
        Columns {
            columns,
            renamed: renamed(columns, &prefixes),
            prefixes,
        }
    }

    /// The prefixes in use, the empty one included where it is.
    pub(super) fn prefixes(&self) -> &[&'a str] {
        &self.prefixes
    }

    /// The columns under the names that surveys give them, so that scalars are found among them.
    /// Where several would have the same name, the first without a prefix has it.
    pub(super) fn renamed(&self) -> Vec<Column> {
        self.renamed.clone()
    }

    /// The column that has this name after renaming.
    pub(super) fn renamed_to(&self, name: &str) -> Option<usize> {
        self.renamed.iter().position(|column| column.name == name)
    }

    /// The prefix of a column.
    pub(super) fn prefix(&self, column: usize) -> &'a str {
        let column = self.columns.get(column);
        column.map_or("", |column| split(&column.name).0)
    }

    /// The name of a column, as written.
    pub(super) fn name(&self, column: usize) -> &'a str {
        let column = self.columns.get(column);
        column.map_or("", |column| column.name.as_str())
    }

    /// The column of this prefix and name.
    pub(super) fn at(&self, prefix: &str, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| {
            let rest = column.name.strip_prefix(prefix);
            rest == Some(name)
        })
    }

    /// The column of this prefix that is a field of a struct.
    pub(super) fn field(&self, prefix: &str, structure: &str, field: &str) -> Option<usize> {
        ['.', '_'].iter().find_map(|separator| {
            let name = format!("{structure}{separator}{field}");
            self.at(prefix, &name)
        })
    }

    /// The survey that a prefix names.
    pub(super) fn survey(&self, prefix: &str) -> Option<Survey> {
        let named = |(name, survey): &(&str, Option<Survey>)| survey.filter(|_| *name == prefix);
        PREFIXES.iter().find_map(named)
    }
}

/// A name's prefix, and the rest.
fn split(name: &str) -> (&str, &str) {
    let parted = PREFIXES.iter().find_map(|(prefix, _)| {
        let rest = name.strip_prefix(prefix)?;
        (!rest.is_empty()).then(|| name.split_at(prefix.len()))
    });
    parted.unwrap_or(("", name))
}

fn renamed(columns: &[Column], prefixes: &[&str]) -> Vec<Column> {
    let mut renamed = columns.to_vec();
    let mut prefixes = prefixes.to_vec();
    prefixes.sort_by_key(|prefix| !prefix.is_empty());
    let mut taken: Vec<&str> = Vec::new();
    for prefix in prefixes {
        let columns = columns.iter().zip(&mut renamed);
        for (column, new) in columns.filter(|(column, _)| split(&column.name).0 == prefix) {
            let (_, name) = split(&column.name);
            let name = match name.split_once('.') {
                Some((group, field)) if GROUPS.contains(&group) => field,
                _ => name,
            };
            // What bears the name of another keeps its own, which means nothing.
            if !taken.contains(&name) {
                taken.push(name);
                new.name = name.to_owned();
            }
        }
    }
    if !taken.contains(&super::REDSHIFT) {
        let redshift = renamed
            .iter_mut()
            .find(|column| column.name == PROVABGS_REDSHIFT);
        if let Some(column) = redshift {
            column.name = super::REDSHIFT.to_owned();
        }
    }
    renamed
}

/// Text of which Python's notation of bytes was made: `b'1237'` is `1237`.
pub(super) fn plain(text: &str) -> &str {
    let text = text.trim();
    let quoted = |quote: char| {
        text.strip_prefix('b')?
            .strip_prefix(quote)?
            .strip_suffix(quote)
    };
    quoted('\'').or_else(|| quoted('"')).unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_split_off() {
        assert_eq!(split("desi_spectrum_flux"), ("desi_", "spectrum_flux"));
        assert_eq!(split("object_id"), ("", "object_id"));
        assert_eq!(split("desi_"), ("", "desi_"));
    }

    #[test]
    fn names_without_prefix_win() {
        let column = |name: &str| Column {
            name: name.into(),
            unit: None,
        };
        let columns = ["hsc_ra", "ra", "desi_dec", "photometry.g", "image.flux"].map(column);
        let renamed = Columns::new(&columns).renamed();
        let names: Vec<&str> = renamed.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["hsc_ra", "ra", "dec", "g", "image.flux"]);
    }

    #[test]
    fn notation_of_bytes_is_undone() {
        assert_eq!(plain(" b' 299489' "), "299489");
        assert_eq!(plain("b\"x\""), "x");
        assert_eq!(plain("bob"), "bob");
    }
}
