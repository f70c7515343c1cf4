//! CSV, TSV and ECSV: headers that say units, and texts that are not what they seem.

use aion_data::Problem;
use aion_data::reader::ReadOptions;

use crate::fixtures::{Folder, error, expect_error, gzipped, objects, results, scalar};

fn ecsv(columns: &str, rows: &str) -> String {
    let columns = columns.lines().map(|line| format!("# {line}\n"));
    let columns: String = columns.collect();
    format!("# %ECSV 1.0\n# ---\n{columns}{rows}")
}

#[test]
fn units_of_an_ecsv_header_are_used() {
    let folder = Folder::new();
    let header = "delimiter: ','\ndatatype:\n- {name: id, datatype: int64}\n- name: FLUX_G\n  \
                  unit: uJy\n  datatype: float32";
    let text = ecsv(header, "id,FLUX_G\n7,3.6307805\n8,\"\"\n");
    let path = folder.write("a.ecsv", &text);
    let read = results(&path, &ReadOptions::default());
    assert!((scalar(read[0].as_ref().unwrap(), "tok_flux_g").unwrap() - 1.0).abs() < 1e-6);
    assert!(read[1].is_err(), "masked");
    let zipped =
        objects(&folder.write("b.csv.gz", gzipped(text.replace(",\"\"", ",1").as_bytes())));
    assert_eq!(zipped.len(), 2);
    let text = text.replace("uJy", "mag");
    expect_error(
        &folder.write("c.ecsv", text),
        &["field FLUX_G", "the unit is `mag`"],
    );
}

#[test]
fn ecsv_headers_that_cannot_be_trusted_are_refused() {
    let folder = Folder::new();
    let columns = "datatype:\n- {name: EBV, datatype: float32}\n- {name: Z, datatype: float64}";
    for (header, rows, reason) in [
        (
            columns,
            "Z EBV\n1 2\n",
            "describes column `EBV` where the table has `Z`",
        ),
        (columns, "EBV\n1\n", "describes 2 columns, the table has 1"),
        ("datatype: [", "EBV\n1\n", "the header is no YAML"),
        ("meta: 1", "EBV\n1\n", "no list `datatype`"),
        (
            "delimiter: '|'\ndatatype: []",
            "EBV\n1\n",
            "expected comma or blank",
        ),
    ] {
        expect_error(&folder.write("a.ecsv", ecsv(header, rows)), &[reason]);
    }
    // Plain comments are no header.
    let plain = folder.write(
        "b.csv",
        "# made by hand\n# - {name: Z, unit: mag}\nid,Z\na,0.5\n",
    );
    assert_eq!(scalar(&objects(&plain)[0], "tok_z"), Some(0.5));
}

#[test]
fn delimiters_are_those_of_the_names() {
    let folder = Folder::new();
    for (delimiter, end) in [
        (",", "\n"),
        ("\t", "\n"),
        (";", "\n"),
        (" ", "\n"),
        (",", "\r\n"),
    ] {
        let line = |cells: [&str; 3]| cells.join(delimiter) + end;
        let text = line(["id", "Z", "EBV"]) + &line(["a", "0.5", "0.1"]);
        let object = objects(&folder.write("a", "\u{feff}".to_owned() + &text)).remove(0);
        assert_eq!(
            (object.id.as_str(), scalar(&object, "tok_ebv")),
            ("a", Some(0.1))
        );
    }
}

#[test]
fn tables_without_names_or_with_aligned_columns_are_refused() {
    let folder = Folder::new();
    let numbers = error(&folder.write("a.csv", "12.5,-3.25,0.7\n12.6,-3.5,0.8\n"));
    assert!(matches!(numbers.problem, Problem::Missing(_)), "{numbers}");
    assert!(
        numbers
            .to_string()
            .contains("the first line holds the number 12.5")
    );
    let aligned = folder.write("b.txt", "id   Z    EBV\na    0.5  0.1\n");
    expect_error(&aligned, &["separated by several blanks"]);
    let shifted = folder.write("c.txt", "id Z EBV\na 0.5 0.1\nb  0.1\n");
    let read = results(&shifted, &ReadOptions::default());
    let error = read[1].as_ref().unwrap_err().to_string();
    assert!(
        error.contains("row 2") && error.contains("several blanks"),
        "{error}"
    );
}

#[test]
fn identifiers_written_from_real_numbers_are_refused() {
    let folder = Folder::new();
    for id in ["5.853498713190526e+18", "12.0", "1.0E+3"] {
        let path = folder.write("a.csv", format!("source_id,parallax\n{id},1\n"));
        expect_error(&path, &["row 1", "field source_id", "not real numbers"]);
    }
    for id in ["266-51630-0053", "3301m002.7b", "007", "J1234+5678", "1e5"] {
        let path = folder.write("b.csv", format!("object_id,parallax\n{id},1\n"));
        assert_eq!(objects(&path)[0].id, id);
    }
    let joined = folder.write("c.csv", "BRICKNAME,OBJID,EBV\n3301m002,12,0.1\n");
    assert_eq!(objects(&joined)[0].id, "3301m002-12");
}

#[test]
fn numbers_that_stand_for_no_value_are_missing_and_noted() {
    let folder = Folder::new();
    let path = folder.write(
        "a.csv",
        "id,Z,i_cmodel_mag,EBV,FLUX_W4,parallax\na,-99,inf,0.1,-99,-999\nb,0.5,99.99,-999,1e30,1\n",
    );
    let read = objects(&path);
    assert_eq!(read[0].measurements.len(), 3);
    assert_eq!(read[0].flags["sentinels"], "i_cmodel_mag=inf Z=-99");
    assert_eq!(
        scalar(&read[0], "tok_flux_w4"),
        Some(-99.0),
        "fluxes scatter"
    );
    assert_eq!(scalar(&read[0], "tok_parallax"), Some(-999.0));
    assert_eq!(read[1].measurements.len(), 2);
    assert!(read[1].flags["sentinels"].contains("FLUX_W4="));
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let folder = Folder::new();
    let path = folder.write("a.csv", "id,Z,Z\na,1,2\n");
    expect_error(&path, &["field Z", "2 columns have this name"]);
}

#[test]
fn survey_flags_are_carried_in_any_case() {
    let folder = Folder::new();
    let path = folder.write(
        "a.csv",
        "TARGETID,Z,ZWARN,maskbits,FitBits,SPECTYPE,COADD_FIBERSTATUS,ruwe,extra\n\
         1,0.5,4,2048,1,GALAXY,0,1.25,x\n",
    );
    let object = objects(&path).remove(0);
    let flags: Vec<(&str, &str)> = object
        .flags
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("COADD_FIBERSTATUS", "0"),
        ("FitBits", "1"),
        ("SPECTYPE", "GALAXY"),
        ("ZWARN", "4"),
        ("maskbits", "2048"),
        ("ruwe", "1.25"),
    ];
    assert_eq!(flags, expected);
}

#[test]
fn what_is_close_to_a_modality_is_named_in_the_refusal() {
    let folder = Folder::new();
    for (header, reason) in [
        ("id,dered_mag_g", "corrected for Galactic extinction"),
        ("id,FLUX_G_EC", "corrected for Galactic extinction"),
        ("id,modelMag_g", "SDSS asinh magnitudes"),
        ("id,FIBERFLUX_G", "in a fibre or an aperture"),
        ("source_id,flux,flux_error", "sampled XP spectra"),
        ("source_id,phot_g_mean_mag", "expected phot_g_mean_flux"),
    ] {
        let cells = vec!["1"; header.split(',').count()].join(",");
        let path = folder.write("a.csv", format!("{header}\n{cells}\n"));
        expect_error(&path, &["no recognised column", reason]);
    }
}

#[test]
fn a_number_of_coefficients_other_than_declared_is_refused() {
    let folder = Folder::new();
    let list = vec!["1"; 55].join(", ");
    let path = folder.write(
        "a.csv",
        format!(
            "source_id,bp_n_parameters,bp_coefficients\n1,55,\"({list})\"\n2,50,\"({list})\"\n\
             3,55,\"({list}, 2)\"\n"
        ),
    );
    let read = results(&path, &ReadOptions::default());
    assert!(read[0].is_ok());
    for (row, field) in [(1, "bp_n_parameters"), (2, "bp_n_parameters")] {
        let error = read[row].as_ref().unwrap_err();
        assert_eq!(error.place.field.as_deref(), Some(field), "{error}");
    }
}
