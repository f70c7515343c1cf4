//! The files of a simulated sky: the same whatever the threads, complete, linked by the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use aion_data::reader::{ReadOptions, read};
use aion_data::sky::{ARCSEC, coarser, healpix29, separation, unit_vector};
use aion_data::{ModalityId, Survey};
use aion_simulate::{Settings, Sky, SurveyFiles};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const ALL: [Survey; 5] = [
    Survey::LegacySurvey,
    Survey::Hsc,
    Survey::Sdss,
    Survey::Desi,
    Survey::Gaia,
];

fn settings(objects: u64, surveys: &[Survey]) -> Settings {
    Settings {
        seed: 11,
        objects,
        area: Some(0.3),
        surveys: surveys.to_vec(),
        everything: false,
        images: false,
        max_rows: Some(60),
    }
}

fn write(settings: Settings, folder: &Path, threads: usize) -> BTreeMap<String, u64> {
    let metadata = BTreeMap::from([("aion.note".to_owned(), "a test".to_owned())]);
    let files = SurveyFiles::new(settings, metadata);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(|| {
        for partition in 0..files.len() {
            assert!(!files.has(folder, partition));
            files.write(folder, partition).unwrap();
            assert!(files.has(folder, partition));
        }
        files.finish(folder).unwrap()
    })
}

/// Every file below a folder with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The rows of a catalogue with the names of their files.
fn batches(catalogue: &Path) -> Vec<(String, RecordBatch)> {
    let files = contents(catalogue).into_keys();
    let files = files.filter(|name| name.extension().is_some_and(|e| e == "parquet"));
    files
        .flat_map(|name| {
            let file = File::open(catalogue.join(&name)).unwrap();
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let batches = builder.with_batch_size(1 << 16).build().unwrap();
            let name = name.display().to_string();
            batches.map(move |batch| (name.clone(), batch.unwrap()))
        })
        .collect()
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

fn doubles(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive::<Float64Type>().values().to_vec()
}

/// Positions by identifier.
fn positions(catalogue: &Path) -> BTreeMap<String, (f64, f64)> {
    let mut found = BTreeMap::new();
    for (_, batch) in batches(catalogue) {
        let (ra, dec) = (doubles(&batch, "ra"), doubles(&batch, "dec"));
        for (row, id) in texts(&batch, "object_id").into_iter().enumerate() {
            assert!(found.insert(id.unwrap(), (ra[row], dec[row])).is_none());
        }
    }
    found
}

#[test]
fn the_same_settings_give_the_same_files_at_any_number_of_threads() {
    let one = tempfile::tempdir().unwrap();
    let three = tempfile::tempdir().unwrap();
    let surveys = [Survey::LegacySurvey, Survey::Gaia];
    write(settings(300, &surveys), one.path(), 1);
    write(settings(300, &surveys), three.path(), 3);
    let (one, three) = (contents(one.path()), contents(three.path()));
    let names: Vec<&PathBuf> = one.keys().collect();
    assert_eq!(names, three.keys().collect::<Vec<_>>());
    assert!(one == three, "bytes differ");
    for catalogue in ["legacy", "gaia", "truth"] {
        let text = &one[&PathBuf::from(catalogue).join("hats.properties")];
        let text = String::from_utf8_lossy(text);
        assert!(text.contains("simulated=true"), "{text}");
    }
}

#[test]
fn the_truth_links_what_the_surveys_found() {
    let folder = tempfile::tempdir().unwrap();
    let rows = write(
        Settings {
            everything: true,
            ..settings(300, &ALL)
        },
        folder.path(),
        2,
    );
    // Objects stray over the borders of partitions, and none gets lost or appears twice.
    assert!(batches(&folder.path().join("truth")).len() > 1);
    assert!(rows.values().all(|rows| *rows == 300), "{rows:?}");
    let found: BTreeMap<&str, BTreeMap<String, (f64, f64)>> = ALL
        .iter()
        .map(|survey| (survey.name(), positions(&folder.path().join(survey.name()))))
        .collect();
    let mut linked = 0;
    for (_, batch) in batches(&folder.path().join("truth")) {
        let (ra, dec) = (doubles(&batch, "ra"), doubles(&batch, "dec"));
        let class = texts(&batch, "class");
        for survey in ALL {
            let ids = texts(&batch, &format!("{}_id", survey.name()));
            for (row, id) in ids.into_iter().enumerate() {
                let id = id.unwrap();
                assert!(id.starts_with("sim-"));
                let seen = found[survey.name()][&id];
                let truth = unit_vector(ra[row], dec[row]);
                let apart = separation(truth, unit_vector(seen.0, seen.1)) * ARCSEC;
                let still = class[row].as_deref() != Some("STAR");
                assert!(apart < if still { 0.7 } else { 30.0 }, "{id}: {apart}");
                linked += 1;
            }
        }
    }
    assert_eq!(linked, 1500);
}

#[test]
fn partitions_hold_their_cells_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let rows = write(settings(400, &ALL), folder.path(), 2);
    assert_eq!(rows["truth"], 400);
    assert!(ALL.iter().all(|s| rows[s.name()] > 20), "{rows:?}");
    for survey in ALL {
        let mut ids = BTreeSet::new();
        for (name, batch) in batches(&folder.path().join(survey.name())) {
            let part = |key: &str| {
                let rest = name.split(&format!("{key}=")).nth(1).unwrap();
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<i64>().unwrap()
            };
            let cells = batch.column_by_name("_healpix_29").unwrap();
            let cells = cells.as_primitive::<Int64Type>().values().to_vec();
            assert!(cells.is_sorted());
            let (ra, dec) = (doubles(&batch, "ra"), doubles(&batch, "dec"));
            for (row, cell) in cells.into_iter().enumerate() {
                assert_eq!(healpix29(ra[row], dec[row]), Some(cell));
                assert_eq!(coarser(cell, part("Norder") as u8), part("Npix"));
            }
            ids.extend(texts(&batch, "object_id"));
            let simulated = batch.column_by_name("simulated").unwrap().as_boolean();
            assert_eq!(simulated.true_count(), batch.num_rows());
        }
        assert_eq!(ids.len() as u64, rows[survey.name()]);
    }
}

#[test]
fn images_change_no_number() {
    let with = tempfile::tempdir().unwrap();
    let without = tempfile::tempdir().unwrap();
    let surveys = [Survey::LegacySurvey, Survey::Hsc];
    write(settings(60, &surveys), without.path(), 2);
    let imaged = Settings {
        images: true,
        ..settings(60, &surveys)
    };
    write(imaged, with.path(), 2);
    for (survey, column) in [("legacy", "FLUX_Z"), ("hsc", "i_cmodel_mag")] {
        let values = |folder: &Path| -> Vec<f32> {
            let batches = batches(&folder.join(survey)).into_iter();
            let values = batches.flat_map(|(_, batch)| {
                let column = batch.column_by_name(column).unwrap();
                column.as_primitive::<Float32Type>().values().to_vec()
            });
            values.collect()
        };
        let numbers = values(without.path());
        assert!(numbers.len() > 10 && numbers == values(with.path()));
        let (_, batch) = batches(&with.path().join(survey)).remove(0);
        assert_eq!(batch.column_by_name("image").unwrap().null_count(), 0);
        let (_, batch) = batches(&without.path().join(survey)).remove(0);
        assert!(batch.column_by_name("image").is_none());
    }
}

/// What the files hold is what was simulated, measurement for measurement.
#[test]
fn the_reader_gives_the_simulated_objects_back() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        everything: true,
        images: true,
        ..settings(12, &ALL)
    };
    let sky = Sky::new(settings.seed).with_everything();
    write(settings, folder.path(), 2);
    let mut simulated = BTreeMap::new();
    for (_, batch) in batches(&folder.path().join("truth")) {
        let links = ALL.map(|survey| texts(&batch, &format!("{}_id", survey.name())));
        for (row, name) in texts(&batch, "object_id").into_iter().enumerate() {
            let index = name.unwrap().rsplit('-').next().unwrap().parse().unwrap();
            for ids in &links {
                let object = sky.object(index).object;
                simulated.insert(ids[row].clone().unwrap(), object);
            }
        }
    }
    let mut compared = 0;
    for survey in ALL {
        let catalogue = folder.path().join(survey.name());
        for (name, _) in batches(&catalogue) {
            let objects = read(&catalogue.join(name), &ReadOptions::default()).unwrap();
            for object in objects {
                let object = object.unwrap();
                let expected = &simulated[&object.id];
                assert!(object.simulated && object.ra.is_some());
                for (id, value) in &expected.measurements {
                    if id.info().survey == survey {
                        assert_eq!(object.get(*id), Some(value), "{} {id}", object.id);
                        compared += 1;
                    }
                }
                let spectroscopic = matches!(survey, Survey::Sdss | Survey::Desi);
                let z = ModalityId::from_key("tok_z").unwrap();
                let z = expected.get(z).filter(|_| spectroscopic);
                assert_eq!(object.get(ModalityId::from_key("tok_z").unwrap()), z);
            }
        }
    }
    assert_eq!(compared, 12 * 37);
}
