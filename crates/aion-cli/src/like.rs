//! What decoded measurements are to be sampled on: bands and wavelengths of a file of observations.

use std::collections::BTreeMap;
use std::path::Path;

use aion_data::reader::{self, ReadOptions};
use aion_data::tensor_files::{Grid, read_grids};
use aion_data::{DataError, Image, Measurement, ModalityId, Place, Problem, Result, Spectrum};

/// Samplings by modality, one a row; a single one serves all rows.
#[derive(Debug, Default)]
pub struct Like {
    samplings: BTreeMap<ModalityId, Vec<Option<Measurement>>>,
}

impl Like {
    /// Reads the samplings of the observations in `path`. In safetensors, bands and wavelengths alone
    /// will do.
    ///
    /// # Errors
    /// The file cannot be read, or has neither bands nor wavelengths.
    pub fn read(path: &Path) -> Result<Self> {
        let safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
        if safetensors {
            return read_grids(path).map(Like::from_grids);
        }
        let mut like = Like::default();
        for (row, object) in reader::read(path, &ReadOptions::default())?.enumerate() {
            for (modality, measurement) in object?.measurements {
                let rows = like.samplings.entry(modality).or_default();
                rows.resize(row, None);
                rows.push(sampling(measurement));
            }
        }
        like.samplings.retain(|_, rows| rows.iter().any(Option::is_some));
        if like.samplings.is_empty() {
            let problem = Problem::Missing("bands or wavelengths to decode onto".to_owned());
            return Err(DataError::new(Place::file(path), problem));
        }
        Ok(like)
    }

    fn from_grids(grids: BTreeMap<ModalityId, Grid>) -> Self {
        let rows = |grid: Grid| match grid {
            Grid::Bands(bands) => vec![Some(in_bands(bands))],
            Grid::Wavelengths(rows) => rows.into_iter().map(|w| Some(on_grid(w))).collect(),
        };
        let samplings = grids.into_iter().map(|(modality, grid)| (modality, rows(grid)));
        Like {
            samplings: samplings.collect(),
        }
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
                Err(DataError::new(Place::field(modality.key()), Problem::Mismatch(problem)))
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

fn on_grid(mut wavelength: Vec<f32>) -> Measurement {
    // Rows of tensor files are filled with zeros to the longest spectrum.
    while wavelength.last().is_some_and(|last| *last <= 0.0) {
        wavelength.pop();
    }
    Measurement::Spectrum(Spectrum {
        flux: Vec::new(),
        ivar: Vec::new(),
        mask: Vec::new(),
        wavelength,
    })
}
