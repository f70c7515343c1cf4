//! What every object must satisfy, whatever reader made it.

use aion_data::check::{check, pad_to};
use aion_data::reader::ReadOptions;
use aion_data::{Image, Measurement, Object, ScalarField, Source, Spectrum};

use crate::fixtures::modality;

fn square(side: usize) -> Image {
    Image {
        bands: vec!["DES-G".into(), "DES-R".into()],
        height: side,
        width: side,
        flux: vec![1.0; 2 * side * side],
        ivar: Some(vec![1.0; 2 * side * side]),
    }
}

fn short_spectrum() -> Spectrum {
    Spectrum {
        flux: vec![1.0; 3],
        ivar: vec![1.0; 3],
        wavelength: vec![4000.0, 4001.0, 4002.0],
        mask: vec![false; 3],
    }
}

fn verdict(key: &str, measurement: Measurement) -> Result<(), String> {
    verdict_with(key, measurement, &ReadOptions::default())
}

fn verdict_with(key: &str, measurement: Measurement, options: &ReadOptions) -> Result<(), String> {
    let mut object = Object::named("x");
    object.measurements.insert(modality(key), measurement);
    check(&object, options).map_err(|error| error.to_string())
}

fn refused(key: &str, measurement: Measurement, parts: &[&str]) {
    let message = verdict(key, measurement).unwrap_err();
    assert!(message.contains("object x"), "{message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn good_measurements_pass_with_single_bad_values() {
    let mut image = square(96);
    image.flux[0] = f32::NAN;
    image.flux[1] = f32::NEG_INFINITY;
    image.ivar.as_mut().unwrap()[2] = -1.0;
    assert_eq!(verdict("tok_image", Measurement::Image(image)), Ok(()));
    let mut spectrum = short_spectrum();
    spectrum.flux[0] = f32::INFINITY;
    spectrum.ivar = vec![f32::NAN, f32::INFINITY, -1.0];
    let measurement = Measurement::Spectrum(spectrum);
    assert_eq!(verdict("tok_spectrum_desi", measurement), Ok(()));
    assert_eq!(verdict("tok_parallax", Measurement::Scalar(-1e30)), Ok(()));
    let mut values = vec![f32::NAN; 55];
    values[3] = 1.0;
    assert_eq!(
        verdict("tok_xp_rp", Measurement::Coefficients(values)),
        Ok(())
    );
    assert_eq!(verdict("catalog", Measurement::Catalog(Vec::new())), Ok(()));
    let map = ScalarField {
        height: 96,
        width: 96,
        field: vec![0.5; 9216],
    };
    assert_eq!(verdict("tok_segmap", Measurement::ScalarField(map)), Ok(()));
}

#[test]
fn images_are_refused_by_field() {
    let changed = |change: fn(&mut Image)| {
        let mut image = square(96);
        change(&mut image);
        Measurement::Image(image)
    };
    let key = "tok_image";
    refused(
        key,
        changed(|image| image.bands.clear()),
        &["tok_image/bands", "missing band list"],
    );
    refused(
        key,
        changed(|image| image.bands[1] = "DES-g".into()),
        &["more than once"],
    );
    refused(
        key,
        changed(|image| image.bands[1] = "LSST-U".into()),
        &["unknown band `LSST-U`"],
    );
    refused(
        key,
        changed(|image| image.bands.truncate(1)),
        &["tok_image/flux", "(1, 96, 96)"],
    );
    refused(
        key,
        changed(|image| image.ivar = Some(vec![1.0])),
        &["tok_image/ivar", "1 values"],
    );
    refused(
        key,
        changed(|image| image.flux.fill(f32::NAN)),
        &["tok_image/flux", "NaN everywhere"],
    );
    refused(
        key,
        changed(|image| image.height = usize::MAX),
        &["tok_image/flux"],
    );
    refused(
        key,
        Measurement::Image(square(95)),
        &["tok_image/flux", "95 x 95", "--pad"],
    );
    refused(key, Measurement::Scalar(1.0), &["tok_image", "kind"]);
    let options = ReadOptions {
        pad: true,
        ..ReadOptions::default()
    };
    let padded = Measurement::Image(pad_to(square(20), 96));
    assert_eq!(verdict_with(key, padded, &options), Ok(()));
}

#[test]
fn spectra_are_refused_by_field() {
    let changed = |change: fn(&mut Spectrum)| {
        let mut spectrum = short_spectrum();
        change(&mut spectrum);
        Measurement::Spectrum(spectrum)
    };
    let key = "tok_spectrum_sdss";
    refused(
        key,
        changed(|s| s.ivar.truncate(2)),
        &["/ivar", "shape is (2), expected (3)"],
    );
    refused(key, changed(|s| s.mask.push(true)), &["/mask", "(4)"]);
    refused(
        key,
        changed(|s| s.wavelength.clear()),
        &["/wavelength", "(0)"],
    );
    refused(
        key,
        changed(|s| s.flux.fill(f32::NAN)),
        &["/flux", "NaN everywhere"],
    );
    refused(
        key,
        changed(|s| s.ivar.fill(0.0)),
        &["/ivar", "nowhere positive"],
    );
    refused(
        key,
        changed(|s| s.wavelength[2] = -1.0),
        &["/wavelength", "-1"],
    );
    refused(
        key,
        changed(|s| s.wavelength[1] = f32::NAN),
        &["/wavelength", "NaN"],
    );
    refused(
        key,
        changed(|s| s.wavelength.swap(0, 1)),
        &["/wavelength", "at pixel 1"],
    );
    let nothing = |s: &mut Spectrum| {
        s.flux.clear();
        s.ivar.clear();
        s.mask.clear();
        s.wavelength.clear();
    };
    refused(key, changed(nothing), &["/flux", "missing pixels"]);
}

#[test]
fn other_measurements_are_refused_by_field() {
    refused("tok_z", Measurement::Scalar(f32::NAN), &["tok_z", "NaN"]);
    refused(
        "tok_xp_bp",
        Measurement::Coefficients(vec![1.0; 54]),
        &["(54), expected (55)"],
    );
    let nan = vec![f32::NAN; 55];
    refused(
        "tok_xp_bp",
        Measurement::Coefficients(nan),
        &["NaN everywhere"],
    );
    let source = Source {
        x: 3,
        y: 96,
        shape_e1: 0.0,
        shape_e2: 0.0,
        shape_r: 1.0,
    };
    refused(
        "catalog",
        Measurement::Catalog(vec![source]),
        &["catalog/Y", "96"],
    );
    let map = |side, value| {
        Measurement::ScalarField(ScalarField {
            height: side,
            width: 96,
            field: vec![value; side * 96],
        })
    };
    refused("tok_segmap", map(96, 1.5), &["tok_segmap/field", "1.5"]);
    refused("tok_segmap", map(48, 0.5), &["tok_segmap/field", "48 x 96"]);
    let options = ReadOptions::default();
    let empty = check(&Object::named("x"), &options)
        .unwrap_err()
        .to_string();
    assert!(
        empty.contains("object x") && empty.contains("missing measurement"),
        "{empty}"
    );
}

#[test]
fn padding_centres_and_keeps_larger_sides() {
    let image = Image {
        bands: vec!["HSC-G".into()],
        height: 2,
        width: 100,
        flux: (0..200).map(|i| i as f32).collect(),
        ivar: Some(vec![3.0; 200]),
    };
    let padded = pad_to(image.clone(), 96);
    assert_eq!((padded.height, padded.width), (96, 100));
    assert_eq!(padded.flux[47 * 100..49 * 100], image.flux[..]);
    assert_eq!(padded.ivar.unwrap().iter().sum::<f32>(), 600.0);
    let ragged = Image {
        width: 7,
        ..image.clone()
    };
    assert_eq!(pad_to(ragged.clone(), 96), ragged);
    assert_eq!(pad_to(square(96), 96), square(96));
}
