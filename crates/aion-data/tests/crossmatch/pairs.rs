//! The dataset of pairs: what it holds, what it refuses, and that one read gives the fused object.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aion_data::crossmatch::{Epochs, Input, Options, Report, crossmatch};
use aion_data::format::partitions::partitions;
use aion_data::reader::{self, ReadOptions};
use aion_data::tensor_files::write_observations;
use aion_data::{DataError, Measurement, ModalityId, Object, Problem, Spectrum};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, Float32Array, Float64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_schema::DataType;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

/// A folder with two inputs and an output.
struct Match {
    folder: TempDir,
    options: Options,
    problems: Vec<String>,
}

impl Match {
    fn within(radius: f64) -> Self {
        Match {
            folder: tempfile::tempdir().expect("a folder"),
            options: Options::within(radius),
            problems: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).expect("written");
        self.path(name)
    }

    fn run(&mut self, left: &[&PathBuf], right: &[&PathBuf]) -> Result<Report, DataError> {
        let input = |path: &&PathBuf| Input {
            path: (*path).clone(),
            listed: false,
        };
        let [left, right]: [Vec<Input>; 2] = [left, right].map(|s| s.iter().map(input).collect());
        let output = self.path("pairs.parquet");
        let problems = &mut self.problems;
        let mut note = |error: DataError| {
            problems.push(error.to_string());
            Ok(())
        };
        crossmatch(&left, &right, &self.options, &output, &mut note)
    }

    fn pairs(&self) -> RecordBatch {
        rows(&self.path("pairs.parquet"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("listed");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.expect("entry"))).collect();
        names.sort();
        names
    }
}

/// All rows of a Parquet file.
fn rows(path: &Path) -> RecordBatch {
    let file = File::open(path).expect("opened");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let schema = builder.schema().clone();
    let mut batches = builder.with_batch_size(1 << 20).build().expect("rows");
    let batch = batches.next();
    batch.map_or(RecordBatch::new_empty(schema), |batch| {
        batch.expect("a batch")
    })
}

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).expect("columns");
    let file = File::create(path).expect("created");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).expect(name).as_string::<i32>();
    column
        .iter()
        .map(|text| text.unwrap_or("-").to_owned())
        .collect()
}

fn reals(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = batch.column_by_name(name).expect(name);
    column.as_primitive::<Float64Type>().values().to_vec()
}

fn all<T: Copy>(count: usize, value: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(value).collect()
}

/// A table with a struct of lists, as surveys of spectra have it; row i has i + 1 pixels.
fn spectra(path: &Path, ids: &[&str], ra: &[f64], dec: &[f64]) {
    let flux =
        (0..ids.len()).map(|row| Some((0..=row).map(move |pixel| Some(pixel as f32 + row as f32))));
    let flux: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(flux));
    let spectrum = StructArray::try_from(vec![("flux", flux)]).expect("a struct");
    write_parquet(
        path,
        vec![
            ("object_id", Arc::new(StringArray::from(ids.to_vec()))),
            ("ra", Arc::new(Float64Array::from(ra.to_vec()))),
            ("dec", Arc::new(Float64Array::from(dec.to_vec()))),
            ("spectrum", Arc::new(spectrum)),
            (
                "Z",
                Arc::new(Float32Array::from(all(ids.len(), |row| row as f32))),
            ),
        ],
    );
}

#[test]
fn all_columns_of_both_sides_stand_in_one_row() {
    let mut matching = Match::within(1.0);
    let (a, b) = (matching.path("a.parquet"), matching.path("b.csv"));
    spectra(
        &a,
        &["s0", "s1", "s2"],
        &[359.9999, 10.0, 200.0],
        &[0.0, -5.0, 60.0],
    );
    fs::write(
        &b,
        "source_id,ra,dec,phot_g_mean_flux,note\n\
         9007199254740993,200.0001,60,7.5,007\n1,50,50,1,x\n12,0.0000,0,2.5,\n",
    )
    .expect("written");
    let report = matching.run(&[&a], &[&b]).expect("matched");
    assert_eq!(
        (report.pairs, report.left.rows, report.right.rows),
        (2, 3, 3)
    );
    let pairs = matching.pairs();
    let schema = pairs.schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(
        names,
        [
            "left_object_id",
            "right_object_id",
            "separation_arcsec",
            "left_ra",
            "left_dec",
            "left_spectrum",
            "left_Z",
            "right_source_id",
            "right_ra",
            "right_dec",
            "right_phot_g_mean_flux",
            "right_note",
            "ra",
            "dec",
            "_healpix_29",
        ]
    );
    let cells = pairs.column_by_name("_healpix_29").expect("cells");
    let cells = cells.as_primitive::<Int64Type>().values();
    assert!(cells[0] < cells[1], "sorted");
    let first = texts(&pairs, "left_object_id")
        .iter()
        .position(|id| id == "s0")
        .expect("s0");
    let second = 1 - first;
    assert_eq!(texts(&pairs, "right_object_id")[first], "12");
    assert_eq!(texts(&pairs, "right_object_id")[second], "9007199254740993");
    let ra = reals(&pairs, "ra")[first];
    assert!(
        (ra - 359.99995).abs() < 1e-9,
        "the mean across the seam is {ra}"
    );
    assert!((reals(&pairs, "separation_arcsec")[first] - 0.36).abs() < 1e-6);
    let ids = pairs.column_by_name("right_source_id").expect("ids");
    assert_eq!(
        ids.as_primitive::<Int64Type>().value(second),
        9_007_199_254_740_993
    );
    assert_eq!(texts(&pairs, "right_note")[second], "007");
    let spectrum = pairs
        .column_by_name("left_spectrum")
        .expect("spectra")
        .as_struct();
    let flux = spectrum.column(0).as_list::<i32>();
    let pixels = |row: usize| {
        flux.value(row)
            .as_primitive::<Float32Type>()
            .values()
            .to_vec()
    };
    assert_eq!(pixels(first), [0.0]);
    assert_eq!(pixels(second), [2.0, 3.0, 4.0]);
}

#[test]
fn little_memory_gives_the_same_rows() {
    let count = 3000;
    let ids: Vec<String> = (0..count).map(|row| format!("o{row}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let place = |row: usize| (row * 7919 % count) as f64 * 0.1 % 360.0;
    let dec = |row: usize| (row * 104_729 % count) as f64 * 0.05 - 75.0;
    let tables: Vec<RecordBatch> = [1 << 28, 50_000]
        .map(|memory| {
            let mut matching = Match::within(1.0);
            matching.options.memory = memory;
            let (a, b) = (matching.path("a.parquet"), matching.path("b.csv"));
            let (ra, dec) = (all(count, place), all(count, dec));
            let short: Vec<&str> = ids.clone();
            spectra_of_one_pixel(&a, &short, &ra, &dec);
            let line = |row: usize| format!("r{row},{},{},{row}\n", ra[row], dec[row]);
            let lines: String = (0..count).rev().map(line).collect();
            fs::write(&b, format!("id,ra,dec,x\n{lines}")).expect("written");
            let report = matching.run(&[&a], &[&b]).expect("matched");
            assert_eq!(report.pairs, count);
            assert_eq!(matching.names(), ["a.parquet", "b.csv", "pairs.parquet"]);
            matching.pairs()
        })
        .to_vec();
    assert_eq!(tables[0], tables[1]);
    let left = texts(&tables[0], "left_object_id");
    let right = texts(&tables[0], "right_object_id");
    for (left, right) in left.iter().zip(&right) {
        assert_eq!(left[1..], right[1..], "the rows of a pair belong together");
    }
}

fn spectra_of_one_pixel(path: &Path, ids: &[&str], ra: &[f64], dec: &[f64]) {
    let flux = (0..ids.len()).map(|row| Some([Some(row as f32)]));
    let flux: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(flux));
    write_parquet(
        path,
        vec![
            ("object_id", Arc::new(StringArray::from(ids.to_vec()))),
            ("ra", Arc::new(Float64Array::from(ra.to_vec()))),
            ("dec", Arc::new(Float64Array::from(dec.to_vec()))),
            ("flux", flux),
        ],
    );
}

#[test]
fn every_container_gives_the_same_pairs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/surveys/crossmatch");
    for (name, nested) in [
        ("objects.fits", true),
        ("objects.ecsv", false),
        ("objects.vot", false),
        ("objects.parquet", false),
        ("objects.hdf5", true),
    ] {
        let mut matching = Match::within(1.0);
        let right = matching.write("b.csv", "id,ra,dec\nz,0.00001,0.25\ny,10.0001,-5\n");
        let report = matching.run(&[&folder.join(name)], &[&right]).expect(name);
        assert_eq!((report.pairs, report.left.rows), (2, 3), "{name}");
        let pairs = matching.pairs();
        let ids = texts(&pairs, "left_object_id");
        let row = |id: &str| ids.iter().position(|found| found == id).expect(name);
        let (first, second) = (row("9007199254740993"), row("2"));
        assert_eq!(texts(&pairs, "right_object_id")[first], "y", "{name}");
        assert_eq!(texts(&pairs, "right_object_id")[second], "z", "{name}");
        assert_eq!(texts(&pairs, "left_NAME")[second], "two", "{name}");
        assert_eq!(reals(&pairs, "left_PMRA")[first], 1.5, "{name}");
        let own = pairs.column_by_name("left_SOURCE_ID").expect("ids");
        assert_eq!(
            own.as_primitive::<Int64Type>().value(first),
            9_007_199_254_740_993
        );
        if nested {
            let vector = pairs.column_by_name("left_VECTOR").expect("vectors");
            let vector = vector.as_list::<i32>().value(second);
            assert_eq!(
                vector.as_primitive::<Float32Type>().values(),
                &[3.0, 4.0, 5.0],
                "{name}"
            );
        }
    }
}

#[test]
fn units_travel_to_the_pairs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/surveys/crossmatch");
    let mut matching = Match::within(1.0);
    let left = folder.join("objects.fits");
    matching.options.epochs.left = Some(2016.0);
    matching.options.epochs.right = Some(2015.0);
    let report = matching
        .run(&[&left], &[&folder.join("objects.parquet")])
        .expect("matched");
    assert_eq!(
        (report.pairs, report.epoch),
        (3, Some(2016.0)),
        "the left side's year"
    );
    let table = reader::open_table(&matching.path("pairs.parquet")).expect("opened");
    let table = table.expect("a table");
    let unit = |name: &str| {
        let column = table.columns().iter().find(|column| column.name == name);
        column.expect(name).unit.clone()
    };
    assert_eq!(unit("left_PMRA").as_deref(), Some("mas yr-1"));
    assert_eq!(unit("separation_arcsec").as_deref(), Some("arcsec"));
    assert_eq!(unit("right_RA").as_deref(), Some("deg"));
    assert_eq!(unit("left_NAME"), None);
}

#[test]
fn files_of_a_side_share_their_columns() {
    let mut matching = Match::within(1.0);
    let a = [
        matching.write("1.csv", "id,ra,dec,x,only_here\n1,10,0,5,q\n"),
        matching.write("2.csv", "id,ra,dec,x\n1,20,0,2.5\n"),
        matching.write("3.csv", "id,ra,dec,x\n1,30,0,\n"),
    ];
    let b = matching.write("b.csv", "ra,dec\n20,0\n30,0\n10,0\n");
    let report = matching.run(&a.each_ref(), &[&b]).expect("matched");
    assert_eq!(report.left.files, 3);
    let pairs = matching.pairs();
    let mut found: Vec<(f64, String, String)> = (0..3)
        .map(|row| {
            let x = pairs.column_by_name("left_x").expect("x");
            let value = x.as_primitive::<Float64Type>();
            let value = if value.is_null(row) {
                -1.0
            } else {
                value.value(row)
            };
            let texts = |name| texts(&pairs, name)[row].clone();
            (value, texts("left_only_here"), texts("right_object_id"))
        })
        .collect();
    found.sort_by(|a, b| a.2.cmp(&b.2));
    let expected = [(2.5, "-", "1"), (-1.0, "-", "2"), (5.0, "q", "3")];
    assert_eq!(
        found,
        expected.map(|(x, a, b)| (x, a.to_owned(), b.to_owned()))
    );
}

#[test]
fn columns_that_contradict_each_other_are_refused() {
    let mut matching = Match::within(1.0);
    let (a, b) = (matching.path("a.parquet"), matching.path("b.parquet"));
    let place = || -> ArrayRef { Arc::new(Float64Array::from(vec![1.0])) };
    let far = || -> ArrayRef { Arc::new(Float64Array::from(vec![2.0])) };
    write_parquet(&a, vec![("ra", place()), ("dec", place()), ("x", place())]);
    let list = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0)])]);
    write_parquet(
        &b,
        vec![("ra", far()), ("dec", far()), ("x", Arc::new(list))],
    );
    let c = matching.write("c.csv", "ra,dec\n1,1\n2,2\n");
    let error = matching.run(&[&a, &b], &[&c]).expect_err("refused");
    assert_eq!(error.place.path.as_deref(), Some(b.as_path()));
    assert_eq!(error.place.field.as_deref(), Some("x"));
    assert_eq!(
        matching.names(),
        ["a.parquet", "b.parquet", "c.csv"],
        "nothing is left"
    );
}

#[test]
fn bad_rows_are_listed_and_good_ones_kept() {
    let mut matching = Match::within(1.0);
    let a = matching.write(
        "a.csv",
        "id,ra,dec\ngood,1,2\nsouth,1,-90.5\nturned,400,0\nnowhere,,\ntext,a,3\nshort,1\n\
         fill,-9999,-9999\n",
    );
    let b = matching.write("b.csv", "id,ra,dec\nx,1,2\n");
    let report = matching.run(&[&a], &[&b]).expect("matched");
    assert_eq!(report.pairs, 1);
    let left = report.left;
    assert_eq!(
        (left.rows, left.usable, left.without_position, left.bad),
        (7, 1, 1, 5)
    );
    for (problem, parts) in matching.problems.iter().zip([
        ["a.csv", "object south", "field dec"],
        ["a.csv", "object turned", "field ra"],
        ["a.csv", "object text", "field ra"],
        ["a.csv", "row 6", "2 cells"],
        ["a.csv", "object fill", "field ra"],
    ]) {
        for part in parts {
            assert!(problem.contains(part), "`{part}` in: {problem}");
        }
    }
    assert_eq!(matching.problems.len(), 5);
}

#[test]
fn files_without_positions_are_refused_unless_a_folder_listed_them() {
    let mut matching = Match::within(1.0);
    let a = matching.write("a.csv", "id,x\n1,2\n");
    let b = matching.write("b.csv", "id,ra,dec\n1,2,3\n");
    let error = matching.run(&[&a], &[&b]).expect_err("refused");
    assert!(matches!(error.problem, Problem::Missing(_)), "{error}");
    assert_eq!(error.place.path.as_deref(), Some(a.as_path()));
    let input = |path: &PathBuf, listed| Input {
        path: path.clone(),
        listed,
    };
    let mut problems = 0;
    let mut note = |_| {
        problems += 1;
        Ok(())
    };
    let output = matching.path("pairs.parquet");
    let left = [input(&a, true), input(&b, true)];
    let right = [input(&b, false)];
    let report = crossmatch(&left, &right, &matching.options, &output, &mut note);
    assert_eq!((report.expect("matched").pairs, problems), (1, 1));
    let mut end = |error| Err(error);
    assert!(crossmatch(&left, &right, &matching.options, &output, &mut end).is_err());
}

#[test]
fn no_pair_is_an_empty_table_with_its_columns() {
    let mut matching = Match::within(1.0);
    let a = matching.write("a.csv", "id,ra,dec,mag\n1,2,3,4\n");
    let b = matching.path("b.parquet");
    spectra(&b, &["s"], &[50.0], &[0.0]);
    let report = matching.run(&[&a], &[&b]).expect("matched");
    assert_eq!((report.pairs, report.statistics), (0, None));
    let pairs = matching.pairs();
    assert_eq!(pairs.num_rows(), 0);
    assert!(pairs.column_by_name("left_mag").is_some());
    assert!(matches!(
        pairs
            .column_by_name("right_spectrum")
            .expect("there")
            .data_type(),
        DataType::Struct(_)
    ));
}

#[test]
fn stars_move_to_the_year_of_the_other_side() {
    // 10 arcsec a year to the east; the other side saw the star 4.5 years later.
    let gaia =
        "source_id,ra,dec,pmra,pmdec,ref_epoch\n7,100.5,60,10000,0,2016.0\n8,10,0,,,2016.0\n";
    let ra_then = 100.5 + 45.0 / 3600.0 / 60f64.to_radians().cos();
    let desi = format!("targetid,ra,dec\n1,{ra_then},60\n2,10,0\n");
    let mut matching = Match::within(1.0);
    let (a, b) = (
        matching.write("a.csv", gaia),
        matching.write("b.csv", &desi),
    );
    let still = matching.run(&[&a], &[&b]).expect("matched");
    assert_eq!((still.pairs, still.epoch), (1, None));
    assert!(
        still.notes[0].contains("--right-epoch"),
        "{:?}",
        still.notes
    );
    matching.options.epochs = Epochs {
        right: Some(2020.5),
        ..Epochs::default()
    };
    let moved = matching.run(&[&a], &[&b]).expect("matched");
    assert_eq!((moved.pairs, moved.epoch), (2, Some(2020.5)));
    assert!(moved.notes.is_empty());
    let pairs = matching.pairs();
    let star = texts(&pairs, "left_object_id")
        .iter()
        .position(|id| id == "7")
        .expect("star");
    assert_eq!(
        reals(&pairs, "left_ra")[star],
        100.5,
        "columns are copied as they are"
    );
    assert!((reals(&pairs, "ra")[star] - ra_then).abs() < 1e-5);
    // From the other side it is the same.
    matching.options.epochs = Epochs {
        left: Some(2020.5),
        ..Epochs::default()
    };
    assert_eq!(matching.run(&[&b], &[&a]).expect("matched").pairs, 2);
    // A year that nothing can be moved to, and motions without a year.
    matching.options.epochs = Epochs {
        common: Some(2020.5),
        ..Epochs::default()
    };
    let c = matching.write(
        "c.csv",
        "ra,dec,pmra,pmdec,ref_epoch\n1,2,3,4,0\n10,0,0,0,0\n",
    );
    assert!(matching.run(&[&b], &[&b]).is_err());
    matching.options.epochs = Epochs::default();
    let undated = matching.run(&[&c], &[&b]).expect("matched");
    assert!(
        undated.notes[0].contains("--left-epoch"),
        "{:?}",
        undated.notes
    );
}

#[test]
fn motions_in_other_units_are_converted_or_refused() {
    let ecsv = |unit: &str| {
        format!(
            "# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: ra, unit: deg, datatype: float64}}\n\
             # - {{name: dec, unit: deg, datatype: float64}}\n\
             # - {{name: pmra, unit: {unit}, datatype: float64}}\n\
             # - {{name: pmdec, unit: {unit}, datatype: float64}}\n\
             # - {{name: ref_epoch, unit: yr, datatype: float64}}\n\
             ra dec pmra pmdec ref_epoch\n100 0 10 0 2016\n"
        )
    };
    let mut matching = Match::within(1.0);
    matching.options.epochs.right = Some(2017.0);
    let b = matching.write("b.csv", &format!("ra,dec\n{},0\n", 100.0 + 10.0 / 3600.0));
    for (unit, pairs) in [("arcsec / yr", 1), ("mas / yr", 0), ("mas.yr-1", 0)] {
        let a = matching.write("a.ecsv", &ecsv(unit));
        assert_eq!(
            matching.run(&[&a], &[&b]).expect("matched").pairs,
            pairs,
            "{unit}"
        );
    }
    let a = matching.write("a.ecsv", &ecsv("km / s"));
    let error = matching.run(&[&a], &[&b]).expect_err("refused");
    assert_eq!(error.place.field.as_deref(), Some("pmra"));
}

fn key(name: &str) -> ModalityId {
    ModalityId::from_key(name).expect("a modality")
}

fn objects(path: &Path) -> Vec<Object> {
    let objects = reader::read(path, &ReadOptions::default()).expect("opened");
    objects.map(|object| object.expect("an object")).collect()
}

#[test]
fn one_read_gives_the_fused_object() {
    let mut matching = Match::within(1.0);
    let a = matching.write(
        "a.csv",
        "ls_id,ra,dec,FLUX_G,FLUX_R,Z,TYPE\n11,10,20,1.5,2.5,0.25,EXP\n12,11,20,1,2,,PSF\n",
    );
    let b = matching.write(
        "b.csv",
        "source_id,ra,dec,phot_g_mean_flux,Z,TYPE,class\n77,10.0001,20,700,0.5,star,STAR\n\
         78,11,20,800,0.75,star,QSO\n",
    );
    matching.run(&[&a], &[&b]).expect("matched");
    let mut read = objects(&matching.path("pairs.parquet"));
    read.sort_by(|a, b| a.id.cmp(&b.id));
    let [first, second] = read.as_slice() else {
        panic!("{read:?}");
    };
    assert_eq!(first.id, "11");
    assert_eq!(first.flags["left_object_id"], "11");
    assert_eq!(first.flags["right_object_id"], "77");
    assert!(first.flags["separation_arcsec"].starts_with("0.338"));
    assert!((first.ra.expect("a position") - 10.00005).abs() < 1e-9);
    for (name, value) in [
        ("tok_flux_g", 1.5),
        ("tok_flux_r", 2.5),
        ("tok_flux_g_gaia", 700.0),
    ] {
        assert_eq!(first.scalar(key(name)), Some(value), "{name}");
    }
    assert_eq!(
        first.scalar(key("tok_z")),
        Some(0.25),
        "the left side counts"
    );
    assert_eq!(first.flags["measured_twice"], "tok_z");
    assert_eq!(
        (
            first.flags["TYPE"].as_str(),
            first.flags["right_TYPE"].as_str()
        ),
        ("EXP", "star")
    );
    assert_eq!(first.flags["class"], "STAR");
    assert_eq!(
        second.scalar(key("tok_z")),
        Some(0.75),
        "the only one there is"
    );
    assert!(!second.flags.contains_key("measured_twice"));

    // Pairs are a catalogue too: a third survey joins them.
    let chain = Match {
        folder: tempfile::tempdir().expect("a folder"),
        options: Options::within(1.0),
        problems: Vec::new(),
    };
    let mut chain = chain;
    let c = chain.write("c.csv", "object_id,ra,dec,FLUX_W1\nw,10.00005,20,9.5\n");
    let report = chain
        .run(&[&matching.path("pairs.parquet")], &[&c])
        .expect("matched");
    assert_eq!(report.pairs, 1);
    let fused = objects(&chain.path("pairs.parquet")).remove(0);
    for name in ["tok_flux_g", "tok_flux_g_gaia", "tok_flux_w1"] {
        assert!(fused.scalar(key(name)).is_some(), "{name}");
    }
}

#[test]
fn a_side_without_measurements_is_a_name() {
    let mut matching = Match::within(1.0);
    let a = matching.write("a.csv", "id,ra,dec\nq,1,2\n");
    let b = matching.write("b.csv", "id,ra,dec,FLUX_G\nr,1,2,3\n");
    matching.run(&[&a], &[&b]).expect("matched");
    let read = objects(&matching.path("pairs.parquet")).remove(0);
    assert_eq!(
        (read.id.as_str(), read.scalar(key("tok_flux_g"))),
        ("q", Some(3.0))
    );
    let c = matching.write("c.csv", "id,ra,dec\ns,1,2\n");
    matching.run(&[&a], &[&c]).expect("matched");
    let error = reader::read(&matching.path("pairs.parquet"), &ReadOptions::default());
    assert!(error.is_err(), "nothing was measured");
}

#[test]
fn spectra_are_paired_as_rows() {
    let mut matching = Match::within(1.0);
    let spectrum = |level: f32| {
        Measurement::Spectrum(Spectrum {
            flux: vec![level; 4],
            ivar: vec![1.0; 4],
            wavelength: vec![4000.0, 4001.0, 4002.0, 4003.0],
            mask: vec![false; 4],
        })
    };
    let object = |id: &str, ra: f64, level: f32| {
        let mut object = Object::named(id);
        (object.ra, object.dec) = (Some(ra), Some(5.0));
        let modality = key("tok_spectrum_sdss");
        object.measurements.insert(modality, spectrum(level));
        object
    };
    let a = matching.path("a.safetensors");
    let spectra = [object("s1", 30.0, 1.0), object("s2", 40.0, 2.0)];
    write_observations(&a, &spectra, &Default::default()).expect("written");
    let b = matching.write("b.csv", "id,ra,dec,FLUX_G\nx,40,5,3\ny,41,5,3\n");
    matching.run(&[&a], &[&b]).expect("matched");
    let pairs = matching.pairs();
    assert_eq!(texts(&pairs, "left_object_id"), ["s2"]);
    let spectrum = pairs
        .column_by_name("left_spectrum")
        .expect("spectra")
        .as_struct();
    let flux = spectrum
        .column_by_name("flux")
        .expect("flux")
        .as_list::<i32>();
    assert_eq!(
        flux.value(0).as_primitive::<Float32Type>().values(),
        &[2.0; 4]
    );
}

#[test]
fn other_extensions_and_radii_are_refused() {
    let matching = Match::within(1.0);
    let a = matching.write("a.csv", "id,ra,dec\n1,2,3\n");
    let input = [Input {
        path: a,
        listed: false,
    }];
    let mut note = |_| Ok(());
    for name in ["pairs.safetensors", "pairs", "pairs.txt"] {
        let output = matching.path(name);
        assert!(crossmatch(&input, &input, &matching.options, &output, &mut note).is_err());
    }
    let output = matching.path("pairs.parquet");
    for radius in [0.0, -1.0, f64::NAN, 1e9] {
        let options = Options::within(radius);
        assert!(crossmatch(&input, &input, &options, &output, &mut note).is_err());
    }
    assert_eq!(matching.names(), ["a.csv"]);
}

/// The files of the Multimodal Universe that `fixtures/surveys/make_mmu.py` writes, of one set.
fn universe(set: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/surveys/mmu");
    let found = partitions(&root.join(set)).expect("listed");
    found.expect("partitions").remove(0)
}

#[test]
fn sets_of_the_multimodal_universe_are_fused_in_every_container() {
    let [images, spectra, labels] =
        ["v1/legacysurvey", "v1/desi", "v1/desi_provabgs"].map(universe);
    let [other_images, other_spectra] = ["hats/mmu_legacysurvey", "hats/mmu_desi"].map(universe);
    let alone = |path: &Path, key: &str| {
        let id = ModalityId::from_key(key).expect("a modality");
        objects(path)[0].get(id).cloned().expect("measured")
    };
    for (left, right) in [(&images, &spectra), (&other_images, &other_spectra)] {
        let mut matching = Match::within(1.0);
        let report = matching.run(&[left], &[right]).expect("matched");
        assert_eq!((report.pairs, matching.problems.len()), (2, 0));
        let mut fused = objects(&matching.path("pairs.parquet"));
        fused.sort_by(|one, other| one.id.cmp(&other.id));
        let object = &fused[0];
        assert_eq!(object.id, "1498p022-17");
        for (path, name) in [
            (&images, "tok_image"),
            (&images, "catalog"),
            (&images, "tok_segmap"),
            (&spectra, "tok_spectrum_desi"),
        ] {
            assert_eq!(object.get(key(name)), Some(&alone(path, name)), "{name}");
        }
        assert_eq!(object.flags["ZWARN"], "0");
        assert_eq!(fused[1].scalar(key("tok_z")), None, "warned of");
    }
    // Labels join as flags.
    let mut matching = Match::within(1.0);
    matching.run(&[&spectra], &[&labels]).expect("matched");
    let fused = objects(&matching.path("pairs.parquet"));
    let masses: Vec<&str> = fused
        .iter()
        .map(|object| object.flags["PROVABGS_LOGMSTAR_BF"].as_str())
        .collect();
    assert_eq!(masses.len(), 2);
    assert!(masses.contains(&"10.5") && masses.contains(&"11.25"));
    assert!(
        fused
            .iter()
            .all(|object| object.get(key("tok_spectrum_desi")).is_some())
    );
}
