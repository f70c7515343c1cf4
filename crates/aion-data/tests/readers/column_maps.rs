//! Column maps: TOML that says what the columns of a table mean.

use std::path::Path;

use aion_data::reader::{ReadOptions, num_objects};
use aion_data::survey::column_map::ColumnMap;
use aion_data::{Object, Survey};

use crate::fixtures::{Fits, Folder, column, error_with, objects_with, results, scalar};

fn map(text: &str) -> ReadOptions {
    let map =
        ColumnMap::parse(Path::new("map.toml"), text).unwrap_or_else(|error| panic!("{error}"));
    ReadOptions {
        columns: Some(map),
        ..ReadOptions::default()
    }
}

fn read(csv: &str, toml: &str) -> Object {
    let folder = Folder::new();
    objects_with(&folder.write("a.csv", csv), &map(toml)).remove(0)
}

fn refused(csv: &str, toml: &str, parts: &[&str]) {
    let folder = Folder::new();
    let message = error_with(&folder.write("a.csv", csv), &map(toml)).to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

fn close(found: Option<f32>, expected: f64) -> bool {
    found.is_some_and(|found| (f64::from(found) / expected - 1.0).abs() < 1e-5)
}

#[test]
fn a_map_names_everything() {
    let object = read(
        "name,alpha,delta,gflux,w,q,Z\nx-1,0.5,-30,36.307805,3,7,18.5\n",
        r#"
        object_id = "name"
        ra = { column = "alpha", unit = "rad" }
        dec = { column = "DELTA", unit = "deg" }
        flags = ["w", "q"]
        tok_flux_g = { column = "gflux", unit = "uJy" }
        "#,
    );
    assert_eq!(object.id, "x-1");
    assert!(
        object
            .ra
            .is_some_and(|ra| (ra - 28.647_889_756_541_16).abs() < 1e-12)
    );
    assert_eq!(object.dec, Some(-30.0));
    assert!(close(scalar(&object, "tok_flux_g"), 10.0));
    assert_eq!(
        object.measurements.len(),
        1,
        "the magnitude Z is no redshift"
    );
    let flags: Vec<&String> = object.flags.keys().collect();
    assert_eq!(flags, ["q", "w"]);
}

#[test]
fn without_modalities_names_are_recognised_as_ever() {
    let object = read(
        "name,other,EBV,CLASS\na,b,0.1,STAR\n",
        "object_id = [\"name\", \"other\"]",
    );
    assert_eq!(object.id, "a-b");
    assert_eq!(scalar(&object, "tok_ebv"), Some(0.1));
    assert_eq!(object.flags["CLASS"], "STAR");
}

#[test]
fn magnitudes_and_fluxes_are_converted_when_asked() {
    let csv = "id,mag_g,f\n1,22.5,3630.7805\n2,20,-5\n3,99,363.07805\n";
    let toml = r#"
        tok_flux_g = { column = "mag_g", from = "abmag" }
        tok_mag_i = { column = "f", from = "flux", unit = "nJy" }
    "#;
    let folder = Folder::new();
    let objects = objects_with(&folder.write("a.csv", csv), &map(toml));
    assert!(close(scalar(&objects[0], "tok_flux_g"), 1.0));
    assert!(close(scalar(&objects[1], "tok_flux_g"), 10.0));
    assert_eq!(
        scalar(&objects[2], "tok_flux_g"),
        None,
        "99 is no magnitude"
    );
    assert_eq!(objects[2].flags["sentinels"], "mag_g=99");
    assert!(close(scalar(&objects[0], "tok_mag_i"), 22.5));
    assert_eq!(scalar(&objects[1], "tok_mag_i"), None, "negative flux");
    assert!(close(scalar(&objects[2], "tok_mag_i"), 25.0));
}

#[test]
fn extinction_is_put_back_when_asked() {
    let csv = "id,dered_flux_g,dered_mag_r,i_mag_dered,EBV\n1,10,20,21,0.1\n2,10,20,21,\n";
    let toml = r#"
        tok_flux_g = { column = "dered_flux_g", extinction = { column = "EBV", coefficient = 3.214 } }
        tok_flux_r = { column = "dered_mag_r", from = "abmag", extinction = { column = "EBV", coefficient = 2.165 } }
        tok_mag_i = { column = "i_mag_dered", extinction = { column = "EBV" } }
    "#;
    let folder = Folder::new();
    let read = results(&folder.write("a.csv", csv), &map(toml));
    let object = read[0].as_ref().unwrap();
    assert!(close(
        scalar(object, "tok_flux_g"),
        10.0 * 10f64.powf(-0.4 * 0.3214)
    ));
    assert!(close(
        scalar(object, "tok_flux_r"),
        10.0 * 10f64.powf(-0.4 * 0.2165)
    ));
    assert!(close(scalar(object, "tok_mag_i"), 21.1));
    assert!(read[1].is_err(), "nothing without the extinction");
    for column in ["dered_flux_g", "FLUX_G_EC", "g_dered"] {
        refused(
            &format!("id,{column}\n1,10\n"),
            &format!("tok_flux_g = \"{column}\""),
            &[
                "a.csv",
                &format!("field {column}"),
                "corrected for Galactic extinction",
            ],
        );
    }
    refused(
        "id,modelMag_g,EBV\n1,20,0\n",
        "tok_flux_g = { column = \"modelMag_g\", from = \"abmag\", extinction = { column = \"EBV\" } }",
        &["field modelMag_g", "no Legacy Survey fluxes"],
    );
}

#[test]
fn columns_that_are_absent_are_named_with_the_file() {
    refused(
        "id,EBV\n1,0.1\n",
        "tok_flux_g = \"GFLUX\"",
        &[
            "a.csv",
            "field GFLUX",
            "map.toml names",
            "the table has id, EBV",
        ],
    );
    refused("id,EBV\n1,0.1\n", "flags = [\"w\"]", &["field w"]);
    refused("id,EBV\n1,0.1\n", "object_id = \"ID2\"", &["field ID2"]);
    refused(
        "id,Ebv,EBV,ebv\n1,1,2,3\n",
        "tok_ebv = \"eBV\"",
        &["field eBV"],
    );
}

#[test]
fn units_fill_what_is_absent_and_contradict_nothing() {
    let folder = Folder::new();
    let fits = |unit: &str| {
        let flux = column("FLUX_G", vec![3.630_780_5f32]).with_unit(unit);
        folder.write("a.fits", Fits::new().table(vec![flux]).bytes())
    };
    let options = map("tok_flux_g = { column = \"FLUX_G\", unit = \"uJy\" }");
    let same = objects_with(&fits("microJansky"), &options).remove(0);
    assert!(close(scalar(&same, "tok_flux_g"), 1.0));
    let error = error_with(&fits("nanomaggy"), &options).to_string();
    for part in [
        "field FLUX_G",
        "the file's unit is `nanomaggy`",
        "map.toml is `uJy`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    refused(
        "id,g\n1,2\n",
        "tok_flux_g = { column = \"g\", unit = \"mag\" }",
        &["the unit is `mag`"],
    );
    refused(
        "id,g\n1,2\n",
        "tok_mag_g = { column = \"g\", from = \"flux\" }",
        &["missing unit"],
    );
}

#[test]
fn the_table_that_has_the_columns_is_taken() {
    let folder = Folder::new();
    let file = Fits::new()
        .table(vec![column("EBV", vec![1.0f32])])
        .table(vec![column("reddening", vec![0.25f32])]);
    let path = folder.write("a.fits", file.bytes());
    let object = objects_with(&path, &map("tok_ebv = \"reddening\"")).remove(0);
    assert_eq!(scalar(&object, "tok_ebv"), Some(0.25));
    assert_eq!(num_objects(&path), None, "it depends on the map");
}

#[test]
fn a_survey_and_a_map_must_agree() {
    let folder = Folder::new();
    let options = ReadOptions {
        survey: Some(Survey::Gaia),
        ..map("tok_ebv = \"EBV\"")
    };
    let error = error_with_map_place(&folder.write("a.csv", "EBV\n1\n"), &options);
    assert!(error.contains("`tok_ebv` is of survey legacy"), "{error}");
}

/// The message of an error whose place is the map.
fn error_with_map_place(path: &Path, options: &ReadOptions) -> String {
    match aion_data::reader::read(path, options) {
        Err(error) => {
            assert_eq!(error.place.path.as_deref(), Some(Path::new("map.toml")));
            error.to_string()
        }
        Ok(_) => panic!("{} is read", path.display()),
    }
}

#[test]
fn maps_that_say_nothing_sensible_are_refused_by_key() {
    for (toml, parts) in [
        (
            "tok_flux_q = \"x\"",
            ["field tok_flux_q", "unknown modality"],
        ),
        (
            "tok_image = \"x\"",
            ["field tok_image", "no column of a table holds it"],
        ),
        (
            "tok_z = 3",
            ["field tok_z", "expected the name of a column"],
        ),
        (
            "tok_z = { column = \"x\", units = \"m\" }",
            ["field tok_z", "unknown field `units`"],
        ),
        (
            "tok_z = { unit = \"m\" }",
            ["field tok_z", "missing field `column`"],
        ),
        (
            "tok_z = { column = \"x\", from = \"vega\" }",
            ["field tok_z", "unknown variant `vega`"],
        ),
        (
            "tok_z = { column = \"x\", from = \"abmag\" }",
            ["field tok_z", "makes a flux"],
        ),
        (
            "tok_a_g = { column = \"x\", from = \"flux\" }",
            ["field tok_a_g", "makes a magnitude"],
        ),
        (
            "tok_flux_g_gaia = { column = \"x\", from = \"abmag\" }",
            ["field tok_flux_g_gaia", "makes a flux in nanomaggies"],
        ),
        (
            "tok_z = { column = \"x\", extinction = { column = \"y\" } }",
            ["field tok_z", "extinction belongs to fluxes"],
        ),
        (
            "tok_flux_g = { column = \"x\", extinction = { column = \"y\", coefficient = -1 } }",
            ["field tok_flux_g", "the coefficient is -1"],
        ),
        ("ra = \"RA\"", ["field dec", "missing"]),
        (
            "ra = { column = \"RA\", from = \"flux\" }\ndec = \"DEC\"",
            ["field ra", "not converted"],
        ),
        ("flags = [1]", ["field flags", "name of a column"]),
        ("tok_z = ", ["map.toml", "TOML"]),
    ] {
        let error = ColumnMap::parse(Path::new("map.toml"), toml)
            .unwrap_err()
            .to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    }
    let absent = ColumnMap::open(Path::new("/nowhere/map.toml")).unwrap_err();
    assert!(absent.to_string().contains("/nowhere/map.toml"));
}
