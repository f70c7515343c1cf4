//! An object's result does not depend on the objects beside it, and bad input is refused.

use std::collections::BTreeMap;

use aion_data::{ModalityId, ObjectTokens};
use aion_model::{Checkpoint, DecoderAttention, ModelConfig, ModelError, Preset, Transformer};
use aion_model::{Target, Targets, budget, show_all};
use burn::tensor::Device;

use crate::case::{difference, key};

const TOLERANCE: f32 = 1e-6;

/// A small model with every option that moves rows around.
pub fn config() -> ModelConfig {
    ModelConfig {
        dim: 32,
        num_heads: 4,
        encoder_depth: 2,
        decoder_depth: 2,
        qk_norm: true,
        num_register_tokens: 2,
        ..Preset::Tiny.config()
    }
}

pub fn model() -> Transformer {
    let checkpoint = Checkpoint::seeded(&config(), 5, &Device::flex());
    checkpoint.expect("a model").transformer
}

/// Objects with different modalities, two of the same length beside each other.
pub fn objects() -> Vec<ObjectTokens> {
    let object = |parts: &[(&str, usize)]| -> ObjectTokens {
        let tokens = |(name, count): &(&str, usize)| {
            let id = key(name);
            let vocabulary = id.info().vocabulary;
            let token = |place: usize| ((place * 131 + name.len() * 17) % vocabulary) as u16;
            (id, (0..*count).map(token).collect())
        };
        parts.iter().map(tokens).collect()
    };
    vec![
        object(&[("tok_flux_g", 1), ("tok_xp_bp", 55), ("catalog", 15)]),
        object(&[("tok_spectrum_sdss", 273), ("tok_z", 1)]),
        object(&[("tok_spectrum_desi", 273), ("tok_parallax", 1)]),
        object(&[("tok_mag_g", 1)]),
    ]
}

fn values<const D: usize>(tensor: burn::tensor::Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn states_are_the_same_alone_and_in_a_batch() {
    let (model, objects) = (model(), objects());
    let together = model.encode(&objects).expect("states");
    let means = values(together.mean());
    for (place, states) in together.per_object().into_iter().enumerate() {
        let alone = model.encode(&objects[place..=place]).expect("states");
        let off = difference(&values(states), &values(alone.states.clone()));
        assert!(off < TOLERANCE, "object {place}: {off}");
        let off = difference(&means[place * 32..][..32], &values(alone.mean()));
        assert!(off < TOLERANCE, "mean of object {place}: {off}");
    }
    let (holders, mean) = together.mean_of(key("tok_z")).expect("one object has it");
    assert_eq!(holders, [1]);
    let row = together.layout.of(key("tok_z")).next().expect("its group");
    let state = values(together.states.clone().slice([row.rows.clone()]));
    assert!(difference(&values(mean), &state) < TOLERANCE);
    assert_eq!(together.layout.labels().filter(Option::is_none).count(), 8);
}

#[test]
fn predictions_are_the_same_alone_and_in_a_batch() {
    let targets = [key("tok_xp_rp"), key("tok_z"), key("tok_flux_r")];
    for attention in [DecoderAttention::Reference, DecoderAttention::Content] {
        let model = model().with_decoder_attention(attention);
        let objects = objects();
        let together = model.predict(&objects, &targets).expect("predictions");
        for (place, together) in together.iter().enumerate() {
            let alone = model.predict(&objects[place..=place], &targets);
            let alone = alone.expect("a prediction").remove(0);
            for target in targets {
                let off = difference(together[&target].logits(), alone[&target].logits());
                assert!(off < TOLERANCE, "object {place} {target}: {off}");
            }
        }
    }
}

#[test]
fn with_content_attention_other_targets_change_nothing() {
    let model = model().with_decoder_attention(DecoderAttention::Content);
    let objects = objects();
    let one = model
        .predict(&objects, &[key("tok_z")])
        .expect("predictions");
    let two = model.predict(&objects, &[key("tok_z"), key("tok_xp_bp")]);
    for (one, two) in one.iter().zip(&two.expect("predictions")) {
        let off = difference(two[&key("tok_z")].logits(), one[&key("tok_z")].logits());
        assert!(off < TOLERANCE, "{off}");
    }
}

/// Questions for positions.
pub fn at(questions: &[(&str, &[u16])]) -> Targets {
    let questions = questions.iter();
    questions
        .map(|(name, positions)| (key(name), Target::At(positions.to_vec())))
        .collect()
}

#[test]
fn objects_may_be_asked_about_different_positions() {
    let model = model().with_decoder_attention(DecoderAttention::Content);
    let objects = &objects()[..2];
    let encoded = model.encode(objects).expect("states");
    let targets = [
        at(&[("tok_z", &[0]), ("tok_xp_bp", &[3, 50])]),
        at(&[("tok_xp_bp", &[7]), ("tok_flux_g", &[])]),
    ];
    let decoded = model.decode(&encoded, &targets).expect("decoder states");
    let logits = model.logits(&decoded, key("tok_xp_bp")).expect("logits");
    assert_eq!(logits.dims(), [3, 1024]);
    let alone = model.encode(&objects[1..]).expect("states");
    let alone = model.decode(&alone, &targets[1..]).expect("decoder states");
    let expected = values(model.logits(&alone, key("tok_xp_bp")).expect("logits"));
    let off = difference(&values(logits.narrow(0, 2, 1)), &expected);
    assert!(off < TOLERANCE, "{off}");
}

#[test]
fn a_budget_keeps_positions() {
    let (model, objects) = (model(), objects());
    let shown = show_all(0, &objects[1]).expect("counts that fit");
    let kept = budget(&shown, 40, 11);
    let encoded = model
        .encode_visible(std::slice::from_ref(&kept))
        .expect("states");
    assert_eq!(encoded.states.dims(), [42, 32]);
    let all = model
        .encode_visible(&[budget(&shown, 274, 11)])
        .expect("states");
    let whole = model.encode(&objects[1..2]).expect("states");
    assert_eq!(values(all.states), values(whole.states));
    assert!(
        kept[&key("tok_spectrum_sdss")]
            .positions
            .iter()
            .any(|place| *place > 40)
    );
}

#[test]
fn bad_input_is_refused() {
    let model = model();
    let object = |name: &str, tokens: Vec<u16>| vec![BTreeMap::from([(key(name), tokens)])];
    let encode = |batch: Vec<ObjectTokens>| model.encode(&batch).err();
    assert!(matches!(encode(vec![]), Some(ModelError::EmptyBatch)));
    assert!(matches!(
        encode(vec![ObjectTokens::new()]),
        Some(ModelError::NoTokens { object: 0 })
    ));
    assert!(matches!(
        encode(object("tok_segmap", vec![0; 144])),
        Some(ModelError::UnknownInput { .. })
    ));
    assert!(matches!(
        encode(object("tok_z", vec![1025])),
        Some(ModelError::TokenOutside {
            token: 1025,
            vocabulary: 1025,
            ..
        })
    ));
    assert!(matches!(
        encode(object("tok_xp_bp", vec![0; 54])),
        Some(ModelError::TokenCount {
            found: 54,
            expected: 55,
            ..
        })
    ));
    assert!(matches!(
        encode(object("catalog", vec![])),
        Some(ModelError::NoTokens { .. })
    ));
    let predict = |target: ModalityId| model.predict(&objects(), &[target]).err();
    assert!(matches!(
        predict(key("catalog")),
        Some(ModelError::SequenceTarget { .. })
    ));
    let error = predict(key("tok_segmap")).expect("an error");
    assert!(error.to_string().contains("tok_parallax"), "{error}");
    assert!(matches!(
        model.predict(&objects(), &[]),
        Err(ModelError::NoTargets { object: 0 })
    ));
}
