//! One step of training: forward, loss, backward, optimiser.

use std::collections::BTreeMap;

use aion_model::{Visible, VisibleTokens};
use aion_train::gradients::GradientSum;
use aion_train::optim::{AdamW, AdamWConfig};
use anyhow::ensure;
use burn::module::Module;
use burn::tensor::Tensor;
use rand::seq::SliceRandom;

use super::Operation;
use super::setting::{Setting, modality, numbers, photometry};

/// Layers on each side of the transformer that is trained.
const DEPTH: usize = 4;
/// Tokens of an object that are seen, and that are predicted; numbers are all seen.
const SEEN: [(&str, usize, usize); 2] = [("tok_image", 180, 88), ("tok_spectrum_desi", 70, 40)];

/// Four layers of Base width on each side: cross-entropy of 128 tokens, 256 being seen.
pub(super) fn transformer(setting: &Setting) -> anyhow::Result<Operation> {
    let setting = &setting.for_training();
    let model = setting.base(Some(DEPTH))?.transformer;
    let mut keys = photometry();
    keys.extend(numbers("arcsec").chain(numbers("mag")));
    let mut objects = Vec::new();
    for numbers in setting.objects(&keys)? {
        let show = |(id, tokens): (_, Vec<u16>)| (id, Visible::all(&tokens));
        let mut shown: VisibleTokens = numbers.into_iter().map(show).collect();
        let mut hidden = BTreeMap::new();
        for (key, seen, asked) in SEEN {
            let (id, mut random) = (modality(key)?, setting.random());
            let tokens = setting.tokens(id, &mut random);
            let mut positions: Vec<u16> = (0..=u16::MAX).take(tokens.len()).collect();
            positions.shuffle(&mut random);
            let pick = |positions: &[u16]| Visible {
                positions: positions.to_vec(),
                tokens: positions
                    .iter()
                    .map(|at| tokens[usize::from(*at)])
                    .collect(),
            };
            shown.insert(id, pick(&positions[..seen]));
            hidden.insert(id, pick(&positions[seen..seen + asked]));
        }
        objects.push((shown, hidden));
    }
    let count = |tokens: &VisibleTokens| tokens.values().map(Visible::len).sum::<usize>();
    let tokens = objects
        .first()
        .map_or(0, |(shown, hidden)| count(shown) + count(hidden));
    let (shown, hidden): (Vec<_>, Vec<_>) = objects.into_iter().unzip();
    Ok(steps(tokens, model, move |model| {
        Ok(model.loss(&shown, &hidden, 0.0)?.mean)
    }))
}

/// The published image codec on its own loss.
pub(super) fn image_codec(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, images, device) = (
        setting.for_training().image_codec()?,
        setting.images(),
        setting.device.clone(),
    );
    let tokens = modality("tok_image")?.info().num_tokens();
    Ok(steps(tokens, codec, move |codec| {
        Ok(codec.loss(&images, &device)?.total)
    }))
}

/// The released spectrum codec on its own loss.
pub(super) fn spectrum_codec(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, spectra, device) = (
        setting.for_training().spectrum_codec()?,
        setting.spectra(),
        setting.device.clone(),
    );
    let tokens = modality("tok_spectrum_desi")?.info().num_tokens();
    Ok(steps(tokens, codec, move |codec| {
        Ok(codec.loss(&spectra, &device)?.total)
    }))
}

/// Step after step of the optimiser on one batch.
fn steps<M: Module + 'static>(
    tokens: usize,
    model: M,
    loss: impl Fn(&M) -> anyhow::Result<Tensor<1>> + 'static,
) -> Operation {
    let config = AdamWConfig {
        learning_rate: 1e-4,
        ..AdamWConfig::default()
    };
    let mut optimizer = AdamW::new(config);
    let mut model = Some(model);
    Operation::new(tokens, move || {
        // Taken only while the step runs, which gives it back.
        let Some(before) = model.take() else {
            return Ok(());
        };
        let loss = loss(&before)?;
        let mut gradients = GradientSum::default();
        gradients.add(&before, loss.backward(), 1.0);
        let (after, outcome) = optimizer.step(before, gradients, 1.0);
        ensure!(
            !outcome.skipped,
            "the loss is not finite: its time would mean nothing"
        );
        model = Some(after);
        Ok(())
    })
}
