//! Any codec: the closed list of codec kinds, and how one is opened from its folder.

use std::path::{Path, PathBuf};

use aion_data::{Kind, Modality, Survey, band};
use aion_kernel::{LoadReport, WeightNames, Weights};
use burn::tensor::Device;
use serde::de::DeserializeOwned;

use crate::catalog::{CatalogCodec, CatalogConfig};
use crate::error::{CodecError, Result};
use crate::image::{BandsConfig, ImageCodec, ImageConfig};
use crate::scalar::{ScalarCodec, ScalarConfig};
use crate::scalar_field::{ScalarFieldCodec, ScalarFieldConfig};
use crate::spectrum::{SpectrumCodec, SpectrumConfig};

/// A codec of any kind.
#[derive(Debug, Clone)]
pub enum Codec {
    /// See [`ImageCodec`].
    Image(Box<ImageCodec>),
    /// See [`SpectrumCodec`].
    Spectrum(Box<SpectrumCodec>),
    /// See [`ScalarCodec`]; one number or a vector of them.
    Scalar(ScalarCodec),
    /// See [`CatalogCodec`].
    Catalog(CatalogCodec),
    /// See [`ScalarFieldCodec`].
    ScalarField(Box<ScalarFieldCodec>),
}

/// A codec with what is known of its file.
#[derive(Debug, Clone)]
pub struct OpenCodec {
    /// The codec.
    pub codec: Codec,
    /// Names to save its parameters under.
    pub names: WeightNames,
    /// What was found in the file.
    pub report: LoadReport,
}

impl Codec {
    /// Opens `folder/config.json` and `folder/model.safetensors` as the codec of `modality`.
    ///
    /// # Errors
    /// A file is missing or damaged, the configuration has unknown keys or impossible sizes, or
    /// tensors are missing or of another shape.
    pub fn open(folder: &Path, modality: &Modality, device: &Device) -> Result<OpenCodec> {
        let (path, text, weights) = files(folder, device)?;
        let codec = match modality.kind {
            Kind::Image => {
                let codec = match modality.survey {
                    Survey::Described(_) => {
                        let config: BandsConfig = parse(&path, &text)?;
                        reject(&path, config.problem())?;
                        let network = open_image(&folder.with_file_name(config.extends), device)?;
                        network.with_bands(band::of_codec(modality), &weights)
                    }
                    _ => image(&path, &text, &weights)?,
                };
                check_vocabulary(&path, codec.codebook_size(), modality)?;
                Codec::Image(Box::new(codec))
            }
            Kind::Spectrum => {
                let config: SpectrumConfig = parse(&path, &text)?;
                reject(&path, config.problem())?;
                check_vocabulary(&path, config.codebook_size, modality)?;
                Codec::Spectrum(Box::new(SpectrumCodec::new(&config, &weights)))
            }
            Kind::ScalarField => {
                let config: ScalarFieldConfig = parse(&path, &text)?;
                reject(&path, config.problem())?;
                let codec = ScalarFieldCodec::new(&config, &weights);
                check_vocabulary(&path, codec.codebook_size(), modality)?;
                Codec::ScalarField(Box::new(codec))
            }
            Kind::Catalog => {
                let _: CatalogConfig = parse(&path, &text)?;
                Codec::Catalog(CatalogCodec::new(&weights))
            }
            Kind::Scalar | Kind::Coefficients => {
                let config = ScalarConfig::parse(&text).map_err(|e| config_error(&path, e))?;
                reject(&path, config.problem(modality))?;
                Codec::Scalar(ScalarCodec::new(&config, &weights))
            }
        };
        let (names, report) = weights.finish()?;
        Ok(OpenCodec {
            codec,
            names,
            report,
        })
    }
}

/// A published image codec's network.
///
/// # Errors
/// See [`Codec::open`].
pub fn open_image(folder: &Path, device: &Device) -> Result<ImageCodec> {
    let (path, text, weights) = files(folder, device)?;
    let codec = image(&path, &text, &weights)?;
    weights.finish()?;
    Ok(codec)
}

fn image(path: &Path, text: &str, weights: &Weights) -> Result<ImageCodec> {
    let config: ImageConfig = parse(path, text)?;
    reject(path, config.problem())?;
    Ok(ImageCodec::new(&config, weights))
}

/// The configuration's path and text, and the weights.
fn files(folder: &Path, device: &Device) -> Result<(PathBuf, String, Weights)> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|e| config_error(&path, e))?;
    let weights = Weights::open(&folder.join("model.safetensors"), device)?;
    Ok((path, text, weights))
}

fn config_error(path: &Path, reason: impl ToString) -> CodecError {
    CodecError::Config {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| config_error(path, error))
}

fn reject(path: &Path, problem: Option<String>) -> Result<()> {
    problem.map_or(Ok(()), |reason| Err(config_error(path, reason)))
}

/// The transformer's vocabulary must hold every code.
fn check_vocabulary(path: &Path, codes: usize, modality: &Modality) -> Result<()> {
    let problem = (codes > modality.vocabulary).then(|| {
        let (key, vocabulary) = (modality.key, modality.vocabulary);
        format!("{codes} codes, but the vocabulary of {key} holds {vocabulary}")
    });
    reject(path, problem)
}
