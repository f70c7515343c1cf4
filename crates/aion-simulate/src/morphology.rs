//! Shapes of sources: an exponential disc and a de Vaucouleurs bulge as sums of Gaussians.
//!
//! The mixtures are Hogg & Lang's (2013): convolving with a Gaussian point-spread function then only
//! adds variances, and apertures and moments have closed forms.

use std::f64::consts::PI;

/// Weight and variance, in half-light radii squared, of an exponential disc's Gaussians.
const DISC: [(f64, f64); 6] = [
    (2.348_538_13e-3, 1.200_789_65e-3),
    (3.079_952_60e-2, 8.845_264_93e-3),
    (2.233_642_14e-1, 3.914_630_84e-2),
    (1.179_491_02, 1.399_768_17e-1),
    (4.338_737_50, 4.609_625_00e-1),
    (5.998_207_70, 1.501_595_66),
];

/// The same of a de Vaucouleurs bulge.
const BULGE: [(f64, f64); 8] = [
    (4.263_476_52e-2, 2.237_592_16e-4),
    (2.401_271_83e-1, 1.002_200_99e-3),
    (6.859_076_32e-1, 4.187_311_26e-3),
    (1.519_373_50, 1.694_325_89e-2),
    (2.836_272_43, 6.848_504_79e-2),
    (4.464_675_01, 2.872_070_80e-1),
    (5.724_408_30, 1.333_202_54),
    (5.609_893_49, 8.402_150_71),
];

/// Wavelength at which the bulge's share of the light is given, Angstrom.
const REFERENCE: f64 = 6400.0;

/// A Gaussian of a mixture: its share of the light and its variance along the major axis, arcsec2.
pub(super) type Component = (f64, f64);

/// Shape and orientation of a source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Morphology {
    /// Half-light radius along the major axis, arcsec; 0 for a point source.
    pub(super) half_light: f64,
    /// Minor over major axis.
    pub(super) axis_ratio: f64,
    /// Position angle of the major axis, from north to east, radian.
    pub(super) angle: f64,
    /// Share of the bulge in the light at 6400 Angstrom.
    pub(super) bulge: f64,
    /// Half-light radii of bulge and disc, arcsec.
    radii: (f64, f64),
}

fn mixture(table: &[(f64, f64)], share: f64, radius: f64) -> impl Iterator<Item = Component> {
    let total: f64 = table.iter().map(|(weight, _)| weight).sum();
    table
        .iter()
        .map(move |(weight, variance)| (share * weight / total, variance * radius * radius))
}

/// Light inside a circle, for circular components.
fn enclosed(components: impl Iterator<Item = Component>, radius: f64) -> f64 {
    components
        .map(|(share, variance)| share * (1.0 - (-0.5 * radius * radius / variance).exp()))
        .sum()
}

impl Morphology {
    /// A point source.
    pub(super) fn point() -> Self {
        Morphology {
            half_light: 0.0,
            axis_ratio: 1.0,
            angle: 0.0,
            bulge: 1.0,
            radii: (0.0, 0.0),
        }
    }

    /// A galaxy. Bulges are smaller than their discs unless they are all of the galaxy; both are
    /// scaled so that together they have the half-light radius asked for.
    pub(super) fn galaxy(half_light: f64, axis_ratio: f64, angle: f64, bulge: f64) -> Self {
        let relative = 0.25 + 0.75 * bulge * bulge;
        let mixed = || mixture(&BULGE, bulge, relative).chain(mixture(&DISC, 1.0 - bulge, 1.0));
        let (mut low, mut high) = (0.0, 4.0);
        for _ in 0..30 {
            let middle = 0.5 * (low + high);
            if enclosed(mixed(), middle) < 0.5 {
                low = middle;
            } else {
                high = middle;
            }
        }
        let disc = half_light / low;
        Morphology {
            half_light,
            axis_ratio,
            angle,
            bulge,
            radii: (disc * relative, disc),
        }
    }

    /// Whether the source has no extent.
    pub(super) fn is_point(&self) -> bool {
        self.half_light <= 0.0
    }

    /// Effective Sersic index: 1 for a pure disc, 4 for a pure bulge, linear in between.
    pub(super) fn sersic_index(&self) -> f64 {
        1.0 + 3.0 * self.bulge
    }

    /// The Gaussians at a wavelength (Angstrom): bulges are redder than discs.
    pub(super) fn components(&self, wavelength: f64) -> Vec<Component> {
        if self.is_point() {
            return vec![(1.0, 0.0)];
        }
        let odds = self.bulge / (1.0 - self.bulge).max(1e-6) * (wavelength / REFERENCE).powf(1.2);
        let bulge = odds / (1.0 + odds);
        mixture(&BULGE, bulge, self.radii.0)
            .chain(mixture(&DISC, 1.0 - bulge, self.radii.1))
            .collect()
    }

    /// Covariance (xx, xy, yy) of a component of unit variance, with x to the west and y to the
    /// north as in survey images.
    pub(super) fn unit_covariance(&self) -> (f64, f64, f64) {
        let (sin, cos) = self.angle.sin_cos();
        let minor = self.axis_ratio * self.axis_ratio;
        (
            sin * sin + minor * cos * cos,
            (minor - 1.0) * sin * cos,
            cos * cos + minor * sin * sin,
        )
    }

    /// The Legacy Surveys' ellipticity components: (1-q)/(1+q) times cosine and sine of twice the angle.
    pub(super) fn ellipticity(&self) -> (f64, f64) {
        let size = (1.0 - self.axis_ratio) / (1.0 + self.axis_ratio);
        let (sin, cos) = (2.0 * self.angle).sin_cos();
        (size * cos, size * sin)
    }

    /// Share of the light that enters a round aperture of `radius` arcsec behind a Gaussian
    /// point-spread function, with the source made round.
    pub(super) fn aperture(&self, radius: f64, psf_variance: f64) -> f64 {
        enclosed(
            self.components(REFERENCE)
                .into_iter()
                .map(|(share, variance)| (share, variance * self.axis_ratio + psf_variance)),
            radius,
        )
    }

    /// Second moments (11, 12, 22) weighted by the best-fitting Gaussian, arcsec2, as the `sdssshape`
    /// algorithm measures them on an image; 1 is along x, 2 along y.
    pub(super) fn adaptive_moments(&self, psf_variance: f64) -> (f64, f64, f64) {
        let minor = self.axis_ratio * self.axis_ratio;
        let components = self.components(REFERENCE);
        let mut moments = (psf_variance * 2.0, psf_variance * 2.0);
        for _ in 0..40 {
            let (mut norm, mut major_sum, mut minor_sum) = (0.0, 0.0, 0.0);
            for (share, variance) in &components {
                let a = variance + psf_variance;
                let b = variance * minor + psf_variance;
                let overlap = share / ((a + moments.0) * (b + moments.1)).sqrt();
                norm += overlap;
                major_sum += overlap * a * moments.0 / (a + moments.0);
                minor_sum += overlap * b * moments.1 / (b + moments.1);
            }
            moments = (2.0 * major_sum / norm, 2.0 * minor_sum / norm);
        }
        let (sin, cos) = self.angle.sin_cos();
        (
            moments.0 * sin * sin + moments.1 * cos * cos,
            (moments.1 - moments.0) * sin * cos,
            moments.0 * cos * cos + moments.1 * sin * sin,
        )
    }

    /// Area of the half-light ellipse, arcsec2.
    pub(super) fn area(&self) -> f64 {
        PI * self.half_light * self.half_light * self.axis_ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_light_is_inside_the_half_light_radius() {
        for bulge in [0.0, 0.3, 0.8, 1.0] {
            let galaxy = Morphology::galaxy(2.0, 1.0, 0.3, bulge);
            let share = galaxy.aperture(2.0, 1e-9);
            assert!((share - 0.5).abs() < 1e-3, "{bulge}: {share}");
        }
    }

    #[test]
    fn an_exponential_disc_has_its_profile() {
        // Exact: 1 - (1 + b x) exp(-b x) with b = 1.678.
        let disc = Morphology::galaxy(1.0, 1.0, 0.0, 0.0);
        for x in [0.3_f64, 1.0, 2.0] {
            let exact = 1.0 - (1.0 + 1.678 * x) * (-1.678 * x).exp();
            assert!((disc.aperture(x, 1e-9) - exact).abs() < 0.01, "{x}");
        }
    }

    #[test]
    fn moments_of_a_point_are_the_psf_s() {
        let (xx, xy, yy) = Morphology::point().adaptive_moments(0.09);
        assert!((xx - 0.09).abs() < 1e-4 && (yy - 0.09).abs() < 1e-4 && xy.abs() < 1e-9);
        let tall = Morphology::galaxy(1.5, 0.4, 0.0, 0.2);
        let (xx, _, yy) = tall.adaptive_moments(0.09);
        assert!(yy > 2.0 * xx);
    }
}
