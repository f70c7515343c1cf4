//! Operations without gradients.

use std::hint::black_box;

use aion_codec::quantizer::Codebook;
use aion_codec::scalar::ScalarCodec;
use aion_data::num_tokens;
use aion_model::{Transformer, VisibleTokens};

use super::setting::{Setting, desi_grid, image_bands, modality, noise, numbers, photometry};
use super::{Operation, Work};

/// Fewest and most tokens of the objects of `encode-ragged`.
const RAGGED: [usize; 2] = [50, 250];
/// Numbers, and codes of their codebook.
const SCALARS: usize = 1 << 20;
const CODES: usize = 1024;

pub(super) fn image_encode(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, device) = (setting.image_codec()?, setting.device.clone());
    let images = setting.images();
    let call = move || {
        let compressed: Result<Vec<_>, _> = images.iter().map(|i| codec.compress(i)).collect();
        codec.encode(&compressed?, &device);
        Ok(())
    };
    Ok(Operation::new(
        modality("tok_image")?.info().num_tokens(),
        call,
    ))
}

pub(super) fn image_decode(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, device) = (setting.image_codec()?, setting.device.clone());
    let tokens = setting.tokens_of("tok_image")?;
    let bands = vec![image_bands(); setting.batch];
    let count = tokens.first().map_or(0, Vec::len);
    let call = move || {
        let tokens: Vec<&[u16]> = tokens.iter().map(Vec::as_slice).collect();
        codec.decode(&tokens, &bands, &device)?;
        Ok(())
    };
    Ok(Operation::new(count, call))
}

pub(super) fn spectrum_encode(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, device) = (setting.spectrum_codec()?, setting.device.clone());
    let spectra = setting.spectra();
    let call = move || {
        let prepared: Result<Vec<_>, _> = spectra.iter().map(|s| codec.prepare(s)).collect();
        codec.encode(&prepared?, &device);
        Ok(())
    };
    let count = modality("tok_spectrum_desi")?.info().num_tokens();
    Ok(Operation::new(count, call))
}

pub(super) fn spectrum_decode(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, device) = (setting.spectrum_codec()?, setting.device.clone());
    let tokens = setting.tokens_of("tok_spectrum_desi")?;
    let grids = vec![desi_grid(); setting.batch];
    let count = tokens.first().map_or(0, Vec::len);
    let call = move || {
        let tokens: Vec<&[u16]> = tokens.iter().map(Vec::as_slice).collect();
        let grids: Vec<Option<&[f32]>> = grids.iter().map(|grid| Some(grid.as_slice())).collect();
        codec.decode(&tokens, &grids, &device);
        Ok(())
    };
    Ok(Operation::new(count, call))
}

/// Numbers of one column, with the quantiles of their own distribution, on one thread.
pub(super) fn scalar_encode(setting: &Setting) -> anyhow::Result<Operation> {
    let mut random = setting.random();
    let mut values = noise(&mut random, SCALARS * setting.batch);
    values.iter_mut().for_each(|value| *value = value.powi(4));
    let mut quantiles = noise(&mut random, CODES);
    quantiles
        .iter_mut()
        .for_each(|value| *value = value.powi(4));
    quantiles.sort_by(f32::total_cmp);
    let codec = ScalarCodec::Quantiles(Codebook::of(quantiles));
    let amount = values.len() as f64 / 1e6;
    let mut operation = Operation::new(1, move || {
        black_box(codec.encode(black_box(&values)));
        Ok(())
    });
    operation.work = Work::Other(amount, "M values/s a core");
    Ok(operation)
}

/// The tokens of an image, a spectrum and six numbers, or as many tokens as asked for.
pub(super) fn encode(setting: &Setting) -> anyhow::Result<Operation> {
    let transformer = setting.transformer()?;
    if let Some(count) = setting.tokens {
        let mut random = setting.random();
        let objects: anyhow::Result<Vec<VisibleTokens>> = (0..setting.batch)
            .map(|_| setting.shown(&transformer, count, &mut random))
            .collect();
        return Ok(encode_shown(transformer, objects?, count));
    }
    let mut keys = photometry();
    keys.extend(["tok_image", "tok_spectrum_desi"]);
    // Radius and reddening.
    keys.extend(numbers("arcsec").chain(numbers("mag")));
    let objects = setting.objects(&keys)?;
    let count = objects.first().map_or(0, num_tokens);
    let call = move || {
        // Reading the states waits for devices that work on their own.
        transformer.encode(&objects)?.states.into_data();
        Ok(())
    };
    Ok(Operation::new(count, call))
}

/// Objects with 50 to 250 tokens, evenly spread.
pub(super) fn encode_ragged(setting: &Setting) -> anyhow::Result<Operation> {
    let transformer = setting.transformer()?;
    let mut random = setting.random();
    let steps = setting.batch.max(2) - 1;
    let objects: anyhow::Result<Vec<VisibleTokens>> = (0..setting.batch)
        .map(|object| {
            setting.shown(
                &transformer,
                RAGGED[0] + object * (RAGGED[1] - RAGGED[0]) / steps,
                &mut random,
            )
        })
        .collect();
    let mean = RAGGED[0].midpoint(RAGGED[1]);
    Ok(encode_shown(transformer, objects?, mean))
}

fn encode_shown(transformer: Transformer, objects: Vec<VisibleTokens>, tokens: usize) -> Operation {
    Operation::new(tokens, move || {
        transformer.encode_visible(&objects)?.states.into_data();
        Ok(())
    })
}

pub(super) fn predict_spectrum(setting: &Setting) -> anyhow::Result<Operation> {
    let target = modality("tok_spectrum_desi")?;
    let objects = setting.objects(&[&photometry()[..], &["tok_image"][..]].concat())?;
    let transformer = setting.transformer()?;
    let count = objects.first().map_or(0, num_tokens) + target.info().num_tokens();
    let call = move || {
        transformer.predict(&objects, &[target])?;
        Ok(())
    };
    Ok(Operation::new(count, call))
}
