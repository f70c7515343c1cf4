//! Where the pixels of a FITS image lie on the sky: its celestial WCS (FITS standard 4.0, section 8).

use fits_well::wcs::Wcs;

use crate::format::fits::FitsFile;
use crate::sky::{ARCSEC, separation, unit_vector};

/// The way between pixels and sky positions. Pixels are counted from 0 at the centre of the first;
/// x runs along the fastest axis. Positions are right ascension and declination, degrees.
#[derive(Debug, Clone)]
pub struct SkyMap {
    wcs: Wcs,
    longitude: usize,
    latitude: usize,
}

/// Where an image looks on the sky.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkyPatch {
    /// Right ascension of the centre, degrees.
    pub ra: f64,
    /// Declination of the centre, degrees.
    pub dec: f64,
    /// Arcseconds per pixel along x and along y, at the centre.
    pub pixel_scale: [f64; 2],
    /// Whether y runs to the north and x to the west, as images of the sky do; within 90 degrees.
    pub north_up: bool,
}

impl SkyMap {
    /// Sky positions of the image's pixels, which may lie in planes.
    pub fn sky(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let world = self.world(x, y)?;
        let (ra, dec) = (*world.get(self.longitude)?, *world.get(self.latitude)?);
        Some((ra.rem_euclid(360.0), dec))
    }

    /// The pixel at a position; `None` where the projection does not reach it.
    pub fn pixel(&self, ra: f64, dec: f64) -> Option<(f64, f64)> {
        // What the other axes of a cube say does not depend on the position.
        let mut world = self.world(0.0, 0.0)?;
        *world.get_mut(self.longitude)? = ra;
        *world.get_mut(self.latitude)? = dec;
        let mut pixel = vec![0.0; world.len()];
        self.wcs.world_to_pixel(&world, &mut pixel).ok()?;
        let (x, y) = (*pixel.first()? - 1.0, *pixel.get(1)? - 1.0);
        (x.is_finite() && y.is_finite()).then_some((x, y))
    }

    /// Centre, scale and orientation of an image of this size.
    pub fn patch(&self, height: usize, width: usize) -> Option<SkyPatch> {
        let (x, y) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
        let (ra, dec) = self.sky(x, y)?;
        let step = |(ra2, dec2): (f64, f64)| {
            separation(unit_vector(ra, dec), unit_vector(ra2, dec2)) * ARCSEC
        };
        let (right, up) = (self.sky(x + 1.0, y)?, self.sky(x, y + 1.0)?);
        let east = (right.0 - ra + 180.0).rem_euclid(360.0) - 180.0;
        Some(SkyPatch {
            ra,
            dec,
            pixel_scale: [step(right), step(up)],
            north_up: up.1 > dec && east < 0.0,
        })
    }

    fn world(&self, x: f64, y: f64) -> Option<Vec<f64>> {
        let axes = self.wcs.description().axes.len();
        let mut pixel = vec![1.0; axes];
        *pixel.get_mut(0)? = x + 1.0;
        *pixel.get_mut(1)? = y + 1.0;
        let mut world = vec![0.0; axes];
        self.wcs.pixel_to_world(&pixel, &mut world).ok()?;
        world.iter().all(|value| value.is_finite()).then_some(world)
    }
}

impl FitsFile {
    /// Where the pixels of an image, or of a cube of images, lie on the sky; `None` without a
    /// usable WCS in right ascension and declination.
    pub fn sky_map(&self, hdu: usize) -> Option<SkyMap> {
        let dimensions = self.shape(hdu)?.len();
        let mut header = self.hdu(hdu)?.header.clone();
        // Cubes of bands describe the sky along two axes only, often without saying so.
        if dimensions > 2 && !header.contains("WCSAXES").ok()? {
            header.set("WCSAXES", 2i64).ok()?;
        }
        let wcs = Wcs::from_header(&header, None).ok()?;
        let description = wcs.description();
        let celestial = description.celestial_projection?;
        let (longitude, latitude) = (celestial.longitude_axis, celestial.latitude_axis);
        let equatorial = description.axes.get(longitude)?.ctype.starts_with("RA");
        equatorial.then_some(SkyMap {
            wcs,
            longitude,
            latitude,
        })
    }

    /// Where the image in an HDU looks; `None` without a usable WCS.
    pub fn sky(&self, hdu: usize) -> Option<SkyPatch> {
        let shape = self.shape(hdu)?;
        let [.., height, width] = *shape.as_slice() else {
            return None;
        };
        self.sky_map(hdu)?.patch(height, width)
    }
}
