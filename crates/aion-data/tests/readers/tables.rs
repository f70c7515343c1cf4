//! Tables of scalars and coefficient vectors in every container.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use aion_data::reader::ReadOptions;
use aion_data::{Object, Problem, Survey};
use arrow_array::types::{Float64Type, UInt16Type};
use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use fits_well::table::{ColumnData, DescriptorWidth, Ragged, WriteColumn};
use parquet::arrow::ArrowWriter;

use crate::fixtures::{
    Fits, Folder, Npy, coefficients, column, error, error_with, expect_error, gzipped, objects,
    objects_with, results, scalar, text, words, write_npz,
};

fn list(count: usize, open: char, close: char) -> String {
    let values: Vec<String> = (0..count).map(|i| format!("{i}.5")).collect();
    format!("\"{open}{}{close}\"", values.join(", "))
}

fn keys(object: &Object) -> Vec<&'static str> {
    object.measurements.keys().map(|id| id.key()).collect()
}

#[test]
fn a_csv_of_survey_columns_is_read_row_by_row() {
    let folder = Folder::new();
    let path = folder.write(
        "a.csv",
        "OBJECT_ID,ra,DEC,FLUX_G,flux_r,tok_z,g,z,phot_g_mean_flux,CLASS\n\
         9007199254740993,10.5,-2,1.5,2.5,0.3,17,16,100,QSO\n\
         b,NaN,,null,-2.5,,17,16,NaN,\n",
    );
    let objects = objects(&path);
    assert_eq!(objects[0].id, "9007199254740993", "identifiers stay exact");
    assert_eq!((objects[0].ra, objects[0].dec), (Some(10.5), Some(-2.0)));
    assert_eq!(
        keys(&objects[0]),
        ["tok_flux_g", "tok_flux_r", "tok_z", "tok_flux_g_gaia"]
    );
    assert_eq!(scalar(&objects[0], "tok_z"), Some(0.3));
    assert_eq!(objects[0].flags["CLASS"], "QSO");
    assert_eq!((objects[1].ra, objects[1].dec), (None, None));
    assert_eq!(
        keys(&objects[1]),
        ["tok_flux_r"],
        "missing values are absent"
    );
    assert_eq!(scalar(&objects[1], "tok_flux_r"), Some(-2.5));
    assert!(objects[1].flags.is_empty());
}

#[test]
fn rows_without_identifier_are_numbered_and_gzip_is_inflated() {
    let folder = Folder::new();
    let csv = "redshift\n0.1\n0.2\n";
    let plain = objects(&folder.write("a.csv", csv));
    assert_eq!((plain[0].id.as_str(), plain[1].id.as_str()), ("1", "2"));
    assert_eq!(
        objects(&folder.write("b.csv.gz", gzipped(csv.as_bytes()))),
        plain
    );
}

#[test]
fn arrays_in_text_cells_are_coefficients() {
    let folder = Folder::new();
    let csv = format!(
        "source_id,bp_coefficients,rp_coefficients\n1,{},{}\n2,,{}\n3,{},\n",
        list(55, '(', ')'),
        list(55, '[', ']'),
        list(55, '[', ']'),
        list(54, '[', ']'),
    );
    let path = folder.write("xp.csv", csv);
    let results = results(&path, &ReadOptions::default());
    let good = results[0].as_ref().unwrap();
    assert_eq!(coefficients(good, "tok_xp_bp")[54], 54.5);
    assert_eq!(keys(results[1].as_ref().unwrap()), ["tok_xp_rp"]);
    let short = results[2].as_ref().unwrap_err();
    assert_eq!(short.place.object.as_deref(), Some("3"));
    assert!(matches!(short.problem, Problem::Shape { .. }), "{short}");
}

#[test]
fn a_bad_cell_spoils_its_object_only() {
    let folder = Folder::new();
    let path = folder.write("a.csv", "id,FLUX_G\na,1\nb,bright\nc,2,3\nd,4\n\"e\",\n");
    let results = results(&path, &ReadOptions::default());
    let outcome: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(outcome, [true, false, false, true, false]);
    let cell = results[1].as_ref().unwrap_err().to_string();
    for part in [
        "a.csv",
        "object b",
        "field FLUX_G",
        "`bright` is not a number",
    ] {
        assert!(cell.contains(part), "{cell}");
    }
    let ragged = results[2].as_ref().unwrap_err().to_string();
    assert!(
        ragged.contains("row 3") && ragged.contains("3 cells"),
        "{ragged}"
    );
    let empty = results[4].as_ref().unwrap_err().to_string();
    assert!(
        empty.contains("object e") && empty.contains("empty"),
        "{empty}"
    );
}

#[test]
fn tables_without_a_known_column_say_what_was_expected() {
    let folder = Folder::new();
    let path = folder.write("a.csv", "ra,dec,g,r,SHAPEDEV_R,z\n1,2,3,4,5,6\n");
    expect_error(
        &path,
        &["no recognised column among ra, dec, g", "SHAPE_R", "EBV"],
    );
    let options = ReadOptions {
        with_position: true,
        ..ReadOptions::default()
    };
    let object = objects_with(&path, &options).remove(0);
    assert_eq!(scalar(&object, "tok_ra"), Some(1.0));
}

#[test]
fn the_survey_asked_for_limits_the_columns() {
    let folder = Folder::new();
    let path = folder.write("a.csv", "FLUX_G,parallax,Z\n1,2,3\n");
    let options = ReadOptions {
        survey: Some(Survey::Gaia),
        ..ReadOptions::default()
    };
    let object = objects_with(&path, &options).remove(0);
    assert_eq!(keys(&object), ["tok_z", "tok_parallax"]);
}

#[test]
fn positions_off_the_sky_are_errors() {
    let folder = Folder::new();
    let path = folder.write("a.csv", "ra,dec,EBV\n1,95,0.1\n");
    expect_error(&path, &["object 1", "field dec", "declination 95"]);
    let path = folder.write("b.csv", "ra,dec,EBV\n-999,5,0.1\n");
    expect_error(&path, &["field ra", "right ascension -999"]);
}

#[test]
fn units_are_converted_or_refused() {
    let folder = Folder::new();
    let fits = |unit: &str| {
        let flux = column("FLUX_G", vec![3.630_780_5f32]).with_unit(unit);
        Fits::new()
            .table(vec![column("TARGETID", vec![7i64]), flux])
            .bytes()
    };
    let objects_in = |unit: &str| objects(&folder.write("a.fits", fits(unit))).remove(0);
    let flux = |unit: &str| scalar(&objects_in(unit), "tok_flux_g").unwrap();
    assert_eq!(flux("nanomaggy"), 3.630_780_5);
    assert!((flux("uJy") - 1.0).abs() < 1e-6);
    expect_error(
        &folder.write("b.fits", fits("mag")),
        &["field FLUX_G", "the unit is `mag`, expected nanomaggy"],
    );
    let ecsv = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: source_id, datatype: int64}\n\
                # - {name: parallax, unit: arcsec, datatype: float64}\nsource_id parallax\n5 0.002\n";
    let object = objects(&folder.write("c.ecsv", ecsv)).remove(0);
    assert_eq!(object.id, "5");
    assert_eq!(scalar(&object, "tok_parallax"), Some(2.0));
}

#[test]
fn fits_tables_are_read_with_nulls_lists_and_composed_identifiers() {
    let folder = Folder::new();
    let rows = 3000;
    let numbers = |factor: f32| (0..rows).map(|i| i as f32 * factor).collect::<Vec<f32>>();
    let fixed: Vec<f64> = (0..rows * 55).map(|i| i as f64).collect();
    let ragged = (0..rows).map(|i| ColumnData::F32(vec![i as f32; if i == 1 { 0 } else { 55 }]));
    let columns = vec![
        column("release", vec![9010i16; rows]),
        column("brickid", vec![3i32; rows]),
        column("objid", (0..rows as i32).collect()),
        column("RA", vec![12.0f64; rows]),
        column("DEC", vec![1.0f64; rows]),
        column("flux_g", numbers(1.0)),
        column("flux_ivar_g", numbers(1.0)),
        column("flux_r", numbers(0.0)),
        column("flux_ivar_r", vec![1.0f32; rows]),
        WriteColumn::fixed("bp_coefficients", ColumnData::F64(fixed), 55),
        WriteColumn::vla(
            "rp_coefficients",
            Ragged::from_rows(ragged).unwrap(),
            DescriptorWidth::P,
        ),
        column("EBV", (0..rows as i32).collect::<Vec<i32>>()).with_null(2),
    ];
    let path = folder.write("a.fits", Fits::new().table(columns).bytes());
    let objects = objects(&path);
    assert_eq!(objects.len(), rows);
    assert_eq!(objects[2999].id, "9010-3-2999");
    assert_eq!(objects[2999].ra, Some(12.0));
    assert_eq!(
        scalar(&objects[0], "tok_flux_g"),
        None,
        "zero without weight"
    );
    assert_eq!(
        scalar(&objects[0], "tok_flux_r"),
        Some(0.0),
        "zero with weight"
    );
    assert_eq!(scalar(&objects[2], "tok_ebv"), None, "TNULL");
    assert_eq!(scalar(&objects[3], "tok_ebv"), Some(3.0));
    assert_eq!(coefficients(&objects[2], "tok_xp_bp")[1], 111.0);
    assert_eq!(coefficients(&objects[2], "tok_xp_rp"), [2.0; 55]);
    assert!(!keys(&objects[1]).contains(&"tok_xp_rp"));
}

#[test]
fn the_first_table_with_a_known_column_is_read() {
    let folder = Folder::new();
    let file = Fits::new()
        .empty(&[("TELESCOP", text("none"))])
        .table(vec![column("NIGHT", vec![1i32])])
        .table(vec![words("TARGETID", &["x"]), column("Z", vec![0.5f64])]);
    let object = objects(&folder.write("a.fits", file.bytes())).remove(0);
    assert_eq!(
        (object.id.as_str(), scalar(&object, "tok_z")),
        ("x", Some(0.5))
    );
}

#[test]
fn identifiers_are_never_real_numbers() {
    let folder = Folder::new();
    let columns = vec![
        column("source_id", vec![4e18f64]),
        column("parallax", vec![1.0f32]),
    ];
    let path = folder.write("a.fits", Fits::new().table(columns).bytes());
    expect_error(&path, &["row 1", "field source_id", "integers or text"]);
}

#[test]
fn a_vector_is_no_scalar() {
    let folder = Folder::new();
    let flux = WriteColumn::fixed("FLUX_G", ColumnData::F32(vec![1.0, 2.0]), 2);
    let path = folder.write("a.fits", Fits::new().table(vec![flux]).bytes());
    expect_error(&path, &["field FLUX_G", "2 values, expected one"]);
}

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_tables_are_read() {
    let folder = Folder::new();
    let path = folder.path("a.parquet");
    let row = |row: f64| {
        Some(
            (0..55)
                .map(move |i| Some(row + f64::from(i)))
                .collect::<Vec<_>>(),
        )
    };
    let lists = [row(1.0), None, row(3.0)];
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "parallax",
            Arc::new(Float32Array::from(vec![Some(1.0), None, Some(f32::NAN)])),
        ),
        (
            "source_id",
            Arc::new(Int64Array::from(vec![i64::MAX, 2, 3])),
        ),
        (
            "class",
            Arc::new(StringArray::from(vec![Some("STAR"), None, None])),
        ),
        (
            "bp_coefficients",
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists)),
        ),
        (
            "Z",
            Arc::new(Float32Array::from(vec![None, Some(0.25), None])),
        ),
    ];
    write_parquet(&path, columns);
    let objects = objects(&path);
    assert_eq!(objects[0].id, i64::MAX.to_string());
    assert_eq!(keys(&objects[0]), ["tok_xp_bp", "tok_parallax"]);
    assert_eq!(objects[0].flags["class"], "STAR");
    assert_eq!(keys(&objects[1]), ["tok_z"]);
    assert_eq!(coefficients(&objects[2], "tok_xp_bp")[54], 57.0);
}

#[test]
fn token_files_are_not_observations() {
    let folder = Folder::new();
    let path = folder.path("tokens.parquet");
    let tokens = [Some(vec![Some(5u16)])];
    let tokens = FixedSizeListArray::from_iter_primitive::<UInt16Type, _, _>(tokens, 1);
    write_parquet(&path, vec![("tok_flux_g", Arc::new(tokens))]);
    expect_error(
        &path,
        &["field tok_flux_g", "tokens, expected observations"],
    );
}

#[test]
fn unread_column_types_are_named() {
    let folder = Folder::new();
    let path = folder.path("a.parquet");
    let dates = arrow_array::Date32Array::from(vec![1]);
    write_parquet(&path, vec![("EBV", Arc::new(dates))]);
    expect_error(&path, &["field EBV", "Date32"]);
}

fn npy(name: &'static str, descr: &'static str, shape: &'static str, bytes: Vec<u8>) -> Npy {
    Npy {
        name,
        descr,
        fortran: false,
        shape,
        bytes,
    }
}

#[test]
fn numpy_tables_are_read_in_any_order_and_endianness() {
    let folder = Folder::new();
    let path = folder.path("a.npz");
    let mut values = vec![0f32; 110];
    values[1] = 9.0;
    let coefficients_c = values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect();
    let ids = [-5i64, 7].iter().flat_map(|id| id.to_le_bytes()).collect();
    let mut bp = npy("bp_coefficients", "'>f4'", "(2, 55)", coefficients_c);
    bp.fortran = true;
    write_npz(&path, &[bp, npy("source_id", "'<i8'", "(2,)", ids)]);
    let objects = objects(&path);
    assert_eq!(
        (objects[0].id.as_str(), objects[1].id.as_str()),
        ("-5", "7")
    );
    assert_eq!(coefficients(&objects[1], "tok_xp_bp")[0], 9.0);
}

#[test]
fn numpy_arrays_that_disagree_or_cannot_be_read_are_named() {
    let folder = Folder::new();
    let path = folder.path("a.npz");
    let one = npy("EBV", "'<f8'", "(1,)", vec![0; 8]);
    write_npz(&path, &[one, npy("Z", "'<f8'", "(2,)", vec![0; 16])]);
    assert!(matches!(error(&path).problem, Problem::Mismatch(_)));
    write_npz(&path, &[npy("EBV", "'|O'", "(1,)", vec![0; 8])]);
    expect_error(&path, &["field EBV", "type |O"]);
    write_npz(&path, &[npy("EBV", "'<f8'", "(3,)", vec![0; 8])]);
    expect_error(&path, &["field EBV", "8 bytes of values, expected 24"]);
    write_npz(
        &path,
        &[npy("EBV", "'<f8'", "(9999999999999999999, 9)", vec![0; 8])],
    );
    assert!(matches!(error(&path).problem, Problem::Container { .. }));
    write_npz(
        &path,
        &[npy("EBV", "'<f8'", "(1152921504606846976, 0)", Vec::new())],
    );
    let empty = error_with(&path, &ReadOptions::default());
    assert!(matches!(empty.problem, Problem::Empty), "{empty}");
}
