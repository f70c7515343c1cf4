//! Images as the Legacy Surveys and HSC publish them, in files written by astropy
//! (`fixtures/surveys/make_images.py`), and what must not be taken for one.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use aion_data::format::fits::FitsFile;
use aion_data::reader::{ReadOptions, read};
use aion_data::{Object, Survey};
use fits_well::header::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fixtures::{
    Fits, Folder, error_with, expect_error, gzipped, image, objects, objects_with, planes, text,
};

fn fixture(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/surveys/images");
    PathBuf::from(folder).join(name)
}

fn one(name: &str) -> Object {
    let mut objects = objects(&fixture(name));
    assert_eq!(objects.len(), 1, "{name}");
    objects.remove(0)
}

/// The pixel that the fixtures have at this place.
fn ramp(plane: usize, y: usize, x: usize) -> f32 {
    ((2 * x + y + 37 * plane) % 256) as f32
}

/// Cards of a WCS with the reference at the centre of 96 pixels.
fn sky(ra: f64, dec: f64, [x, y]: [f64; 2]) -> Vec<(&'static str, Value)> {
    vec![
        ("CTYPE1", text("RA---TAN")),
        ("CTYPE2", text("DEC--TAN")),
        ("CRVAL1", Value::from(ra)),
        ("CRVAL2", Value::from(dec)),
        ("CRPIX1", Value::from(48.5)),
        ("CRPIX2", Value::from(48.5)),
        ("CD1_1", Value::from(x / 3600.0)),
        ("CD1_2", Value::from(0.0)),
        ("CD2_1", Value::from(0.0)),
        ("CD2_2", Value::from(y / 3600.0)),
    ]
}

fn legacy(cards: &[(&'static str, Value)]) -> Vec<u8> {
    let mut all = vec![("BANDS", text("g"))];
    all.extend(cards.iter().cloned());
    Fits::new().image(&all, &[96, 96], planes(1, 96)).bytes()
}

#[test]
fn a_viewer_cutout_has_inverse_variance_and_mask_bits() {
    let object = one("cutout_150.0000_2.0000.fits.gz");
    assert_eq!(object.id, "cutout_150.0000_2.0000");
    assert!((object.ra.unwrap() - 150.0).abs() < 1e-9);
    let griz = image(&object, "tok_image");
    assert_eq!(griz.bands, ["DES-G", "DES-R", "DES-I", "DES-Z"]);
    assert_eq!(griz.flux[(2 * 100 + 30) * 100 + 40], ramp(2, 30, 40));
    // Bits 1 and 11 are bad, bit 12 is not, and the fluxes stay as they are.
    let ivar = griz.ivar.as_ref().unwrap();
    for (row, expected) in [(0, 0.0), (9, 0.0), (10, 16.0), (20, 16.0), (99, 16.0)] {
        for plane in 0..4 {
            assert_eq!(ivar[(plane * 100 + row) * 100 + 7], expected, "row {row}");
        }
    }
    assert_eq!(ivar[50 * 100 + 50], 0.0);
    assert_eq!(griz.flux[50 * 100 + 50], ramp(0, 50, 50));
    let flags = &object.flags;
    assert_eq!(flags["maskbits"], (1 << 11 | 1 << 12).to_string());
    assert_eq!(flags["masked_fraction"], "0.1001");
    assert_eq!(flags["pixel_scale"], "0.2620");
}

#[test]
fn one_band_of_the_viewer_has_no_axis_of_bands() {
    let object = one("cutout_one_band.fits.gz");
    let r = image(&object, "tok_image");
    assert_eq!(
        (r.bands.join(","), r.height, r.width),
        ("DES-R".into(), 100, 100)
    );
    assert_eq!(r.flux[70 * 100 + 5], ramp(1, 70, 5));
    assert!(r.ivar.is_none() && !object.flags.contains_key("masked_fraction"));
}

#[test]
fn viewer_files_without_fluxes_say_so() {
    let (ivar, empty) = (
        fixture("cutout_no_image.fits.gz"),
        fixture("cutout_uncovered.fits"),
    );
    expect_error(
        &ivar,
        &["missing image", "inverse variances or mask bits only"],
    );
    expect_error(&empty, &["missing image", "does not cover"]);
}

#[test]
fn of_the_bricks_of_a_subimage_the_larger_is_read() {
    let object = one("cutout_subimage.fits.gz");
    assert_eq!(object.flags["brick"], "1501p020");
    assert_eq!(object.flags["other_bricks"], "1499p020");
    let gr = image(&object, "tok_image");
    assert_eq!(
        (gr.bands.join(","), gr.height, gr.width),
        ("DES-G,DES-R".into(), 98, 98)
    );
    assert_eq!(gr.flux[(98 + 3) * 98 + 4], ramp(1, 3, 4));
    let ivar = gr.ivar.as_ref().unwrap();
    assert_eq!((ivar[0], ivar[98 * 98]), (4.0, 5.0));
}

#[test]
fn other_pixel_scales_are_read_only_on_request() {
    let folder = Folder::new();
    let any = ReadOptions {
        any_pixel_scale: true,
        ..ReadOptions::default()
    };
    for (name, scale, good) in [
        ("des", 0.263, true),
        ("viewer", 0.2637, true),
        ("coarse", 0.524, false),
        ("near", 0.27, false),
    ] {
        let cards = sky(150.0, 2.0, [-scale, scale]);
        let path = folder.write(&format!("{name}.fits"), legacy(&cards));
        if !good {
            expect_error(
                &path,
                &["HDU 0", "pixel scale", "expected the survey's own 0.262"],
            );
        }
        let object = objects_with(&path, &any).remove(0);
        assert_eq!(object.flags["pixel_scale"], format!("{scale:.4}"));
        assert_eq!(good, read(&path, &ReadOptions::default()).is_ok());
    }
    // One axis alone is wrong too.
    let path = folder.write("long.fits", legacy(&sky(150.0, 2.0, [-0.3, 0.262])));
    expect_error(&path, &["0.3000 x 0.2620"]);
    let object = objects(&folder.write("none.fits", legacy(&[]))).remove(0);
    assert_eq!(object.flags["pixel_scale"], "unknown");

    let hsc = ReadOptions {
        survey: Some(Survey::Hsc),
        ..ReadOptions::default()
    };
    let path = folder.write("hsc.fits", legacy(&sky(150.0, 2.0, [-0.2, 0.2])));
    let message = error_with(&path, &hsc).to_string();
    assert!(message.contains("the survey's own 0.168"), "{message}");
}

/// Trap 6.9: rows start in the south; what was made another way round is flagged, and pictures,
/// whose values cannot be told, are refused.
#[test]
fn mirrored_images_are_flagged_and_pictures_refused() {
    let folder = Folder::new();
    for (name, steps) in [("south", [-0.262, -0.262]), ("east", [0.262, 0.262])] {
        let path = folder.write(&format!("{name}.fits"), legacy(&sky(10.0, 80.0, steps)));
        let object = objects(&path).remove(0);
        assert_eq!(object.flags["orientation"], "not north up, east left");
    }
    let path = folder.write("good.fits", legacy(&sky(10.0, 80.0, [-0.262, 0.262])));
    assert!(!objects(&path)[0].flags.contains_key("orientation"));
    for start in [&b"\xff\xd8\xff\xe0 JFIF"[..], &b"\x89PNG\r\n\x1a\n"[..]] {
        let path = folder.write("picture.fits", start);
        expect_error(
            &path,
            &["a picture for viewing, whose stretch cannot be undone"],
        );
    }
}

/// Trap 6.4: fluxes are nanomaggies, or are converted to them.
#[test]
fn units_and_zero_points_are_converted_or_refused() {
    let folder = Folder::new();
    let file = |cards: &[(&'static str, Value)]| folder.write("a.fits", legacy(cards));
    for (cards, expected) in [
        (vec![], 1.0),
        (vec![("BUNIT", text("nanomaggy"))], 1.0),
        (
            vec![
                ("BUNIT", text("Nanomaggies")),
                ("MAGZERO", Value::from(22.5)),
            ],
            1.0,
        ),
        (vec![("BUNIT", text("nJy"))], 10f32.powf(-8.9 / 2.5)),
        (vec![("BUNIT", text("mJy"))], 10f32.powf(6.1 / 2.5)),
        (
            vec![("BUNIT", text("electrons/s")), ("ZP", Value::from(25.0))],
            0.1,
        ),
        (
            vec![("BUNIT", text("adu")), ("FLUXMAG0", Value::from(1e12))],
            1e-3,
        ),
    ] {
        // A header FLUXMAG0 is how HSC is recognised.
        let options = ReadOptions {
            survey: Some(Survey::LegacySurvey),
            ..ReadOptions::default()
        };
        let object = objects_with(&file(&cards), &options).remove(0);
        let flux = image(&object, "tok_image").flux[0];
        assert!((flux / expected - 1.0).abs() < 1e-5, "{cards:?}: {flux}");
    }
    for (cards, parts) in [
        (
            vec![("BUNIT", text("adu"))],
            ["the unit is `adu`", "no zero point"],
        ),
        (
            vec![("BUNIT", text("mag"))],
            ["the unit is `mag`", "expected a flux a pixel"],
        ),
        (
            vec![("BUNIT", text("MJy/sr"))],
            ["the unit is `MJy/sr`", "expected a flux"],
        ),
        (
            vec![("BUNIT", text("MJy"))],
            ["the unit is `MJy`", "expected a flux"],
        ),
        (
            vec![("BUNIT", text("nanomaggy")), ("MAGZERO", Value::from(30.0))],
            ["contradicts itself", "MAGZERO 30"],
        ),
        (
            vec![("DEREDDEN", Value::from(true))],
            ["Galactic extinction was taken out", "as observed"],
        ),
    ] {
        expect_error(&file(&cards), &["HDU 0", parts[0], parts[1]]);
    }
    let uncorrected = file(&[("DEREDDEN", Value::from(false))]);
    assert_eq!(image(&objects(&uncorrected)[0], "tok_image").flux[0], 1.0);
}

#[test]
fn masks_of_other_surveys_are_not_interpreted() {
    let folder = Folder::new();
    let bits = vec![2.0; 96 * 96];
    let file = Fits::new()
        .image(&[("BAND", text("g"))], &[96, 96], planes(1, 96))
        .image(&[("EXTNAME", text("MSK"))], &[96, 96], bits.clone())
        .image(&[("EXTNAME", text("WGT"))], &[96, 96], planes(1, 96));
    let object = objects(&folder.write("des.fits", file.bytes())).remove(0);
    assert_eq!(object.flags["masked_fraction"], "unknown");
    assert_eq!(image(&object, "tok_image").ivar.as_ref().unwrap()[0], 1.0);

    let cards = [("IMAGETYP", text("MASKBITS"))];
    let small = Fits::new()
        .image(&[("BANDS", text("g"))], &[96, 96], planes(1, 96))
        .image(&cards, &[95, 96], vec![2.0; 95 * 96]);
    let path = folder.write("small.fits", small.bytes());
    expect_error(&path, &["HDU 1", "shape is [95, 96]", "expected [96, 96]"]);
}

#[test]
fn files_of_other_places_are_no_set() {
    let folder = Folder::new();
    for (band, dec) in [("g", 2.0), ("r", 2.001)] {
        let mut cards = sky(150.0, dec, [-0.262, 0.262]);
        cards.push(("BAND", text(band)));
        let file = Fits::new().image(&cards, &[96, 96], planes(1, 96));
        folder.write(&format!("field_{band}.fits"), file.bytes());
    }
    let error = read(&folder.path("field_g.fits"), &ReadOptions::default())
        .err()
        .unwrap();
    assert_eq!(error.place.path, Some(folder.path("field_r.fits")));
    assert!(error.to_string().contains("13.7 pixels away"), "{error}");
}

#[test]
fn archive_cutouts_of_hsc_are_one_object() {
    let name = "cutout-HSC-G-9813-pdr3_wide.fits.gz";
    let object = one(name);
    assert_eq!(object.id, "cutout-9813-pdr3_wide");
    let gi = image(&object, "tok_image_hsc");
    // The second i filter is the i band.
    assert_eq!(gi.bands, ["HSC-G", "HSC-I"]);
    assert_eq!(gi.flux[(100 + 30) * 100 + 40], ramp(2, 30, 40));
    // MP_SAT is bit 3 in these files, MP_DETECTED bit 1: row 0 is bad, row 1 is not.
    let ivar = gi.ivar.as_ref().unwrap();
    assert_eq!((ivar[3], ivar[103], ivar[10_003]), (0.0, 4.0, 0.0));
    assert_eq!(ivar[505], 0.0, "a variance of NaN is no measurement");
    assert_eq!(object.flags["masked_fraction"], "0.0100");
    let other = one("cutout-HSC-I2-9813-pdr3_wide.fits.gz");
    assert_eq!(other.id, object.id);
    assert_eq!(image(&other, "tok_image_hsc").bands, gi.bands);
}

#[test]
fn newer_coadds_are_in_nanojansky() {
    let object = one("deepCoadd_r_njy.fits.gz");
    let r = image(&object, "tok_image_hsc");
    assert_eq!(r.bands, ["HSC-R"]);
    let factor = 10f32.powf((27.0 - 31.4) / 2.5);
    assert!((r.flux[305] / (ramp(1, 3, 5) * factor) - 1.0).abs() < 1e-5);
    assert!((r.ivar.as_ref().unwrap()[305] * factor * factor / 4.0 - 1.0).abs() < 1e-5);
}

#[test]
fn mask_planes_without_names_are_not_interpreted() {
    let object = one("hsc_unnamed_mask_planes.fits.gz");
    assert_eq!(object.flags["masked_fraction"], "unknown");
    let ivar = image(&object, "tok_image_hsc").ivar.as_ref().unwrap();
    assert_eq!(ivar[0], 4.0);
}

#[test]
fn narrow_filters_are_no_bands() {
    let folder = Folder::new();
    for (filter, name) in [("IB0945", "a.fits"), ("NB0816", "cutout-NB0816-1.fits")] {
        let cards = [("FILTER", text(filter)), ("FLUXMAG0", Value::from(6.31e10))];
        let file = Fits::new().empty(&cards).image(
            &[("EXTNAME", text("IMAGE"))],
            &[96, 96],
            planes(1, 96),
        );
        let path = folder.write(name, file.bytes());
        expect_error(
            &path,
            &[&format!("the filter is `{filter}`"), "g, r, i, z, y"],
        );
    }
}

#[test]
fn cut_and_gzipped_images_are_errors() {
    let folder = Folder::new();
    let whole = std::fs::read(fixture("cutout_150.0000_2.0000.fits.gz")).unwrap();
    let path = folder.write("a.fits.gz", &whole[..whole.len() / 2]);
    expect_error(&path, &["not a readable FITS file", "incomplete deflate"]);
    let brick = "bricks/coadd/000/0000p000/legacysurvey-0000p000-image-g.fits.fz";
    let whole = std::fs::read(fixture(brick)).unwrap();
    expect_error(
        &folder.write("a.fits.fz", &whole[..whole.len() - 2880]),
        &["truncated"],
    );
    expect_error(
        &folder.write("b.fits.fz", &whole),
        &["a brick of the survey", "aion cutout"],
    );
    // More than stays in memory.
    let large = Fits::new()
        .image(
            &[("BANDS", text("griz"))],
            &[4, 1500, 1500],
            vec![3.0; 9_000_000],
        )
        .bytes();
    assert!(large.len() > 32 << 20);
    let object = objects(&folder.write("large.fits.gz", gzipped(&large))).remove(0);
    assert_eq!(image(&object, "tok_image").flux[8_999_999], 3.0);
}

/// Every compression, and scaled integers, whole and in parts.
#[test]
fn compressed_and_scaled_images_equal_astropy() {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected: BTreeMap<String, Vec<Option<f32>>> =
        serde_json::from_value(expected["compressed"].clone()).unwrap();
    let mut file = FitsFile::open(&fixture("compressed.fits.gz")).unwrap();
    assert_eq!(file.len(), 1 + expected.len());
    for hdu in 1..file.len() {
        let name = file.name(hdu);
        assert_eq!(file.shape(hdu), Some(vec![60, 50]), "{name}");
        let whole = file.pixels(hdu).unwrap();
        for (&(y, x), value) in [(0, 0), (17, 21), (31, 39), (59, 49)]
            .iter()
            .zip(&expected[&name])
        {
            assert_eq!(whole[y * 50 + x], value.unwrap(), "{name} at {y}, {x}");
        }
        let part = file.pixels_in(hdu, &[10..20, 30..50]).unwrap();
        for (row, pixels) in part.chunks(20).enumerate() {
            let start = (10 + row) * 50 + 30;
            assert_eq!(
                format!("{pixels:?}"),
                format!("{:?}", &whole[start..start + 20]),
                "{name}"
            );
        }
        assert!(file.pixels_in(hdu, &[10..61, 0..1]).is_err());
        assert!(file.pixels_in(hdu, std::slice::from_ref(&(0..1))).is_err());
    }
    let unsigned = file.len() - 1;
    assert_eq!(file.bits(unsigned, None).unwrap()[2999], 32_999);
    assert_eq!(file.text(unsigned, "LONGTEXT").unwrap().len(), 12 * 10 - 1);
    // BLANK is no pixel.
    assert!(file.pixels(unsigned - 1).unwrap()[3].is_nan());
    assert_eq!(file.tiles(1), Some(vec![16, 20]));
    assert_eq!(file.tiles(unsigned), None);
}

const DAMAGED: [&str; 4] = [
    "cutout_150.0000_2.0000.fits.gz",
    "cutout_subimage.fits.gz",
    "cutout-HSC-G-9813-pdr3_wide.fits.gz",
    "compressed.fits.gz",
];

/// The bytes of a gzipped fixture.
fn inflated(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(fixture(name)).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    /// Whatever the bytes are, there are objects or typed errors, and so for parts of images.
    #[test]
    fn no_damage_panics(
        name in select(&DAMAGED[..]),
        spots in vec((0.0f64..1.0, any::<u8>()), 1..16),
        keep in prop_oneof![3 => Just(1.0), 1 => 0.0f64..1.0],
    ) {
        let mut bytes = inflated(name);
        let length = bytes.len();
        for (at, value) in spots {
            let span = if value % 4 == 0 { length } else { length.min(20_000) };
            bytes[(at * span as f64) as usize] = value;
        }
        bytes.truncate((keep * length as f64) as usize);
        let folder = Folder::new();
        let path = folder.write("damaged.fits", bytes);
        if let Ok(objects) = read(&path, &ReadOptions::default()) {
            for error in objects.take(100).filter_map(Result::err) {
                prop_assert!(!error.to_string().contains("the reader failed"), "{}", error);
            }
        }
        if let Ok(mut file) = FitsFile::open(&path) {
            for hdu in 0..file.len() {
                let _ = file.pixels_in(hdu, &[10..20, 30..50]);
                let _ = file.bits(hdu, None);
            }
        }
    }
}
