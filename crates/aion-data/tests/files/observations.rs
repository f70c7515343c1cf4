//! Observations in safetensors.

use std::collections::BTreeMap;

use aion_data::tensor_files::{Dtype, Grid, ObservationFile, read_grids, write_observations};
use aion_data::{DataError, Image, Measurement, Object, Problem};
use proptest::prelude::*;

use crate::sample::{Raw, f32s, files_in, i64s, modality, objects, scratch, write_raw};

const BANDS: (&str, &str) = ("tok_image/bands", "DES-G,des-z");

fn open_raw(tensors: &[Raw], metadata: &[(&str, &str)]) -> Result<ObservationFile, DataError> {
    let (_folder, path) = scratch("raw.safetensors");
    write_raw(&path, tensors, metadata);
    ObservationFile::open(&path)
}

fn only_object(tensors: &[Raw], metadata: &[(&str, &str)]) -> Object {
    open_raw(tensors, metadata).unwrap().object(0).unwrap()
}

fn refused(tensors: &[Raw], metadata: &[(&str, &str)]) -> DataError {
    let error = open_raw(tensors, metadata).map(|_| ()).unwrap_err();
    assert!(error.place.path.is_some(), "{error}");
    error
}

fn field(error: &DataError) -> &str {
    error.place.field.as_deref().unwrap_or_default()
}

fn spectrum(len: usize) -> Vec<Raw> {
    let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
    vec![
        f32s("tok_spectrum_sdss/flux", &[1, len], &values),
        f32s("tok_spectrum_sdss/ivar", &[1, len], &values),
        f32s("tok_spectrum_sdss/wavelength", &[1, len], &values),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn objects_come_back_as_they_were(objects in objects()) {
        let (folder, path) = scratch("objects.safetensors");
        let metadata = BTreeMap::from([("provenance".to_owned(), "a test".to_owned())]);
        write_observations(&path, &objects, &metadata).unwrap();
        let file = ObservationFile::open(&path).unwrap();
        prop_assert_eq!(file.len(), objects.len());
        prop_assert_eq!(&file.metadata()["provenance"], "a test");
        let read: Vec<Object> = file.objects().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&read, &objects);
        prop_assert_eq!(files_in(folder.path()).len(), 1);

        let bytes = std::fs::read(&path).unwrap();
        write_observations(&path, &read, &metadata).unwrap();
        prop_assert_eq!(bytes, std::fs::read(&path).unwrap(), "the bytes depend on more than the content");
    }
}

#[test]
fn every_number_type_is_read() {
    let half = |value: f32| half::f16::from_f32(value).to_le_bytes().to_vec();
    let brain = |value: f32| half::bf16::from_f32(value).to_le_bytes().to_vec();
    let cases: [(Dtype, Vec<u8>); 8] = [
        (Dtype::F64, (-2.5f64).to_le_bytes().to_vec()),
        (Dtype::F16, half(-2.5)),
        (Dtype::BF16, brain(-2.5)),
        (Dtype::I8, (-3i8).to_le_bytes().to_vec()),
        (Dtype::I16, (-3i16).to_le_bytes().to_vec()),
        (Dtype::I32, (-3i32).to_le_bytes().to_vec()),
        (Dtype::U32, 3u32.to_le_bytes().to_vec()),
        (Dtype::U64, 3u64.to_le_bytes().to_vec()),
    ];
    for (dtype, bytes) in cases {
        let object = only_object(&[("tok_z/value", dtype, vec![1, 1], bytes)], &[]);
        let value = object.scalar(modality("tok_z")).unwrap();
        assert!(
            [-2.5, -3.0, 3.0].contains(&value),
            "{dtype:?} read as {value}"
        );
    }
}

#[test]
fn a_spectrum_without_mask_has_no_bad_pixels_and_an_integer_mask_is_read() {
    let mut tensors = spectrum(3);
    let Some(Measurement::Spectrum(found)) = only_object(&tensors, &[])
        .measurements
        .remove(&modality("tok_spectrum_sdss"))
    else {
        panic!("no spectrum");
    };
    assert_eq!(found.mask, [false; 3]);
    tensors.push(i64s("tok_spectrum_sdss/mask", &[1, 3], &[0, 1, 4]));
    let object = only_object(&tensors, &[]);
    let Some(Measurement::Spectrum(found)) = object.get(modality("tok_spectrum_sdss")) else {
        panic!("no spectrum");
    };
    assert_eq!(found.mask, [false, true, true]);
}

fn catalog(x: &[i64], shape_r: &[f32]) -> Vec<Raw> {
    let shape = [1, x.len()];
    vec![
        i64s("catalog/X", &shape, x),
        i64s("catalog/Y", &shape, x),
        f32s("catalog/SHAPE_E1", &shape, shape_r),
        f32s("catalog/SHAPE_E2", &shape, shape_r),
        f32s("catalog/SHAPE_R", &shape, shape_r),
    ]
}

#[test]
fn catalogue_padding_is_left_out_wherever_it_stands() {
    let object = only_object(
        &catalog(&[5, 9999, 7, 9999], &[1.0, 9999.0, 2.0, 9999.0]),
        &[],
    );
    let Some(Measurement::Catalog(sources)) = object.get(modality("catalog")) else {
        panic!("no catalogue");
    };
    let found: Vec<(i32, f32)> = sources
        .iter()
        .map(|source| (source.x, source.shape_r))
        .collect();
    assert_eq!(found, [(5, 1.0), (7, 2.0)]);
}

#[test]
fn catalogue_padding_that_disagrees_concerns_the_object() {
    let file = open_raw(&catalog(&[9999, 3], &[1.0, 2.0]), &[("object_id", "a")]).unwrap();
    let error = file.object(0).unwrap_err();
    assert!(matches!(error.problem, Problem::Mismatch(_)), "{error}");
    assert_eq!(error.place.object.as_deref(), Some("a"));
    assert_eq!(field(&error), "catalog/X");
}

#[test]
fn fractional_pixels_concern_the_object() {
    let mut tensors = catalog(&[1], &[1.0]);
    tensors[0] = f32s("catalog/X", &[1, 1], &[1.5]);
    let error = open_raw(&tensors, &[]).unwrap().object(0).unwrap_err();
    assert!(matches!(error.problem, Problem::Values(_)), "{error}");
}

#[test]
fn a_length_beyond_the_spectrum_concerns_the_object() {
    for length in [4, -1] {
        let mut tensors = spectrum(3);
        tensors.push(i64s("tok_spectrum_sdss/length", &[1], &[length]));
        let error = open_raw(&tensors, &[]).unwrap().object(0).unwrap_err();
        assert!(matches!(error.problem, Problem::Values(_)), "{error}");
        assert_eq!(field(&error), "tok_spectrum_sdss/length");
    }
}

#[test]
fn bands_are_upper_case_and_required() {
    let image = f32s("tok_image/flux", &[1, 2, 1, 1], &[1.0, 2.0]);
    let object = only_object(std::slice::from_ref(&image), &[BANDS]);
    let Some(Measurement::Image(found)) = object.get(modality("tok_image")) else {
        panic!("no image");
    };
    assert_eq!(found.bands, ["DES-G", "DES-Z"]);

    let error = refused(std::slice::from_ref(&image), &[]);
    assert!(matches!(error.problem, Problem::Missing(_)), "{error}");
    assert_eq!(field(&error), "tok_image/bands");
    let error = refused(&[image], &[("tok_image/bands", "DES-G")]);
    assert!(matches!(error.problem, Problem::Shape { .. }), "{error}");
}

#[test]
fn identifiers_are_read_from_lists_and_tensors() {
    let value = f32s("tok_z/value", &[2], &[0.1, 0.2]);
    let ids = |tensors: &[Raw], metadata: &[(&str, &str)]| -> Vec<String> {
        let file = open_raw(tensors, metadata).unwrap();
        file.into_objects()
            .map(|object| object.unwrap().id)
            .collect()
    };
    let one = std::slice::from_ref(&value);
    assert_eq!(ids(one, &[]), ["0", "1"]);
    assert_eq!(ids(one, &[("object_id", "a, b")]), ["a", "b"]);
    assert_eq!(ids(one, &[("object_id", "[\"a,1\", 7]")]), ["a,1", "7"]);
    let large = [u64::MAX, 1]
        .iter()
        .flat_map(|id| id.to_le_bytes())
        .collect();
    let tensor = ("object_id", Dtype::U64, vec![2], large);
    assert_eq!(ids(&[value, tensor], &[]), ["18446744073709551615", "1"]);
}

#[test]
fn unknown_names_are_refused() {
    let error = refused(&[f32s("tok_image_ls/flux", &[1, 1], &[0.0])], &[]);
    assert!(
        matches!(error.problem, Problem::UnknownModality(_)),
        "{error}"
    );
    let error = refused(&[f32s("tok_z/flux", &[1, 1], &[0.0])], &[]);
    assert!(matches!(error.problem, Problem::Unrecognised(_)), "{error}");
    let error = refused(&[f32s("tok_z", &[1, 1], &[0.0])], &[]);
    assert!(matches!(error.problem, Problem::Unrecognised(_)), "{error}");
}

#[test]
fn missing_fields_are_named() {
    let error = refused(&spectrum(3)[..2], &[]);
    assert!(matches!(error.problem, Problem::Missing(_)), "{error}");
    assert_eq!(field(&error), "tok_spectrum_sdss/wavelength");
}

#[test]
fn wrong_shapes_are_named() {
    let cases: [(&str, Vec<Raw>); 4] = [
        ("tok_z/value", vec![f32s("tok_z/value", &[1, 2], &[0.0; 2])]),
        (
            "tok_xp_bp/value",
            vec![f32s("tok_xp_bp/value", &[1, 54], &[0.0; 54])],
        ),
        (
            "tok_image/flux",
            vec![f32s("tok_image/flux", &[1, 2, 2], &[0.0; 4])],
        ),
        (
            "tok_segmap/field",
            vec![f32s("tok_segmap/field", &[1, 2], &[0.0; 2])],
        ),
    ];
    for (name, tensors) in cases {
        let error = refused(&tensors, &[BANDS]);
        assert!(matches!(error.problem, Problem::Shape { .. }), "{error}");
        assert_eq!(field(&error), name);
    }
    let mut tensors = spectrum(3);
    tensors[1] = f32s("tok_spectrum_sdss/ivar", &[1, 2], &[0.0; 2]);
    let error = refused(&tensors, &[]);
    assert!(matches!(error.problem, Problem::Shape { .. }), "{error}");
    assert_eq!(field(&error), "tok_spectrum_sdss/ivar");
}

#[test]
fn rows_that_disagree_are_named() {
    let tensors = [
        f32s("tok_ebv/value", &[3, 1], &[0.0; 3]),
        f32s("tok_z/value", &[2, 1], &[0.0; 2]),
    ];
    let error = refused(&tensors, &[]);
    assert!(matches!(error.problem, Problem::Mismatch(_)), "{error}");
    assert_eq!(field(&error), "tok_z/value");
    for (key, value) in [("object_id", "only-one"), ("flags", "{\"A\":[\"1\"]}")] {
        let error = refused(&tensors[..1], &[(key, value)]);
        assert!(matches!(error.problem, Problem::Mismatch(_)), "{error}");
        assert_eq!(field(&error), key);
    }
}

#[test]
fn wrong_number_types_are_named() {
    let flag = ("tok_z/value", Dtype::BOOL, vec![1, 1], vec![1]);
    let mut masked = spectrum(3);
    masked.push(f32s("tok_spectrum_sdss/mask", &[1, 3], &[0.0; 3]));
    for tensors in [vec![flag], masked] {
        let error = refused(&tensors, &[]);
        assert!(matches!(error.problem, Problem::Values(_)), "{error}");
    }
}

#[test]
fn files_without_objects_are_refused() {
    for tensors in [vec![], vec![f32s("tok_z/value", &[0, 1], &[])]] {
        let error = refused(&tensors, &[]);
        assert!(matches!(error.problem, Problem::Empty), "{error}");
    }
    let (folder, path) = scratch("none.safetensors");
    let error = write_observations(&path, &[], &BTreeMap::new()).unwrap_err();
    assert!(matches!(error.problem, Problem::Empty), "{error}");
    assert!(files_in(folder.path()).is_empty());
}

#[test]
fn rows_without_numbers_cannot_claim_any_number_of_objects() {
    let endless = (
        "tok_spectrum_sdss/flux",
        Dtype::F32,
        vec![1 << 60, 0],
        vec![],
    );
    let error = refused(&[endless], &[]);
    assert!(matches!(error.problem, Problem::Shape { .. }), "{error}");
}

#[test]
fn files_that_are_no_safetensors_or_do_not_exist_are_named() {
    let (_folder, path) = scratch("text.safetensors");
    let error = ObservationFile::open(&path).map(|_| ()).unwrap_err();
    assert!(matches!(error.problem, Problem::Io(_)), "{error}");
    for content in ["", "not a tensor file"] {
        std::fs::write(&path, content).unwrap();
        let error = ObservationFile::open(&path).map(|_| ()).unwrap_err();
        assert!(
            matches!(error.problem, Problem::Container { .. }),
            "{error}"
        );
    }
}

fn with_image(id: &str, bands: &[&str], side: usize) -> Object {
    let mut object = Object::named(id);
    let image = Image {
        bands: bands.iter().map(|band| band.to_string()).collect(),
        height: side,
        width: side,
        flux: vec![0.0; bands.len() * side * side],
        ivar: None,
    };
    object
        .measurements
        .insert(modality("tok_image"), Measurement::Image(image));
    object
}

#[test]
fn images_of_one_file_share_size_and_bands() {
    let first = with_image("first", &["DES-G"], 2);
    for other in [
        with_image("other", &["DES-G"], 3),
        with_image("other", &["DES-R"], 2),
    ] {
        let (folder, path) = scratch("images.safetensors");
        let objects = [first.clone(), other];
        let error = write_observations(&path, &objects, &BTreeMap::new()).unwrap_err();
        assert!(matches!(error.problem, Problem::Mismatch(_)), "{error}");
        let words = error.to_string();
        assert!(
            words.contains("other") && words.contains("first"),
            "{words}"
        );
        assert!(files_in(folder.path()).is_empty());
    }
}

#[test]
fn measurements_that_contradict_themselves_are_not_written() {
    let mut ragged = with_image("ragged", &["DES-G"], 2);
    if let Some(Measurement::Image(image)) = ragged.measurements.get_mut(&modality("tok_image")) {
        image.flux.pop();
    }
    let mut misplaced = Object::named("misplaced");
    misplaced
        .measurements
        .insert(modality("tok_image"), Measurement::Scalar(1.0));
    for object in [ragged, misplaced] {
        let (folder, path) = scratch("bad.safetensors");
        let error = write_observations(&path, &[object], &BTreeMap::new()).unwrap_err();
        let expected = matches!(error.problem, Problem::Shape { .. } | Problem::Values(_));
        assert!(expected && error.place.object.is_some(), "{error}");
        assert!(files_in(folder.path()).is_empty());
    }
}

#[test]
fn grids_are_read_from_a_file_that_has_nothing_else() {
    let (_folder, path) = scratch("like.safetensors");
    let wavelength = f32s("tok_spectrum_desi/wavelength", &[1, 2], &[3600.0, 3601.0]);
    write_raw(&path, &[wavelength], &[BANDS]);
    let grids = read_grids(&path).unwrap();
    let bands = vec!["DES-G".to_owned(), "DES-Z".to_owned()];
    assert_eq!(grids[&modality("tok_image")], Grid::Bands(bands));
    let wavelengths = Grid::Wavelengths(vec![vec![3600.0, 3601.0]]);
    assert_eq!(grids[&modality("tok_spectrum_desi")], wavelengths);

    write_raw(&path, &[f32s("tok_z/value", &[1, 1], &[0.0])], &[]);
    assert!(matches!(
        read_grids(&path).unwrap_err().problem,
        Problem::Missing(_)
    ));
    write_raw(
        &path,
        &[f32s("tok_spectrum_desi/wavelength", &[2], &[0.0; 2])],
        &[],
    );
    assert!(matches!(
        read_grids(&path).unwrap_err().problem,
        Problem::Shape { .. }
    ));
}
