//! Observations from a safetensors file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::SIMULATED;
use super::container::{Tensor, TensorFile};
use super::identity::{Identities, ROW_TENSORS, require_rows};
use super::layout::{self, CATALOG_FIELDS, Field, LENGTH, MASK, Number, PRESENT};
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::{Kind, ModalityId};
use crate::observation::{
    CATALOG_PADDING, Image, Measurement, Object, ScalarField, Source, Spectrum,
};

/// An open file of observations. Opening checks everything that concerns the file as a whole;
/// objects are read from the mapped file one at a time.
#[derive(Debug)]
pub struct ObservationFile {
    tensors: TensorFile,
    rows: usize,
    identities: Identities,
    modalities: BTreeSet<ModalityId>,
    bands: BTreeMap<ModalityId, Vec<String>>,
}

impl ObservationFile {
    /// Opens the file at `path` and checks names, types and shapes of its tensors.
    ///
    /// # Errors
    /// Names the file and the tensor: [`Problem::Io`] and [`Problem::Container`] for unreadable or
    /// damaged files, [`Problem::UnknownModality`], [`Problem::Unrecognised`] for unknown fields,
    /// [`Problem::Missing`] for absent fields or bands, [`Problem::Shape`], [`Problem::Values`] for a
    /// wrong number type, [`Problem::Mismatch`] for tensors with different numbers of objects and
    /// [`Problem::Empty`] where there are none.
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(TensorFile::open(path)?)
    }

    fn new(tensors: TensorFile) -> Result<Self> {
        let modalities = modalities(&tensors)?;
        let mut rows = None;
        let mut bands = BTreeMap::new();
        for &modality in &modalities {
            let shape = check_modality(&tensors, modality, &mut rows)?;
            if modality.info().kind == Kind::Image {
                bands.insert(modality, image_bands(&tensors, modality, shape.get(1))?);
            }
        }
        let rows = rows
            .filter(|rows| *rows > 0)
            .ok_or_else(|| DataError::new(Place::file(tensors.path()), Problem::Empty))?;
        if let Some(simulated) = tensors.get(SIMULATED) {
            simulated.require_integers()?;
            require_rows(simulated.place(), simulated.rows(), rows)?;
        }
        Ok(ObservationFile {
            identities: Identities::read(&tensors, rows)?,
            rows,
            modalities,
            bands,
            tensors,
        })
    }

    /// Number of objects; never 0.
    #[expect(
        clippy::len_without_is_empty,
        reason = "files without objects do not open"
    )]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Modalities that at least the file's layout provides, in registry order.
    pub fn modalities(&self) -> impl Iterator<Item = ModalityId> {
        self.modalities.iter().copied()
    }

    /// The file's metadata, as it is.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.tensors.metadata()
    }

    /// The object in row `row`, with no measurements past the last row.
    ///
    /// # Errors
    /// Names file, object and field: [`Problem::Mismatch`] where padding of catalogue fields
    /// disagrees, [`Problem::Values`] for a fractional pixel or a length beyond the array.
    pub fn object(&self, row: usize) -> Result<Object> {
        let id = self.identities.id(row);
        let mut measurements = BTreeMap::new();
        for &modality in &self.modalities {
            let found = self
                .measurement(modality, row)
                .map_err(|error| error.in_object(&id))?;
            measurements.extend(found.map(|measurement| (modality, measurement)));
        }
        let simulated = match self.tensors.get(SIMULATED) {
            Some(tensor) => flag(&tensor, row)?,
            None => false,
        };
        Ok(Object {
            ra: self.identities.ra(row),
            dec: self.identities.dec(row),
            flags: self.identities.flags(row),
            id,
            measurements,
            simulated,
        })
    }

    /// All objects in the file's order. A bad object does not end the iteration.
    pub fn objects(&self) -> impl Iterator<Item = Result<Object>> + '_ {
        (0..self.rows).map(|row| self.object(row))
    }

    /// All objects, for callers that keep the iterator and not the file.
    pub fn into_objects(self) -> impl Iterator<Item = Result<Object>> {
        (0..self.rows).map(move |row| self.object(row))
    }

    fn measurement(&self, modality: ModalityId, row: usize) -> Result<Option<Measurement>> {
        let fields = Fields {
            tensors: &self.tensors,
            modality,
            row,
        };
        if let Some(present) = fields.get(PRESENT)
            && !flag(&present, row)?
        {
            return Ok(None);
        }
        let measurement = match modality.info().kind {
            Kind::Image => Measurement::Image(self.image(&fields)?),
            Kind::Spectrum => Measurement::Spectrum(spectrum(&fields)?),
            Kind::Scalar => Measurement::Scalar(fields.only("value")?),
            Kind::Coefficients => Measurement::Coefficients(fields.numbers("value")?),
            Kind::Catalog => Measurement::Catalog(catalog(&fields)?),
            Kind::ScalarField => Measurement::ScalarField(scalar_field(&fields)?),
        };
        Ok(Some(measurement))
    }

    fn image(&self, fields: &Fields<'_>) -> Result<Image> {
        let (height, width) = fields.size("flux")?;
        let ivar = match fields.get("ivar") {
            // A survey that gives no inverse variance for this object.
            Some(_) => {
                Some(fields.numbers("ivar")?).filter(|ivar| !ivar.iter().all(|v| v.is_nan()))
            }
            None => None,
        };
        Ok(Image {
            bands: self
                .bands
                .get(&fields.modality)
                .cloned()
                .unwrap_or_default(),
            height,
            width,
            flux: fields.numbers("flux")?,
            ivar,
        })
    }
}

/// One row of one modality's tensors.
struct Fields<'a> {
    tensors: &'a TensorFile,
    modality: ModalityId,
    row: usize,
}

impl<'a> Fields<'a> {
    fn get(&self, field: &str) -> Option<Tensor<'a>> {
        self.tensors.get(&tensor_name(self.modality, field))
    }

    fn require(&self, field: &str) -> Result<Tensor<'a>> {
        self.tensors.require(&tensor_name(self.modality, field))
    }

    fn numbers(&self, field: &str) -> Result<Vec<f32>> {
        self.require(field)?.f32_row(self.row)
    }

    fn only(&self, field: &str) -> Result<f32> {
        let tensor = self.require(field)?;
        let values = tensor.f32_row(self.row)?;
        values
            .first()
            .copied()
            .ok_or_else(|| DataError::new(tensor.place(), Problem::Missing("value".to_owned())))
    }

    /// The last two axes.
    fn size(&self, field: &str) -> Result<(usize, usize)> {
        match self.require(field)?.shape() {
            [.., height, width] => Ok((*height, *width)),
            _ => Ok((0, 0)),
        }
    }

    fn error(&self, field: &str, problem: Problem) -> DataError {
        let place = Place::file(self.tensors.path());
        DataError::new(place.with_field(tensor_name(self.modality, field)), problem)
    }
}

fn spectrum(fields: &Fields<'_>) -> Result<Spectrum> {
    let mut flux = fields.numbers("flux")?;
    let mut ivar = fields.numbers("ivar")?;
    let mut wavelength = fields.numbers("wavelength")?;
    let mut mask = match fields.get(MASK) {
        Some(mask) => mask
            .integer_row(fields.row)?
            .iter()
            .map(|v| *v != 0)
            .collect(),
        None => vec![false; flux.len()],
    };
    if let Some(length) = fields.get(LENGTH) {
        let pixels = length.integer_row(fields.row)?.first().copied();
        let pixels = pixels
            .and_then(|pixels| usize::try_from(pixels).ok())
            .filter(|pixels| *pixels <= flux.len())
            .ok_or_else(|| {
                let problem = format!("must lie between 0 and {} pixels", flux.len());
                fields.error(LENGTH, Problem::Values(problem))
            })?;
        flux.truncate(pixels);
        ivar.truncate(pixels);
        wavelength.truncate(pixels);
        mask.truncate(pixels);
    }
    Ok(Spectrum {
        flux,
        ivar,
        wavelength,
        mask,
    })
}

/// Sources in the file's order; `SHAPE_R` tells what is padding, wherever it stands.
fn catalog(fields: &Fields<'_>) -> Result<Vec<Source>> {
    let mut columns = Vec::with_capacity(CATALOG_FIELDS.len());
    for field in CATALOG_FIELDS {
        columns.push(fields.numbers(field)?);
    }
    let [x, y, shape_e1, shape_e2, shape_r] = columns.as_slice() else {
        return Ok(Vec::new());
    };
    let mut sources = Vec::new();
    for (i, &shape_r) in shape_r.iter().enumerate() {
        if shape_r == CATALOG_PADDING {
            continue;
        }
        let value = |field: &str, column: &[f32]| match column.get(i).copied() {
            Some(value) if value != CATALOG_PADDING => Ok(value),
            _ => {
                let problem = format!("source {i} is padding here but not in SHAPE_R");
                Err(fields.error(field, Problem::Mismatch(problem)))
            }
        };
        let pixel = |field: &str, column: &[f32]| {
            let value = value(field, column)?;
            if value.fract() == 0.0 {
                return Ok(value as i32);
            }
            let problem = format!("source {i} lies at {value}, expected a whole pixel");
            Err(fields.error(field, Problem::Values(problem)))
        };
        sources.push(Source {
            x: pixel("X", x)?,
            y: pixel("Y", y)?,
            shape_e1: value("SHAPE_E1", shape_e1)?,
            shape_e2: value("SHAPE_E2", shape_e2)?,
            shape_r,
        });
    }
    Ok(sources)
}

fn scalar_field(fields: &Fields<'_>) -> Result<ScalarField> {
    let (height, width) = fields.size("field")?;
    Ok(ScalarField {
        height,
        width,
        field: fields.numbers("field")?,
    })
}

fn flag(tensor: &Tensor<'_>, row: usize) -> Result<bool> {
    Ok(tensor
        .integer_row(row)?
        .first()
        .is_some_and(|value| *value != 0))
}

/// Name of the tensor that holds a field.
pub(super) fn tensor_name(modality: ModalityId, field: &str) -> String {
    format!("{modality}/{field}")
}

/// Modalities that the tensors' names mention.
fn modalities(file: &TensorFile) -> Result<BTreeSet<ModalityId>> {
    let mut modalities = BTreeSet::new();
    for name in file.names() {
        if ROW_TENSORS.contains(&name) || name == SIMULATED {
            continue;
        }
        let (modality, field) = split_name(file, name)?;
        let fields = layout::fields(modality.info().kind);
        if !fields.iter().any(|known| known.name == field) {
            let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
            let problem = format!("field `{field}` of {modality}; known: {}", known.join(", "));
            let place = Place::file(file.path()).with_field(name);
            return Err(DataError::new(place, Problem::Unrecognised(problem)));
        }
        modalities.insert(modality);
    }
    Ok(modalities)
}

/// Modality and field of the tensor called `name`.
pub(super) fn split_name<'a>(file: &TensorFile, name: &'a str) -> Result<(ModalityId, &'a str)> {
    let place = Place::file(file.path()).with_field(name);
    let Some((key, field)) = name.split_once('/') else {
        let problem = "observations are tensors `<modality>/<field>`, tokens have no field";
        return Err(DataError::new(
            place,
            Problem::Unrecognised(problem.to_owned()),
        ));
    };
    match ModalityId::from_key(key) {
        Some(modality) => Ok((modality, field)),
        None => Err(DataError::new(
            place,
            Problem::UnknownModality(key.to_owned()),
        )),
    }
}

/// Checks all fields of a modality and returns the shape that its arrays share. `rows` is the number
/// of objects that fields seen so far agree on.
fn check_modality<'a>(
    file: &'a TensorFile,
    modality: ModalityId,
    rows: &mut Option<usize>,
) -> Result<&'a [usize]> {
    let info = modality.info();
    let mut shared: Option<&[usize]> = None;
    for field in layout::fields(info.kind) {
        let name = tensor_name(modality, field.name);
        let tensor = match file.get(&name) {
            Some(tensor) => tensor,
            None if field.required => return Err(missing_field(file, name)),
            None => continue,
        };
        match field.number {
            Number::Real => tensor.require_numbers()?,
            Number::Flag | Number::Count => tensor.require_integers()?,
        }
        check_shape(&tensor, info.kind, info.num_tokens(), field, shared)?;
        if !field.single {
            shared.get_or_insert(tensor.shape());
        }
        let rows = *rows.get_or_insert(tensor.rows());
        require_rows(tensor.place(), tensor.rows(), rows)?;
    }
    Ok(shared.unwrap_or_default())
}

fn check_shape(
    tensor: &Tensor<'_>,
    kind: Kind,
    width: usize,
    field: &Field,
    shared: Option<&[usize]>,
) -> Result<()> {
    let shape = tensor.shape();
    let expected = match shared {
        _ if field.single => {
            if layout::fits(Kind::Scalar, 1, shape) {
                return Ok(());
            }
            layout::expected(Kind::Scalar, 1)
        }
        // Batches are compared elsewhere, across modalities.
        Some(shared) if shape.get(1..) == shared.get(1..) => return Ok(()),
        Some(shared) => format!("{shared:?} as the modality's first field has"),
        None if layout::fits(kind, width, shape) => return Ok(()),
        None => layout::expected(kind, width),
    };
    let found = format!("{shape:?}");
    Err(DataError::new(
        tensor.place(),
        Problem::Shape { found, expected },
    ))
}

fn missing_field(file: &TensorFile, name: String) -> DataError {
    let place = Place::file(file.path()).with_field(name);
    DataError::new(place, Problem::Missing("field".to_owned()))
}

/// Band names from the file's metadata, one for each of `planes`.
fn image_bands(
    file: &TensorFile,
    modality: ModalityId,
    planes: Option<&usize>,
) -> Result<Vec<String>> {
    let name = tensor_name(modality, "bands");
    let place = Place::file(file.path()).with_field(&name);
    let Some(bands) = file.metadata().get(&name) else {
        let problem = "metadata entry, a comma-separated list such as DES-G,DES-R".to_owned();
        return Err(DataError::new(place, Problem::Missing(problem)));
    };
    let bands = split_bands(bands);
    if Some(&bands.len()) == planes {
        return Ok(bands);
    }
    let problem = Problem::Shape {
        found: format!("{} bands", bands.len()),
        expected: format!("{} as the flux has planes", planes.copied().unwrap_or(0)),
    };
    Err(DataError::new(place, problem))
}

/// Band names of a comma-separated list, in upper case.
pub(super) fn split_bands(list: &str) -> Vec<String> {
    list.split(',')
        .map(|band| band.trim().to_uppercase())
        .collect()
}
