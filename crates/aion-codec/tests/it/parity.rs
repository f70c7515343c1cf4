//! Tokens, and reconstructions of the reference's tokens, case by case.

use std::path::{Path, PathBuf};

use aion_codec::CodecSet;
use aion_data::tensor_files::ObservationFile;
use aion_data::token_files::read_tokens;
use aion_data::{Kind, Measurement, ModalityId, Object};
use burn::tensor::Device;

fn fixtures() -> PathBuf {
    match std::env::var_os("AION_FIXTURES") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"),
    }
}

struct Case {
    name: String,
    folder: PathBuf,
    model: PathBuf,
}

/// Cases that have both files.
fn cases(needed: &str) -> Vec<Case> {
    let root = fixtures();
    let text = std::fs::read_to_string(root.join("manifest.json")).expect("fixtures/manifest.json");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("manifest is JSON");
    let names = manifest["cases"].as_array().expect("list of cases").clone();
    let case = |name: &serde_json::Value| {
        let name = name.as_str().expect("a name").to_owned();
        let folder = root.join("cases").join(&name);
        let text = std::fs::read_to_string(folder.join("case.json")).expect("case.json");
        let info: serde_json::Value = serde_json::from_str(&text).expect("case is JSON");
        let model = root
            .join("models")
            .join(info["model"].as_str().expect("model"));
        Case {
            name,
            folder,
            model,
        }
    };
    names
        .iter()
        .map(case)
        .filter(|case| case.folder.join("observations.safetensors").is_file())
        .filter(|case| case.folder.join(needed).is_file())
        .collect()
}

fn observations(path: &Path) -> Vec<Object> {
    let file = ObservationFile::open(path).expect("observations open");
    file.objects()
        .map(|object| object.expect("good object"))
        .collect()
}

#[test]
fn tokens_agree() {
    let mut compared = 0;
    for case in cases("tokens.safetensors") {
        let objects = observations(&case.folder.join("observations.safetensors"));
        let expected = read_tokens(&case.folder.join("tokens.safetensors")).expect("tokens open");
        let codecs = CodecSet::new(&case.model, &Device::flex());
        let encoded = codecs.encode(&objects).expect("codecs open");
        for (id, ours, theirs) in encoded.iter().zip(&expected).flat_map(|(ours, theirs)| {
            let ours = &ours.as_ref().expect("good object").tokens;
            theirs
                .tokens
                .iter()
                .map(move |(id, tokens)| (*id, ours.get(id), tokens))
        }) {
            let ours = ours.unwrap_or_else(|| panic!("{}: no {id}", case.name));
            let differing = ours.iter().zip(theirs).filter(|(a, b)| a != b).count();
            let exact = matches!(
                id.info().kind,
                Kind::Scalar | Kind::Coefficients | Kind::Catalog
            );
            let allowed = if exact {
                0
            } else {
                (theirs.len() / 1000).max(1)
            };
            assert_eq!(ours.len(), theirs.len(), "{}: {id}", case.name);
            assert!(
                differing <= allowed,
                "{}: {id}: {differing} of {} tokens differ",
                case.name,
                theirs.len()
            );
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} token sequences compared");
}

#[test]
fn reconstructions_agree() {
    let mut compared = 0;
    for case in cases("reconstruction.safetensors") {
        let objects = match case.folder.join("like.safetensors") {
            like if like.is_file() => continue_with_grid(&like, &case),
            _ => observations(&case.folder.join("observations.safetensors")),
        };
        let tokens = read_tokens(&case.folder.join("tokens.safetensors")).expect("tokens open");
        let file = aion_kernel::tensor_file::TensorFile::open(
            &case.folder.join("reconstruction.safetensors"),
        )
        .expect("reconstruction opens");
        let codecs = CodecSet::new(&case.model, &Device::flex());
        let ids: Vec<ModalityId> = tokens[0].tokens.keys().copied().collect();
        for id in ids {
            let codes: Vec<&[u16]> = tokens
                .iter()
                .map(|row| row.tokens[&id].as_slice())
                .collect();
            let like: Vec<Option<&Measurement>> =
                objects.iter().map(|object| object.get(id)).collect();
            let decoded = codecs.decode(id, &codes, &like).expect("decodes");
            compared += compare(&case.name, id, &decoded, &file);
        }
    }
    assert!(compared > 20, "only {compared} fields compared");
}

/// Objects whose spectra have the wavelengths of `like` and nothing else of interest.
fn continue_with_grid(like: &Path, case: &Case) -> Vec<Object> {
    let grids = aion_kernel::tensor_file::TensorFile::open(like).expect("like opens");
    let mut objects = observations(&case.folder.join("observations.safetensors"));
    for (row, object) in objects.iter_mut().enumerate() {
        for (id, measurement) in &mut object.measurements {
            if let Measurement::Spectrum(spectrum) = measurement {
                let name = format!("{id}/wavelength");
                let shape = grids.shape(&name).expect("a grid").to_vec();
                let values = grids.values(&name).expect("floats");
                let len = shape[1];
                spectrum.wavelength = values[row * len..(row + 1) * len].to_vec();
            }
        }
    }
    objects
}

/// Largest error relative to the largest magnitude of a field.
fn error(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs
        .iter()
        .fold(0f32, |max, x| max.max(x.abs()))
        .max(1e-12);
    let difference = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    difference.fold(0f32, f32::max) / largest
}

fn compare(
    case: &str,
    id: ModalityId,
    decoded: &[Measurement],
    file: &aion_kernel::tensor_file::TensorFile,
) -> usize {
    let field = |name: &str| file.values(&format!("{id}/{name}"));
    let check = |name: &str, ours: Vec<f32>, tolerance: f32| {
        let theirs = field(name).unwrap_or_else(|| panic!("{case}: no {id}/{name}"));
        let error = error(&ours, &theirs);
        assert!(error < tolerance, "{case}: {id}/{name}: error {error}");
        1
    };
    let gather = |values: fn(&Measurement) -> Vec<f32>| decoded.iter().flat_map(values).collect();
    match decoded[0] {
        Measurement::Image(_) => check(
            "flux",
            gather(|m| match m {
                Measurement::Image(image) => image.flux.clone(),
                _ => Vec::new(),
            }),
            1e-3,
        ),
        Measurement::Spectrum(_) => check(
            "flux",
            gather(|m| match m {
                Measurement::Spectrum(spectrum) => spectrum.flux.clone(),
                _ => Vec::new(),
            }),
            1e-4,
        ),
        Measurement::Scalar(_) | Measurement::Coefficients(_) => check(
            "value",
            gather(|m| match m {
                Measurement::Scalar(value) => vec![*value],
                Measurement::Coefficients(values) => values.clone(),
                _ => Vec::new(),
            }),
            1e-4,
        ),
        Measurement::ScalarField(_) => check(
            "field",
            gather(|m| match m {
                Measurement::ScalarField(map) => map.field.clone(),
                _ => Vec::new(),
            }),
            1e-4,
        ),
        // Ragged: compared through the command line, where padding is written.
        Measurement::Catalog(_) => 0,
    }
}
