//! The cases of the image and the spectrum codec: observations, and the codes that both sides see.

use aion_codec::image::{CompressedImage, ImageCodec};
use aion_codec::scalar_field::ScalarFieldCodec;
use aion_codec::spectrum::{LatentSpectrum, SpectrumCodec};
use aion_data::token_files::read_tokens;
use aion_data::{Image, Measurement, ScalarField, Spectrum};
use aion_kernel::Weights;
use burn::tensor::Device;
use serde::de::DeserializeOwned;

use crate::case::Case;
use crate::measure::{self, Agreement};

pub fn image(case: &Case) -> Agreement {
    let device = Device::flex();
    let (config, weights) = open(case, "image", &device);
    let codec = ImageCodec::new(&config, &weights);
    let (names, _) = weights.finish().expect("complete weights");
    let images = measurements(case, |measurement| match measurement {
        Measurement::Image(image) => Some(image),
        _ => None,
    });
    let compressed: Vec<CompressedImage> = images
        .iter()
        .flatten()
        .map(|image: &Image| codec.compress(image).expect("a good image"))
        .collect();
    assert_eq!(
        codec.encode(&compressed, &device),
        codes(case),
        "{}",
        case.name
    );
    measure::measure(case, codec, &names, |codec, objects| {
        let loss = codec.loss(&pick(&images, objects), &device);
        loss.expect("a loss").total
    })
}

pub fn spectrum(case: &Case) -> Agreement {
    let device = Device::flex();
    let (config, weights) = open(case, "spectrum", &device);
    let codec = SpectrumCodec::new(&config, &weights);
    let (names, _) = weights.finish().expect("complete weights");
    let spectra = measurements(case, |measurement| match measurement {
        Measurement::Spectrum(spectrum) => Some(spectrum),
        _ => None,
    });
    let latent: Vec<LatentSpectrum> = spectra
        .iter()
        .flatten()
        .map(|spectrum: &Spectrum| codec.prepare(spectrum).expect("a good spectrum"))
        .collect();
    assert_eq!(codec.encode(&latent, &device), codes(case), "{}", case.name);
    measure::measure(case, codec, &names, |codec, objects| {
        let loss = codec.loss(&pick(&spectra, objects), &device);
        loss.expect("a loss").total
    })
}

pub fn field(case: &Case) -> Agreement {
    let device = Device::flex();
    let (config, weights) = open(case, "segmentation_map", &device);
    let codec = ScalarFieldCodec::new(&config, &weights);
    let (names, _) = weights.finish().expect("complete weights");
    let maps = measurements(case, |measurement| match measurement {
        Measurement::ScalarField(map) => Some(map),
        _ => None,
    });
    let cropped: Vec<Vec<f32>> = maps
        .iter()
        .flatten()
        .map(|map: &ScalarField| codec.crop(map).expect("a good map"))
        .collect();
    assert_eq!(
        codec.encode(&cropped, &device),
        codes(case),
        "{}",
        case.name
    );
    measure::measure(case, codec, &names, |codec, objects| {
        codec.loss(&pick(&maps, objects), &device).expect("a loss")
    })
}

/// Configuration and weights of a codec of the case's checkpoint.
fn open<C: DeserializeOwned>(case: &Case, codec: &str, device: &Device) -> (C, Weights) {
    let folder = case.model().join("codecs").join(codec);
    let config = std::fs::read(folder.join("config.json")).expect("a configuration");
    let weights = Weights::open(&folder.join("model.safetensors"), device);
    (
        serde_json::from_slice(&config).expect("a valid configuration"),
        weights.expect("readable weights"),
    )
}

/// The measurements of each object that the codec takes.
fn measurements<T>(case: &Case, take: fn(Measurement) -> Option<T>) -> Vec<Vec<T>> {
    let of_object = |object: aion_data::Object| {
        let measurements = object.measurements.into_values();
        measurements.filter_map(take).collect()
    };
    case.observations().into_iter().map(of_object).collect()
}

/// The reference's codes of all measurements: a gradient through a rounded latent is only the
/// same where the latent was rounded to the same code.
fn codes(case: &Case) -> Vec<Vec<u16>> {
    let rows = read_tokens(&case.path("tokens.safetensors")).expect("tokens");
    let tokens = rows.into_iter().flat_map(|row| row.tokens.into_values());
    tokens.collect()
}

fn pick<T: Clone>(all: &[Vec<T>], objects: &[usize]) -> Vec<T> {
    let chosen = objects.iter().map(|object| all[*object].as_slice());
    chosen.collect::<Vec<_>>().concat()
}
