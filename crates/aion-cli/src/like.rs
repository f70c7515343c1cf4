//! What decoded measurements are to be sampled on: bands and wavelengths of a file of observations.

use std::collections::BTreeMap;
use std::path::Path;

use aion_data::reader::{self, ReadOptions};
use aion_data::tensor_files::{Grid, read_grids};
use aion_data::{
    DataError, Image, Measurement, ModalityId, Object, Place, Problem, Result, Spectrum,
};

/// Samplings by modality, one a row; a single one serves all rows.
#[derive(Debug, Default)]
pub struct Like {
    samplings: BTreeMap<ModalityId, Vec<Option<Measurement>>>,
}

impl Like {
    /// Reads the samplings of the observations in `path`, none where it holds numbers only. In
    /// safetensors, bands and wavelengths alone will do.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let extension = path.extension();
        if extension.is_some_and(|extension| extension == "safetensors") {
            return match read_grids(path) {
                Ok(grids) => Like::from_grids(grids).map_err(|error| error.in_file(path)),
                Err(error) if matches!(error.problem, Problem::Missing(_)) => Ok(Like::default()),
                Err(error) => Err(error),
            };
        }
        let objects = reader::read(path, &ReadOptions::default())?;
        let objects: Vec<Object> = objects.collect::<Result<_>>()?;
        let mut like = Like::default();
        let count = objects.len();
        for (row, object) in objects.into_iter().enumerate() {
            for (modality, measurement) in object.measurements {
                let rows = like.samplings.entry(modality);
                let rows = rows.or_insert_with(|| vec![None; count]);
                rows[row] = sampling(measurement);
            }
        }
        Ok(like)
    }

    fn from_grids(grids: BTreeMap<ModalityId, Grid>) -> Result<Self> {
        let mut like = Like::default();
        for (modality, grid) in grids {
            let rows = match grid {
                Grid::Bands(bands) => vec![Some(in_bands(bands))],
                Grid::Wavelengths(rows) => {
                    let rows = rows.into_iter().enumerate();
                    let rows = rows.map(|(row, grid)| wavelengths(modality, row, grid));
                    rows.collect::<Result<_>>()?
                }
            };
            like.samplings.insert(modality, rows);
        }
        Ok(like)
    }

    /// The sampling of a modality in row `row`.
    ///
    /// # Errors
    /// The file has more than one row, but not this one.
    pub fn get(&self, modality: ModalityId, row: usize) -> Result<Option<&Measurement>> {
        let Some(rows) = self.samplings.get(&modality) else {
            return Ok(None);
        };
        match (rows.as_slice(), rows.get(row)) {
            ([one], _) => Ok(one.as_ref()),
            (_, Some(found)) => Ok(found.as_ref()),
            (_, None) => {
                let found = rows.len();
                let problem = format!("the file of --like has {found} rows, fewer than the tokens");
                Err(DataError::new(
                    Place::field(modality.key()),
                    Problem::Mismatch(problem),
                ))
            }
        }
    }
}

/// What a measurement is sampled on, without its values.
fn sampling(measurement: Measurement) -> Option<Measurement> {
    match measurement {
        Measurement::Image(image) => Some(in_bands(image.bands)),
        Measurement::Spectrum(spectrum) => Some(on_grid(spectrum.wavelength)),
        _ => None,
    }
}

fn in_bands(bands: Vec<String>) -> Measurement {
    Measurement::Image(Image {
        bands,
        height: 0,
        width: 0,
        flux: Vec::new(),
        ivar: None,
    })
}

/// A row of a tensor file; none where it lacks the spectrum.
fn wavelengths(
    modality: ModalityId,
    row: usize,
    mut grid: Vec<f32>,
) -> Result<Option<Measurement>> {
    // Rows are filled with zeros to the longest spectrum, or with NaN throughout.
    while grid
        .last()
        .is_some_and(|last| *last <= 0.0 || last.is_nan())
    {
        grid.pop();
    }
    if grid.is_empty() {
        return Ok(None);
    }
    if grid.iter().all(|w| w.is_finite()) && grid.is_sorted_by(|a, b| a < b) {
        return Ok(Some(on_grid(grid)));
    }
    let place = Place::field(format!("{modality}/wavelength")).with_object(row.to_string());
    let problem = "wavelengths are not finite and increasing".to_owned();
    Err(DataError::new(place, Problem::Values(problem)))
}

fn on_grid(wavelength: Vec<f32>) -> Measurement {
    Measurement::Spectrum(Spectrum {
        flux: Vec::new(),
        ivar: Vec::new(),
        mask: Vec::new(),
        wavelength,
    })
}
