//! Stamps of objects out of images that are larger than memory should hold: the positions of a
//! catalogue decide where to cut, its measurements join the pixels.
//!
//! **Geometry.** A stamp is a square of `size` pixels of the image as it is, nothing is resampled.
//! Of all such squares it is the one whose centre lies nearest to the position: with the position at
//! the pixel `(x, y)`, counted from 0 at the centre of the first pixel, the stamp begins at
//! `ceil(x - size/2)`, as astropy's `Cutout2D` does, so the position is at most half a pixel off the
//! stamp's centre `(size - 1)/2`. The Multimodal Universe's own stamps begin one pixel further
//! right and up, because its script counts from 1 where the cutter counts from 0.
//!
//! **Memory.** Positions are taken in chunks, and of an image only the blocks are decoded that the
//! stamps of a chunk touch, so what is held depends on the size of the stamps and not on the
//! catalogue or the images. Objects come out in the order of the catalogue.

mod blocks;
mod field;
mod plane;

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

pub use field::{Field, Fields, Layer, Mask, Plane, Weight};

use crate::error::{DataError, Place, Problem, Result, Uncovered};
use crate::modality::ModalityId;
use crate::observation::{Image, Object};
use crate::reader::{self, Objects, ReadOptions};
use crate::survey::cutout::{self, Cutout, Masked};
use plane::{Corner, PlaneStamp, cut};

/// Bytes of stamps that a chunk may take.
const CHUNK_BYTES: usize = 128 << 20;
/// Positions of a chunk.
const CHUNK_LENGTH: usize = 1024;

/// The objects of a catalogue of any format, which need not hold more than positions. Their
/// positions count as measurements only where `options` say so.
///
/// Errors: as [`crate::reader::read`].
pub fn catalogue(path: &Path, options: &ReadOptions) -> Result<Objects> {
    let with_position = ReadOptions {
        with_position: true,
        ..options.clone()
    };
    let objects = reader::read(path, &with_position)?;
    let keep = options.with_position;
    Ok(Box::new(objects.map(move |object| {
        let mut object = object?;
        if !keep {
            let is_position = |id: &ModalityId| id.info().is_position();
            object.measurements.retain(|id, _| !is_position(id));
        }
        Ok(object)
    })))
}

/// The objects of a catalogue with stamps of `size` pixels a side, cut out of `fields`.
///
/// An error stands for one object: whatever the catalogue's reader says of it, no position,
/// [`Problem::NotCovered`] where no field holds the position, an edge cuts the stamp, or a band
/// has no data in it, and damaged pixels.
pub fn stamps(objects: Objects, fields: Fields, size: usize) -> Objects {
    let planes = fields.iter().map(|field| field.planes.len()).max();
    let bytes = size * size * planes.unwrap_or(1).max(1) * 8;
    let chunk = (CHUNK_BYTES / bytes.max(1)).clamp(1, CHUNK_LENGTH);
    Box::new(Stamps {
        objects,
        fields,
        size,
        chunk,
        ready: Vec::new().into_iter(),
    })
}

struct Stamps {
    objects: Objects,
    fields: Fields,
    size: usize,
    chunk: usize,
    ready: std::vec::IntoIter<Result<Object>>,
}

impl Iterator for Stamps {
    type Item = Result<Object>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(object) = self.ready.next() {
            return Some(object);
        }
        let chunk: Vec<Result<Object>> = self.objects.by_ref().take(self.chunk).collect();
        self.ready = cut_chunk(chunk, &self.fields, self.size).into_iter();
        self.ready.next()
    }
}

/// Cuts the stamps of some objects, which stay in order.
fn cut_chunk(chunk: Vec<Result<Object>>, fields: &Fields, size: usize) -> Vec<Result<Object>> {
    let mut done: BTreeMap<usize, Result<Object>> = BTreeMap::new();
    let mut by_field: BTreeMap<usize, Vec<(usize, Object, Corner)>> = BTreeMap::new();
    for (slot, object) in chunk.into_iter().enumerate() {
        let placed = object.and_then(|object| {
            let placed = place(&object, fields, size);
            let (field, corner) = placed.map_err(|error| error.in_object(&object.id))?;
            Ok((field, object, corner))
        });
        match placed {
            Ok((field, object, corner)) => {
                by_field
                    .entry(field)
                    .or_default()
                    .push((slot, object, corner));
            }
            Err(error) => {
                done.insert(slot, Err(error));
            }
        }
    }
    for (field, mut objects) in by_field {
        let Some(field) = fields.get(field) else {
            continue;
        };
        // From top to bottom, so that blocks above a stamp are needed no more.
        objects.sort_by_key(|(_, _, corner)| (corner.top, corner.left));
        let corners: Vec<Corner> = objects.iter().map(|(_, _, corner)| *corner).collect();
        let planes: Vec<Vec<Result<PlaneStamp>>> = field
            .planes
            .par_iter()
            .map(|plane| cut(plane, field, &corners, size))
            .collect();
        let mut planes: Vec<_> = planes.into_iter().map(Vec::into_iter).collect();
        for (slot, object, _) in objects {
            let stamps: Option<Vec<_>> = planes.iter_mut().map(Iterator::next).collect();
            let id = object.id.clone();
            let whole = joined(object, field, stamps.unwrap_or_default(), size);
            done.insert(slot, whole.map_err(|error| error.in_object(&id)));
        }
    }
    done.into_values().collect()
}

/// The field that holds an object, and the corner of its stamp.
fn place(object: &Object, fields: &Fields, size: usize) -> Result<(usize, Corner)> {
    let fail = |problem| Err(DataError::new(Place::field("position"), problem));
    let Some((ra, dec)) = object.ra.zip(object.dec) else {
        let what = "position: a right ascension and a declination";
        return fail(Problem::Missing(what.into()));
    };
    let Some((index, field, (x, y))) = fields.find(ra, dec) else {
        let what = format!("no image holds the position {ra}, {dec}");
        let kind = Uncovered::Outside;
        return fail(Problem::NotCovered { kind, what });
    };
    if let Some(missing) = field.missing.first() {
        let what = format!("{} has no image in the band {missing}", field.name);
        let kind = Uncovered::Band;
        return fail(Problem::NotCovered { kind, what });
    }
    let begin = |position: f64, length: usize| {
        let begin = (position - size as f64 / 2.0).ceil();
        let inside = begin >= 0.0 && begin + size as f64 <= length as f64;
        inside.then_some(begin as usize)
    };
    let corner = begin(y, field.height).zip(begin(x, field.width));
    let Some((top, left)) = corner else {
        let what = format!(
            "the edge of {} cuts the stamp of {size} pixels around its pixel {x:.0}, {y:.0}",
            field.name
        );
        let kind = Uncovered::Edge;
        return fail(Problem::NotCovered { kind, what });
    };
    let within = |position: f64, begin: usize| (position.round() as usize).saturating_sub(begin);
    Ok((
        index,
        Corner {
            top,
            left,
            row: within(y, top),
            column: within(x, left),
        },
    ))
}

/// An object with the planes of its stamp.
fn joined(
    mut object: Object,
    field: &Field,
    planes: Vec<Result<PlaneStamp>>,
    size: usize,
) -> Result<Object> {
    let mut image = Image {
        bands: Vec::new(),
        height: size,
        width: size,
        flux: Vec::new(),
        ivar: Some(Vec::new()),
    };
    let mut masks = Vec::new();
    for (plane, stamp) in field.planes.iter().zip(planes) {
        let stamp = stamp?;
        if !stamp.observed {
            let what = format!("{} has no data in {} there", field.name, plane.band);
            let place = Place::file(&plane.flux.path).with_field("position");
            let kind = Uncovered::NoData;
            return Err(DataError::new(place, Problem::NotCovered { kind, what }));
        }
        masks.push(stamp.mask);
        image.bands.push(plane.band.clone());
        image.flux.extend(stamp.flux);
        image.ivar = image.ivar.take().zip(stamp.ivar).map(|(mut all, ivar)| {
            all.extend(ivar);
            all
        });
        if let Some(bits) = stamp.bits {
            // A catalogue's own column says the same of the object, and stays.
            let flags = &mut object.flags;
            let known = |name: &String| name.eq_ignore_ascii_case(cutout::MASK_BITS);
            if !flags.keys().any(known) {
                flags.insert(cutout::MASK_BITS.into(), bits.to_string());
            }
        }
    }
    object
        .flags
        .insert(cutout::BRICK.into(), field.name.clone());
    object.flags.extend(field.flags.clone());
    let mask = masks.into_iter().reduce(Masked::of_both).flatten();
    cutout::insert(&mut object, field.survey, Cutout { image, mask });
    Ok(object)
}
