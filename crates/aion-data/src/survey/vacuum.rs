//! Wavelengths in air: recognised in headers, refused, or converted to vacuum on request.

use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::read_options::ReadOptions;

/// Header keywords of text that say in what medium wavelengths are.
const MEDIUM: [&str; 3] = ["AIRORVAC", "CTYPE1", "CTYPE2"];
/// A header keyword that is false where wavelengths are in air (SDSS).
const VACUUM: &str = "VACUUM";

/// Below this the relation between the two does not hold, Angstrom; nothing is shifted there.
const SHORTEST: f64 = 2000.0;

/// Whether the headers of `hdus` say that wavelengths are in air, so that they are to be converted.
/// Where they say nothing, wavelengths are in vacuum, as both surveys publish them.
///
/// Errors: wavelengths in air without [`ReadOptions::air_wavelengths`].
pub fn is_air(file: &FitsFile, hdus: &[usize], options: &ReadOptions) -> Result<bool> {
    for &hdu in hdus {
        let Some((keyword, value)) = air_keyword(file, hdu) else {
            continue;
        };
        if options.air_wavelengths {
            return Ok(true);
        }
        let what = format!(
            "{keyword} = {value}: wavelengths in air, expected vacuum (--air-to-vacuum converts them)"
        );
        let place = file.place_in(hdu, keyword);
        return Err(DataError::new(place, Problem::Values(what)));
    }
    Ok(false)
}

/// The keyword and value by which an HDU says that its wavelengths are in air.
fn air_keyword(file: &FitsFile, hdu: usize) -> Option<(&'static str, String)> {
    if let Some(false) = file.flag(hdu, VACUUM) {
        return Some((VACUUM, "F".into()));
    }
    MEDIUM.into_iter().find_map(|keyword| {
        let text = file.text(hdu, keyword)?;
        let start = text.to_ascii_lowercase();
        (start.starts_with("air") || start.starts_with("awav")).then_some((keyword, text))
    })
}

/// The wavelengths in vacuum of wavelengths in air, Angstrom.
pub fn from_air(wavelengths: &mut [f32]) {
    for wavelength in wavelengths {
        *wavelength = vacuum_of(f64::from(*wavelength)) as f32;
    }
}

/// The vacuum wavelength whose wavelength in air is `air`, Angstrom. The relation (Morton 1991, ApJS
/// 77, 119, the IAU's standard) gives air from vacuum; its inverse is found by iteration, each
/// step of which gains three digits.
fn vacuum_of(air: f64) -> f64 {
    if air < SHORTEST {
        return air;
    }
    (0..5).fold(air, |vacuum, _| air * refractive_index(vacuum))
}

/// Refractive index of standard air at a vacuum wavelength in Angstrom.
fn refractive_index(vacuum: f64) -> f64 {
    let squared = vacuum * vacuum;
    1.0 + 2.735182e-4 + 131.4182 / squared + 2.76249e8 / (squared * squared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lie_where_the_survey_lists_them() {
        // SDSS's list of galaxy lines: in vacuum, in air.
        for (vacuum, air) in [
            (3728.815, 3727.755),
            (4862.683, 4861.325),
            (5008.240, 5006.843),
            (6564.61, 6562.80),
            (6732.67, 6730.81),
        ] {
            assert!((vacuum_of(air) - vacuum).abs() < 0.01, "{air}");
        }
    }

    #[test]
    fn the_conversion_is_the_inverse_of_the_relation() {
        for vacuum in [2100.0, 3600.0, 5577.3, 9824.0] {
            let air = vacuum / refractive_index(vacuum);
            assert!((vacuum_of(air) - vacuum).abs() < 1e-9);
        }
        assert_eq!(vacuum_of(1500.0), 1500.0);
    }
}
