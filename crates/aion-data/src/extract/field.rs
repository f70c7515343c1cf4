//! Fields: the images of one piece of sky in several bands, on one grid, and which of them holds a
//! position.

use std::path::PathBuf;

use crate::format::fits_sky::SkyMap;
use crate::modality::Survey;
use crate::sky::ARCSEC;
use crate::survey::cutout::Flags;

/// A two-dimensional image in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The FITS file.
    pub path: PathBuf,
    /// The HDU in it.
    pub hdu: usize,
}

/// What says how well the pixels of an image are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weight {
    /// Inverse variances.
    InverseVariance(Layer),
    /// Variances; not positive where there is no measurement.
    Variance(Layer),
}

/// What says which pixels are bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// The bits.
    pub layer: Layer,
    /// The bits that make a pixel bad; none where the file does not name them.
    pub bad: Option<i64>,
    /// Whether the bits of the object's own pixel travel with it.
    pub carried: bool,
}

/// The image of a field in one band.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    /// The codec's name of the band.
    pub band: String,
    /// From the pixels' unit to the modality's.
    pub factor: f32,
    /// The fluxes.
    pub flux: Layer,
    /// How well they are known.
    pub weight: Option<Weight>,
    /// Which of them are bad.
    pub mask: Option<Mask>,
}

/// The images of one piece of sky.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the survey.
    pub name: String,
    /// The survey.
    pub survey: Survey,
    /// The bands in the order of wavelength, all of one size.
    pub planes: Vec<Plane>,
    /// Bands that are wanted and not there.
    pub missing: Vec<String>,
    /// Pixels along y.
    pub height: usize,
    /// Pixels along x.
    pub width: usize,
    /// Where the pixels lie.
    pub sky: SkyMap,
    /// What its WCS says, as flags of the objects.
    pub flags: Flags,
}

/// Many fields, ready to be searched.
#[derive(Debug, Default)]
pub struct Fields {
    /// By declination of the centre.
    fields: Vec<(f64, Field)>,
    /// The largest distance of a corner from its field's centre, degrees.
    radius: f64,
}

impl Fields {
    /// Fields in any order. One whose projection does not reach its own centre is left out, since it
    /// holds no position.
    pub fn new(fields: Vec<Field>) -> Self {
        let mut radius: f64 = 0.0;
        let mut sorted = Vec::new();
        for field in fields {
            let Some(patch) = field.sky.patch(field.height, field.width) else {
                continue;
            };
            let [x, y] = patch.pixel_scale;
            let diagonal = (x * field.width as f64).hypot(y * field.height as f64);
            // A little more, because a projection stretches towards the corners.
            radius = radius.max(0.51 * diagonal / 3600.0);
            sorted.push((patch.dec, field));
        }
        sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Fields {
            fields: sorted,
            radius,
        }
    }

    /// The fields, from south to north.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().map(|(_, field)| field)
    }

    /// The field with this index.
    pub fn get(&self, index: usize) -> Option<&Field> {
        self.fields.get(index).map(|(_, field)| field)
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field that holds a position farthest from its edges, its index, and the pixel `(x, y)`.
    /// Where fields overlap all of them hold it; of equal ones the southern is taken.
    pub fn find(&self, ra: f64, dec: f64) -> Option<(usize, &Field, (f64, f64))> {
        let first = self
            .fields
            .partition_point(|(south, _)| *south < dec - self.radius);
        let near = self.fields.iter().enumerate().skip(first);
        let near = near.take_while(|(_, (north, _))| *north <= dec + self.radius);
        let mut best: Option<(f64, usize)> = None;
        for (index, (_, field)) in near {
            let Some((x, y)) = field.sky.pixel(ra, dec) else {
                continue;
            };
            let margins = [
                x + 0.5,
                y + 0.5,
                field.width as f64 - 0.5 - x,
                field.height as f64 - 0.5 - y,
            ];
            let margin = margins.into_iter().fold(f64::INFINITY, f64::min);
            if margin >= 0.0 && best.is_none_or(|(largest, _)| margin > largest) {
                best = Some((margin, index));
            }
        }
        let (_, index) = best?;
        let field = self.get(index)?;
        let (x, y) = field.sky.pixel(ra, dec)?;
        // A projection may give pixels to the far side of the sky too.
        let (back_ra, back_dec) = field.sky.sky(x, y)?;
        let apart = crate::sky::separation(
            crate::sky::unit_vector(ra, dec),
            crate::sky::unit_vector(back_ra, back_dec),
        );
        (apart * ARCSEC < 0.1).then_some((index, field, (x, y)))
    }
}
