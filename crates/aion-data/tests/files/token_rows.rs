//! Tokens in safetensors and Parquet.

use std::collections::BTreeMap;
use std::fs::File;

use aion_data::tensor_files::TensorFile;
use aion_data::token_files::{TokenReader, read_tokens, write_tokens};
use aion_data::{DataError, Problem, TokenRow};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use crate::sample::{Raw, f32s, files_in, i64s, modality, scratch, token_rows, write_raw};

const FORMATS: [&str; 2] = ["tokens.safetensors", "tokens.parquet"];

fn read_raw(tensors: &[Raw]) -> Result<Vec<TokenRow>, DataError> {
    let (_folder, path) = scratch("raw.safetensors");
    write_raw(&path, tensors, &[("object_id", "a,b")]);
    read_tokens(&path)
}

fn row(id: &str, tokens: &[(&str, Vec<u16>)]) -> TokenRow {
    TokenRow {
        id: id.to_owned(),
        tokens: tokens
            .iter()
            .map(|(key, tokens)| (modality(key), tokens.clone()))
            .collect(),
        ..TokenRow::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_come_back_as_they_were(rows in token_rows()) {
        let metadata = BTreeMap::from([("survey".to_owned(), "sdss".to_owned())]);
        for name in FORMATS {
            let (folder, path) = scratch(name);
            write_tokens(&path, &rows, &metadata).unwrap();
            let reader = TokenReader::open(&path).unwrap();
            prop_assert_eq!(reader.len(), rows.len());
            prop_assert_eq!(&reader.metadata()["survey"], "sdss");
            let read: Vec<TokenRow> = reader.collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(&read, &rows);
            prop_assert_eq!(files_in(folder.path()).len(), 1);
        }
    }
}

#[test]
fn more_rows_than_a_batch_keep_their_order() {
    let rows: Vec<TokenRow> = (0..3000u16)
        .map(|i| row(&format!("id-{i}"), &[("tok_z", vec![i % 1025])]))
        .collect();
    for name in FORMATS {
        let (_folder, path) = scratch(name);
        write_tokens(&path, &rows, &BTreeMap::new()).unwrap();
        assert_eq!(read_tokens(&path).unwrap(), rows);
    }
}

#[test]
fn parquet_has_the_documented_columns() {
    let (_folder, path) = scratch("tokens.parquet");
    let mut first = row("a", &[("tok_z", vec![1024]), ("catalog", vec![1, 2, 3])]);
    (first.ra, first.dec) = (Some(-30.0), Some(41.5));
    first.flags.insert("ZWARNING".to_owned(), "0".to_owned());
    let mut second = row("b", &[]);
    (second.ra, second.dec) = (Some(f64::NAN), Some(200.0));
    write_tokens(&path, &[first, second], &BTreeMap::new()).unwrap();

    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let schema = batch.schema();
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let expected = [
        "object_id",
        "ra",
        "dec",
        "_healpix_29",
        "tok_z",
        "catalog",
        "flag_ZWARNING",
    ];
    assert_eq!(names, expected);
    let field = schema.field_with_name("tok_z").unwrap();
    let DataType::FixedSizeList(item, 1) = field.data_type() else {
        panic!("tok_z is {}", field.data_type());
    };
    assert_eq!(item.data_type(), &DataType::UInt16);
    let cells: Vec<Option<i64>> = batch
        .column_by_name("_healpix_29")
        .unwrap()
        .as_primitive::<Int64Type>()
        .iter()
        .collect();
    let cell = cdshealpix::nested::get(29).hash(330f64.to_radians(), 41.5f64.to_radians());
    assert_eq!(cells, [Some(cell as i64), None]);
}

#[test]
fn absent_modalities_and_catalogue_padding_are_left_out() {
    let rows = read_raw(&[
        i64s("tok_z", &[2, 1], &[-1, 5]),
        i64s(
            "catalog",
            &[2, 4],
            &[7, 9999, 8, -1, 9999, 9999, 9999, 9999],
        ),
    ])
    .unwrap();
    assert_eq!(
        rows,
        [
            row("a", &[("catalog", vec![7, 8])]),
            row("b", &[("tok_z", vec![5]), ("catalog", vec![])])
        ]
    );
}

#[test]
fn catalogue_rows_end_in_the_padding_of_the_reference() {
    let (_folder, path) = scratch("tokens.safetensors");
    let rows = [
        row("a", &[("catalog", vec![3])]),
        row("b", &[("catalog", vec![4, 5])]),
        row("c", &[]),
    ];
    write_tokens(&path, &rows, &BTreeMap::new()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let tensor = file.require("catalog").unwrap();
    let found: Vec<Vec<i128>> = (0..3).map(|row| tensor.integer_row(row).unwrap()).collect();
    assert_eq!(found, [[3, 9999], [4, 5], [-1, -1]]);
}

#[test]
fn tokens_outside_the_vocabulary_name_the_object() {
    for token in [1025, -1, 70_000, i64::MAX] {
        let error = read_raw(&[i64s("tok_z", &[2, 1], &[3, token])]);
        // A lone -1 means that the object has no redshift.
        if token == -1 {
            assert!(error.unwrap()[1].tokens.is_empty());
            continue;
        }
        let error = error.unwrap_err();
        assert!(
            matches!(error.problem, Problem::Vocabulary { .. }),
            "{error}"
        );
        assert_eq!(error.place.object.as_deref(), Some("b"));
        assert_eq!(error.place.field.as_deref(), Some("tok_z"));
    }
    let mut coefficients = vec![0; 110];
    coefficients[60] = -1;
    let error = read_raw(&[i64s("tok_xp_bp", &[2, 55], &coefficients)]).unwrap_err();
    assert!(
        matches!(error.problem, Problem::Vocabulary { token: -1, .. }),
        "{error}"
    );
}

#[test]
fn a_bad_row_does_not_end_the_reading() {
    let (_folder, path) = scratch("raw.safetensors");
    write_raw(&path, &[i64s("tok_z", &[3, 1], &[1, 5000, 3])], &[]);
    let good: Vec<bool> = TokenReader::open(&path)
        .unwrap()
        .map(|row| row.is_ok())
        .collect();
    assert_eq!(good, [true, false, true]);
}

#[test]
fn whole_tensors_that_are_wrong_are_named() {
    let unknown = read_raw(&[i64s("tok_nothing", &[2, 1], &[0; 2])]).unwrap_err();
    assert!(
        matches!(unknown.problem, Problem::UnknownModality(_)),
        "{unknown}"
    );
    let count = read_raw(&[i64s("tok_z", &[2, 2], &[0; 4])]).unwrap_err();
    assert!(matches!(count.problem, Problem::Shape { .. }), "{count}");
    let real = read_raw(&[f32s("tok_z", &[2, 1], &[0.0; 2])]).unwrap_err();
    assert!(matches!(real.problem, Problem::Values(_)), "{real}");
    let field = read_raw(&[i64s("tok_z/value", &[2, 1], &[0; 2])]).unwrap_err();
    assert!(matches!(field.problem, Problem::Unrecognised(_)), "{field}");
    let rows = [
        i64s("tok_ebv", &[2, 1], &[0; 2]),
        i64s("tok_z", &[3, 1], &[0; 3]),
    ];
    let rows = read_raw(&rows).unwrap_err();
    assert!(matches!(rows.problem, Problem::Mismatch(_)), "{rows}");
    for tensors in [vec![], vec![i64s("tok_z", &[0, 1], &[])]] {
        let empty = read_raw(&tensors).unwrap_err();
        assert!(matches!(empty.problem, Problem::Empty), "{empty}");
    }
}

#[test]
fn what_cannot_be_read_again_is_not_written() {
    let count = row("a", &[("tok_z", vec![1, 2])]);
    let vocabulary = row("a", &[("tok_z", vec![1025])]);
    for name in FORMATS {
        for rows in [vec![], vec![count.clone()], vec![vocabulary.clone()]] {
            let (folder, path) = scratch(name);
            let error = write_tokens(&path, &rows, &BTreeMap::new()).unwrap_err();
            let expected = matches!(
                error.problem,
                Problem::Empty | Problem::Shape { .. } | Problem::Vocabulary { .. }
            );
            assert!(expected, "{error}");
            assert!(files_in(folder.path()).is_empty());
        }
    }
    for name in ["tokens.csv", "tokens"] {
        let (_folder, path) = scratch(name);
        let error = write_tokens(&path, &[row("a", &[])], &BTreeMap::new()).unwrap_err();
        assert!(matches!(error.problem, Problem::Unrecognised(_)), "{error}");
    }
}
