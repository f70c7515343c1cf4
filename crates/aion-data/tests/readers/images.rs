//! Cutouts of the Legacy Surveys, DES and HSC.

use aion_data::reader::{ReadOptions, without_repeats};
use aion_data::{Problem, Survey};
use fits_well::header::Value;

use crate::fixtures::{
    Fits, Folder, Npy, error_with, expect_error, image, le_bytes, objects, objects_with, planes,
    text, write_npz,
};

fn wcs(scale_arcsec: f64) -> Vec<(&'static str, Value)> {
    let step = scale_arcsec / 3600.0;
    vec![
        ("CTYPE1", text("RA---TAN")),
        ("CTYPE2", text("DEC--TAN")),
        ("CRVAL1", Value::from(150.0)),
        ("CRVAL2", Value::from(2.0)),
        ("CRPIX1", Value::from(50.5)),
        ("CRPIX2", Value::from(50.5)),
        ("CD1_1", Value::from(-step)),
        ("CD1_2", Value::from(0.0)),
        ("CD2_1", Value::from(0.0)),
        ("CD2_2", Value::from(step)),
    ]
}

#[test]
fn the_viewers_cutout_is_read_with_its_inverse_variance() {
    let folder = Folder::new();
    let mut cards = wcs(0.262);
    cards.push(("BANDS", text("griz")));
    let mut flux = planes(4, 100);
    flux[0] = f32::NAN;
    flux[1] = -3.0;
    let file = Fits::new().image(&cards, &[4, 100, 100], flux).image(
        &[("IMAGETYP", text("INVVAR"))],
        &[4, 100, 100],
        vec![2.0; 40000],
    );
    let path = folder.write("cutout_150.fits", file.bytes());
    let object = objects(&path).remove(0);
    assert_eq!(object.id, "cutout_150");
    assert!((object.ra.unwrap() - 150.0).abs() < 1e-9);
    assert!((object.dec.unwrap() - 2.0).abs() < 1e-9);
    assert_eq!(object.flags["pixel_scale"], "0.2620");
    let image = image(&object, "tok_image");
    assert_eq!(image.bands, ["DES-G", "DES-R", "DES-I", "DES-Z"]);
    assert_eq!((image.height, image.width), (100, 100));
    assert_eq!(image.flux[30000], 4.0);
    assert_eq!(image.flux[1], -3.0);
    assert_eq!(image.ivar.as_ref().unwrap().len(), 40000);
}

#[test]
fn bands_come_from_the_numbered_keywords_too() {
    let folder = Folder::new();
    let cards = [
        ("BAND0", text("g")),
        ("BAND1", text("r")),
        ("BAND2", text("z")),
    ];
    let file = Fits::new().image(&cards, &[3, 96, 96], planes(3, 96));
    let object = objects(&folder.write("a.fits", file.bytes())).remove(0);
    assert_eq!(
        image(&object, "tok_image").bands,
        ["DES-G", "DES-R", "DES-Z"]
    );
    assert_eq!((object.ra, object.dec), (None, None));
}

#[test]
fn one_extension_a_band_is_read() {
    let folder = Folder::new();
    let name = |name: &str| [("EXTNAME", text(name))];
    let file = Fits::new()
        .empty(&[])
        .image(&name("IMAGE_G"), &[96, 96], planes(1, 96))
        .image(&name("INVVAR_G"), &[96, 96], vec![4.0; 9216])
        .image(&name("IMAGE_R"), &[96, 96], planes(1, 96))
        .image(&name("INVVAR_R"), &[96, 96], vec![5.0; 9216]);
    let object = objects(&folder.write("a.fits", file.bytes())).remove(0);
    let image = image(&object, "tok_image");
    assert_eq!(image.bands, ["DES-G", "DES-R"]);
    let ivar = image.ivar.as_ref().unwrap();
    assert_eq!((ivar[0], ivar[9216]), (4.0, 5.0));
}

fn one_band(band: &str, zeropoint: f64, side: usize) -> Vec<u8> {
    let science = [
        ("EXTNAME", text("SCI")),
        ("BAND", text(band)),
        ("BUNIT", text("electrons")),
        ("MAGZERO", Value::from(zeropoint)),
    ];
    Fits::new()
        .image(&science, &[side, side], vec![5000.0; side * side])
        .image(
            &[("EXTNAME", text("WGT"))],
            &[side, side],
            vec![2.0; side * side],
        )
        .bytes()
}

#[test]
fn files_of_one_band_are_read_as_a_set_in_nanomaggies() {
    let folder = Folder::new();
    let paths: Vec<_> = ["g", "r", "i", "z"]
        .iter()
        .map(|band| folder.write(&format!("des_1_{band}.fits"), one_band(band, 30.0, 96)))
        .collect();
    let other = folder.write("alone_g.fits", one_band("g", 22.5, 96));
    let object = objects(&paths[2]).remove(0);
    assert_eq!(object.id, "des_1");
    let image_of_set = image(&object, "tok_image");
    assert_eq!(image_of_set.bands, ["DES-G", "DES-R", "DES-I", "DES-Z"]);
    assert!((image_of_set.flux[0] - 5.0).abs() < 1e-5);
    assert!((image_of_set.ivar.as_ref().unwrap()[0] - 2e6).abs() < 1.0);
    let alone = objects(&other).remove(0);
    assert_eq!(alone.id, "alone_g");
    assert_eq!(image(&alone, "tok_image").flux[0], 5000.0);

    let mut all = paths.clone();
    all.push(other.clone());
    assert_eq!(without_repeats(all), [paths[0].clone(), other]);

    folder.write("des_1_z.fits", one_band("z", 30.0, 97));
    expect_error(&paths[0], &["DES-Z has 97 x 97 pixels"]);
}

#[test]
fn images_that_are_no_cutouts_are_refused_with_a_reason() {
    let folder = Folder::new();
    let refuse = |name: &str, cards: &[(&str, Value)], shape: &[usize], parts: &[&str]| {
        let count = shape.iter().product();
        let file = Fits::new().image(cards, shape, vec![1.0; count]);
        expect_error(&folder.write(name, file.bytes()), parts);
    };
    refuse("none.fits", &[], &[3, 96, 96], &["missing band list"]);
    refuse("one.fits", &[], &[96, 96], &["missing band list"]);
    let grz = [("BANDS", text("grz"))];
    refuse("planes.fits", &grz, &[4, 96, 96], &["3 bands", "4 planes"]);
    refuse(
        "small.fits",
        &grz,
        &[3, 95, 96],
        &["object small", "95 x 96", "at least 96"],
    );
    let unknown = [("BANDS", text("gru"))];
    refuse(
        "unknown.fits",
        &unknown,
        &[3, 96, 96],
        &["unknown band `DES-U`"],
    );
    let twice = [("BANDS", text("grg"))];
    refuse(
        "twice.fits",
        &twice,
        &[3, 96, 96],
        &["DES-G appears more than once"],
    );
    let adu = [("BANDS", text("g")), ("BUNIT", text("adu"))];
    refuse("adu.fits", &adu, &[96, 96], &["the unit is `adu`"]);
    let brick = [("BRICKNAM", text("0959p805")), ("BAND0", text("g"))];
    refuse("brick.fits", &brick, &[96, 96], &["a brick"]);
    let exposure = [("CTYPE1", text("RA---TPV")), ("BAND", text("g"))];
    refuse(
        "exposure.fits",
        &exposure,
        &[96, 96],
        &["a single exposure"],
    );
    refuse("deep.fits", &grz, &[2, 3, 4, 5], &["no image"]);
}

#[test]
fn an_inverse_variance_of_another_shape_is_refused() {
    let folder = Folder::new();
    let file = Fits::new()
        .image(&[("BANDS", text("gr"))], &[2, 96, 96], planes(2, 96))
        .image(&[("IMAGETYP", text("invvar"))], &[1, 96, 96], planes(1, 96));
    expect_error(
        &folder.write("a.fits", file.bytes()),
        &["HDU 1", "shape is [1, 96, 96]"],
    );
}

#[test]
fn an_image_of_nan_is_refused() {
    let folder = Folder::new();
    let file = Fits::new().image(&[("BANDS", text("g"))], &[96, 96], vec![f32::NAN; 9216]);
    expect_error(
        &folder.write("a.fits", file.bytes()),
        &["tok_image/flux", "NaN everywhere"],
    );
}

#[test]
fn small_images_are_padded_on_request() {
    let folder = Folder::new();
    let mut flux = vec![0.0; 2 * 50 * 60];
    flux[3000 + 25 * 60 + 30] = 7.0;
    let file = Fits::new().image(&[("BANDS", text("gr"))], &[2, 50, 60], flux);
    let path = folder.write("a.fits", file.bytes());
    let options = ReadOptions {
        pad: true,
        ..ReadOptions::default()
    };
    let object = objects_with(&path, &options).remove(0);
    let image = image(&object, "tok_image");
    assert_eq!((image.height, image.width), (96, 96));
    assert_eq!(image.flux[9216 + 48 * 96 + 48], 7.0);
    assert_eq!(image.flux.iter().sum::<f32>(), 7.0);
}

#[test]
fn five_planes_at_the_cameras_scale_are_hsc() {
    let folder = Folder::new();
    let file = |scale| {
        Fits::new()
            .image(&wcs(scale), &[5, 96, 96], planes(5, 96))
            .bytes()
    };
    let object = objects(&folder.write("a.fits", file(0.168))).remove(0);
    let names = ["HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y"];
    assert_eq!(image(&object, "tok_image_hsc").bands, names);
    expect_error(&folder.write("b.fits", file(0.3)), &["missing band list"]);

    let bare = Fits::new().image(&[], &[5, 96, 96], planes(5, 96));
    let path = folder.write("c.fits", bare.bytes());
    expect_error(&path, &["missing band list"]);
    let options = ReadOptions {
        survey: Some(Survey::Hsc),
        ..ReadOptions::default()
    };
    let object = objects_with(&path, &options).remove(0);
    assert_eq!(image(&object, "tok_image_hsc").bands, names);
    let options = ReadOptions {
        survey: Some(Survey::Gaia),
        ..ReadOptions::default()
    };
    let error = error_with(&path, &options);
    assert!(matches!(error.problem, Problem::Unrecognised(_)));
}

#[test]
fn the_archives_files_of_one_band_are_scaled_to_the_surveys_zero_point() {
    let folder = Folder::new();
    let file = |filter: &str| {
        let cards = [
            ("FILTER", text(filter)),
            ("FLUXMAG0", Value::from(10f64.powf(31.4 / 2.5))),
        ];
        let mut variance = vec![4.0; 9216];
        variance[0] = 0.0;
        Fits::new()
            .empty(&cards)
            .image(
                &[("EXTNAME", text("IMAGE"))],
                &[96, 96],
                vec![57.543_995; 9216],
            )
            .image(&[("EXTNAME", text("VARIANCE"))], &[96, 96], variance)
            .bytes()
    };
    folder.write("cutout-HSC-G-9813-pdr3.fits", file("HSC-G"));
    let path = folder.write("cutout-HSC-R-9813-pdr3.fits", file("HSC-R2"));
    let object = objects(&path).remove(0);
    let image = image(&object, "tok_image_hsc");
    assert_eq!(image.bands, ["HSC-G", "HSC-R"]);
    assert!((image.flux[0] - 1.0).abs() < 1e-5);
    let ivar = image.ivar.as_ref().unwrap();
    assert_eq!(ivar[0], 0.0);
    assert!((ivar[1] - 0.25 * 57.543_995f32.powi(2)).abs() < 0.1);
    assert_eq!(object.id, "cutout-9813-pdr3");
}

#[test]
fn numpy_archives_of_planes_are_images() {
    let folder = Folder::new();
    let path = folder.path("scene.npz");
    let images = || Npy {
        name: "images",
        descr: "'<f4'",
        fortran: false,
        shape: "(2, 96, 96)",
        bytes: le_bytes(&planes(2, 96)),
    };
    let filters: Vec<u8> = "zy"
        .chars()
        .flat_map(|c| u32::from(c).to_le_bytes())
        .collect();
    let filters = Npy {
        name: "filters",
        descr: "'<U1'",
        fortran: false,
        shape: "(2,)",
        bytes: filters,
    };
    let catalog = Npy {
        name: "catalog",
        descr: "[('x', '<f8')]",
        fortran: false,
        shape: "(1,)",
        bytes: vec![0; 8],
    };
    write_npz(&path, &[images(), filters, catalog]);
    let object = objects(&path).remove(0);
    let image = image(&object, "tok_image_hsc");
    assert_eq!(image.bands, ["HSC-Z", "HSC-Y"]);
    assert_eq!((image.flux[0], image.flux[9216]), (1.0, 2.0));
    write_npz(&path, &[images()]);
    expect_error(&path, &["missing band list"]);
}
