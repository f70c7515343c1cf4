//! Embeddings and logits of the reference's cases.

use aion_model::{DecoderAttention, Transformer};

use crate::case::{Case, cases, difference, key, open};

const TOLERANCE: f32 = 1e-4;

#[test]
fn embeddings_agree() {
    for case in cases() {
        let model = open(&case.description.model).transformer;
        let encoded = model.encode(&case.objects()).expect("an embedding");
        let file = case.tensors("embedding.safetensors").expect("an embedding");
        let shape = file.shape("embedding").expect("an embedding").to_vec();
        let expected = file.values("embedding").expect("floats");
        let rows = shape[1] * shape[2];
        for (object, states) in encoded.per_object().into_iter().enumerate() {
            let valid = case.description.valid[object];
            assert_eq!(states.dims(), [valid, shape[2]], "{}", case.name);
            let found: Vec<f32> = states.into_data().iter::<f32>().collect();
            let start = object * rows;
            let off = difference(&found, &expected[start..start + valid * shape[2]]);
            println!("{:26} object {object} embedding {off:.1e}", case.name);
            assert!(off < TOLERANCE, "{} object {object}: {off}", case.name);
        }
    }
}

#[test]
fn logits_agree() {
    for case in cases() {
        let model = open(&case.description.model).transformer;
        compare_logits(&case, &model, &["logits", "logits_sampled"]);
    }
}

#[test]
fn logits_with_working_attention_agree() {
    let mut seen = 0;
    for case in cases() {
        let file = "logits_attending";
        if case.tensors(&format!("{file}.safetensors")).is_none() {
            continue;
        }
        let model = open(&case.description.model).transformer;
        let model = model.with_decoder_attention(DecoderAttention::Content);
        compare_logits(&case, &model, &[file]);
        seen += 1;
    }
    assert!(seen > 0, "no case with working attention");
}

fn compare_logits(case: &Case, model: &Transformer, files: &[&str]) {
    let targets = case.targets();
    if targets.is_empty() {
        return;
    }
    let predictions = model.predict(&case.objects(), &targets).expect("logits");
    let mut compared = 0;
    for file in files {
        let Some(file) = case.tensors(&format!("{file}.safetensors")) else {
            continue;
        };
        for name in file.names() {
            let expected = file.values(name).expect("floats");
            let found: Vec<f32> = predictions
                .iter()
                .flat_map(|object| {
                    let rows: Vec<&[f32]> = object[&key(name)].rows().collect();
                    let all = (0..rows.len()).collect();
                    let whole = expected.len() == predictions.len() * rows.concat().len();
                    let sampled = &case.description.sampled_positions;
                    let places = if whole { &all } else { &sampled[name] };
                    places
                        .iter()
                        .flat_map(|place| rows[*place].to_vec())
                        .collect::<Vec<_>>()
                })
                .collect();
            let off = difference(&found, &expected);
            println!("{:26} {name:18} logits {off:.1e}", case.name);
            assert!(off < TOLERANCE, "{} {name}: {off}", case.name);
            compared += 1;
        }
    }
    assert_eq!(compared, targets.len(), "{}", case.name);
}
