//! Observations to a safetensors file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::path::Path;

use super::SIMULATED;
use super::identity::{Identity, put_identities};
use super::layout::{LENGTH, MASK, PRESENT};
use super::output::{Rows, TensorOut, write_tensors};
use super::read::tensor_name;
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::{Kind, ModalityId};
use crate::observation::{CATALOG_PADDING, Image, Measurement, Object, Source, Spectrum};

/// Writes objects to `path` in the layout that [`super::ObservationFile`] reads.
///
/// `metadata` is added to the file's own; entries that the layout needs take precedence.
///
/// # Errors
/// Names file and object: [`Problem::Empty`] without objects; [`Problem::Mismatch`] where images or
/// fields of one modality differ in size or bands; [`Problem::Shape`] where an array's length is not
/// what its measurement says; [`Problem::Values`] where a measurement is not of its modality's kind;
/// [`Problem::Io`]. Nothing is written then.
pub fn write_observations(
    path: &Path,
    objects: &[Object],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let named = |error: DataError| error.in_file(path);
    if objects.is_empty() {
        return Err(DataError::new(Place::file(path), Problem::Empty));
    }
    let mut metadata = metadata.clone();
    let mut tensors = Vec::new();
    let modalities: BTreeSet<ModalityId> = objects
        .iter()
        .flat_map(|object| object.measurements.keys().copied())
        .collect();
    for modality in modalities {
        let column = Column { modality, objects };
        column.put(&mut tensors, &mut metadata).map_err(named)?;
    }
    let identities: Vec<Identity<'_>> = objects.iter().map(Identity::from).collect();
    put_identities(&identities, &mut tensors, &mut metadata);
    if objects.iter().any(|object| object.simulated) {
        let simulated = objects.iter().map(|object| object.simulated).collect();
        tensors.push(flags(SIMULATED, simulated));
    }
    write_tensors(path, tensors, &metadata)
}

/// All measurements of one modality.
#[derive(Clone, Copy)]
struct Column<'a> {
    modality: ModalityId,
    objects: &'a [Object],
}

impl<'a> Column<'a> {
    fn put(
        self,
        tensors: &mut Vec<TensorOut<'a>>,
        metadata: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        for (object, measurement) in self.measured() {
            check(self.modality, measurement).map_err(|error| error.in_object(&object.id))?;
        }
        match self.modality.info().kind {
            Kind::Image => self.put_images(tensors, metadata)?,
            Kind::Spectrum => self.put_spectra(tensors),
            Kind::Scalar => self.put_values(1, tensors),
            Kind::Coefficients => self.put_values(self.modality.info().num_tokens(), tensors),
            Kind::Catalog => self.put_catalogs(tensors, metadata),
            Kind::ScalarField => self.put_scalar_fields(tensors)?,
        }
        let present: Vec<bool> = self.rows(|_| ()).map(|row| row.is_some()).collect();
        if present.contains(&false) {
            tensors.push(flags(&tensor_name(self.modality, PRESENT), present));
        }
        Ok(())
    }

    /// Objects that have the measurement, with it.
    fn measured(self) -> impl Iterator<Item = (&'a Object, &'a Measurement)> {
        let modality = self.modality;
        self.objects
            .iter()
            .filter_map(move |object| Some((object, object.get(modality)?)))
    }

    /// Something of each object's measurement; none where the object lacks it.
    fn rows<T>(self, of: impl Fn(&'a Measurement) -> T + 'a) -> impl Iterator<Item = Option<T>> + 'a
    where
        T: 'a,
    {
        let modality = self.modality;
        self.objects
            .iter()
            .map(move |object| object.get(modality).map(&of))
    }

    /// A tensor of `shape` a row, drawn from measurements and `filler` beyond their end.
    fn numbers(
        self,
        field: &str,
        shape: &[usize],
        filler: f32,
        of: impl Fn(&'a Measurement) -> Cow<'a, [f32]> + 'a,
    ) -> TensorOut<'a> {
        let len = shape.iter().product();
        let rows = self.rows(of).map(move |row| pad(row, len, filler));
        let shape = iter::once(self.objects.len()).chain(shape.iter().copied());
        TensorOut::new(
            tensor_name(self.modality, field),
            shape.collect(),
            Rows::F32(Box::new(rows)),
        )
    }

    fn put_values(self, width: usize, tensors: &mut Vec<TensorOut<'a>>) {
        tensors.push(self.numbers(
            "value",
            &[width],
            f32::NAN,
            |measurement| match measurement {
                Measurement::Scalar(value) => Cow::Owned(vec![*value]),
                Measurement::Coefficients(values) => Cow::Borrowed(values.as_slice()),
                _ => Cow::default(),
            },
        ));
    }

    fn put_images(
        self,
        tensors: &mut Vec<TensorOut<'a>>,
        metadata: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        let layout = |measurement: &'a Measurement| {
            let image = image(measurement)?;
            Some((image.bands.join(","), image.height, image.width))
        };
        let in_words = |(bands, height, width): &(String, usize, usize)| {
            format!("{height}x{width} in bands {bands}")
        };
        let Some(first) = self.same(layout, in_words)? else {
            return Ok(());
        };
        let (bands, height, width) = first;
        let planes = bands.split(',').count();
        metadata.insert(tensor_name(self.modality, "bands"), bands);
        let shape = [planes, height, width];
        tensors.push(self.numbers("flux", &shape, f32::NAN, |measurement| {
            image(measurement).map_or_else(Cow::default, |image| Cow::Borrowed(&image.flux[..]))
        }));
        let ivar = |measurement| image(measurement).and_then(|image| image.ivar.as_deref());
        if self.rows(ivar).flatten().any(|ivar| ivar.is_some()) {
            tensors.push(self.numbers("ivar", &shape, f32::NAN, move |measurement| {
                ivar(measurement).map_or_else(Cow::default, Cow::Borrowed)
            }));
        }
        Ok(())
    }

    fn put_scalar_fields(self, tensors: &mut Vec<TensorOut<'a>>) -> Result<()> {
        let layout = |measurement: &'a Measurement| match measurement {
            Measurement::ScalarField(map) => Some((map.height, map.width)),
            _ => None,
        };
        let in_words = |(height, width): &(usize, usize)| format!("{height}x{width}");
        if let Some((height, width)) = self.same(layout, in_words)? {
            let shape = [height, width];
            tensors.push(self.numbers(
                "field",
                &shape,
                f32::NAN,
                |measurement| match measurement {
                    Measurement::ScalarField(map) => Cow::Borrowed(map.field.as_slice()),
                    _ => Cow::default(),
                },
            ));
        }
        Ok(())
    }

    fn put_spectra(self, tensors: &mut Vec<TensorOut<'a>>) {
        let pixels = |measurement| spectrum(measurement).map_or(0, |found| found.flux.len());
        let longest = self.rows(pixels).flatten().max().unwrap_or(0).max(1);
        type Array = fn(&Spectrum) -> &[f32];
        let arrays: [(&str, Array); 3] = [
            ("flux", |found| &found.flux),
            ("ivar", |found| &found.ivar),
            ("wavelength", |found| &found.wavelength),
        ];
        for (field, array) in arrays {
            tensors.push(self.numbers(field, &[longest], 0.0, move |measurement| {
                spectrum(measurement).map_or_else(Cow::default, |found| Cow::Borrowed(array(found)))
            }));
        }
        let mask = |measurement| {
            spectrum(measurement).map_or_else(Cow::default, |found| Cow::Borrowed(&found.mask[..]))
        };
        let mask = self.rows(mask).map(move |row| pad(row, longest, true));
        let shape = vec![self.objects.len(), longest];
        let rows = Rows::Bool(Box::new(mask));
        tensors.push(TensorOut::new(
            tensor_name(self.modality, MASK),
            shape,
            rows,
        ));
        if self.rows(pixels).flatten().any(|count| count < longest) {
            let counts = self.rows(pixels).map(|count| count.unwrap_or(0) as i64);
            let rows = Rows::I64(Box::new(iter::once(counts.collect())));
            let name = tensor_name(self.modality, LENGTH);
            tensors.push(TensorOut::new(name, vec![self.objects.len()], rows));
        }
    }

    fn put_catalogs(self, tensors: &mut Vec<TensorOut<'a>>, metadata: &BTreeMap<String, String>) {
        let count = |measurement| sources(measurement).len();
        let asked = metadata.get(&tensor_name(self.modality, LENGTH));
        let asked: usize = asked.and_then(|length| length.parse().ok()).unwrap_or(1);
        // At least one, all padding, so that every row has an extent.
        let longest = self
            .rows(count)
            .flatten()
            .max()
            .unwrap_or(0)
            .max(asked.max(1));
        type Value = fn(&Source) -> i64;
        let pixels: [(&str, Value); 2] = [
            ("X", |source| source.x.into()),
            ("Y", |source| source.y.into()),
        ];
        for (field, value) in pixels {
            let rows = self.rows(move |found| sources(found).iter().map(value).collect());
            let rows = rows.map(move |row| pad(row, longest, CATALOG_PADDING as i64));
            tensors.push(TensorOut::new(
                tensor_name(self.modality, field),
                vec![self.objects.len(), longest],
                Rows::I64(Box::new(rows)),
            ));
        }
        type Shape = fn(&Source) -> f32;
        let shapes: [(&str, Shape); 3] = [
            ("SHAPE_E1", |source| source.shape_e1),
            ("SHAPE_E2", |source| source.shape_e2),
            ("SHAPE_R", |source| source.shape_r),
        ];
        for (field, value) in shapes {
            tensors.push(
                self.numbers(field, &[longest], CATALOG_PADDING, move |found| {
                    sources(found).iter().map(value).collect()
                }),
            );
        }
    }

    /// The layout that all measurements share, described by `in_words` where they do not.
    fn same<T: PartialEq>(
        self,
        layout: impl Fn(&'a Measurement) -> Option<T>,
        in_words: impl Fn(&T) -> String,
    ) -> Result<Option<T>> {
        let mut first: Option<(&Object, T)> = None;
        for (object, measurement) in self.measured() {
            match (layout(measurement), &first) {
                (Some(found), Some((other, expected))) if found != *expected => {
                    let problem = format!(
                        "{}, but object {} has {}; one file holds one size and one set of bands",
                        in_words(&found),
                        other.id,
                        in_words(expected),
                    );
                    let place = Place::field(self.modality.key()).with_object(&object.id);
                    return Err(DataError::new(place, Problem::Mismatch(problem)));
                }
                (Some(found), None) => first = Some((object, found)),
                _ => {}
            }
        }
        Ok(first.map(|(_, layout)| layout))
    }
}

/// A row of `len` numbers: what there is, then `filler`.
fn pad<'a, T: Copy>(row: Option<Cow<'a, [T]>>, len: usize, filler: T) -> Cow<'a, [T]>
where
    [T]: ToOwned<Owned = Vec<T>>,
{
    let row = row.unwrap_or_else(|| Cow::Owned(Vec::new()));
    if row.len() == len {
        return row;
    }
    let mut row = row.into_owned();
    row.resize(len, filler);
    Cow::Owned(row)
}

fn flags<'a>(name: &str, values: Vec<bool>) -> TensorOut<'a> {
    let shape = vec![values.len()];
    let rows = Rows::Bool(Box::new(iter::once(Cow::Owned(values))));
    TensorOut::new(name, shape, rows)
}

fn image(measurement: &Measurement) -> Option<&Image> {
    match measurement {
        Measurement::Image(image) => Some(image),
        _ => None,
    }
}

fn spectrum(measurement: &Measurement) -> Option<&Spectrum> {
    match measurement {
        Measurement::Spectrum(spectrum) => Some(spectrum),
        _ => None,
    }
}

fn sources(measurement: &Measurement) -> &[Source] {
    match measurement {
        Measurement::Catalog(sources) => sources,
        _ => &[],
    }
}

/// Fails unless the measurement is of its modality's kind and its arrays are as long as they should.
pub(crate) fn check(modality: ModalityId, measurement: &Measurement) -> Result<()> {
    let lengths = |expected: usize, arrays: &[(&str, usize)]| match arrays
        .iter()
        .find(|(_, found)| *found != expected || *found == 0)
    {
        None => Ok(()),
        Some((field, found)) => Err(DataError::new(
            Place::field(tensor_name(modality, field)),
            Problem::Shape {
                found: format!("{found} numbers"),
                expected: format!("{} numbers", expected.max(1)),
            },
        )),
    };
    match (modality.info().kind, measurement) {
        (Kind::Image, Measurement::Image(image)) => {
            let expected = image.bands.len() * image.height * image.width;
            let ivar = image.ivar.as_ref().map_or(expected, Vec::len);
            lengths(expected, &[("flux", image.flux.len()), ("ivar", ivar)])
        }
        (Kind::Spectrum, Measurement::Spectrum(found)) => lengths(
            found.flux.len(),
            &[
                ("flux", found.flux.len()),
                ("ivar", found.ivar.len()),
                ("wavelength", found.wavelength.len()),
                ("mask", found.mask.len()),
            ],
        ),
        (Kind::ScalarField, Measurement::ScalarField(map)) => {
            lengths(map.height * map.width, &[("field", map.field.len())])
        }
        (Kind::Coefficients, Measurement::Coefficients(values)) => {
            lengths(modality.info().num_tokens(), &[("value", values.len())])
        }
        (Kind::Scalar, Measurement::Scalar(_)) | (Kind::Catalog, Measurement::Catalog(_)) => Ok(()),
        (kind, _) => {
            let problem = format!("the measurement is not of kind {kind:?}");
            let place = Place::field(modality.key());
            Err(DataError::new(place, Problem::Values(problem)))
        }
    }
}
