//! Names for readers: modalities, surveys, files.

use std::collections::BTreeSet;

use aion_data::{Kind, Modality, ModalityId, Object, Survey};

/// The redshift, if the table of modalities has one.
pub fn redshift() -> Option<ModalityId> {
    ModalityId::from_codec("Z", Survey::Any)
}

/// Whether a modality is a number or a vector of numbers of the object itself: no redshift (which
/// has its own place in the report) and no position.
pub fn is_catalogue_number(id: ModalityId) -> bool {
    let info = id.info();
    info.is_number() && !info.is_position() && redshift() != Some(id)
}

/// A modality as a reader knows it: `Legacy image`, `FLUX_R`, `DESI spectrum`.
pub fn modality(id: ModalityId) -> String {
    let info = id.info();
    match info.kind {
        Kind::Image => format!("{} image", survey(info.survey)),
        Kind::Spectrum => format!("{} spectrum", survey(info.survey)),
        Kind::ScalarField => "segmentation map".to_owned(),
        Kind::Catalog => "neighbour catalogue".to_owned(),
        Kind::Coefficients => coefficients(info),
        Kind::Scalar if info.survey == Survey::Any => "redshift".to_owned(),
        Kind::Scalar => info.codec.to_owned(),
    }
}

fn coefficients(info: &Modality) -> String {
    let arm = info.codec.split('_').next().unwrap_or_default();
    format!("XP {} coefficients", arm.to_uppercase())
}

/// A survey as it writes itself.
pub fn survey(survey: Survey) -> &'static str {
    match survey {
        Survey::LegacySurvey => "Legacy",
        Survey::Hsc => "HSC",
        Survey::Sdss => "SDSS",
        Survey::Desi => "DESI",
        Survey::Gaia => "Gaia",
        Survey::Any | Survey::Described(_) => survey.name(),
    }
}

/// The surveys that an object was measured by: `Legacy + DESI`.
pub fn surveys(object: &Object) -> String {
    let known = object.measurements.keys().map(|id| id.info().survey);
    let known: BTreeSet<Survey> = known.filter(|s| *s != Survey::Any).collect();
    let names: Vec<&str> = known.into_iter().map(survey).collect();
    names.join(" + ")
}

/// What was measured, counting single numbers: `image, spectrum, 14 numbers`.
pub fn measured(object: &Object) -> String {
    let words = |(kind, count): (Kind, usize)| match (name(kind).0, count) {
        ("number", 1) => "1 number".to_owned(),
        ("number", count) => format!("{count} numbers"),
        (name, 1) => name.to_owned(),
        (name, count) => format!("{count} × {name}"),
    };
    let parts: Vec<String> = counts(object).map(words).collect();
    parts.join(", ")
}

/// The same in few letters: `img spec seg cat 14 num`.
pub fn measured_shortly(object: &Object) -> String {
    let letters = |(kind, count): (Kind, usize)| match (name(kind).1, count) {
        ("num", count) => format!("{count} num"),
        (name, 1) => name.to_owned(),
        (name, count) => format!("{count}{name}"),
    };
    let parts: Vec<String> = counts(object).map(letters).collect();
    parts.join(" ")
}

/// Measurements of each kind; the two arms of Gaia's XP count as one.
fn counts(object: &Object) -> impl Iterator<Item = (Kind, usize)> {
    let kinds = [
        Kind::Image,
        Kind::Spectrum,
        Kind::Coefficients,
        Kind::ScalarField,
        Kind::Catalog,
        Kind::Scalar,
    ];
    kinds.into_iter().filter_map(|kind| {
        let count = object
            .measurements
            .keys()
            .filter(|id| id.info().kind == kind)
            .count();
        let count = if kind == Kind::Coefficients {
            count.min(1)
        } else {
            count
        };
        (count > 0).then_some((kind, count))
    })
}

/// A kind's name, in full and in few letters.
fn name(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Image => ("image", "img"),
        Kind::Spectrum => ("spectrum", "spec"),
        Kind::Coefficients => ("XP", "XP"),
        Kind::ScalarField => ("segmap", "seg"),
        Kind::Catalog => ("catalogue", "cat"),
        Kind::Scalar => ("number", "num"),
    }
}

/// `simulated` or `real`.
pub fn origin(simulated: bool) -> &'static str {
    if simulated { "simulated" } else { "real" }
}

/// An identifier as part of a file name.
pub fn file_stem(id: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let stem: String = id.chars().map(keep).take(80).collect();
    stem.trim_start_matches('.').to_owned()
}

/// A number with about four significant digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "–".to_owned(),
        0.0 => "0".to_owned(),
        _ if !(1e-4..1e6).contains(&size) => format!("{value:.2e}"),
        _ => {
            let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
            format!("{value:.decimals$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        let found: Vec<String> = [0.36874, 1234.6, -12.0, 3e7, 0.0].map(number).into();
        assert_eq!(found, ["0.3687", "1235", "-12.00", "3.00e7", "0"]);
    }

    #[test]
    fn stems_are_safe() {
        assert_eq!(file_stem("../a b/ç"), "_a_b__");
    }
}
