//! Which surveys measured an object.

use std::ops::BitOr;

use super::draws::Draws;
use super::truth::{Class, Truth};
use aion_data::Survey;

/// r magnitudes between saturation and the faintest spectroscopic targets.
const SPECTROSCOPY: std::ops::Range<f64> = 14.0..21.6;
/// Faintest target of SDSS, r magnitude.
const SDSS_LIMIT: f64 = 19.3;

/// A set of surveys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage(u8);

impl Coverage {
    /// No survey.
    pub const NONE: Coverage = Coverage(0);
    /// Legacy Surveys image, photometry, catalogue and segmentation map.
    pub const LEGACY: Coverage = Coverage(1);
    /// HSC image, magnitudes, extinctions and moments.
    pub const HSC: Coverage = Coverage(2);
    /// SDSS spectrum and redshift.
    pub const SDSS: Coverage = Coverage(4);
    /// DESI spectrum and redshift.
    pub const DESI: Coverage = Coverage(8);
    /// Gaia fluxes, parallax and XP coefficients.
    pub const GAIA: Coverage = Coverage(16);
    /// All surveys.
    pub const ALL: Coverage = Coverage(31);

    /// The set of one survey; empty for one that is none of the five.
    pub const fn of(survey: Survey) -> Coverage {
        match survey {
            Survey::LegacySurvey => Coverage::LEGACY,
            Survey::Hsc => Coverage::HSC,
            Survey::Sdss => Coverage::SDSS,
            Survey::Desi => Coverage::DESI,
            Survey::Gaia => Coverage::GAIA,
            Survey::Any | Survey::Described(_) => Coverage::NONE,
        }
    }

    /// Which of the five a set of one is, from 0.
    pub(super) fn place(self) -> u64 {
        self.0.trailing_zeros().into()
    }

    /// The surveys of both sets.
    pub(super) const fn and(self, other: Coverage) -> Coverage {
        Coverage(self.0 & other.0)
    }

    /// Whether the sets share a survey.
    pub const fn intersects(self, other: Coverage) -> bool {
        self.0 & other.0 != 0
    }

    /// Draws overlaps like the surveys': images of galaxies, Gaia for stars, a spectrum for about half;
    /// SDSS looks only at bright objects. Every object is in at least one survey.
    pub(super) fn draw(truth: &Truth, draws: &mut Draws) -> Coverage {
        let spectrum = Coverage::draw_spectrum(truth, draws);
        let legacy = draws.chance(0.7);
        let hsc = draws.chance(0.3);
        match truth.class {
            Class::Star => Coverage::GAIA | spectrum,
            // The imaging samples leave out point sources.
            Class::Quasar => spectrum,
            Class::Galaxy => {
                let imaging = match (legacy, hsc) {
                    (true, true) => Coverage::LEGACY | Coverage::HSC,
                    (true, false) => Coverage::LEGACY,
                    (false, true) => Coverage::HSC,
                    (false, false) => Coverage::NONE,
                };
                match imaging | spectrum {
                    Coverage::NONE => Coverage::LEGACY,
                    found => found,
                }
            }
        }
    }

    fn draw_spectrum(truth: &Truth, draws: &mut Draws) -> Coverage {
        let observed = match truth.class {
            Class::Galaxy => 0.6,
            Class::Star => 0.4,
            Class::Quasar => 1.0,
        };
        let (looked, which) = (draws.chance(observed), draws.uniform(0.0, 1.0));
        let magnitude = truth.magnitude_r;
        if !looked || !SPECTROSCOPY.contains(&magnitude) {
            Coverage::NONE
        } else if magnitude > SDSS_LIMIT || which < 0.45 {
            Coverage::DESI
        } else if which < 0.9 {
            Coverage::SDSS
        } else {
            Coverage::SDSS | Coverage::DESI
        }
    }
}

impl BitOr for Coverage {
    type Output = Coverage;

    fn bitor(self, other: Coverage) -> Coverage {
        Coverage(self.0 | other.0)
    }
}
