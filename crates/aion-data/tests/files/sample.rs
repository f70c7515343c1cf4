//! Objects, tokens and raw tensors to test with.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use aion_data::{
    Image, Kind, Measurement, ModalityId, Object, ScalarField, Source, Spectrum, TokenRow,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use tempfile::TempDir;

/// A folder and a path in it.
pub fn scratch(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

/// Names of the files in a folder.
pub fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

pub fn modality(key: &str) -> ModalityId {
    ModalityId::from_key(key).unwrap()
}

/// A raw tensor: name, type, shape, bytes.
pub type Raw = (&'static str, Dtype, Vec<usize>, Vec<u8>);

pub fn f32s(name: &'static str, shape: &[usize], values: &[f32]) -> Raw {
    let bytes = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    (name, Dtype::F32, shape.to_vec(), bytes)
}

pub fn i64s(name: &'static str, shape: &[usize], values: &[i64]) -> Raw {
    let bytes = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    (name, Dtype::I64, shape.to_vec(), bytes)
}

/// Writes tensors as another program would.
pub fn write_raw(path: &Path, tensors: &[Raw], metadata: &[(&str, &str)]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (
            *name,
            TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    // An empty map would be spelled wrongly.
    let metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
    fs::write(path, serialize(views, metadata).unwrap()).unwrap();
}

fn numbers(len: usize) -> impl Strategy<Value = Vec<f32>> {
    let number = prop_oneof![
        8 => -1e6f32..1e6,
        1 => Just(f32::INFINITY),
        1 => Just(0.0),
    ];
    vec(number, len)
}

fn spectrum() -> impl Strategy<Value = Measurement> {
    (1usize..20).prop_flat_map(|len| {
        let mask = vec(any::<bool>(), len);
        (numbers(len), numbers(len), numbers(len), mask).prop_map(
            |(flux, ivar, wavelength, mask)| {
                Measurement::Spectrum(Spectrum {
                    flux,
                    ivar,
                    wavelength,
                    mask,
                })
            },
        )
    })
}

fn source() -> impl Strategy<Value = Source> {
    (0..96i32, 0..96i32, -1f32..1.0, -1f32..1.0, 0f32..50.0).prop_map(
        |(x, y, shape_e1, shape_e2, shape_r)| Source {
            x,
            y,
            shape_e1,
            shape_e2,
            shape_r,
        },
    )
}

/// A measurement that fits the modality; images of a file share 2 bands of 3x4 pixels.
fn measurement(id: ModalityId) -> BoxedStrategy<Measurement> {
    match id.info().kind {
        Kind::Image => (numbers(24), option::of(numbers(24)))
            .prop_map(|(flux, ivar)| {
                Measurement::Image(Image {
                    bands: vec!["DES-G".to_owned(), "DES-Z".to_owned()],
                    height: 3,
                    width: 4,
                    flux,
                    ivar,
                })
            })
            .boxed(),
        Kind::Spectrum => spectrum().boxed(),
        Kind::Scalar => (-1e6f32..1e6).prop_map(Measurement::Scalar).boxed(),
        Kind::Coefficients => numbers(55).prop_map(Measurement::Coefficients).boxed(),
        Kind::Catalog => vec(source(), 0..8).prop_map(Measurement::Catalog).boxed(),
        Kind::ScalarField => vec(0f32..=1.0, 12)
            .prop_map(|field| {
                Measurement::ScalarField(ScalarField {
                    height: 4,
                    width: 3,
                    field,
                })
            })
            .boxed(),
    }
}

/// Some modalities, each with something made for it.
fn some_modalities<T: std::fmt::Debug + 'static>(
    of: fn(ModalityId) -> BoxedStrategy<T>,
) -> impl Strategy<Value = BTreeMap<ModalityId, T>> {
    let all: Vec<ModalityId> = ModalityId::all().collect();
    subsequence(all, 1..12).prop_flat_map(move |chosen| {
        let values: Vec<_> = chosen.iter().map(|id| of(*id)).collect();
        values.prop_map(move |values| chosen.iter().copied().zip(values).collect())
    })
}

fn identity() -> impl Strategy<Value = (String, Option<(f64, f64)>, BTreeMap<String, String>)> {
    let id = prop_oneof!["[0-9]{1,18}", "[A-Za-z0-9 ,\"é+-]{1,12}"];
    let position = option::of((0f64..360.0, -90f64..=90.0));
    (id, position, btree_map("[A-Z]{1,8}", "[a-z0-9]{0,5}", 0..3))
}

fn object() -> impl Strategy<Value = Object> {
    (identity(), some_modalities(measurement), any::<bool>()).prop_map(
        |((id, position, flags), measurements, simulated)| Object {
            id,
            ra: position.map(|position| position.0),
            dec: position.map(|position| position.1),
            measurements,
            flags,
            simulated,
        },
    )
}

pub fn objects() -> impl Strategy<Value = Vec<Object>> {
    vec(object(), 1..6)
}

fn tokens(id: ModalityId) -> BoxedStrategy<Vec<u16>> {
    let token = 0..id.info().vocabulary as u16;
    match id.info().is_sequence() {
        true => vec(token, 0..30).boxed(),
        false => vec(token, id.info().num_tokens()).boxed(),
    }
}

pub fn token_rows() -> impl Strategy<Value = Vec<TokenRow>> {
    let row = (identity(), some_modalities(tokens)).prop_map(|((id, position, flags), tokens)| {
        TokenRow {
            id,
            ra: position.map(|position| position.0),
            dec: position.map(|position| position.1),
            tokens,
            flags,
        }
    });
    vec(row, 1..6)
}
