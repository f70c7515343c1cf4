//! Which column of a survey's table is which modality, identifier, position or flag.
//!
//! A column is a modality if it bears the token key or the survey's own name (the codec's name),
//! exactly; the Legacy Surveys spell theirs in upper and in lower case. A few other names are
//! listed as aliases. Names that resemble (`SHAPEDEV_R`, `z` for a magnitude) are never guessed: a
//! [`super::column_map::ColumnMap`] says what they are.

use serde::Deserialize;

use crate::format::table::Column;
use crate::modality::{Kind, ModalityId, Survey};
use crate::survey::gaia;
use crate::survey::units::NANOMAGGY;

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
const IDENTIFIERS: [&[&str]; 11] = [
    &["object_id"],
    &["source_id"],
    &["targetid"],
    &["specobjid"],
    &["specobj_id"],
    &["ls_id"],
    &["release", "brickid", "objid"],
    &["brickid", "objid"],
    &["brickname", "objid"],
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

/// Columns carried along unchanged, in any case: classes, warnings, masks and quality of the surveys.
const FLAGS: [&str; 27] = [
    "class",
    "subclass",
    "spec_class",
    "spectype",
    "subtype",
    "objtype",
    "type",
    "morphtype",
    "zwarning",
    "zwarn",
    "maskbits",
    "fitbits",
    "wisemask_w1",
    "wisemask_w2",
    "brick_primary",
    "coadd_fiberstatus",
    "fiberstatus",
    "deltachi2",
    "survey",
    "program",
    "zcat_primary",
    "ruwe",
    "duplicated_source",
    "non_single_star",
    "phot_variable_flag",
    "isprimary",
    "label",
];

/// What a column holds instead of the modality's own quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum From {
    /// An AB magnitude where a flux is wanted.
    AbMag,
    /// A flux where an AB magnitude is wanted.
    Flux,
}

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
    /// The column that says how many coefficients there are.
    pub length: Option<usize>,
    /// What the column holds instead of the modality's own quantity.
    pub(super) from: Option<From>,
    /// The column of an extinction to put back, with its coefficient.
    pub extinction: Option<(usize, f64)>,
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
        Some(field(id, column, columns))
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

/// A modality in its own column, with the companions that it has in the table.
pub(super) fn field(id: ModalityId, column: usize, columns: &[Column]) -> Field {
    let alike = |name: &String| {
        columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    };
    Field {
        id,
        column,
        observed: observation_columns(id).iter().filter_map(alike).collect(),
        length: gaia::length_column(id).as_ref().and_then(alike),
        from: None,
        extinction: None,
    }
}

/// Whether a column's name says that it was corrected for Galactic extinction.
pub(super) fn is_dereddened(column: &str) -> bool {
    let name = column.to_ascii_lowercase();
    let corrected = ["dered", "_dered", "extcorr", "unextincted"];
    name.ends_with("_ec") || corrected.iter().any(|mark| name.contains(mark))
}

/// Why a column of this name is not what a modality takes, where the name says so.
pub(super) fn refusal(id: ModalityId, column: &str) -> Option<&'static str> {
    let name = column.to_ascii_lowercase();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let unit = id.info().unit;
    let photometric = unit == NANOMAGGY || id.info().codec.ends_with("_mag");
    if photometric && is_dereddened(column) {
        return Some(
            "its name says that it is corrected for Galactic extinction, and the model takes what \
             was observed; a column map can undo it: extinction = { column = \"EBV\", coefficient = \
             3.214 }",
        );
    }
    let asinh = [
        "modelmag",
        "cmodelmag",
        "psfmag",
        "petromag",
        "fibermag",
        "fiber2mag",
    ];
    if unit == NANOMAGGY && starts(&asinh) {
        return Some(
            "SDSS asinh magnitudes in the filters of SDSS are no Legacy Survey fluxes; expected \
             FLUX_G and its like",
        );
    }
    let synthetic = [
        "spectroflux",
        "spectrosynflux",
        "fiberflux",
        "fibertotflux",
        "apflux",
    ];
    (unit == NANOMAGGY && starts(&synthetic)).then_some(
        "the flux in a fibre or an aperture is not that of the whole source; expected FLUX_G and \
         its like",
    )
}

/// Columns that look like fluxes or magnitudes and are not read, with the reason, for messages.
pub(super) fn not_taken(columns: &[Column]) -> Option<String> {
    if let Some(reason) = gaia::refusal(columns) {
        return Some(reason.to_owned());
    }
    let flux = ModalityId::all()
        .find(|id| id.info().unit == NANOMAGGY && id.info().kind == Kind::Scalar)?;
    columns.iter().find_map(|column| {
        let reason = refusal(flux, &column.name)?;
        Some(format!("{}: {reason}", column.name))
    })
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
        info.is_number()
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
