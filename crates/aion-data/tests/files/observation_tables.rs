//! Objects as rows of Parquet.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use aion_data::observation_table::{Layout, ObservationTable, Row, write_observations};
use aion_data::{
    Image, Kind, Measurement, ModalityId, Object, Problem, ScalarField, Source, Spectrum, Survey,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use crate::sample::{files_in, modality, objects, scratch};

fn object(id: &str, measurements: Vec<(&str, Measurement)>) -> Object {
    let measurements = measurements.into_iter();
    Object {
        ra: Some(150.25),
        dec: Some(2.5),
        measurements: measurements.map(|(key, m)| (modality(key), m)).collect(),
        ..Object::named(id)
    }
}

fn batches(path: &Path) -> (Vec<RecordBatch>, BTreeMap<String, String>) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let metadata = metadata.into_iter().flatten();
    let metadata = metadata.map(|e| (e.key.clone(), e.value.clone().unwrap_or_default()));
    let metadata = metadata.collect();
    let batches = builder.build().unwrap().map(|batch| batch.unwrap());
    (batches.collect(), metadata)
}

fn written(objects: &[Object]) -> (RecordBatch, BTreeMap<String, String>) {
    let (folder, path) = scratch("objects.parquet");
    write_observations(&path, objects, &BTreeMap::new()).unwrap();
    assert_eq!(files_in(folder.path()), ["objects.parquet"]);
    let (mut batches, metadata) = batches(&path);
    assert_eq!(batches.len(), 1);
    (batches.remove(0), metadata)
}

fn floats(list: &dyn Array) -> Vec<f32> {
    list.as_primitive::<Float32Type>().values().to_vec()
}

#[test]
fn images_are_lists_of_planes_of_rows() {
    let image = Image {
        bands: vec!["DES-G".into(), "DES-Z".into()],
        height: 2,
        width: 3,
        flux: (0..12).map(|i| i as f32).collect(),
        ivar: Some([0.0, 2.0].into_iter().cycle().take(12).collect()),
    };
    let sources = vec![Source {
        x: 48,
        y: 50,
        shape_e1: 0.5,
        shape_e2: -0.5,
        shape_r: 1.5,
    }];
    let map = ScalarField {
        height: 2,
        width: 2,
        field: vec![0.0, 0.25, 0.5, 1.0],
    };
    let full = object(
        "a",
        vec![
            ("tok_image", Measurement::Image(image)),
            ("tok_flux_g", Measurement::Scalar(3.5)),
            ("catalog", Measurement::Catalog(sources)),
            ("tok_segmap", Measurement::ScalarField(map)),
        ],
    );
    let poor = object("b", vec![("tok_flux_g", Measurement::Scalar(4.5))]);
    let (batch, metadata) = written(&[full, poor]);
    assert_eq!(metadata["aion.survey"], "legacy");
    assert!(!metadata.contains_key("aion.simulated"));
    let image = batch.column_by_name("image").unwrap().as_struct();
    assert!(image.is_valid(0) && image.is_null(1));
    let bands = image
        .column_by_name("band")
        .unwrap()
        .as_list::<i32>()
        .value(0);
    assert_eq!(bands.as_string::<i32>().value(1), "des-z");
    let flux = image
        .column_by_name("flux")
        .unwrap()
        .as_list::<i32>()
        .value(0);
    let plane = flux.as_list::<i32>().value(1);
    assert_eq!(floats(&plane.as_list::<i32>().value(0)), [6.0, 7.0, 8.0]);
    let mask = image
        .column_by_name("mask")
        .unwrap()
        .as_list::<i32>()
        .value(0);
    let row = mask.as_list::<i32>().value(0);
    let row = row.as_list::<i32>().value(0);
    assert_eq!(
        row.as_boolean().iter().flatten().collect::<Vec<_>>(),
        [false, true, false]
    );
    let catalog = batch.column_by_name("catalog").unwrap().as_struct();
    let x = catalog
        .column_by_name("X")
        .unwrap()
        .as_list::<i32>()
        .value(0);
    assert_eq!(floats(&x), [80.0]);
    let flux = batch.column_by_name("FLUX_G").unwrap();
    assert_eq!(floats(flux), [3.5, 4.5]);
    let map = batch
        .column_by_name("segmentation_map")
        .unwrap()
        .as_list::<i32>();
    assert!(map.is_null(1));
    assert_eq!(floats(&map.value(0).as_list::<i32>().value(1)), [0.5, 1.0]);
    let cell = batch
        .column_by_name("_healpix_29")
        .unwrap()
        .as_primitive::<Int64Type>();
    // As healpy has it at order 4.
    assert_eq!(cell.value(0) >> 50, 1703);
}

#[test]
fn gaia_numbers_stand_in_groups() {
    let arm = |value: f32| Measurement::Coefficients(vec![value; 55]);
    let mut star = object(
        "1",
        vec![
            ("tok_xp_bp", arm(1.0)),
            ("tok_flux_bp_gaia", Measurement::Scalar(100.0)),
            ("tok_parallax", Measurement::Scalar(0.5)),
        ],
    );
    star.simulated = true;
    let (folder, path) = scratch("gaia.parquet");
    let layout = Layout::of(Survey::Gaia, std::slice::from_ref(&star));
    let layout = layout.with_numbers(&["pmra", "ref_epoch"]);
    let mut table = ObservationTable::create(&path, layout, &BTreeMap::new()).unwrap();
    assert_eq!(
        table.push(star.clone()).unwrap_err().place.object.unwrap(),
        "1"
    );
    let numbers = vec![-12.5, f64::NAN];
    table
        .push(Row {
            object: star,
            numbers,
        })
        .unwrap();
    table.finish().unwrap();
    assert_eq!(files_in(folder.path()), ["gaia.parquet"]);
    let (batches, metadata) = batches(&path);
    assert_eq!(metadata["aion.simulated"], "true");
    let batch = &batches[0];
    let coefficients = batch
        .column_by_name("spectral_coefficients")
        .unwrap()
        .as_struct();
    let values = coefficients
        .column_by_name("coeff")
        .unwrap()
        .as_list::<i32>()
        .value(0);
    let values = floats(&values);
    assert_eq!(values.len(), 110);
    assert!(values[54] == 1.0 && values[55].is_nan());
    let astrometry = batch.column_by_name("astrometry").unwrap().as_struct();
    assert_eq!(
        floats(astrometry.column_by_name("parallax").unwrap()),
        [0.5]
    );
    let motion = batch.column_by_name("pmra").unwrap();
    assert_eq!(motion.as_primitive::<Float64Type>().value(0), -12.5);
    assert!(batch.column_by_name("ref_epoch").unwrap().is_null(0));
    assert!(
        batch
            .column_by_name("simulated")
            .unwrap()
            .as_boolean()
            .value(0)
    );
}

#[test]
fn a_redshift_that_is_not_trusted_keeps_its_column() {
    let mut doubtful = object("x", vec![]);
    let spectrum = Spectrum {
        flux: vec![1.0, 2.0],
        ivar: vec![1.0, 0.0],
        wavelength: vec![4000.0, 4001.0],
        mask: vec![false, true],
    };
    doubtful.measurements.insert(
        modality("tok_spectrum_sdss"),
        Measurement::Spectrum(spectrum),
    );
    for (flag, value) in [("Z", "0.25"), ("ZWARNING", "4")] {
        doubtful.flags.insert(flag.into(), value.into());
    }
    let trusted = object("y", vec![("tok_z", Measurement::Scalar(0.5))]);
    let (batch, _) = written(&[doubtful, trusted]);
    assert_eq!(floats(batch.column_by_name("Z").unwrap()), [0.25, 0.5]);
    let warning = batch.column_by_name("ZWARNING").unwrap().as_string::<i32>();
    assert!(warning.value(0) == "4" && warning.is_null(1));
    let spectrum = batch.column_by_name("spectrum").unwrap().as_struct();
    let names: Vec<&String> = spectrum.fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, ["flux", "ivar", "lambda", "mask"]);
}

#[test]
fn prefixed_columns_are_those_of_a_pair() {
    let layout = Layout::new(Survey::Hsc, ModalityId::all()).with_prefix("right_");
    let names: Vec<String> = layout.fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(
        names[..4],
        [
            "right_object_id",
            "right_ra",
            "right_dec",
            "right__healpix_29"
        ]
    );
    assert!(names.contains(&"right_image".to_owned()) && names.contains(&"right_Z".to_owned()));
    assert!(!names.iter().any(|name| name.contains("FLUX")));
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let (folder, path) = scratch("objects.parquet");
    let none = BTreeMap::new();
    let empty = write_observations(&path, &[], &none).unwrap_err();
    assert!(matches!(empty.problem, Problem::Empty));
    let flux = ("tok_flux_g", Measurement::Scalar(1.0));
    let magnitude = ("tok_mag_g", Measurement::Scalar(20.0));
    let both = object("a", vec![flux, magnitude]);
    let error = write_observations(&path, &[both], &none)
        .unwrap_err()
        .to_string();
    assert!(error.contains("legacy") && error.contains("hsc"), "{error}");
    let ragged = ScalarField {
        height: 2,
        width: 2,
        field: vec![0.0],
    };
    let ragged = object("a", vec![("tok_segmap", Measurement::ScalarField(ragged))]);
    let error = write_observations(&path, &[ragged], &none).unwrap_err();
    assert_eq!(error.place.field.as_deref(), Some("tok_segmap/field"));
    assert!(files_in(folder.path()).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever one survey measured is written, row for row.
    #[test]
    fn every_survey_has_its_table(objects in objects()) {
        for survey in [Survey::LegacySurvey, Survey::Hsc, Survey::Sdss, Survey::Desi, Survey::Gaia] {
            let own: Vec<Object> = objects.iter().cloned().map(|mut object| {
                object.measurements.retain(|id, _| id.info().survey == survey);
                object.flags.clear();
                object
            }).collect();
            let (_folder, path) = scratch("objects.parquet");
            write_observations(&path, &own, &BTreeMap::new()).unwrap();
            let (batches, _) = batches(&path);
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            prop_assert_eq!(rows, own.len());
            let images = ModalityId::of_kind(Kind::Image, survey);
            for (row, object) in own.iter().enumerate() {
                let has = images.is_some_and(|id| object.get(id).is_some());
                let column = batches[0].column_by_name("image");
                prop_assert_eq!(column.is_some_and(|column| column.is_valid(row)), has);
            }
        }
    }
}
