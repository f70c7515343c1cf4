//! Units of flux densities and of their inverse variances, as surveys spell them.
//!
//! `10**-17 erg/(s cm2 Angstrom)`, `1E-17 erg/cm^2/s/Ang`, `W m-2 nm-1` and the like are read by the
//! grammar of units in the FITS standard (4.0, section 4.3) and converted; whatever is no flux
//! density per wavelength is refused.

use std::iter::Peekable;
use std::str::Chars;

use crate::error::Problem;

/// The unit of spectra here, erg/s/cm2/Angstrom.
const UNIT: f64 = 1e-17;
/// Powers of [erg, s, cm, Angstrom] in a flux density.
const FLUX_DENSITY: Powers = [1, -1, -2, -1];

/// Units whose spelling is known to be wrong: DR7 of SDSS lost the square of the centimetre.
const MISPRINTS: [(&str, f64); 1] = [("1.0E-17 erg/cm/s/Ang", 1e-17)];

/// Longer texts are no units, bytes.
const LONGEST: usize = 100;

/// Unit names (lower case): the base unit's place in [`Powers`], and how many of it.
const NAMES: [(&str, usize, f64); 16] = [
    ("erg", 0, 1.0),
    ("ergs", 0, 1.0),
    ("j", 0, 1e7),
    ("s", 1, 1.0),
    ("sec", 1, 1.0),
    ("second", 1, 1.0),
    ("cm", 2, 1.0),
    ("m", 2, 100.0),
    ("a", 3, 1.0),
    ("aa", 3, 1.0),
    ("ang", 3, 1.0),
    ("angstrom", 3, 1.0),
    ("angstroms", 3, 1.0),
    ("nm", 3, 10.0),
    ("um", 3, 1e4),
    ("micron", 3, 1e4),
];

/// What a flux density in `unit` is multiplied by to be in 1e-17 erg/s/cm2/Angstrom.
///
/// Errors: a unit that is none of a flux density per wavelength, or is not understood.
pub fn flux_factor(unit: &str) -> Result<f64, Problem> {
    let misprint = MISPRINTS.iter().find(|(text, _)| *text == unit.trim());
    let scale = misprint.map(|(_, scale)| *scale);
    scale
        .or_else(|| scale_of(unit, 1))
        .map(|scale| exact(scale / UNIT))
        .ok_or_else(|| refused(unit, "a flux density such as 1e-17 erg/s/cm2/Angstrom"))
}

/// What an inverse variance in `unit` is multiplied by to belong to a flux in 1e-17
/// erg/s/cm2/Angstrom.
///
/// Errors: a unit that is not an inverse square of a flux density, or is not understood.
pub fn ivar_factor(unit: &str) -> Result<f64, Problem> {
    scale_of(unit, -2)
        .map(|scale| exact(scale * UNIT * UNIT))
        .ok_or_else(|| {
            let expected = "an inverse square of a flux density such as 1e34 s2 cm4 Angstrom2/erg2";
            refused(unit, expected)
        })
}

fn refused(unit: &str, expected: &str) -> Problem {
    Problem::Values(format!("the unit is `{unit}`, expected {expected}"))
}

/// A factor that is one but for the rounding of powers of ten.
fn exact(factor: f64) -> f64 {
    if (factor - 1.0).abs() < 1e-9 {
        1.0
    } else {
        factor
    }
}

/// The scale of a unit that is a flux density to the power `power`.
fn scale_of(unit: &str, power: i32) -> Option<f64> {
    if unit.len() > LONGEST {
        return None;
    }
    let text = unit.to_ascii_lowercase();
    let mut letters = text.chars().peekable();
    let value = product(&mut letters, false)?;
    let expected = FLUX_DENSITY.map(|of| of * power);
    let usable = value.scale.is_finite() && value.scale > 0.0;
    (usable && letters.peek().is_none() && value.powers == expected).then_some(value.scale)
}

/// Powers of [erg, s, cm, Angstrom].
type Powers = [i32; 4];

#[derive(Clone, Copy)]
struct Value {
    scale: f64,
    powers: Powers,
}

impl Value {
    fn number(scale: f64) -> Self {
        Value {
            scale,
            powers: [0; 4],
        }
    }

    fn times(self, other: Value, power: i32) -> Self {
        let mut powers = self.powers;
        for (sum, of) in powers.iter_mut().zip(other.powers) {
            *sum = sum.saturating_add(of.saturating_mul(power));
        }
        Value {
            scale: self.scale * other.scale.powi(power),
            powers,
        }
    }
}

type Letters<'a> = Peekable<Chars<'a>>;

/// Factors up to the end, or up to the bracket that closes this one.
fn product(letters: &mut Letters<'_>, bracketed: bool) -> Option<Value> {
    let mut value = Value::number(1.0);
    let mut sign = 1;
    let mut factors = 0;
    while let Some(&letter) = letters.peek() {
        match letter {
            ')' => return (bracketed && factors > 0).then_some(value),
            '/' => sign = -1,
            ' ' | '*' | '.' => {}
            _ => {
                let of = factor(letters)?;
                value = value.times(of, sign * power(letters)?);
                sign = 1;
                factors += 1;
                continue;
            }
        }
        letters.next();
    }
    (!bracketed && factors > 0 && sign == 1).then_some(value)
}

/// A number, a bracket or a unit's name.
fn factor(letters: &mut Letters<'_>) -> Option<Value> {
    match letters.peek()? {
        '(' => {
            letters.next();
            let inner = product(letters, true)?;
            letters.next();
            Some(inner)
        }
        '0'..='9' => number(letters).map(Value::number),
        _ => {
            let name: String = taken(letters, |letter| letter.is_ascii_alphabetic());
            if name == "w" {
                let mut watt = Value::number(1e7);
                watt.powers = [1, -1, 0, 0];
                return Some(watt);
            }
            let &(_, place, scale) = NAMES.iter().find(|(known, _, _)| *known == name)?;
            let mut unit = Value::number(scale);
            *unit.powers.get_mut(place)? = 1;
            Some(unit)
        }
    }
}

fn number(letters: &mut Letters<'_>) -> Option<f64> {
    let mut text = taken(letters, |letter| letter.is_ascii_digit() || *letter == '.');
    // `10erg` is ten erg, `1e-17` a number.
    let mut ahead = letters.clone();
    if ahead.next() == Some('e')
        && ahead
            .peek()
            .is_some_and(|next| next.is_ascii_digit() || "+-".contains(*next))
    {
        *letters = ahead;
        text.push('e');
        if let Some(sign) = letters.next_if(|letter| "+-".contains(*letter)) {
            text.push(sign);
        }
        text += &taken(letters, char::is_ascii_digit);
    }
    text.parse().ok()
}

/// The power after a factor: `**-2`, `^(-2)`, `-2` or `2`; 1 when there is none.
fn power(letters: &mut Letters<'_>) -> Option<i32> {
    let mut ahead = letters.clone();
    let marked = match ahead.next() {
        Some('^') => true,
        Some('*') => ahead.next() == Some('*'),
        _ => false,
    };
    if marked {
        *letters = ahead;
    }
    let bracket = marked && letters.next_if_eq(&'(').is_some();
    let mut text = String::new();
    text.extend(letters.next_if(|letter| "+-".contains(*letter)));
    text += &taken(letters, char::is_ascii_digit);
    if bracket {
        letters.next_if_eq(&')')?;
    }
    match text.as_str() {
        "" if marked => None,
        "" => Some(1),
        text => text.parse().ok(),
    }
}

fn taken(letters: &mut Letters<'_>, wanted: impl Fn(&char) -> bool) -> String {
    let mut text = String::new();
    while let Some(letter) = letters.next_if(&wanted) {
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survey_spellings_are_the_unit() {
        for unit in [
            "1E-17 erg/cm^2/s/Ang",
            "10**-17 erg/(s cm2 Angstrom)",
            "10^(-17) erg s^-1 cm^-2 A^-1",
            "1e-17 erg / (Angstrom s cm2)",
            "1.0E-17 erg/cm/s/Ang",
            "10-17erg.s-1.cm-2.Angstrom-1",
            "1e-17 ergs/s/cm**2/AA",
        ] {
            assert_eq!(flux_factor(unit).ok(), Some(1.0), "{unit}");
        }
        let ivar = "10**+34 (s2 cm4 Angstrom2) / erg2";
        assert_eq!(ivar_factor(ivar).ok(), Some(1.0));
    }

    #[test]
    fn other_scales_are_converted() {
        let near = |found: Result<f64, Problem>, expected: f64| {
            let found = found.unwrap_or(f64::NAN);
            assert!((found / expected - 1.0).abs() < 1e-12, "{found}");
        };
        near(flux_factor("erg/s/cm2/A"), 1e17);
        near(flux_factor("10**-16 erg/(s cm2 Angstrom)"), 10.0);
        near(flux_factor("W m-2 nm-1"), 1e19);
        near(ivar_factor("(erg/s/cm2/A)^-2"), 1e-34);
    }

    #[test]
    fn what_is_no_flux_density_is_refused() {
        for unit in [
            "",
            "electron/Angstrom",
            "Jy",
            "erg/s/cm2/Hz",
            "erg/s cm2 Angstrom",
            "erg/s/cm2",
            "1e-17",
            "10** erg/s/cm2/A",
            "erg/(s cm2 A",
            "erg/s/cm2/A)",
            "erg/s/cm2/A/",
            "9e999 erg/s/cm2/A",
            "0 erg/s/cm2/A",
        ] {
            assert!(flux_factor(unit).is_err(), "{unit}");
            assert!(ivar_factor(unit).is_err(), "{unit}");
        }
    }
}
