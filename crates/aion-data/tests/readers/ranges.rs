//! Row ranges: any range of any container gives the objects that reading it all gives there.

use std::path::Path;
use std::sync::Arc;

use aion_data::Object;
use aion_data::reader::{ReadOptions, num_objects};
use arrow_array::{Float32Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::fixtures::{
    Fits, Folder, Spec, column, error_with, objects, objects_with, planes, text,
};

const ROWS: usize = 2500;

fn in_range(path: &Path, start: u64, end: u64) -> Vec<Object> {
    let options = ReadOptions {
        rows: Some(start..end),
        ..ReadOptions::default()
    };
    objects_with(path, &options)
}

/// Ranges that begin and end inside, at and across windows and row groups.
fn expect_ranges(path: &Path, count: Option<u64>) {
    let all = objects(path);
    assert_eq!(all.len(), ROWS);
    assert_eq!(num_objects(path), count, "{}", path.display());
    for (start, end) in [
        (0, 1),
        (0, 2500),
        (700, 1400),
        (999, 1001),
        (1023, 1025),
        (2499, 9999),
    ] {
        let expected = &all[start..end.min(ROWS)];
        assert_eq!(
            in_range(path, start as u64, end as u64),
            expected,
            "{start}..{end}"
        );
    }
    let beyond = ReadOptions {
        rows: Some(2500..2600),
        ..ReadOptions::default()
    };
    let error = error_with(path, &beyond).to_string();
    assert!(error.contains("no objects"), "{error}");
}

#[test]
fn ranges_of_tables_are_what_lies_there() {
    let folder = Folder::new();
    let flux: Vec<f32> = (0..ROWS).map(|row| row as f32).collect();
    let fits = Fits::new().table(vec![column("FLUX_G", flux.clone())]);
    expect_ranges(&folder.write("a.fits", fits.bytes()), Some(ROWS as u64));
    let lines: Vec<String> = flux.iter().map(f32::to_string).collect();
    let csv = format!("FLUX_G\n{}\n", lines.join("\n"));
    expect_ranges(&folder.write("a.csv", csv), None);
    let path = folder.path("a.parquet");
    let ids = Int64Array::from_iter_values((0..ROWS as i64).map(|id| id * 3));
    let batch = RecordBatch::try_from_iter([
        ("object_id", Arc::new(ids) as _),
        ("FLUX_G", Arc::new(Float32Array::from(flux)) as _),
    ]);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1000));
    let file = std::fs::File::create(&path).unwrap();
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    expect_ranges(&path, Some(ROWS as u64));
}

#[test]
fn a_file_of_one_object_has_one_place() {
    let folder = Folder::new();
    let spec = folder.write("spec.fits", Spec::good().bytes());
    let cards = [("BANDS", text("g")), ("CTYPE1", text("RA---TAN"))];
    let image = Fits::new().image(&cards, &[96, 96], planes(1, 96));
    let image = folder.write("image.fits", image.bytes());
    for path in [spec, image] {
        assert_eq!(in_range(&path, 0, 1), objects(&path));
        let beyond = ReadOptions {
            rows: Some(1..2),
            ..ReadOptions::default()
        };
        assert!(
            error_with(&path, &beyond)
                .to_string()
                .contains("no objects")
        );
    }
}
