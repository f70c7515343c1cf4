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
        ("out.docx", vec![good()]),
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

#[test]
fn fits_tables_have_units_vectors_and_text() {
    let (_folder, path) = scratch("out.fits");
    let columns = [
        Column::f32("embedding", vec![3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        Column::new("ra", Values::F64(vec![Some(10.5), None])),
        Column::new("flag_TYPE", Values::Text(vec![Some("DEV".into()), None])),
        Column::new(
            "states",
            Values::Ragged {
                width: 2,
                rows: vec![vec![1.0; 4], vec![1.0; 2]],
            },
        ),
    ];
    let metadata = BTreeMap::from([("aion.model".to_owned(), "x".repeat(100))]);
    let names = ids(&["a", "b2"]);
    write_columns(&path, &names, &columns, &metadata, Floats::F32).unwrap();
    let mut file = fits_well::FitsReader::open(File::open(&path).unwrap()).unwrap();
    let table = file.read_table(1).unwrap();
    let column = |name: &str| {
        let column = table.column(name).unwrap();
        let mut values: Vec<f64> = Vec::new();
        column.physical_into(&mut values).unwrap();
        (column.descriptor().tform.to_string(), values)
    };
    assert_eq!(
        column("embedding"),
        ("3E".into(), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    );
    let (form, ra) = column("ra");
    assert!(form.ends_with('D') && ra[0] == 10.5 && ra[1].is_nan());
    assert_eq!(
        table.column("ra").unwrap().descriptor().unit().unwrap(),
        Some("deg")
    );
    let (form, states) = column("states");
    assert_eq!(form, "4E");
    assert!(states[..6].iter().all(|v| *v == 1.0) && states[6..].iter().all(|v| v.is_nan()));
    let error = write_columns(&path, &names, &columns, &metadata, Floats::F16).unwrap_err();
    assert!(error.to_string().contains("16 bits"), "{error}");
}

#[test]
fn half_precision_is_stored_as_asked() {
    let columns = [Column::f32(
        "embedding",
        vec![2],
        vec![1.0, 1.001, 3e38, -2.5],
    )];
    let write = |name: &str, floats| {
        let (folder, path) = scratch(name);
        write_columns(&path, &ids(&["a", "b"]), &columns, &BTreeMap::new(), floats).unwrap();
        (folder, path)
    };
    let (_folder, path) = write("f16.safetensors", Floats::F16);
    let bytes = fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("\"F16\""));
    let (_folder, path) = write("bf16.safetensors", Floats::Bf16);
    let bytes = fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("\"BF16\""));
    let numbers = |batch: &RecordBatch| {
        let list = batch
            .column_by_name("embedding")
            .unwrap()
            .as_fixed_size_list();
        list.values().clone()
    };
    let (_folder, path) = write("bf16.parquet", Floats::Bf16);
    let rounded = numbers(&read_parquet(&path));
    let rounded = rounded.as_primitive::<Float32Type>().values().to_vec();
    let expected = [1.0, 1.001, 3e38, -2.5].map(|v| half::bf16::from_f32(v).to_f32());
    assert_eq!(rounded, expected);
    let (_folder, path) = write("f16.parquet", Floats::F16);
    let halves = numbers(&read_parquet(&path));
    assert_eq!(halves.data_type(), &arrow_schema::DataType::Float16);
}

#[test]
fn columns_may_turn_up_late() {
    let (_folder, path) = scratch("late.parquet");
    let mut table = aion_data::table_out::TableWriter::create(&path, Floats::F32).unwrap();
    let first = [Column::f32("a", vec![2], vec![1.0, 2.0])];
    table.push(&ids(&["1"]), &first).unwrap();
    let ragged = Values::Ragged {
        width: 1,
        rows: vec![vec![7.0, 8.0]],
    };
    let second = [
        Column::new("b", Values::Text(vec![Some("x".into())])),
        Column::new("c", ragged),
    ];
    table.push(&ids(&["2"]), &second).unwrap();
    let other = [Column::f32("a", vec![3], vec![1.0, 2.0, 3.0])];
    let error = table.push(&ids(&["3"]), &other).unwrap_err();
    assert_eq!(error.place.field.as_deref(), Some("a"));
    table.push(&ids(&["3"]), &first).unwrap();
    table.finish(&BTreeMap::new()).unwrap();
    let batch = read_parquet(&path);
    assert_eq!(batch.num_rows(), 3);
    let names: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(names, ["object_id", "a", "b", "c"]);
    let a = batch.column_by_name("a").unwrap().as_fixed_size_list();
    let values = a.values().as_primitive::<Float32Type>().values().to_vec();
    assert!(values[2].is_nan() && values[5] == 2.0);
    let b = batch.column_by_name("b").unwrap();
    assert!(b.is_null(0) && b.is_valid(1) && b.is_null(2));
    let c = batch.column_by_name("c").unwrap().as_list::<i32>();
    assert_eq!((c.value_length(0), c.value_length(1)), (0, 2));
}
