//! Weights kept in fewer bits.

use aion_kernel::{Narrow, Weights, WeightsError};
use aion_model::{Checkpoint, DecoderAttention, ModelError};
use burn::tensor::Device;

use crate::batch::{config, objects};
use crate::case::{difference, key};

/// The states of all objects and the logits of two targets of each.
fn answers(checkpoint: Checkpoint, attention: DecoderAttention) -> [Vec<f32>; 2] {
    let model = checkpoint.transformer.with_decoder_attention(attention);
    let encoded = model.encode(&objects()).expect("states");
    let targets = [key("tok_xp_rp"), key("tok_z")];
    let predictions = model.predict_encoded(&encoded, &targets);
    let logits = predictions.expect("predictions").into_iter();
    let logits = logits.flat_map(|object| targets.map(|target| object[&target].logits().to_vec()));
    let states = encoded.states.into_data().iter::<f32>().collect();
    [states, logits.flatten().collect()]
}

fn seeded(narrow: Option<Narrow>) -> Checkpoint {
    let weights = Weights::seeded(1, &Device::flex()).narrowed(narrow);
    Checkpoint::of(&config(), &weights.expect("the CPU")).expect("a model")
}

#[test]
fn what_is_stored_in_16_bits_is_used_where_it_lies() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = seeded(None);
    new.transformer
        .save(&new.names, folder.path(), true)
        .expect("a saved model");
    for attention in [DecoderAttention::Reference, DecoderAttention::Content] {
        let [wide, narrow] = [None, Some(Narrow::F16)].map(|narrow| {
            let opened = Checkpoint::open_narrowed(folder.path(), &Device::flex(), narrow);
            answers(opened.expect("the model"), attention)
        });
        assert!(wide == narrow, "the same values, bit by bit");
    }
}

#[test]
fn fewer_bits_change_answers_a_little() {
    let attention = DecoderAttention::Content;
    let exact = answers(seeded(None), attention);
    for (format, bound) in [
        (Narrow::F16, 1e-3),
        (Narrow::Bf16, 1e-2),
        (Narrow::Int8, 2e-2),
    ] {
        let found = answers(seeded(Some(format)), attention);
        for (found, exact) in found.iter().zip(&exact) {
            let off = difference(found, exact);
            assert!(off > bound / 100.0 && off < bound, "{format}: {off}");
        }
    }
}

#[test]
fn what_is_saved_was_not_rounded() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let formats = [None, Some(Narrow::Int8)];
    let files = [0, 1].map(|place| {
        let model = seeded(formats[place]);
        let folder = folders[place].path();
        model
            .transformer
            .save(&model.names, folder, false)
            .expect("a saved model");
        std::fs::read(folder.join("model.safetensors")).expect("weights")
    });
    assert!(files[0] == files[1]);
}

#[test]
fn training_takes_no_fewer_bits() {
    let weights = Weights::seeded(1, &Device::flex().autodiff());
    let error = weights.narrowed(Some(Narrow::Bf16)).expect_err("refused");
    assert!(matches!(
        error,
        WeightsError::Narrow {
            format: Narrow::Bf16
        }
    ));
    let text = ModelError::from(error).to_string();
    assert!(text.contains("bf16") && text.contains("CPU"), "{text}");
}
