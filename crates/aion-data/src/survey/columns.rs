//! Which column of a survey's table is which modality, identifier, position or flag.
//!
//! A column is a modality if it bears the token key or the survey's own name (the codec's name),
//! exactly; the Legacy Surveys spell theirs in upper and in lower case. A few other names are
//! listed as aliases. Names that resemble (`SHAPEDEV_R`, `z` for a magnitude) are never guessed.

use crate::format::table::Column;
use crate::modality::{Kind, ModalityId, Survey};

/// Other names of a modality's column, by codec name, best first.
const ALIASES: [(&str, &[&str]); 6] = [
    ("Z", &["redshift", "REDSHIFT", "z_spec", "Z_SPEC"]),
    ("g_cmodel_mag", &["gcmodel_mag"]),
    ("r_cmodel_mag", &["rcmodel_mag"]),
    ("i_cmodel_mag", &["icmodel_mag"]),
    ("z_cmodel_mag", &["zcmodel_mag"]),
    ("y_cmodel_mag", &["ycmodel_mag"]),
];

/// Columns that identify an object, best first, in any case. Several are joined with `-`.
const IDENTIFIERS: [&[&str]; 9] = [
    &["object_id"],
    &["source_id"],
    &["targetid"],
    &["specobjid"],
    &["ls_id"],
    &["release", "brickid", "objid"],
    &["brickid", "objid"],
    &["objid"],
    &["id"],
];

/// Columns that hold the position, best first, in any case.
const POSITIONS: [(&str, &str); 5] = [
    ("ra", "dec"),
    ("tok_ra", "tok_dec"),
    ("target_ra", "target_dec"),
    ("plug_ra", "plug_dec"),
    ("raj2000", "dej2000"),
];

/// Columns carried along unchanged, in any case.
const FLAGS: [&str; 10] = [
    "class",
    "subclass",
    "spec_class",
    "spectype",
    "subtype",
    "objtype",
    "type",
    "zwarning",
    "zwarn",
    "label",
];

/// Where a table keeps what is read of it; numbers are column indices.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// The parts of the identifier; empty when rows are numbered.
    pub id: Vec<usize>,
    /// Right ascension and declination.
    pub position: Option<(usize, usize)>,
    /// Modalities.
    pub fields: Vec<Field>,
    /// Flags.
    pub flags: Vec<usize>,
}

/// The column of one modality.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The modality.
    pub id: ModalityId,
    /// The column's index.
    pub column: usize,
    /// Columns whose zero says that a value of zero was not measured.
    pub observed: Vec<usize>,
}

/// Finds what is read of a table; `survey` restricts the modalities to one survey's.
pub fn layout(columns: &[Column], survey: Option<Survey>) -> Layout {
    let named = |name: &str| columns.iter().position(|column| column.name == name);
    let alike = |name: &str| {
        columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    };
    let all = |names: &[&str]| {
        names
            .iter()
            .map(|name| alike(name))
            .collect::<Option<Vec<usize>>>()
    };
    let fields = readable(survey).filter_map(|id| {
        let column = names_of(id).iter().find_map(|name| named(name))?;
        let observed = observation_columns(id);
        Some(Field {
            id,
            column,
            observed: observed.iter().filter_map(|name| alike(name)).collect(),
        })
    });
    Layout {
        id: IDENTIFIERS
            .iter()
            .find_map(|names| all(names))
            .unwrap_or_default(),
        position: POSITIONS
            .iter()
            .find_map(|(ra, dec)| Some((alike(ra)?, alike(dec)?))),
        fields: fields.collect(),
        flags: FLAGS.iter().filter_map(|name| alike(name)).collect(),
    }
}

/// The column names that are recognised, for messages.
pub fn expected() -> String {
    let names: Vec<&str> = readable(None).map(|id| id.info().codec).collect();
    names.join(", ")
}

/// Modalities that a table can hold. Positions are read for every object, not as modalities.
fn readable(survey: Option<Survey>) -> impl Iterator<Item = ModalityId> {
    ModalityId::all().filter(move |id| {
        let info = id.info();
        matches!(info.kind, Kind::Scalar | Kind::Coefficients)
            && !info.is_position()
            && survey.is_none_or(|survey| [survey, Survey::Any].contains(&info.survey))
    })
}

/// Names of the modality's column, best first.
fn names_of(id: ModalityId) -> Vec<String> {
    let info = id.info();
    let mut names = vec![info.key.to_owned(), info.codec.to_owned()];
    if info.survey == Survey::LegacySurvey {
        names.push(info.codec.to_ascii_lowercase());
    }
    let aliases = ALIASES.iter().filter(|(codec, _)| *codec == info.codec);
    names.extend(aliases.flat_map(|(_, aliases)| aliases.iter().map(|&alias| alias.to_owned())));
    names
}

/// Columns beside a Legacy Survey flux that are zero where the band was not observed.
fn observation_columns(id: ModalityId) -> Vec<String> {
    match id.info().codec.strip_prefix("FLUX_") {
        Some(band) => vec![format!("FLUX_IVAR_{band}"), format!("NOBS_{band}")],
        None => Vec::new(),
    }
}
