//! Stamps of one band: fluxes, their inverse variances, and what the mask says.

use std::collections::BTreeMap;
use std::path::Path;

use super::blocks::Blocks;
use super::field::{Field, Layer, Plane, Weight};
use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::survey::cutout::{self, Masked};

/// Where a stamp begins, and where its object lies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corner {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Row of the object's pixel, counted from `top`.
    pub row: usize,
    /// Column of the object's pixel, counted from `left`.
    pub column: usize,
}

/// One band of a stamp.
pub struct PlaneStamp {
    /// Fluxes in the modality's unit.
    pub flux: Vec<f32>,
    /// Their inverse variances; 0 where the mask calls a pixel bad.
    pub ivar: Option<Vec<f32>>,
    /// What the mask says.
    pub mask: Option<Masked>,
    /// The mask's bits at the object, where they are carried.
    pub bits: Option<i64>,
    /// Whether any pixel was observed.
    pub observed: bool,
}

/// The stamps of a plane at these corners, which run from top to bottom.
pub fn cut(
    plane: &Plane,
    field: &Field,
    corners: &[Corner],
    size: usize,
) -> Vec<Result<PlaneStamp>> {
    let mut cutter = match Cutter::open(plane, field) {
        Ok(cutter) => cutter,
        Err(error) => return corners.iter().map(|_| Err(same(&error))).collect(),
    };
    let stamp = |&corner: &Corner| cutter.stamp(plane, corner, size);
    corners.iter().map(stamp).collect()
}

/// One more error like this one, for another object of the same file.
fn same(error: &DataError) -> DataError {
    let problem = match &error.problem {
        Problem::Io(io) => Problem::Io(std::io::Error::new(io.kind(), io.to_string())),
        other => Problem::Values(other.to_string()),
    };
    DataError::new(error.place.clone(), problem)
}

/// The files of a plane and their blocks.
struct Cutter<'a> {
    files: BTreeMap<&'a Path, FitsFile>,
    flux: Blocks<f32>,
    weight: Option<Blocks<f32>>,
    mask: Option<(Blocks<i64>, i64)>,
}

impl<'a> Cutter<'a> {
    fn open(plane: &'a Plane, field: &Field) -> Result<Self> {
        let mut files = BTreeMap::new();
        let image = [field.height, field.width];
        let pixels = FitsFile::pixels_in;
        let flux = Blocks::new(
            open(&mut files, &plane.flux)?,
            plane.flux.hdu,
            image,
            pixels,
        );
        let weight =
            match &plane.weight {
                Some(Weight::InverseVariance(layer) | Weight::Variance(layer)) => Some(
                    Blocks::new(open(&mut files, layer)?, layer.hdu, image, pixels),
                ),
                None => None,
            };
        let mask = match plane.mask.as_ref().and_then(|mask| Some((mask, mask.bad?))) {
            Some((mask, bad)) => {
                let file = open(&mut files, &mask.layer)?;
                let bits: fn(&mut FitsFile, usize, &[_]) -> _ =
                    |file, hdu, part| file.bits(hdu, Some(part));
                Some((Blocks::new(file, mask.layer.hdu, image, bits), bad))
            }
            None => None,
        };
        Ok(Cutter {
            files,
            flux,
            weight,
            mask,
        })
    }

    fn stamp(&mut self, plane: &'a Plane, corner: Corner, size: usize) -> Result<PlaneStamp> {
        let at = [corner.top, corner.left];
        let files = &mut self.files;
        let mut flux = self.flux.stamp(open(files, &plane.flux)?, at, size)?;
        let mut ivar = None;
        if let (Some(blocks), Some(weight)) = (&mut self.weight, &plane.weight) {
            let (Weight::InverseVariance(layer) | Weight::Variance(layer)) = weight;
            let mut values = blocks.stamp(open(files, layer)?, at, size)?;
            if matches!(weight, Weight::Variance(_)) {
                cutout::invert(&mut values);
            }
            ivar = Some(values);
        }
        // Where a survey has no data, its coadds are 0 or NaN and their inverse variance is 0.
        let observed = match &ivar {
            Some(ivar) => {
                let mut pixels = flux.iter().zip(ivar);
                pixels.any(|(flux, &ivar)| flux.is_finite() && ivar > 0.0)
            }
            None => flux.iter().any(|&flux| flux.is_finite() && flux != 0.0),
        };
        let mut said = plane.mask.as_ref().map(|_| Masked::Unknown);
        let mut carried = None;
        if let (Some((blocks, bad)), Some(mask)) = (&mut self.mask, &plane.mask) {
            let bits = blocks.stamp(open(files, &mask.layer)?, at, size)?;
            said = Some(Masked::Pixels(cutout::blank(
                &bits,
                *bad,
                ivar.as_deref_mut(),
            )));
            let own = bits.get(corner.row * size + corner.column).copied();
            carried = own.filter(|_| mask.carried);
        }
        let factor = plane.factor;
        flux.iter_mut().for_each(|flux| *flux *= factor);
        let ivar = ivar.map(|mut ivar| {
            ivar.iter_mut().for_each(|ivar| *ivar /= factor * factor);
            ivar
        });
        Ok(PlaneStamp {
            flux,
            ivar,
            mask: said,
            bits: carried,
            observed,
        })
    }
}

/// The open file of a layer.
fn open<'f, 'a>(
    files: &'f mut BTreeMap<&'a Path, FitsFile>,
    layer: &'a Layer,
) -> Result<&'f mut FitsFile> {
    use std::collections::btree_map::Entry;
    Ok(match files.entry(layer.path.as_path()) {
        Entry::Occupied(open) => open.into_mut(),
        Entry::Vacant(new) => new.insert(FitsFile::open(&layer.path)?),
    })
}
