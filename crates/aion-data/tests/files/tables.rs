//! Tables of results.

use std::collections::BTreeMap;
use std::fs::{self, File};

use aion_data::Problem;
use aion_data::table_out::{Column, Floats, Values, write_columns};
use aion_data::tensor_files::TensorFile;
use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::sample::{files_in, scratch};

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| id.to_string()).collect()
}

fn columns() -> Vec<Column> {
    let ragged = Values::Ragged {
        width: 2,
        rows: vec![vec![1.0, 2.0], vec![3.0, 4.0, 5.0, 6.0]],
    };
    let tokens = Values::I64 {
        shape: vec![1],
        data: vec![7, 8],
    };
    vec![
        Column::f32("tok_z", vec![1, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        Column::f32("redshift", vec![], vec![0.5, f32::NAN]),
        Column::new("embedding", ragged),
        Column::new("token", tokens),
        Column::new("ra", Values::F64(vec![Some(0.1), None])),
        Column::new("class", Values::Text(vec![None, Some("GALAXY".to_owned())])),
    ]
}

fn read_parquet(path: &std::path::Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    builder.build().unwrap().next().unwrap().unwrap()
}

#[test]
fn safetensors_hold_every_kind_of_column() {
    let (folder, path) = scratch("out.safetensors");
    let metadata = BTreeMap::from([("model".to_owned(), "tiny".to_owned())]);
    write_columns(
        &path,
        &ids(&["12", "13"]),
        &columns(),
        &metadata,
        Floats::F32,
    )
    .unwrap();
    let file = TensorFile::open(&path).unwrap();
    let shape = |name: &str| file.require(name).unwrap().shape().to_vec();
    assert_eq!(shape("tok_z"), [2, 1, 3]);
    assert_eq!(shape("redshift"), [2]);
    assert_eq!(shape("embedding"), [2, 2, 2]);
    assert_eq!(shape("token"), [2, 1]);
    let embedding = file.require("embedding").unwrap();
    assert_eq!(embedding.f32_row(0).unwrap(), [1.0, 2.0, 0.0, 0.0]);
    assert_eq!(embedding.f32_row(1).unwrap(), [3.0, 4.0, 5.0, 6.0]);
    let mask = file.require("embedding_mask").unwrap();
    assert_eq!(mask.integer_row(0).unwrap(), [1, 0]);
    assert_eq!(mask.integer_row(1).unwrap(), [1, 1]);
    assert_eq!(
        file.require("object_id").unwrap().integer_row(1).unwrap(),
        [13]
    );
    assert_eq!(file.metadata()["object_id"], "[\"12\",\"13\"]");
    assert_eq!(file.metadata()["class"], "[null,\"GALAXY\"]");
    assert_eq!(file.metadata()["model"], "tiny");
    assert_eq!(files_in(folder.path()).len(), 1);
}

#[test]
fn rows_of_one_length_need_no_mask_and_text_identifiers_no_tensor() {
    let (_folder, path) = scratch("out.safetensors");
    let rows = vec![vec![1.0, 2.0], vec![3.0, 4.0]];
    let column = Column::new("embedding", Values::Ragged { width: 1, rows });
    write_columns(
        &path,
        &ids(&["007", "x"]),
        &[column],
        &BTreeMap::new(),
        Floats::F32,
    )
    .unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["embedding"]);
}

#[test]
fn parquet_holds_every_kind_of_column() {
    let (_folder, path) = scratch("out.parquet");
    write_columns(
        &path,
        &ids(&["a", "b"]),
        &columns(),
        &BTreeMap::new(),
        Floats::F32,
    )
    .unwrap();
    let batch = read_parquet(&path);
    let logits = batch.column_by_name("tok_z").unwrap().as_fixed_size_list();
    let last = logits.value(1);
    assert_eq!(
        last.as_primitive::<Float32Type>().values(),
        &[3.0, 4.0, 5.0]
    );
    let embedding = batch.column_by_name("embedding").unwrap().as_list::<i32>();
    assert_eq!((embedding.value(0).len(), embedding.value(1).len()), (1, 2));
    assert!(batch.column_by_name("ra").unwrap().is_null(1));
    assert!(batch.column_by_name("class").unwrap().is_null(0));
}

#[test]
fn parquet_holds_more_rows_than_a_batch() {
    let (_folder, path) = scratch("out.parquet");
    let names: Vec<String> = (0..10_000).map(|row| row.to_string()).collect();
    let data: Vec<f32> = (0..10_000).map(|row| row as f32).collect();
    write_columns(
        &path,
        &names,
        &[Column::f32("z", vec![], data.clone())],
        &BTreeMap::new(),
        Floats::F32,
    )
    .unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let read: Vec<f32> = reader
        .build()
        .unwrap()
        .flat_map(|batch| {
            let batch = batch.unwrap();
            batch
                .column_by_name("z")
                .unwrap()
                .as_primitive::<Float32Type>()
                .values()
                .to_vec()
        })
        .collect();
    assert_eq!(read, data);
}

#[test]
fn csv_holds_numbers_and_text() {
    let (_folder, path) = scratch("out.csv");
    let single: Vec<Column> = columns()
        .into_iter()
        .filter(|column| ["redshift", "token", "ra", "class"].contains(&column.name.as_str()))
        .collect();
    write_columns(
        &path,
        &ids(&["a,1", "b"]),
        &single,
        &BTreeMap::new(),
        Floats::F32,
    )
    .unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let expected = "object_id,redshift,token,ra,class\n\"a,1\",0.5,7,0.1,\nb,NaN,8,,GALAXY\n";
    assert_eq!(text, expected);
}

#[test]
fn tables_that_do_not_fit_are_not_written() {
    let good = || Column::f32("z", vec![], vec![1.0, 2.0]);
    let short = Column::f32("z", vec![2], vec![1.0, 2.0]);
    let torn = Values::Ragged {
        width: 2,
        rows: vec![vec![1.0], vec![]],
    };
    let cases: [(&str, Vec<Column>); 5] = [
        ("out.parquet", vec![short]),
        ("out.parquet", vec![Column::new("embedding", torn)]),
        ("out.safetensors", vec![good(), good()]),
        ("out.csv", vec![Column::f32("z", vec![2], vec![0.0; 4])]),
        ("out.fits", vec![good()]),
    ];
    for (name, columns) in cases {
        let (folder, path) = scratch(name);
        let error = write_columns(
            &path,
            &ids(&["a", "b"]),
            &columns,
            &BTreeMap::new(),
            Floats::F32,
        )
        .unwrap_err();
        let expected = matches!(
            error.problem,
            Problem::Mismatch(_) | Problem::Shape { .. } | Problem::Unrecognised(_)
        );
        assert!(expected, "{error}");
        assert!(files_in(folder.path()).is_empty());
        let error = write_columns(&path, &[], &columns, &BTreeMap::new(), Floats::F32).unwrap_err();
        assert!(matches!(error.problem, Problem::Empty), "{error}");
    }
}
