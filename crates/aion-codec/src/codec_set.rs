//! The codecs of a checkpoint: measurements of whole objects to tokens and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aion_data::{
    DataError, Measurement, Modality, ModalityId, Object, ObjectTokens, Place, Problem, band,
};
use burn::tensor::Device;

use crate::codec::{Codec, OpenCodec};
use crate::error::{CodecError, Result};
use crate::range::{Coverage, RangeReport};
use crate::scalar::ScalarCodec;

/// An object's tokens, and how much of its measurements the codecs could not express.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoded {
    /// Tokens by modality.
    pub tokens: ObjectTokens,
    /// Values outside the codecs' ranges, by modality.
    pub ranges: RangeReport,
}

/// The codecs under a checkpoint's `codecs/` folder, each opened when it is first needed.
#[derive(Debug)]
pub struct CodecSet {
    folder: PathBuf,
    device: Device,
    open: Mutex<BTreeMap<&'static str, Arc<OpenCodec>>>,
}

impl CodecSet {
    /// The codecs of the checkpoint in `checkpoint`.
    pub fn new(checkpoint: &Path, device: &Device) -> Self {
        CodecSet {
            folder: checkpoint.join("codecs"),
            device: device.clone(),
            open: Mutex::default(),
        }
    }

    /// The same with an open codec for a modality and those that share it.
    pub fn with(mut self, id: ModalityId, codec: OpenCodec) -> Self {
        let open = self.open.get_mut();
        let open = open.unwrap_or_else(|poisoned| poisoned.into_inner());
        open.insert(id.info().codec, Arc::new(codec));
        self
    }

    /// Where the codecs lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder names under `codecs/`, sorted.
    pub fn available(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().join("config.json").is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Whether the checkpoint has a codec for a modality.
    pub fn has(&self, id: ModalityId) -> bool {
        self.folder
            .join(id.info().codec)
            .join("config.json")
            .is_file()
    }

    /// The codec of a modality.
    ///
    /// # Errors
    /// The checkpoint lacks it, or it cannot be opened.
    pub fn codec(&self, id: ModalityId) -> Result<Arc<OpenCodec>> {
        let modality: &'static Modality = id.info();
        let mut open = self
            .open
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(codec) = open.get(modality.codec) {
            return Ok(codec.clone());
        }
        if !self.has(id) {
            return Err(CodecError::Absent {
                path: self.folder.clone(),
                codec: modality.codec.to_owned(),
                modality: id,
                known: self.available().join(", "),
            });
        }
        let folder = self.folder.join(modality.codec);
        let codec = Arc::new(Codec::open(&folder, modality, &self.device)?);
        open.insert(modality.codec, codec.clone());
        Ok(codec)
    }

    /// Tokens of every object, in order. An object that a codec cannot take gives its own error
    /// and leaves the others alone.
    ///
    /// # Errors
    /// A codec is absent or cannot be opened.
    pub fn encode(
        &self,
        objects: &[Object],
    ) -> Result<Vec<std::result::Result<Encoded, DataError>>> {
        let mut results: Vec<std::result::Result<Encoded, DataError>> =
            objects.iter().map(|_| Ok(Encoded::default())).collect();
        let measured = objects.iter().flat_map(|object| object.measurements.keys());
        for id in measured.copied().collect::<BTreeSet<ModalityId>>() {
            let rows: Vec<usize> = (0..objects.len())
                .filter(|&row| objects[row].get(id).is_some() && results[row].is_ok())
                .collect();
            if rows.is_empty() {
                continue;
            }
            let codec = self.codec(id)?;
            let measurements: Vec<&Measurement> = rows
                .iter()
                .filter_map(|&row| objects[row].get(id))
                .collect();
            let encoded = encode_modality(&codec.codec, &measurements, &self.device);
            for (&row, outcome) in rows.iter().zip(encoded) {
                match outcome {
                    Ok((tokens, coverage)) => {
                        if let Ok(encoded) = &mut results[row] {
                            encoded.ranges.insert(id, coverage);
                            // A scalar that is not a number is a modality that the object lacks.
                            if let Some(tokens) = tokens {
                                encoded.tokens.insert(id, tokens);
                            }
                        }
                    }
                    Err(error) => {
                        results[row] = Err(in_modality(error, id).in_object(&objects[row].id));
                    }
                }
            }
        }
        Ok(results)
    }

    /// How much of an object's measurements the codecs could not express, without running a network;
    /// modalities without a codec are left out.
    ///
    /// # Errors
    /// A codec cannot be opened; the inner error says why a codec cannot take the object.
    pub fn coverage(&self, object: &Object) -> Result<std::result::Result<RangeReport, DataError>> {
        let mut report = RangeReport::new();
        for (&id, measurement) in &object.measurements {
            if !self.has(id) {
                continue;
            }
            match measurement_coverage(&self.codec(id)?.codec, measurement) {
                Ok(coverage) => report.insert(id, coverage),
                Err(error) => return Ok(Err(in_modality(error, id).in_object(&object.id))),
            };
        }
        Ok(Ok(report))
    }

    /// Measurements of tokens of one modality.
    ///
    /// `like` gives, row by row, the measurement whose bands or wavelengths are wanted; without it
    /// images have their survey's bands and spectra the latent grid.
    ///
    /// # Errors
    /// A codec is absent, a token is not in its vocabulary, or the number of tokens is wrong.
    pub fn decode(
        &self,
        id: ModalityId,
        tokens: &[&[u16]],
        like: &[Option<&Measurement>],
    ) -> Result<Vec<Measurement>> {
        for codes in tokens {
            check_tokens(id, codes)?;
        }
        let codec = self.codec(id)?;
        let like = |row: usize| like.get(row).copied().flatten();
        let device = &self.device;
        Ok(match &codec.codec {
            Codec::Image(codec) => {
                let bands: Vec<Vec<String>> = (0..tokens.len())
                    .map(|row| match like(row) {
                        Some(Measurement::Image(image)) => image.bands.clone(),
                        _ => survey_bands(id),
                    })
                    .collect();
                let images = codec.decode(tokens, &bands, device)?;
                images.into_iter().map(Measurement::Image).collect()
            }
            Codec::Spectrum(codec) => {
                let wavelengths: Vec<Option<&[f32]>> = (0..tokens.len())
                    .map(|row| match like(row) {
                        Some(Measurement::Spectrum(spectrum)) => {
                            Some(spectrum.wavelength.as_slice())
                        }
                        _ => None,
                    })
                    .collect();
                let spectra = codec.decode(tokens, &wavelengths, device);
                spectra.into_iter().map(Measurement::Spectrum).collect()
            }
            Codec::Scalar(codec) => {
                let value = |codes: &&[u16]| {
                    let values = codec.decode(codes);
                    match (codec.num_values(), values.first()) {
                        (1, Some(value)) => Measurement::Scalar(*value),
                        _ => Measurement::Coefficients(values),
                    }
                };
                tokens.iter().map(value).collect()
            }
            Codec::Catalog(codec) => tokens
                .iter()
                .map(|codes| Measurement::Catalog(codec.decode(codes)))
                .collect(),
            Codec::ScalarField(codec) => {
                let maps = codec.decode(tokens, device);
                maps.into_iter().map(Measurement::ScalarField).collect()
            }
        })
    }
}

/// The bands of a survey's images, in channel order.
pub fn survey_bands(id: ModalityId) -> Vec<String> {
    let bands = band::of_survey(id.info().survey).iter();
    bands.map(|band| band.name.to_owned()).collect()
}

/// Checks the number of tokens and that each lies in the vocabulary.
///
/// # Errors
/// Says which token, or how many were expected.
pub fn check_tokens(id: ModalityId, codes: &[u16]) -> std::result::Result<(), DataError> {
    let modality = id.info();
    let place = || Place::field(modality.key);
    if !modality.is_sequence() && codes.len() != modality.num_tokens() {
        let problem = Problem::Shape {
            found: format!("{} tokens", codes.len()),
            expected: modality.num_tokens().to_string(),
        };
        return Err(DataError::new(place(), problem));
    }
    let outside = codes
        .iter()
        .find(|code| usize::from(**code) >= modality.vocabulary);
    match outside {
        Some(code) => Err(DataError::new(
            place(),
            Problem::Vocabulary {
                token: i64::from(*code),
                vocabulary: modality.vocabulary,
            },
        )),
        None => Ok(()),
    }
}

type Outcome = std::result::Result<(Option<Vec<u16>>, Coverage), DataError>;

fn encode_modality(codec: &Codec, measurements: &[&Measurement], device: &Device) -> Vec<Outcome> {
    match codec {
        Codec::Image(codec) => {
            let prepared = measurements.iter().map(|measurement| match measurement {
                Measurement::Image(image) => codec.compress(image).map(|i| (i.coverage, i)),
                _ => Err(unexpected("an image")),
            });
            encode_prepared(prepared.collect(), |images| codec.encode(images, device))
        }
        Codec::Spectrum(codec) => {
            let prepared = measurements.iter().map(|measurement| match measurement {
                Measurement::Spectrum(spectrum) => codec.prepare(spectrum).map(|s| (s.coverage, s)),
                _ => Err(unexpected("a spectrum")),
            });
            encode_prepared(prepared.collect(), |spectra| codec.encode(spectra, device))
        }
        Codec::ScalarField(codec) => {
            let prepared = measurements.iter().map(|measurement| match measurement {
                Measurement::ScalarField(map) => {
                    codec.crop(map).map(|crop| (codec.coverage(map), crop))
                }
                _ => Err(unexpected("a map")),
            });
            encode_prepared(prepared.collect(), |maps| codec.encode(maps, device))
        }
        Codec::Catalog(codec) => measurements
            .iter()
            .map(|measurement| match measurement {
                Measurement::Catalog(sources) => {
                    let codes = codec.encode(sources)?;
                    Ok((Some(codes), codec.coverage(sources)))
                }
                _ => Err(unexpected("a catalogue")),
            })
            .collect(),
        Codec::Scalar(codec) => encode_numbers(codec, measurements),
    }
}

/// Codes of numbers and vectors of them. A number that is none is a modality that the object lacks.
fn encode_numbers(codec: &ScalarCodec, measurements: &[&Measurement]) -> Vec<Outcome> {
    let rows: Vec<&[f32]> = measurements
        .iter()
        .filter_map(|m| values_of(m, codec))
        .collect();
    let mut encoded = codec.encode_all(&rows).into_iter();
    let outcome = |measurement: &&Measurement| {
        let nothing = || unexpected("as many numbers as the codec has codebooks");
        let values = values_of(measurement, codec).ok_or_else(nothing)?;
        let (codes, coverage) = encoded.next().ok_or_else(nothing)?;
        let absent =
            matches!(measurement, Measurement::Scalar(_)) && values.iter().any(|v| v.is_nan());
        Ok(((!absent).then_some(codes), coverage))
    };
    measurements.iter().map(outcome).collect()
}

/// A measurement's numbers, where they are as many as the codec takes.
fn values_of<'a>(measurement: &'a Measurement, codec: &ScalarCodec) -> Option<&'a [f32]> {
    match measurement {
        Measurement::Scalar(value) => Some(std::slice::from_ref(value)),
        Measurement::Coefficients(values) if values.len() == codec.num_values() => Some(values),
        _ => None,
    }
}

fn measurement_coverage(
    codec: &Codec,
    measurement: &Measurement,
) -> std::result::Result<Coverage, DataError> {
    match (codec, measurement) {
        (Codec::Image(codec), Measurement::Image(image)) => {
            codec.compress(image).map(|image| image.coverage)
        }
        (Codec::Spectrum(codec), Measurement::Spectrum(spectrum)) => {
            codec.prepare(spectrum).map(|spectrum| spectrum.coverage)
        }
        (Codec::ScalarField(codec), Measurement::ScalarField(map)) => Ok(codec.coverage(map)),
        (Codec::Catalog(codec), Measurement::Catalog(sources)) => Ok(codec.coverage(sources)),
        (Codec::Scalar(codec), Measurement::Scalar(value)) => Ok(codec.coverage(&[*value])),
        (Codec::Scalar(codec), Measurement::Coefficients(values))
            if values.len() == codec.num_values() =>
        {
            Ok(codec.coverage(values))
        }
        _ => Err(unexpected("what its codec was made for")),
    }
}

/// The error with the modality before its field.
fn in_modality(mut error: DataError, id: ModalityId) -> DataError {
    let field = error.place.field.take().unwrap_or_default();
    error.place.field = Some(format!("{id}/{field}"));
    error
}

fn unexpected(expected: &str) -> DataError {
    let problem = format!("the measurement is not what the modality needs: {expected}");
    DataError::new(Place::default(), Problem::Mismatch(problem))
}

/// Runs the network once on all measurements that could be prepared.
fn encode_prepared<T>(
    prepared: Vec<std::result::Result<(Coverage, T), DataError>>,
    encode: impl FnOnce(&[T]) -> Vec<Vec<u16>>,
) -> Vec<Outcome> {
    let mut inputs = Vec::new();
    let coverages: Vec<std::result::Result<Coverage, DataError>> = prepared
        .into_iter()
        .map(|outcome| {
            outcome.map(|(coverage, input)| {
                inputs.push(input);
                coverage
            })
        })
        .collect();
    let mut codes = if inputs.is_empty() {
        Vec::new()
    } else {
        encode(&inputs)
    }
    .into_iter();
    coverages
        .into_iter()
        .map(|coverage| coverage.map(|coverage| (codes.next(), coverage)))
        .collect()
}
