//! Measurements that are arrays, as nested columns of Arrow.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float32Builder, ListBuilder, NullBufferBuilder, StringBuilder,
};
use arrow_array::{ArrayRef, StructArray};
use arrow_schema::{DataType, Field, Fields};

use crate::modality::{Kind, ModalityId};
use crate::observation::{Image, Measurement, Object, ScalarField, Source, Spectrum};
use crate::survey::universe_columns::{
    CATALOG, CATALOG_OFFSET, COEFFICIENTS, image, pixel_scale, spectrum,
};

/// The items of lists are never null. Named as Parquet names them.
fn item(kind: DataType) -> Field {
    Field::new("element", kind, false)
}

fn list_of(kind: DataType) -> DataType {
    DataType::List(Arc::new(item(kind)))
}

/// Rows of pixels.
fn plane_of(kind: DataType) -> DataType {
    list_of(list_of(kind))
}

fn list<B: ArrayBuilder>(values: B, kind: DataType) -> ListBuilder<B> {
    ListBuilder::new(values).with_field(item(kind))
}

fn numbers() -> ListBuilder<Float32Builder> {
    list(Float32Builder::new(), DataType::Float32)
}

fn switches() -> ListBuilder<BooleanBuilder> {
    list(BooleanBuilder::new(), DataType::Boolean)
}

fn fields(named: &[(&str, DataType)]) -> Fields {
    named
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), false))
        .collect()
}

fn image_fields() -> Fields {
    let f32s = DataType::Float32;
    let planes = list_of(plane_of(f32s.clone()));
    let mut all = fields(&[
        (image::BAND, list_of(DataType::Utf8)),
        (image::FLUX, planes.clone()),
        (image::IVAR, planes),
        (image::MASK, list_of(plane_of(DataType::Boolean))),
        (image::SCALE, list_of(f32s)),
    ])
    .to_vec();
    // Not every image has an inverse variance.
    all[2] = Arc::new(all[2].as_ref().clone().with_nullable(true));
    all.into()
}

fn spectrum_fields() -> Fields {
    let f32s = list_of(DataType::Float32);
    fields(&[
        (spectrum::FLUX, f32s.clone()),
        (spectrum::IVAR, f32s.clone()),
        (spectrum::WAVELENGTH, f32s),
        (spectrum::MASK, list_of(DataType::Boolean)),
    ])
}

fn catalog_fields() -> Fields {
    fields(&CATALOG.map(|name| (name, list_of(DataType::Float32))))
}

fn coefficient_fields() -> Fields {
    fields(&[(COEFFICIENTS, list_of(DataType::Float32))])
}

/// The type of a kind's column; numbers have their own.
pub(super) fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Image => DataType::Struct(image_fields()),
        Kind::Spectrum => DataType::Struct(spectrum_fields()),
        Kind::Catalog => DataType::Struct(catalog_fields()),
        Kind::Coefficients => DataType::Struct(coefficient_fields()),
        Kind::ScalarField => plane_of(DataType::Float32),
        Kind::Scalar => DataType::Float32,
    }
}

/// The cells of a kind's column, checked objects only.
pub(super) fn array(kind: Kind, modalities: &[ModalityId], objects: &[&Object]) -> ArrayRef {
    let Some(&id) = modalities.first() else {
        return arrow_array::new_null_array(&data_type(kind), objects.len());
    };
    let found = objects.iter().map(|object| object.get(id));
    match kind {
        Kind::Image => images(id, found),
        Kind::Spectrum => spectra(found),
        Kind::Catalog => catalogs(found),
        Kind::Coefficients => coefficients(modalities, objects),
        Kind::ScalarField => maps(found),
        Kind::Scalar => arrow_array::new_null_array(&data_type(kind), objects.len()),
    }
}

fn structs(fields: Fields, arrays: Vec<ArrayRef>, mut present: NullBufferBuilder) -> ArrayRef {
    Arc::new(StructArray::new(fields, arrays, present.finish()))
}

fn images<'a>(
    id: ModalityId,
    found: impl ExactSizeIterator<Item = Option<&'a Measurement>>,
) -> ArrayRef {
    let f32s = DataType::Float32;
    let planes = || {
        list(
            list(numbers(), list_of(DataType::Float32)),
            plane_of(DataType::Float32),
        )
    };
    let (mut flux, mut ivar) = (planes(), planes());
    let mut mask = list(
        list(switches(), list_of(DataType::Boolean)),
        plane_of(DataType::Boolean),
    );
    let mut band = list(StringBuilder::new(), DataType::Utf8);
    let mut scale = list(Float32Builder::new(), f32s);
    let mut present = NullBufferBuilder::new(found.len());
    let pixel = pixel_scale(id.info().survey);
    for measurement in found {
        let image = match measurement {
            Some(Measurement::Image(image)) => Some(image),
            _ => None,
        };
        if let Some(image) = image {
            image
                .bands
                .iter()
                .for_each(|name| band.values().append_value(name.to_lowercase()));
            put_planes(&mut flux, image, &image.flux);
            if let Some(values) = &image.ivar {
                put_planes(&mut ivar, image, values);
            }
            put_masks(&mut mask, image);
            let pixels = image.bands.iter().filter_map(|_| pixel);
            pixels.for_each(|pixel| scale.values().append_value(pixel));
        }
        band.append(true);
        flux.append(true);
        ivar.append(image.is_some_and(|image| image.ivar.is_some()));
        mask.append(true);
        scale.append(true);
        present.append(image.is_some());
    }
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(band.finish()),
        Arc::new(flux.finish()),
        Arc::new(ivar.finish()),
        Arc::new(mask.finish()),
        Arc::new(scale.finish()),
    ];
    structs(image_fields(), arrays, present)
}

type Planes = ListBuilder<ListBuilder<ListBuilder<Float32Builder>>>;
type Masks = ListBuilder<ListBuilder<ListBuilder<BooleanBuilder>>>;

fn put_planes(planes: &mut Planes, image: &Image, values: &[f32]) {
    let plane = planes.values();
    for pixels in values.chunks(image.height * image.width) {
        put_rows(plane.values(), image.width, pixels);
        plane.append(true);
    }
}

fn put_rows(rows: &mut ListBuilder<Float32Builder>, width: usize, pixels: &[f32]) {
    for row in pixels.chunks(width) {
        rows.values().append_slice(row);
        rows.append(true);
    }
}

/// A pixel is good unless its inverse variance says that there is no information.
fn put_masks(masks: &mut Masks, image: &Image) {
    let plane = masks.values();
    let all_good = vec![1.0; image.flux.len()];
    let ivar = image.ivar.as_ref().unwrap_or(&all_good);
    for pixels in ivar.chunks(image.height * image.width) {
        let rows = plane.values();
        for row in pixels.chunks(image.width) {
            row.iter()
                .for_each(|ivar| rows.values().append_value(*ivar > 0.0));
            rows.append(true);
        }
        plane.append(true);
    }
}

fn spectra<'a>(found: impl ExactSizeIterator<Item = Option<&'a Measurement>>) -> ArrayRef {
    let mut columns = [numbers(), numbers(), numbers()];
    let mut mask = switches();
    let mut present = NullBufferBuilder::new(found.len());
    for measurement in found {
        let spectrum = match measurement {
            Some(Measurement::Spectrum(spectrum)) => Some(spectrum),
            _ => None,
        };
        if let Some(Spectrum {
            flux,
            ivar,
            wavelength,
            mask: bad,
        }) = spectrum
        {
            for (column, values) in columns.iter_mut().zip([flux, ivar, wavelength]) {
                column.values().append_slice(values);
            }
            mask.values().append_slice(bad);
        }
        columns.iter_mut().for_each(|column| column.append(true));
        mask.append(true);
        present.append(spectrum.is_some());
    }
    let columns = columns.iter_mut();
    let mut arrays: Vec<ArrayRef> = columns
        .map(|column| Arc::new(column.finish()) as ArrayRef)
        .collect();
    arrays.push(Arc::new(mask.finish()));
    structs(spectrum_fields(), arrays, present)
}

fn catalogs<'a>(found: impl ExactSizeIterator<Item = Option<&'a Measurement>>) -> ArrayRef {
    let mut columns = CATALOG.map(|_| numbers());
    let mut present = NullBufferBuilder::new(found.len());
    for measurement in found {
        let sources: Option<&[Source]> = match measurement {
            Some(Measurement::Catalog(sources)) => Some(sources),
            _ => None,
        };
        for source in sources.unwrap_or_default() {
            let cells = [
                (source.x + CATALOG_OFFSET) as f32,
                (source.y + CATALOG_OFFSET) as f32,
                source.shape_e1,
                source.shape_e2,
                source.shape_r,
            ];
            for (column, cell) in columns.iter_mut().zip(cells) {
                column.values().append_value(cell);
            }
        }
        columns.iter_mut().for_each(|column| column.append(true));
        present.append(sources.is_some());
    }
    let columns = columns.iter_mut();
    let arrays = columns.map(|column| Arc::new(column.finish()) as ArrayRef);
    structs(catalog_fields(), arrays.collect(), present)
}

/// Both arms one after the other; NaN for an arm that is missing beside the other.
fn coefficients(modalities: &[ModalityId], objects: &[&Object]) -> ArrayRef {
    let mut values = numbers();
    let mut present = NullBufferBuilder::new(objects.len());
    for object in objects {
        let has_any = modalities.iter().any(|&id| object.get(id).is_some());
        for &id in modalities.iter().filter(|_| has_any) {
            match object.get(id) {
                Some(Measurement::Coefficients(arm)) => values.values().append_slice(arm),
                _ => values
                    .values()
                    .append_slice(&vec![f32::NAN; id.info().num_tokens()]),
            }
        }
        values.append(true);
        present.append(has_any);
    }
    let arrays: Vec<ArrayRef> = vec![Arc::new(values.finish())];
    structs(coefficient_fields(), arrays, present)
}

fn maps<'a>(found: impl Iterator<Item = Option<&'a Measurement>>) -> ArrayRef {
    let mut rows = list(numbers(), list_of(DataType::Float32));
    for measurement in found {
        let map: Option<&ScalarField> = match measurement {
            Some(Measurement::ScalarField(map)) => Some(map),
            _ => None,
        };
        if let Some(map) = map {
            put_rows(rows.values(), map.width, &map.field);
        }
        rows.append(map.is_some());
    }
    Arc::new(rows.finish())
}
