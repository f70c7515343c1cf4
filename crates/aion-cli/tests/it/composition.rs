//! An object's result is its own: batch size and neighbours change nothing.

use std::collections::BTreeMap;
use std::path::Path;

use crate::parity::same_within;
use crate::run::{Scratch, model};
use crate::tensors::{Spectra, Tensors, images, pattern, read};

/// What batch composition may change of embeddings, relative to the largest magnitude.
const ROUNDING: f64 = 1e-6;
/// And of logits: the norms of the decoder of a model of width 4 enlarge rounding.
const ENLARGED: f64 = 1e-5;

/// Objects that have little in common: images, spectra, photometry, a catalogue of two lengths.
fn inputs(scratch: &Scratch) {
    images(10, 3, 96).write(&scratch.path("a_images.safetensors"));
    Spectra::new(2, 500).write(&scratch.path("b_spectra.safetensors"));
    let fluxes: Vec<f32> = pattern(4, 9).iter().map(|flux| 1.0 + flux).collect();
    Tensors::new()
        .f32("tok_flux_g/value", &[4, 1], fluxes.clone())
        .f32("tok_flux_r/value", &[4, 1], fluxes)
        .i64("object_id", &[4], vec![20, 21, 22, 23])
        .write(&scratch.path("c_photometry.safetensors"));
    let padded = |values: [f32; 2]| vec![values[0], values[1], values[0], 9999.0];
    Tensors::new()
        .f32("catalog/X", &[2, 2], padded([48.0, 3.0]))
        .f32("catalog/Y", &[2, 2], padded([47.0, 90.0]))
        .f32("catalog/SHAPE_E1", &[2, 2], padded([0.1, -0.2]))
        .f32("catalog/SHAPE_E2", &[2, 2], padded([0.0, 0.3]))
        .f32("catalog/SHAPE_R", &[2, 2], padded([1.5, 0.7]))
        .i64("object_id", &[2], vec![30, 31])
        .write(&scratch.path("d_catalog.safetensors"));
}

/// Rows of a tensor by object, padding beyond an object's own entries cut off.
fn rows(path: &Path, name: &str) -> BTreeMap<String, Vec<f64>> {
    let array = read(path, name).expect("a tensor");
    let mask = read(path, &format!("{name}_mask"));
    let ids = crate::tensors::metadata(path, "object_id").expect("identifiers");
    let ids: Vec<String> = serde_json::from_str(&ids).expect("a list");
    let valid = |row: usize| {
        let count = mask
            .as_ref()
            .map(|mask| mask.row(row).iter().filter(|v| **v != 0.0).count());
        count.map_or(array.width(1), |count| count * array.width(2))
    };
    let row = |(row, id): (usize, String)| (id, array.row(row)[..valid(row)].to_vec());
    ids.into_iter().enumerate().map(row).collect()
}

/// Checks that every row of a file is what it was in another batch.
#[track_caller]
fn same_rows(path: &Path, name: &str, limit: f64, expected: &BTreeMap<String, Vec<f64>>) {
    let magnitudes = expected.values().flatten().map(|value| value.abs());
    let scale = magnitudes.fold(0.0, f64::max);
    for (id, row) in rows(path, name) {
        let same = same_within(limit, &row, &expected[&id], scale);
        same.unwrap_or_else(|error| panic!("{name} of object {id}: {error}"));
    }
}

#[test]
fn batch_size_and_neighbours_change_nothing() {
    let scratch = Scratch::new();
    inputs(&scratch);
    let all = scratch.path("?_*.safetensors");
    let model = model("full");
    let together = scratch.path("together.safetensors");
    let logits = scratch.path("logits.safetensors");
    scratch
        .verb("embed", (&model, &all, &together), &["--batch", "16"])
        .success();
    let predict = ["--target", "tok_z,tok_xp_bp", "--logits", "--batch", "5"];
    scratch
        .verb("predict", (&model, &all, &logits), &predict)
        .success();
    let (expected, expected_logits) = (rows(&together, "embedding"), rows(&logits, "tok_xp_bp"));
    assert_eq!(expected.len(), 11);

    let alone = scratch.path("alone.safetensors");
    scratch
        .verb("embed", (&model, &all, &alone), &["--batch", "1"])
        .success();
    same_rows(&alone, "embedding", ROUNDING, &expected);
    for file in ["a_images", "b_spectra", "c_photometry", "d_catalog"] {
        let input = scratch.path(&format!("{file}.safetensors"));
        scratch
            .verb("embed", (&model, &input, &alone), &["--batch", "2"])
            .success();
        same_rows(&alone, "embedding", ROUNDING, &expected);
        scratch
            .verb("predict", (&model, &input, &alone), &predict[..3])
            .success();
        same_rows(&alone, "tok_xp_bp", ENLARGED, &expected_logits);
    }
}

#[test]
fn draws_depend_on_the_seed_and_the_object_alone() {
    let scratch = Scratch::new();
    inputs(&scratch);
    let model = model("full");
    let all = scratch.path("?_*.safetensors");
    let few = scratch.path("c_photometry.safetensors");
    let (a, b) = (
        scratch.path("a1.safetensors"),
        scratch.path("b1.safetensors"),
    );
    let samples = ["--target", "tok_z", "--samples", "8", "--seed", "3"];
    scratch
        .verb("predict", (&model, &all, &a), &samples)
        .success();
    scratch
        .verb("predict", (&model, &few, &b), &samples)
        .success();
    let (all_draws, few_draws) = (rows(&a, "tok_z"), rows(&b, "tok_z"));
    assert!(few_draws.iter().all(|(id, draws)| all_draws[id] == *draws));
    assert_ne!(few_draws["20"], few_draws["21"]);
    let other = ["--target", "tok_z", "--samples", "8", "--seed", "4"];
    scratch
        .verb("predict", (&model, &few, &b), &other)
        .success();
    assert_ne!(rows(&b, "tok_z"), few_draws);

    let budget = ["--budget", "50", "--seed", "1"];
    scratch.verb("embed", (&model, &all, &a), &budget).success();
    let images = scratch.path("a_images.safetensors");
    scratch
        .verb("embed", (&model, &images, &b), &budget)
        .success();
    let all_rows = rows(&a, "embedding");
    assert!(all_rows["10"].len() == 50 * 4, "50 tokens of width 4");
    same_rows(&b, "embedding", ROUNDING, &all_rows);
}
