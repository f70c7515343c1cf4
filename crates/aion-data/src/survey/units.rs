//! Units of table columns: converted to the modality's unit, or refused.
//!
//! Units are read as FITS, VOUnit, Astropy and CDS spell them. Magnitudes and fluxes are never
//! converted into each other here: that takes an explicit [`super::column_map::ColumnMap`].

use crate::error::Problem;
use crate::modality::Modality;

/// Jansky of one nanomaggy: 1e-9 of the AB zero-point flux.
const NANOMAGGY_JY: f64 = 3.630_780_5e-6;

/// The unit of Legacy Survey fluxes, as the table of modalities spells it.
pub(super) const NANOMAGGY: &str = "nanomaggy";
/// The unit of magnitudes and extinctions, likewise.
pub(super) const MAGNITUDE: &str = "mag";
/// The unit of positions, likewise.
const DEGREE: &str = "deg";

/// Spellings (see [`spelling`]) of units that convert to the unit of a modality, with the factor.
const CONVERSIONS: [(&str, &[(&str, f64)]); 9] = [
    (
        NANOMAGGY,
        &[
            ("nanomaggy", 1.0),
            ("nanomaggies", 1.0),
            ("nanomaggie", 1.0),
            ("nmgy", 1.0),
            ("nmaggy", 1.0),
            ("maggy", 1e9),
            ("maggies", 1e9),
            ("mgy", 1e9),
            ("erg/s/cm2/hz", 1e23 / NANOMAGGY_JY),
            ("erg/(scm2hz)", 1e23 / NANOMAGGY_JY),
            ("ergs-1cm-2hz-1", 1e23 / NANOMAGGY_JY),
        ],
    ),
    (
        MAGNITUDE,
        &[
            ("mag", 1.0),
            ("magnitude", 1.0),
            ("magnitudes", 1.0),
            ("mag(ab)", 1.0),
            ("abmag", 1.0),
            ("mmag", 1e-3),
        ],
    ),
    (
        "arcsec",
        &[
            ("arcsec", 1.0),
            ("arcsecond", 1.0),
            ("arcseconds", 1.0),
            ("mas", 1e-3),
            ("arcmin", 60.0),
            ("deg", 3600.0),
        ],
    ),
    ("arcsec2", &[("arcsec2", 1.0), ("arcsecond2", 1.0)]),
    (
        "mas yr-1",
        &[
            ("masyr-1", 1.0),
            ("mas/yr", 1.0),
            ("mas/year", 1.0),
            ("arcsecyr-1", 1e3),
            ("arcsec/yr", 1e3),
        ],
    ),
    (
        "yr",
        &[("yr", 1.0), ("year", 1.0), ("years", 1.0), ("a", 1.0)],
    ),
    (
        "mas",
        &[
            ("mas", 1.0),
            ("milliarcsec", 1.0),
            ("milliarcsecond", 1.0),
            ("arcsec", 1e3),
            ("uas", 1e-3),
        ],
    ),
    (
        DEGREE,
        &[
            ("deg", 1.0),
            ("degree", 1.0),
            ("degrees", 1.0),
            ("\u{b0}", 1.0),
            ("rad", 57.295_779_513_082_32),
            ("radian", 57.295_779_513_082_32),
            ("hourangle", 15.0),
            ("arcmin", 1.0 / 60.0),
            ("arcsec", 1.0 / 3600.0),
        ],
    ),
    (
        "electron s-1",
        &[
            ("electrons-1", 1.0),
            ("electronss-1", 1.0),
            ("electron/s", 1.0),
            ("electrons/s", 1.0),
            ("electron/second", 1.0),
            ("e-/s", 1.0),
            ("e/s", 1.0),
            ("e-s-1", 1.0),
        ],
    ),
];

/// Spellings of "no unit" for dimensionless modalities.
const DIMENSIONLESS: [&str; 7] = ["", "1", "-", "---", "dimensionless", "unitless", "none"];

/// What a column's values are multiplied by to get the modality's unit. A column without a unit
/// is taken to be in the survey's own, which is the modality's.
///
/// Errors: a unit that cannot be converted, such as magnitudes for a flux.
pub fn factor(modality: &Modality, unit: Option<&str>) -> Result<f64, Problem> {
    factor_to(modality.unit, unit)
}

/// [`factor`] to degrees, for positions.
pub fn factor_to_degrees(unit: Option<&str>) -> Result<f64, Problem> {
    factor_to(DEGREE, unit)
}

/// [`factor`] to the unit spelled `expected` in the table of modalities.
pub(super) fn factor_to(expected: &str, unit: Option<&str>) -> Result<f64, Problem> {
    let Some(unit) = unit.filter(|unit| !unit.trim().is_empty()) else {
        return Ok(1.0);
    };
    convert(expected, unit).ok_or_else(|| {
        let expected = match expected {
            "" => "none",
            expected => expected,
        };
        Problem::Values(format!("the unit is `{unit}`, expected {expected}"))
    })
}

/// Whether two spellings mean the same unit.
pub(super) fn same(one: &str, other: &str) -> bool {
    if spelling(one) == spelling(other) {
        return true;
    }
    let targets = CONVERSIONS.iter().map(|(to, _)| *to).chain([""]);
    targets
        .filter_map(|to| Some((convert(to, one)?, convert(to, other)?)))
        .any(|(one, other)| (one / other - 1.0).abs() < 1e-9)
}

fn convert(expected: &str, unit: &str) -> Option<f64> {
    let (scale, unit) = scaled(unit.trim());
    let name = spelling(unit);
    if expected.is_empty() {
        let none = scale == 1.0 && DIMENSIONLESS.contains(&name.as_str());
        return none.then_some(1.0);
    }
    let known = || {
        let (_, from) = CONVERSIONS.iter().find(|(to, _)| *to == expected)?;
        let (_, factor) = from.iter().find(|(from, _)| *from == name)?;
        Some(*factor)
    };
    let jansky = || Some(jansky(unit)? / NANOMAGGY_JY).filter(|_| expected == NANOMAGGY);
    Some(scale * known().or_else(jansky)?)
}

/// The unit in lower case, without what its writers differ in: blanks, quotes, the marks of powers
/// and the dot of a product.
fn spelling(unit: &str) -> String {
    let kept = unit.replace("**", "");
    let kept = kept.chars().filter(|c| !" '\"^.*".contains(*c));
    kept.flat_map(char::to_lowercase).collect()
}

/// A number before the unit: `3.631 uJy`, `10**-9 maggy`.
fn scaled(unit: &str) -> (f64, &str) {
    let Some((first, rest)) = unit.split_once(' ') else {
        return (1.0, unit);
    };
    let power = first.strip_prefix("10**").or(first.strip_prefix("10^"));
    let scale = match power {
        Some(power) => power
            .trim_matches(['(', ')'])
            .parse()
            .ok()
            .map(|power| 10f64.powi(power)),
        None => first.parse().ok(),
    };
    scale.map_or((1.0, unit), |scale: f64| (scale, rest))
}

/// Jansky of a unit of jansky. Case tells milli from mega, so only it is read as written.
fn jansky(unit: &str) -> Option<f64> {
    let prefix = unit
        .strip_suffix("Jy")
        .or_else(|| unit.strip_suffix("jansky"))
        .or_else(|| unit.strip_suffix("Jansky"))
        .or_else(|| unit.strip_suffix("JY"))
        .or_else(|| unit.strip_suffix("jy"))?;
    Some(match prefix {
        "" => 1.0,
        "m" | "milli" if !unit.ends_with('Y') => 1e-3,
        "u" | "U" | "\u{b5}" | "\u{3bc}" | "micro" => 1e-6,
        "n" | "N" | "nano" => 1e-9,
        "p" | "pico" => 1e-12,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found / expected - 1.0).abs() < 1e-6)
    }

    #[test]
    fn spellings_of_fits_vounit_and_astropy_are_read() {
        for unit in [
            "nanomaggy",
            "nmgy",
            "Nanomaggies",
            "3.6307805 uJy",
            "1e-9 maggy",
        ] {
            assert!(close(convert(NANOMAGGY, unit), 1.0), "{unit}");
        }
        for unit in [
            "uJy",
            "\u{b5}Jy",
            "microJansky",
            "UJY",
            "10**-6 Jy",
            "1e-29 erg/s/cm2/Hz",
        ] {
            assert!(
                close(convert(NANOMAGGY, unit), 1e-6 / NANOMAGGY_JY),
                "{unit}"
            );
        }
        assert!(close(convert(NANOMAGGY, "mJy"), 1e-3 / NANOMAGGY_JY));
        for unit in [
            "'electron'.s**-1",
            "electron / s",
            "electron.s-1",
            "e-/s",
            "electron s^-1",
        ] {
            assert_eq!(convert("electron s-1", unit), Some(1.0), "{unit}");
        }
        for unit in ["mag", "mag(AB)", "mag (AB)", "ABmag"] {
            assert_eq!(convert(MAGNITUDE, unit), Some(1.0), "{unit}");
        }
        assert_eq!(convert("arcsec2", "arcsec**2"), Some(1.0));
        assert_eq!(convert(DEGREE, "hourangle"), Some(15.0));
        assert_eq!(convert("", "---"), Some(1.0));
    }

    #[test]
    fn other_units_are_refused() {
        for (expected, unit) in [
            (NANOMAGGY, "mag"),
            (NANOMAGGY, "MJy"),
            (NANOMAGGY, "MJY"),
            (NANOMAGGY, "electron/s"),
            (NANOMAGGY, "adu"),
            (MAGNITUDE, "mag(Vega)"),
            (MAGNITUDE, "nJy"),
            (MAGNITUDE, "dex"),
            ("electron s-1", "ph/s"),
            ("electron s-1", "mag"),
            ("mas", "mas/yr"),
            (DEGREE, "d"),
            ("arcsec2", "pixel2"),
            ("", "km/s"),
        ] {
            assert_eq!(convert(expected, unit), None, "{unit}");
        }
    }

    #[test]
    fn the_same_unit_is_known_in_other_spellings() {
        assert!(same("nanomaggy", "nmgy"));
        assert!(same("km.s**-1", "km s-1"));
        assert!(same("mag", "mag(AB)"));
        assert!(!same("nanomaggy", "uJy"));
        assert!(!same("mag", "nanomaggy"));
    }
}
