//! Fitting the codebooks of numbers and catalogues to a training set, in one pass (paper §2.3).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use aion_codec::catalog::CatalogConfig;
use aion_codec::quantizer::Reservoir;
use aion_codec::scalar::ScalarFit;
use aion_data::{CATALOG_PADDING, Kind, Measurement, ModalityId, Object, Survey};
use aion_kernel::tensor_file::{self, StoredTensor};
use serde::Serialize;

use crate::error::TrainError;

/// Units of quantities that span decades, which are coded by their logarithm: fluxes, parallaxes,
/// radii.
const LOGARITHMIC: [&str; 4] = ["nanomaggy", "electron s-1", "mas", "arcsec"];
/// End of the redshift grid: quasars beyond it are rarer than the grid's last step is wide.
const MAX_REDSHIFT: f32 = 6.0;
/// Number of pixels that a catalogue's positions are told apart to.
const CATALOG_FRAME: i64 = 96;
/// Number of codes of a catalogue's shape parameters.
const CATALOG_CODES: usize = 1024;
/// The shape parameters, as checkpoints name them.
const CATALOG_SHAPES: [&str; 3] = ["SHAPE_E1", "SHAPE_E2", "SHAPE_R"];

/// Codebooks in the making.
#[derive(Debug)]
pub struct CodebookFit {
    scalars: BTreeMap<ModalityId, ScalarFit>,
    catalog: [Reservoir; 3],
}

impl CodebookFit {
    /// Nothing seen yet; each codebook is made of at most `sample` values.
    pub fn new(sample: usize, seed: u64) -> Self {
        let fit = |id: ModalityId| {
            let info = id.info();
            Some(match info.kind {
                Kind::Coefficients => {
                    ScalarFit::vector(info.codec, info.num_tokens(), sample, seed)
                }
                Kind::Scalar if info.survey == Survey::Any => {
                    ScalarFit::grid(info.codec, 0.0, MAX_REDSHIFT)
                }
                Kind::Scalar if LOGARITHMIC.contains(&info.unit) => {
                    ScalarFit::log_quantiles(info.codec, sample, seed)
                }
                Kind::Scalar => ScalarFit::quantiles(info.codec, sample, seed),
                Kind::Image | Kind::Spectrum | Kind::Catalog | Kind::ScalarField => return None,
            })
        };
        CodebookFit {
            scalars: ModalityId::all()
                .filter_map(|id| Some((id, fit(id)?)))
                .collect(),
            catalog: [0, 1, 2].map(|axis| Reservoir::new(sample, seed.wrapping_add(axis))),
        }
    }

    /// Offers an object's measurements.
    pub fn push(&mut self, object: &Object) {
        for (id, measurement) in &object.measurements {
            match (measurement, self.scalars.get_mut(id)) {
                (Measurement::Scalar(value), Some(fit)) => fit.push(&[*value]),
                (Measurement::Coefficients(values), Some(fit)) => fit.push(values),
                (Measurement::Catalog(sources), _) => {
                    for source in sources {
                        let shape = [source.shape_e1, source.shape_e2, source.shape_r];
                        for (sample, value) in self.catalog.iter_mut().zip(shape) {
                            sample.push(value);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Writes a codec folder for every modality that was seen, and returns their names.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(self, codecs: &Path) -> Result<Vec<&'static str>, TrainError> {
        let mut written = Vec::new();
        for (id, fit) in self.scalars {
            let is_grid = id.info().survey == Survey::Any;
            if fit.seen() == 0 && !is_grid {
                continue;
            }
            if let Some((config, tensors)) = fit.finish() {
                write(&codecs.join(id.info().codec), &config, &tensors)?;
                written.push(id.info().codec);
            }
        }
        let quantiles: Option<Vec<Vec<f32>>> = self
            .catalog
            .iter()
            .map(|sample| sample.quantiles(CATALOG_CODES))
            .collect();
        let catalog = ModalityId::all().find(|id| id.info().kind == Kind::Catalog);
        if let (Some(quantiles), Some(id)) = (quantiles, catalog) {
            let tensors = catalog_tensors(&self.catalog, &quantiles);
            let config = CatalogConfig {
                mask_value: CATALOG_PADDING as i64,
            };
            write(&codecs.join(id.info().codec), &config, &tensors)?;
            written.push(id.info().codec);
        }
        Ok(written)
    }
}

fn catalog_tensors(
    samples: &[Reservoir],
    quantiles: &[Vec<f32>],
) -> BTreeMap<String, StoredTensor> {
    let mut tensors = BTreeMap::new();
    let mut insert = |axis: &str, field: &str, tensor| {
        tensors.insert(format!("_quantizer.quantizers.{axis}.{field}"), tensor);
    };
    for axis in ["X", "Y"] {
        insert(
            axis,
            "_codebook_size",
            StoredTensor::int64(&[], &[CATALOG_FRAME]),
        );
    }
    for ((axis, sample), values) in CATALOG_SHAPES.iter().zip(samples).zip(quantiles) {
        let sample = sample.sorted();
        let stored = |values: &[f32]| StoredTensor::float(&[values.len()], values, false);
        insert(axis, "_reservoir", stored(&sample));
        insert(axis, "_index_to_val", stored(values));
    }
    tensors
}

fn write<C: Serialize>(
    folder: &Path,
    config: &C,
    tensors: &BTreeMap<String, StoredTensor>,
) -> Result<(), TrainError> {
    write_config(folder, config)?;
    tensor_file::save(&folder.join("model.safetensors"), tensors, HashMap::new())?;
    Ok(())
}

/// Makes a codec's folder and writes its `config.json`.
pub(crate) fn write_config<C: Serialize>(folder: &Path, config: &C) -> Result<(), TrainError> {
    let path = folder.join("config.json");
    let failed = |source| TrainError::io(&path, source);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let text = serde_json::to_vec_pretty(config).map_err(|error| failed(error.into()))?;
    tensor_file::replace_file(&path, &text).map_err(failed)
}
