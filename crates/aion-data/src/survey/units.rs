//! Units of table columns: converted to the modality's unit, or refused.

use crate::error::Problem;
use crate::modality::Modality;

/// Jansky of one nanomaggy: 1e-9 of the AB zero-point flux.
const NANOMAGGY_JY: f64 = 3.630_780_5e-6;

/// Spellings (lower case, without blanks, quotes, `^` and `**`) of units that convert to the unit
/// of a modality, with the factor.
const CONVERSIONS: [(&str, &[(&str, f64)]); 7] = [
    (
        "nanomaggy",
        &[
            ("nanomaggy", 1.0),
            ("nanomaggies", 1.0),
            ("nmgy", 1.0),
            ("maggy", 1e9),
            ("jy", 1.0 / NANOMAGGY_JY),
            ("ujy", 1e-6 / NANOMAGGY_JY),
            ("njy", 1e-9 / NANOMAGGY_JY),
        ],
    ),
    (
        "mag",
        &[
            ("mag", 1.0),
            ("mag(ab)", 1.0),
            ("abmag", 1.0),
            ("mmag", 1e-3),
        ],
    ),
    (
        "arcsec",
        &[
            ("arcsec", 1.0),
            ("mas", 1e-3),
            ("arcmin", 60.0),
            ("deg", 3600.0),
        ],
    ),
    ("arcsec2", &[("arcsec2", 1.0)]),
    ("mas", &[("mas", 1.0), ("arcsec", 1e3), ("uas", 1e-3)]),
    (
        "deg",
        &[
            ("deg", 1.0),
            ("degree", 1.0),
            ("degrees", 1.0),
            ("rad", 57.295_779_513_082_32),
        ],
    ),
    (
        "electron s-1",
        &[
            ("electron.s-1", 1.0),
            ("electrons-1", 1.0),
            ("electron/s", 1.0),
            ("electrons/s", 1.0),
            ("e-/s", 1.0),
        ],
    ),
];

/// Spellings of "no unit" for dimensionless modalities.
const DIMENSIONLESS: [&str; 4] = ["", "1", "-", "dimensionless"];

/// What a column's values are multiplied by to get the modality's unit. A column without a unit
/// is taken to be in the survey's own, which is the modality's.
///
/// Errors: a unit that cannot be converted, such as magnitudes for a flux.
pub fn factor(modality: &Modality, unit: Option<&str>) -> Result<f64, Problem> {
    factor_to(modality.unit, unit)
}

/// [`factor`] to degrees, for positions.
pub fn factor_to_degrees(unit: Option<&str>) -> Result<f64, Problem> {
    factor_to("deg", unit)
}

fn factor_to(expected: &str, unit: Option<&str>) -> Result<f64, Problem> {
    let Some(unit) = unit else {
        return Ok(1.0);
    };
    let spelling = unit
        .to_ascii_lowercase()
        .replace("**", "")
        .replace([' ', '\'', '^'], "");
    if expected.is_empty() && DIMENSIONLESS.contains(&spelling.as_str()) {
        return Ok(1.0);
    }
    CONVERSIONS
        .iter()
        .filter(|(to, _)| *to == expected)
        .flat_map(|(_, from)| from.iter())
        .find_map(|&(name, factor)| (name == spelling).then_some(factor))
        .ok_or_else(|| {
            let expected = if expected.is_empty() {
                "none"
            } else {
                expected
            };
            Problem::Values(format!("the unit is `{unit}`, expected {expected}"))
        })
}
