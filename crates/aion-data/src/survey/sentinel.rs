//! Numbers that stand for "no value" in catalogue columns.
//!
//! What is safe differs between quantities. Infinity and anything from 1e20 on is a mark in every
//! column. A magnitude of 90 or -90 cannot be (99, 99.99, -99, 999, -999), nor a redshift of -1 or
//! less, where light would have gone back in time, or of 90 and more (-1, -9, -99, 999). Extinction
//! and shapes take -99, -999 and -9999 exactly. Fluxes and parallaxes scatter around zero by any
//! amount (a W4 flux of -340 nanomaggies is real), so that no number below 1e20 is a mark there;
//! neither is 0, which is a value. A position of -999 is an error, not a missing position.

use crate::modality::{Modality, Survey};
use crate::survey::units::{MAGNITUDE, NANOMAGGY};

/// What a column holds, as far as marks differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// A spectroscopic redshift.
    Redshift,
    /// A magnitude.
    Magnitude,
    /// An extinction, a colour excess, an ellipticity, a size.
    Shape,
    /// A flux or a parallax.
    Signed,
}

impl Quantity {
    /// What a modality's own column holds.
    pub fn of(modality: &Modality) -> Quantity {
        let is_magnitude = modality.codec.ends_with("_mag");
        match (modality.survey, modality.unit) {
            (Survey::Any, _) => Quantity::Redshift,
            (Survey::Gaia, _) | (_, NANOMAGGY) => Quantity::Signed,
            (_, MAGNITUDE) if is_magnitude => Quantity::Magnitude,
            _ => Quantity::Shape,
        }
    }

    /// Whether a number as the column holds it stands for "no value".
    pub fn is_missing(self, value: f64) -> bool {
        const MARKS: [f64; 3] = [-99.0, -999.0, -9999.0];
        let unbounded = !value.is_finite() || value.abs() >= 1e20;
        unbounded
            || match self {
                Quantity::Redshift => value <= -1.0 || value >= 90.0,
                Quantity::Magnitude => value.abs() >= 90.0,
                Quantity::Shape => MARKS.contains(&value),
                Quantity::Signed => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modality::ModalityId;

    fn missing(key: &str, value: f64) -> bool {
        let id = ModalityId::from_key(key).expect("a key");
        Quantity::of(id.info()).is_missing(value)
    }

    #[test]
    fn marks_depend_on_the_quantity() {
        for mark in [-99.0, -999.0, -1.0, -9.0, 999.0, f64::INFINITY, 1e20] {
            assert!(missing("tok_z", mark), "{mark}");
        }
        for mark in [99.0, 99.99, -99.0, -9999.0, f64::NEG_INFINITY] {
            assert!(missing("tok_mag_g", mark), "{mark}");
        }
        for key in [
            "tok_ebv",
            "tok_a_g",
            "tok_shape11",
            "tok_shape_e1",
            "tok_shape_r",
        ] {
            assert!(missing(key, -99.0) && missing(key, -999.0), "{key}");
        }
        for key in ["tok_flux_w4", "tok_parallax", "tok_flux_g_gaia"] {
            assert!(missing(key, 1e30) && !missing(key, -99.0), "{key}");
        }
        for (key, value) in [("tok_z", -0.003), ("tok_z", 6.5), ("tok_mag_i", 28.0)] {
            assert!(!missing(key, value), "{key} {value}");
        }
        assert!(!missing("tok_ebv", 0.0));
    }
}
