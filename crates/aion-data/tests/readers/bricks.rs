//! Stamps cut out of bricks and patches at the positions of catalogues.

use std::fs;
use std::path::{Path, PathBuf};

use aion_data::extract::{Fields, catalogue, stamps};
use aion_data::reader::ReadOptions;
use aion_data::survey::brick::{BrickOptions, Bricks, find};
use aion_data::{DataError, Object, Problem, Survey};
use fits_well::header::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

use crate::fixtures::{Fits, Folder, image, scalar, text};

const NAMES: [&str; 7] = ["100", "101", "102", "103", "104", "105", "106"];

fn fixture(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/surveys/images");
    PathBuf::from(folder).join(name)
}

fn bricks(path: &Path, options: &BrickOptions) -> Bricks {
    find(&[path.to_owned()], options).unwrap_or_else(|error| panic!("{error}"))
}

/// Every position of a table, with stamps of 96 pixels.
fn cut(bricks: Bricks, table: &Path) -> Vec<Result<Object, DataError>> {
    let objects = catalogue(table, &ReadOptions::default()).unwrap();
    stamps(objects, Fields::new(bricks.fields), 96).collect()
}

fn good(result: &Result<Object, DataError>) -> &Object {
    result.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

fn message(result: &Result<Object, DataError>) -> String {
    result.as_ref().err().unwrap().to_string()
}

fn ramp(plane: usize, y: usize, x: usize) -> f32 {
    ((2 * x + y + 37 * plane) % 256) as f32
}

/// A copy of the fixtures' bricks, to be damaged.
fn copied(folder: &Folder) -> PathBuf {
    for brick in ["0000p000", "0001p000"] {
        let from = fixture("bricks/coadd/000").join(brick);
        let to = folder.path("bricks").join(brick);
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
    folder.path("bricks")
}

#[test]
fn stamps_are_those_of_astropy() {
    let expected: Json =
        serde_json::from_str(&fs::read_to_string(fixture("expected.json")).unwrap()).unwrap();
    let bricks = bricks(&fixture("bricks"), &BrickOptions::default());
    assert_eq!((bricks.fields.len(), bricks.problems.len()), (2, 0));
    assert_eq!(bricks.survey, Survey::LegacySurvey);
    let results = cut(bricks, &fixture("bricks/tractor-0000p000.fits"));
    assert_eq!(results.len(), NAMES.len());
    for (result, name) in results.iter().zip(NAMES) {
        let id = format!("9010-330368-{name}");
        let Some(expected) = expected.get(&id) else {
            continue;
        };
        let object = good(result);
        assert_eq!(object.id, id);
        let stamp = image(object, "tok_image");
        assert_eq!(stamp.bands, ["DES-G", "DES-R", "DES-Z"]);
        assert_eq!((stamp.height, stamp.width), (96, 96));
        for band in 0..3 {
            for (index, (y, x)) in [(0, 0), (47, 48), (95, 95)].into_iter().enumerate() {
                let value = expected["pixels"][band][index].as_f64().unwrap() as f32;
                assert_eq!(
                    stamp.flux[(band * 96 + y) * 96 + x],
                    value,
                    "{id} {band} {y} {x}"
                );
            }
        }
        // Columns 100 to 109 of the brick are masked.
        let left = expected["corner"][1].as_u64().unwrap() as usize;
        let ivar = stamp.ivar.as_ref().unwrap();
        for column in 0..96 {
            let bad = (100..110).contains(&(left + column));
            assert_eq!(
                ivar[(2 * 96 + 50) * 96 + column],
                if bad { 0.0 } else { 6.0 }
            );
        }
        assert_eq!(
            object.flags["masked_fraction"],
            format!("{:.4}", 10.0 / 96.0)
        );
        assert_eq!(object.flags["brick"], "0000p000");
        assert_eq!(object.flags["pixel_scale"], "0.2620");
        assert_eq!(object.flags["type"], "REX");
    }
    // The catalogue's measurements are those of the row.
    let second = good(&results[1]);
    assert_eq!(scalar(second, "tok_flux_r"), Some(3.0));
    assert_eq!(scalar(second, "tok_shape_r"), Some(1.5));
    assert_eq!(scalar(second, "tok_ebv"), Some(0.01));
    // Pixel (100, 100) of the other brick, which is plain, gzipped and without mask bits.
    let other = good(&results[5]);
    assert_eq!(other.flags["brick"], "0001p000");
    assert!(!other.flags.contains_key("masked_fraction"));
    let stamp = image(other, "tok_image");
    assert_eq!(stamp.flux[(96 + 48) * 96 + 48], ramp(5, 101, 101));
}

#[test]
fn what_cannot_be_cut_has_a_reason() {
    let bricks = bricks(&fixture("bricks"), &BrickOptions::default());
    let results = cut(bricks, &fixture("bricks/tractor-0000p000.fits"));
    for (index, reason) in [
        (3, "the edge of 0000p000 cuts the stamp of 96 pixels"),
        (4, "the edge of 0000p000 cuts the stamp of 96 pixels"),
        (6, "no image holds the position"),
    ] {
        let error = results[index].as_ref().unwrap_err();
        assert!(
            matches!(error.problem, Problem::NotCovered { .. }),
            "{error}"
        );
        let message = error.to_string();
        let id = format!("object 9010-330368-{}", NAMES[index]);
        assert!(
            message.contains(&id) && message.contains(reason),
            "{message}"
        );
    }
}

#[test]
fn a_table_of_positions_is_enough() {
    let bricks = bricks(&fixture("bricks"), &BrickOptions::default());
    let results = cut(bricks, &fixture("bricks/positions.csv"));
    let object = good(&results[0]);
    assert_eq!(object.id, "p100");
    assert_eq!(object.measurements.len(), 1);
    assert_eq!(object.flags["maskbits"], (1 << 1 | 1 << 11).to_string());
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4);
}

/// Chunks, and the order within them, do not show.
#[test]
fn stamps_keep_the_order_of_the_table() {
    let folder = Folder::new();
    let mut lines = "object_id,ra,dec\n".to_owned();
    for number in 0..1400 {
        // Up and down the brick, and now and then outside of it.
        let dec = f64::from(number * 37 % 100 - 50) * 0.262 / 3600.0;
        let ra = if number % 10 == 3 { 20.0 } else { 359.999 };
        lines += &format!("n{number},{ra},{dec}\n");
    }
    let table = folder.write("positions.csv", lines);
    let bricks = bricks(&fixture("bricks"), &BrickOptions::default());
    let results = cut(bricks, &table);
    assert_eq!(results.len(), 1400);
    for (number, result) in results.iter().enumerate() {
        if number % 10 == 3 {
            assert!(message(result).contains(&format!("object n{number}")));
            continue;
        }
        let object = good(result);
        assert_eq!(object.id, format!("n{number}"));
        let top = 52 + (number * 37 % 100) - 50;
        let flux = image(object, "tok_image").flux[96 * 96];
        assert_eq!(flux, ramp(1, top, 52), "{number}");
    }
}

#[test]
fn bands_are_all_that_bricks_have_or_those_asked_for() {
    let folder = Folder::new();
    let root = copied(&folder);
    fs::remove_file(root.join("0001p000/legacysurvey-0001p000-image-z.fits.gz")).unwrap();
    let table = fixture("bricks/tractor-0000p000.fits");
    let results = cut(bricks(&root, &BrickOptions::default()), &table);
    assert!(results[0].is_ok());
    assert!(message(&results[5]).contains("0001p000 has no image in the band z"));
    let asked = |bands: &str| BrickOptions {
        bands: Some(bands.into()),
        ..BrickOptions::default()
    };
    let results = cut(bricks(&root, &asked("rg")), &table);
    assert_eq!(
        image(good(&results[5]), "tok_image").bands,
        ["DES-G", "DES-R"]
    );
    let error = find(&[root], &asked("gi")).unwrap_err();
    assert!(
        error.to_string().contains("the band i: no brick"),
        "{error}"
    );
}

#[test]
fn damaged_bricks_are_listed_and_the_others_cut() {
    let table = fixture("bricks/tractor-0000p000.fits");
    let name = |product: &str| format!("0000p000/legacysurvey-0000p000-{product}.fits.fz");
    let bad = |change: &dyn Fn(&Path), reasons: &[&str]| {
        let folder = Folder::new();
        let root = copied(&folder);
        change(&root);
        let bricks = bricks(&root, &BrickOptions::default());
        assert_eq!((bricks.fields.len(), bricks.problems.len()), (1, 1));
        let message = bricks.problems[0].to_string();
        assert!(message.contains("object 0000p000"), "{message}");
        for reason in reasons {
            assert!(message.contains(reason), "`{reason}` is not in: {message}");
        }
        let results = cut(bricks, &table);
        assert!(results[0].is_err() && results[5].is_ok());
    };
    bad(
        &|root| {
            let path = root.join(name("invvar-r"));
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 2880]).unwrap();
        },
        &["invvar-r.fits.fz", "truncated"],
    );
    bad(
        &|root| {
            fs::copy(root.join(name("image-r")), root.join(name("image-z"))).unwrap();
        },
        &[
            "image-z.fits.fz",
            "the header says band r, the file's name z",
        ],
    );
    bad(
        &|root| {
            let image = Fits::new().image(&[], &[100, 200], vec![1.0; 20_000]);
            fs::write(root.join(name("invvar-g")), image.bytes()).unwrap();
        },
        &[
            "invvar-g.fits.fz",
            "shape is [100, 200], expected [200, 200]",
        ],
    );
    bad(
        &|root| {
            let image = Fits::new().image(&[], &[200, 200], vec![1.0; 40_000]);
            fs::write(root.join(name("image-g")), image.bytes()).unwrap();
        },
        &["image-g.fits.fz", "missing WCS"],
    );
    bad(
        &|root| {
            let twin = root.join("0000p000/legacysurvey-0000p000-image-g.fits.gz");
            fs::copy(root.join(name("image-g")), twin).unwrap();
        },
        &["holds the same band of the same brick"],
    );
}

/// A brick of one band with a constant inverse variance.
fn plain_brick(scale: f64, unit: &str, ivar: f32, flux: f32) -> Folder {
    let folder = Folder::new();
    let step = scale / 3600.0;
    let cards = [
        ("CTYPE1", text("RA---TAN")),
        ("CTYPE2", text("DEC--TAN")),
        ("CRVAL1", Value::from(10.0)),
        ("CRVAL2", Value::from(-89.5)),
        ("CRPIX1", Value::from(75.5)),
        ("CRPIX2", Value::from(75.5)),
        ("CD1_1", Value::from(-step)),
        ("CD1_2", Value::from(0.0)),
        ("CD2_1", Value::from(0.0)),
        ("CD2_2", Value::from(step)),
        ("BUNIT", text(unit)),
    ];
    let plane = |value: f32| {
        Fits::new()
            .image(&cards, &[150, 150], vec![value; 22_500])
            .bytes()
    };
    folder.write("legacysurvey-0100m895-image-i.fits", plane(flux));
    folder.write("legacysurvey-0100m895-invvar-i.fits", plane(ivar));
    folder.write("legacysurvey-0100m895-model-i.fits", "passed over");
    folder.write(
        "positions.csv",
        "id,ra,dec\n1,10.0,-89.5\n2,190.0,89.5\n3,190.0,-89.5\n",
    );
    folder
}

#[test]
fn units_scales_and_empty_places_of_bricks_are_noticed() {
    let options = BrickOptions::default();
    let folder = plain_brick(0.262, "nJy", 4.0, 1.0);
    let results = cut(
        bricks(&folder.path(""), &options),
        &folder.path("positions.csv"),
    );
    let stamp = image(good(&results[0]), "tok_image");
    let factor = 10f32.powf(-8.9 / 2.5);
    assert!((stamp.flux[5] / factor - 1.0).abs() < 1e-5);
    assert!((stamp.ivar.as_ref().unwrap()[5] * factor * factor / 4.0 - 1.0).abs() < 1e-5);
    // The far side of the sky, and the far side of the pole.
    assert!(message(&results[1]).contains("no image"));
    assert!(message(&results[2]).contains("no image"));

    let folder = plain_brick(0.262, "nanomaggy", 0.0, 1.0);
    let results = cut(
        bricks(&folder.path(""), &options),
        &folder.path("positions.csv"),
    );
    assert!(message(&results[0]).contains("0100m895 has no data in DES-I there"));

    let problem = |folder: &Folder| bricks(&folder.path(""), &options).problems[0].to_string();
    assert!(problem(&plain_brick(0.262, "mag", 1.0, 1.0)).contains("the unit is `mag`"));
    let coarse = plain_brick(0.4, "nanomaggy", 1.0, 1.0);
    assert!(problem(&coarse).contains("the pixel scale is 0.4000 x 0.4000"));
    let any = BrickOptions {
        any_pixel_scale: true,
        ..options.clone()
    };
    let results = cut(
        bricks(&coarse.path(""), &any),
        &coarse.path("positions.csv"),
    );
    assert_eq!(good(&results[0]).flags["pixel_scale"], "0.4000");
}

#[test]
fn patches_of_hsc_are_cut_with_their_masks() {
    let folder = Folder::new();
    let table = folder.write("positions.csv", "object_id,ra,dec\na,150.1,2.2\n");
    let found = bricks(&fixture("patches"), &BrickOptions::default());
    assert_eq!(
        (found.survey, found.fields[0].name.as_str()),
        (Survey::Hsc, "9813-4,5")
    );
    let results = cut(found, &table);
    let object = good(&results[0]);
    let stamp = image(object, "tok_image_hsc");
    assert_eq!(stamp.bands, ["HSC-G", "HSC-I"]);
    // Centre at 64.5 of 130 pixels: the stamp begins at 17.
    assert_eq!(stamp.flux[96 * 96], ramp(2, 17, 17));
    assert_eq!(stamp.ivar.as_ref().unwrap()[0], 4.0);
    assert_eq!(object.flags["masked_fraction"], "0.0000");
    assert_eq!(object.flags["pixel_scale"], "0.1680");
}

#[test]
fn a_folder_holds_bricks_of_one_survey() {
    let both = [fixture("patches"), fixture("bricks")];
    let error = find(&both, &BrickOptions::default()).unwrap_err();
    assert!(error.to_string().contains("expected one survey"), "{error}");
    let hsc = BrickOptions {
        survey: Some(Survey::Hsc),
        ..BrickOptions::default()
    };
    assert_eq!(find(&both, &hsc).unwrap().fields.len(), 1);
    let error = find(&[fixture("bricks/positions.csv")], &hsc).unwrap_err();
    assert!(error.to_string().contains("no brick image"), "{error}");
    let error = find(&[fixture("nowhere")], &hsc).unwrap_err();
    assert!(matches!(error.problem, Problem::Io(_)), "{error}");
}

/// Pixels of the real brick, their fluxes and inverse variances.
const REAL: [((usize, usize), f32, f32); 4] = [
    ((352, 252), -0.001_587_095, 69_813.75),
    ((400, 300), 0.005_449_715, 68_074.72),
    ((447, 347), -0.002_382_349_5, 70_243.98),
    ((399, 301), 0.003_360_781, 69_576.74),
];

/// Where a real brick was observed, its stamps are those of astropy.
#[test]
fn a_real_brick_of_one_band_is_cut() {
    let Some(folder) = crate::samples::samples("legacysurvey") else {
        return;
    };
    let files = ["image-g", "invvar-g"]
        .map(|product| folder.join(format!("legacysurvey-0959p805-{product}.fits.fz")));
    let found = find(&files, &BrickOptions::default()).unwrap();
    assert_eq!((found.fields.len(), found.problems.len()), (1, 0));
    let (ra, dec) = found.fields[0].sky.sky(299.6, 399.6).unwrap();
    let (empty_ra, empty_dec) = found.fields[0].sky.sky(3000.0, 3000.0).unwrap();
    let scratch = Folder::new();
    let lines = format!("id,ra,dec\n1,{ra},{dec}\n2,{empty_ra},{empty_dec}\n");
    let results = cut(found, &scratch.write("positions.csv", lines));
    let object = good(&results[0]);
    let g = image(object, "tok_image");
    assert_eq!(g.bands, ["DES-G"]);
    // The stamp begins at row 352 and column 252.
    for ((y, x), flux, ivar) in REAL {
        let pixel = (y - 352) * 96 + x - 252;
        assert_eq!(g.flux[pixel], flux);
        assert_eq!(g.ivar.as_ref().unwrap()[pixel], ivar);
    }
    assert!(message(&results[1]).contains("0959p805 has no data in DES-G there"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Whatever the bytes of a brick are, there is an object or an error for each position.
    #[test]
    fn no_damage_panics(
        product in select(&["image-g", "image-r", "invvar-z", "maskbits"][..]),
        spots in vec((0.0f64..1.0, any::<u8>()), 1..12),
        keep in prop_oneof![3 => Just(1.0), 1 => 0.0f64..1.0],
    ) {
        let folder = Folder::new();
        let root = copied(&folder);
        let path = root.join(format!("0000p000/legacysurvey-0000p000-{product}.fits.fz"));
        let mut bytes = fs::read(&path).unwrap();
        let length = bytes.len();
        for (at, value) in spots {
            // Most of the damage goes where the headers and the first tiles are.
            let span = if value % 4 == 0 { length } else { length.min(12_000) };
            bytes[(at * span as f64) as usize] = value;
        }
        bytes.truncate((keep * length as f64) as usize);
        fs::write(&path, bytes).unwrap();
        let found = bricks(&root, &BrickOptions::default());
        prop_assert_eq!(found.fields.len() + found.problems.len(), 2);
        prop_assert_eq!(cut(found, &fixture("bricks/positions.csv")).len(), NAMES.len());
    }
}
