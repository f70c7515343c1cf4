//! SDSS spectra.

use aion_data::reader::ReadOptions;
use aion_data::{Problem, Survey};
use fits_well::header::Value;

use crate::fixtures::{
    Cards, Fits, Folder, Spec, column, error, error_with, expect_error, gzipped, objects,
    objects_with, scalar, spectrum, text,
};

#[test]
fn a_spectrum_is_read_with_its_redshift_and_flags() {
    let folder = Folder::new();
    let mut spec = Spec::good();
    spec.and_mask[3] = 1;
    spec.ivar[4] = 0.0;
    spec.flux[5] = f32::NAN;
    let path = folder.write("spec-0266-51630-0023.fits", spec.bytes());
    let [object] = &objects(&path)[..] else {
        panic!("one object");
    };
    assert_eq!(object.id, "0266-51630-0023");
    assert_eq!((object.ra, object.dec), (Some(145.5), Some(-0.25)));
    assert_eq!(scalar(object, "tok_z"), Some(0.125));
    assert_eq!(scalar(object, "tok_ra"), None);
    assert_eq!(object.flags["CLASS"], "GALAXY");
    assert_eq!(object.flags["ZWARNING"], "0");
    assert!(!object.flags.contains_key("SUBCLASS"));
    let spectrum = spectrum(object, "tok_spectrum_sdss");
    let bad: Vec<usize> = (0..40).filter(|&i| spectrum.mask[i]).collect();
    assert_eq!(bad, [3, 4]);
    assert!((spectrum.wavelength[0] - 3981.0718).abs() < 1e-3);
    assert_eq!(spectrum.flux[1], 2.0);
    assert!(spectrum.flux[5].is_nan());
}

#[test]
fn columns_are_found_in_any_case_and_gzip_is_inflated() {
    let folder = Folder::new();
    let spec = Spec {
        upper_case: true,
        ..Spec::good()
    };
    let bytes = spec.bytes();
    let plain = folder.write("a.fits", &bytes);
    let zipped = folder.write("b.fits.gz", gzipped(&bytes));
    assert_eq!(objects(&plain), objects(&zipped));
}

#[test]
fn doubtful_redshifts_stay_flags() {
    let folder = Folder::new();
    let cases = [
        Spec {
            zwarning: 4,
            ..Spec::good()
        },
        Spec {
            class: "SKY",
            ..Spec::good()
        },
        Spec {
            object_type: "SKY",
            ..Spec::good()
        },
    ];
    for (index, spec) in cases.into_iter().enumerate() {
        let path = folder.write(&format!("{index}.fits"), spec.bytes());
        let object = objects(&path).remove(0);
        assert_eq!(scalar(&object, "tok_z"), None);
        assert_eq!(object.flags["Z"], "0.125");
    }
}

#[test]
fn positions_are_measurements_only_on_request() {
    let folder = Folder::new();
    let path = folder.write("a.fits", Spec::good().bytes());
    let options = ReadOptions {
        with_position: true,
        ..ReadOptions::default()
    };
    let object = objects_with(&path, &options).remove(0);
    assert_eq!(scalar(&object, "tok_ra"), Some(145.5));
    assert_eq!(scalar(&object, "tok_dec"), Some(-0.25));
}

#[test]
fn the_survey_asked_for_decides_the_instrument() {
    let folder = Folder::new();
    let path = folder.write("a.fits", Spec::good().bytes());
    let as_survey = |survey| ReadOptions {
        survey: Some(survey),
        ..ReadOptions::default()
    };
    let object = objects_with(&path, &as_survey(Survey::Desi)).remove(0);
    assert_eq!(spectrum(&object, "tok_spectrum_desi").flux.len(), 40);
    let error = error_with(&path, &as_survey(Survey::Gaia));
    assert!(matches!(error.problem, Problem::Unrecognised(_)), "{error}");
}

#[test]
fn without_numbers_the_name_of_the_file_is_the_identifier() {
    let folder = Folder::new();
    let pixels = vec![
        column("FLUX", vec![1.0f32, 2.0]),
        column("LOGLAM", vec![3.6f32, 3.7]),
        column("IVAR", vec![1.0f32, 1.0]),
        column("AND_MASK", vec![0i32, 0]),
    ];
    let bytes = Fits::new()
        .empty(&[])
        .table(pixels)
        .table(vec![column("Z", vec![0.5f32])]);
    let path = folder.write("spec-mine.fits", bytes.bytes());
    let object = objects(&path).remove(0);
    assert_eq!(object.id, "mine");
    assert_eq!(scalar(&object, "tok_z"), None, "no ZWARNING, no trust");
}

#[test]
fn a_missing_mask_or_row_about_the_object_is_named() {
    let folder = Folder::new();
    let pixels = || {
        vec![
            column("FLUX", vec![1.0f32, 2.0]),
            column("LOGLAM", vec![3.6f32, 3.7]),
            column("IVAR", vec![1.0f32, 1.0]),
        ]
    };
    let path = folder.write("a.fits", Fits::new().empty(&[]).table(pixels()).bytes());
    expect_error(&path, &["missing column", "AND_MASK"]);
    let mut pixels = pixels();
    pixels.push(column("AND_MASK", vec![0i32, 0]));
    let path = folder.write("b.fits", Fits::new().empty(&[]).table(pixels).bytes());
    expect_error(&path, &["missing HDU 2"]);
}

#[test]
fn spectra_without_information_are_refused_by_name() {
    let folder = Folder::new();
    let write = |name: &str, change: fn(&mut Spec)| {
        let mut spec = Spec::good();
        change(&mut spec);
        folder.write(name, spec.bytes())
    };
    let nan = write("nan.fits", |spec| spec.flux.fill(f32::NAN));
    expect_error(
        &nan,
        &[
            "0266-51630-0023",
            "tok_spectrum_sdss/flux",
            "NaN everywhere",
        ],
    );
    let ivar = write("ivar.fits", |spec| spec.ivar.fill(-1.0));
    expect_error(&ivar, &["tok_spectrum_sdss/ivar", "nowhere positive"]);
    let unsorted = write("unsorted.fits", |spec| spec.loglam.swap(7, 8));
    expect_error(
        &unsorted,
        &["tok_spectrum_sdss/wavelength", "do not increase"],
    );
    let constant = write("constant.fits", |spec| spec.loglam[8] = spec.loglam[7]);
    expect_error(
        &constant,
        &["tok_spectrum_sdss/wavelength", "do not increase"],
    );
    let infinite = write("infinite.fits", |spec| spec.loglam[8] = 99.0);
    expect_error(
        &infinite,
        &["tok_spectrum_sdss/wavelength", "not a positive number"],
    );
    assert!(matches!(error(&nan).problem, Problem::Values(_)));
}

/// A spectrum whose columns and header say what their units are.
fn with_units(flux: &str, ivar: Option<&str>, header: Cards<'_>) -> Vec<u8> {
    let mut ivars = column("IVAR", vec![4.0f32; 3]);
    if let Some(unit) = ivar {
        ivars = ivars.with_unit(unit);
    }
    let mut fluxes = column("FLUX", vec![1.0f32, 2.0, 3.0]);
    if !flux.is_empty() {
        fluxes = fluxes.with_unit(flux);
    }
    let pixels = vec![
        fluxes,
        column("LOGLAM", vec![3.6f32, 3.7, 3.8]),
        ivars,
        column("AND_MASK", vec![0i32; 3]),
    ];
    let about = vec![column("Z", vec![0.5f32])];
    let file = Fits::new().empty(header).table(pixels).table(about);
    file.bytes()
}

#[test]
fn units_of_columns_and_headers_are_converted() {
    let folder = Folder::new();
    let read = |bytes: Vec<u8>| {
        let object = objects(&folder.write("a.fits", bytes)).remove(0);
        let spectrum = spectrum(&object, "tok_spectrum_sdss");
        (spectrum.flux[1], spectrum.ivar[1])
    };
    let ours = "1e-17 erg/s/cm2/Angstrom";
    assert_eq!(read(with_units(ours, None, &[])), (2.0, 4.0));
    let tens = "1e-16 erg/s/cm2/Angstrom";
    assert_eq!(read(with_units(tens, None, &[])), (20.0, 0.04));
    let of_ivar = Some("1e34 s2 cm4 Angstrom2 / erg2");
    assert_eq!(read(with_units(tens, of_ivar, &[])), (20.0, 4.0));
    let header = [("BUNIT", text(tens))];
    assert_eq!(read(with_units("", None, &header)), (20.0, 0.04));
    // A column's own unit comes first.
    assert_eq!(read(with_units(ours, None, &header)), (2.0, 4.0));
}

#[test]
fn units_that_are_no_flux_density_are_refused() {
    let folder = Folder::new();
    let path = folder.write("a.fits", with_units("mag", None, &[]));
    expect_error(&path, &["object a", "HDU 1 FLUX", "`mag`"]);
    let path = folder.write("b.fits", with_units("", Some("Jy"), &[]));
    expect_error(&path, &["object b", "HDU 1 IVAR", "`Jy`"]);
    let path = folder.write("c.fits", with_units("", None, &[("BUNIT", text("adu"))]));
    expect_error(&path, &["object c", "HDU 0 BUNIT", "`adu`"]);
}

#[test]
fn wavelengths_in_air_are_refused_or_converted() {
    let folder = Folder::new();
    let header = [("VACUUM", Value::from(false))];
    let path = folder.write("a.fits", with_units("", None, &header));
    expect_error(&path, &["object a", "HDU 0 VACUUM", "in air"]);
    let options = ReadOptions {
        air_wavelengths: true,
        ..ReadOptions::default()
    };
    let object = objects_with(&path, &options).remove(0);
    let converted = spectrum(&object, "tok_spectrum_sdss").wavelength[2];
    assert!((converted - 6_311.32).abs() < 0.01, "{converted}");
}
