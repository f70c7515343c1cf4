//! Coadded images: sources through the point-spread function, sky and photon noise.

use super::draws::{Draws, NORMAL};
use super::passband::Passband;
use super::scene::{Scene, SceneSource};
use aion_data::observation::Image;

/// Pixels along a side of every image.
pub(super) const SIZE: usize = 96;
/// Pixel of the field's centre.
pub(super) const CENTRE: f64 = 48.0;
/// Full width at half maximum over sigma of a Gaussian core with the wing below.
const FWHM_PER_SIGMA: f64 = 2.43;
/// The wing of the point-spread function: its share, and its variance over the core's.
const WING: (f64, f64) = (0.2, 4.5);

/// One filter of a camera.
pub(super) struct CameraBand {
    pub(super) name: &'static str,
    pub(super) passband: Passband,
    /// Typical seeing, full width at half maximum, arcsec.
    pub(super) seeing: f64,
    /// 5-sigma depth for point sources, AB mag.
    pub(super) depth: f64,
}

/// A camera and its survey's coadds.
pub(super) struct Camera {
    /// Arcsec a pixel.
    pub(super) pixel: f64,
    /// Image units for a nanomaggy.
    pub(super) unit: f64,
    /// Detected electrons for a nanomaggy over the whole exposure.
    pub(super) electrons: f64,
    pub(super) bands: &'static [CameraBand],
}

/// The variance of the core of the point-spread function, arcsec2.
pub(super) fn psf_variance(seeing: f64) -> f64 {
    (seeing / FWHM_PER_SIGMA).powi(2)
}

/// The variance of the Gaussian that stands for the whole point-spread function, arcsec2.
pub(super) fn effective_psf_variance(seeing: f64) -> f64 {
    psf_variance(seeing) * (1.0 + WING.0 * (WING.1 - 1.0))
}

/// One-sigma error of a point source's flux at a 5-sigma depth in AB mag, nanomaggies.
fn point_error(depth: f64) -> f64 {
    10f64.powf(0.4 * (22.5 - depth)) / 5.0
}

impl CameraBand {
    /// One-sigma error of a point source's flux, nanomaggies.
    pub(super) fn point_error(&self) -> f64 {
        point_error(self.depth)
    }

    /// One-sigma error of a source's flux: sky over its extent, photons, and half a percent of
    /// calibration; nanomaggies.
    pub(super) fn flux_error(&self, source: &SceneSource, electrons: f64) -> f64 {
        let psf_area = 4.0 * std::f64::consts::PI * effective_psf_variance(self.seeing);
        let extent = 1.0 + 2.0 * source.morphology.area() / psf_area;
        let flux = source.flux(self.passband);
        (self.point_error().powi(2) * extent + flux / electrons + (0.005 * flux).powi(2)).sqrt()
    }
}

/// Where a source falls on pixels of so many arcsec, (column, row).
fn place(source: &SceneSource, pixel: f64) -> (f64, f64) {
    (CENTRE + source.x / pixel, CENTRE + source.y / pixel)
}

impl Camera {
    /// Where a source falls, (column, row) in pixels.
    pub(super) fn place(&self, source: &SceneSource) -> (f64, f64) {
        place(source, self.pixel)
    }

    /// Takes the picture, with noise and its inverse variance.
    pub(super) fn expose(&self, scene: &Scene, draws: &mut Draws) -> Image {
        let planes = self.bands.iter().map(|band| {
            let exposure = Exposure {
                pixel: self.pixel,
                unit: self.unit,
                electrons: self.electrons,
                seeing: band.seeing,
                depth: band.depth,
                wavelength: band.passband.centre(),
            };
            let fluxes = scene.sources.iter().map(|s| s.flux(band.passband));
            (band.name, exposure.take(scene, fluxes, draws))
        });
        image(planes)
    }

    /// Passes over the random numbers of [`Camera::expose`].
    pub(super) fn skip_exposure(&self, draws: &mut Draws) {
        let pairs = (SIZE * SIZE).div_ceil(2) as u64;
        let seeing_and_sky = 2;
        draws.skip(self.bands.len() as u64 * NORMAL * (seeing_and_sky + pairs));
    }
}

/// An image of planes with their variances.
pub(super) fn image<'a>(planes: impl Iterator<Item = (&'a str, Plane)>) -> Image {
    let (mut bands, mut flux, mut ivar) = (Vec::new(), Vec::new(), Vec::new());
    for (name, (plane, variance)) in planes {
        bands.push(name.to_owned());
        flux.extend(plane);
        ivar.extend(variance.iter().map(|v| 1.0 / v));
    }
    Image {
        bands,
        height: SIZE,
        width: SIZE,
        flux,
        ivar: Some(ivar),
    }
}

/// Flux of every pixel and its variance, in the image's unit.
pub(super) type Plane = (Vec<f32>, Vec<f32>);

/// What a picture in one band depends on, beside the sources.
pub(super) struct Exposure {
    /// Arcsec a pixel.
    pub(super) pixel: f64,
    /// Image units for a nanomaggy.
    pub(super) unit: f64,
    /// Detected electrons for a nanomaggy over the whole exposure.
    pub(super) electrons: f64,
    /// Typical seeing, full width at half maximum, arcsec.
    pub(super) seeing: f64,
    /// 5-sigma depth for point sources, AB mag.
    pub(super) depth: f64,
    /// The middle of the passband, Angstrom.
    pub(super) wavelength: f64,
}

impl Exposure {
    /// One band, with the sources' fluxes in nanomaggies.
    pub(super) fn take(
        &self,
        scene: &Scene,
        fluxes: impl Iterator<Item = f64>,
        draws: &mut Draws,
    ) -> Plane {
        let seeing = self.seeing * draws.log_normal(1.0, 0.07);
        let sky = self.sky_sigma() * draws.log_normal(1.0, 0.15);
        let mut plane = vec![0.0_f32; SIZE * SIZE];
        for (source, flux) in scene.sources.iter().zip(fluxes) {
            self.draw_source(source, flux, seeing, &mut plane);
        }
        let unit = self.unit;
        let variance: Vec<f32> = plane
            .iter()
            .map(|f| ((sky * sky + f64::from(*f) / self.electrons) * unit * unit) as f32)
            .collect();
        plane.iter_mut().for_each(|f| *f *= unit as f32);
        draws.add_noise(&mut plane, &variance);
        (plane, variance)
    }

    /// Standard deviation of the sky in a pixel, nanomaggies.
    fn sky_sigma(&self) -> f64 {
        let psf_area = 4.0 * std::f64::consts::PI * effective_psf_variance(self.seeing);
        let pixels = psf_area / self.pixel.powi(2);
        point_error(self.depth) / pixels.sqrt()
    }

    /// Adds a source, in nanomaggies. A component much wider than the point-spread function is
    /// convolved with the single Gaussian that stands for it.
    fn draw_source(&self, source: &SceneSource, flux: f64, seeing: f64, plane: &mut [f32]) {
        let core = psf_variance(seeing);
        let effective = effective_psf_variance(seeing);
        let (xx, xy, yy) = source.morphology.unit_covariance();
        let minor = source.morphology.axis_ratio.powi(2);
        let centre = place(source, self.pixel);
        let scale = self.pixel.powi(-2);
        for (share, variance) in source.morphology.components(self.wavelength) {
            let mut add = |share: f64, psf: f64| {
                Gaussian {
                    centre,
                    flux: flux * share,
                    xx: (variance * xx + psf) * scale,
                    xy: variance * xy * scale,
                    yy: (variance * yy + psf) * scale,
                }
                .add_to(plane);
            };
            if variance * minor > 6.0 * core {
                add(share, effective);
            } else {
                add(share * (1.0 - WING.0), core);
                add(share * WING.0, core * WING.1);
            }
        }
    }
}

/// An elliptical Gaussian on the pixel grid.
struct Gaussian {
    centre: (f64, f64),
    flux: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Gaussian {
    /// Adds the Gaussian out to five sigma. Along a row neighbouring values differ by a factor that
    /// itself changes by a constant factor, so a pixel costs two multiplications.
    fn add_to(&self, plane: &mut [f32]) {
        let determinant = self.xx * self.yy - self.xy * self.xy;
        let (a, b, c) = (
            self.yy / determinant,
            -self.xy / determinant,
            self.xx / determinant,
        );
        let peak = self.flux / (std::f64::consts::TAU * determinant.sqrt());
        let bound = |centre: f64, variance: f64| {
            let reach = 5.0 * variance.sqrt();
            let low = (centre - reach).ceil().max(0.0) as usize;
            let high = (centre + reach + 1.0).floor().max(0.0) as usize;
            low.min(SIZE)..high.min(SIZE)
        };
        let columns = bound(self.centre.0, self.xx);
        let change = (-a).exp();
        for row in bound(self.centre.1, self.yy) {
            let dy = row as f64 - self.centre.1;
            let dx = columns.start as f64 - self.centre.0;
            let exponent = -0.5 * (a * dx * dx + 2.0 * b * dx * dy + c * dy * dy);
            let mut value = peak * exponent.exp();
            let mut factor = (-0.5 * a * (2.0 * dx + 1.0) - b * dy).exp();
            let row_start = row * SIZE;
            for pixel in &mut plane[row_start + columns.start..row_start + columns.end] {
                *pixel += value as f32;
                value *= factor;
                factor *= change;
            }
        }
    }
}
