//! The Multimodal Universe in every spelling. The files of `fixtures/surveys/mmu` are written by
//! h5py, pyarrow and astropy; their values are invented by `make_mmu.py`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aion_data::format::partitions::partitions;
use aion_data::reader::{ReadOptions, num_objects, read};
use aion_data::{Measurement, Object, Source, Survey};
use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder};
use arrow_array::types::Float32Type;
use arrow_array::{ArrayRef, Int64Array, ListArray, RecordBatch};
use parquet::arrow::ArrowWriter;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixtures::{
    Folder, coefficients, error, image, modality, objects, objects_with, results, scalar, spectrum,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/surveys/mmu")
        .join(name)
}

/// The objects of all partitions of a folder, by identifier.
fn partitioned(name: &str) -> Vec<Object> {
    let files = partitions(&fixture(name)).unwrap().unwrap();
    let mut all: Vec<Object> = files.iter().flat_map(|path| objects(path)).collect();
    all.sort_by(|one, other| one.id.cmp(&other.id));
    all
}

fn keys(object: &Object) -> Vec<&'static str> {
    object.measurements.keys().map(|id| id.key()).collect()
}

#[test]
fn legacy_survey_images_come_with_everything_beside_them() {
    let all = partitioned("v1/legacysurvey");
    let object = &all[0];
    assert_eq!(object.id, "1498p022-17");
    assert_eq!((object.ra, object.dec), (Some(150.01), Some(2.21)));
    let image = image(object, "tok_image");
    assert_eq!(
        image.bands,
        ["DES-G", "DES-R", "DES-I", "DES-Z"],
        "by name, upper case"
    );
    assert_eq!((image.height, image.width), (100, 100));
    let at = |plane: usize, y: usize, x: usize| (plane * 100 + y) * 100 + x;
    assert_eq!(image.flux[at(3, 50, 50)], 4.0);
    let ivar = image.ivar.as_ref().unwrap();
    for plane in 0..4 {
        // One mask for all bands, true where good.
        assert_eq!(ivar[at(plane, 10, 20)], 0.0);
        assert_eq!(ivar[at(plane, 10, 21)], 4.0 + plane as f32);
    }
    assert_eq!(scalar(object, "tok_flux_g"), Some(1.5));
    assert_eq!(scalar(object, "tok_ebv"), Some(0.031_25));
    assert_eq!(object.flags["TYPE"], "SER");
    assert_eq!(scalar(&all[1], "tok_flux_i"), None, "zero without weight");
}

#[test]
fn sources_lie_in_the_inner_frame_nearest_first_without_padding() {
    let object = partitioned("v1/legacysurvey").remove(0);
    let Some(Measurement::Catalog(sources)) = object.get(modality("catalog")) else {
        panic!("no catalogue");
    };
    let middle = Source {
        x: 48,
        y: 48,
        shape_e1: 0.25,
        shape_e2: -0.125,
        shape_r: 1.5,
    };
    assert_eq!(sources[0], middle);
    assert_eq!((sources[1].x, sources[1].y), (58, 48));
    // X is the column: 140 of 160 is outside the inner 96, and so are the zeros of padding.
    assert_eq!(sources.len(), 10, "as many as the modality takes");
    assert!(sources.iter().all(|source| source.x != 140 - 32));
}

#[test]
fn types_of_sources_become_a_map_from_0_to_1() {
    for object in [
        partitioned("v1/legacysurvey"),
        partitioned("hats/mmu_legacysurvey"),
    ] {
        let Some(Measurement::ScalarField(map)) = object[1].get(modality("tok_segmap")) else {
            panic!("no map");
        };
        assert_eq!((map.height, map.width), (100, 100));
        assert_eq!(map.field[0], 0.0);
        assert_eq!(map.field[5 * 100 + 5], 1.0 / 6.0);
        assert_eq!(map.field[50 * 100 + 50], 5.0 / 6.0);
    }
}

#[test]
fn hsc_masks_are_one_a_band() {
    let all = partitioned("v1/hsc");
    assert_eq!(all[0].id, "40977037430642506", "integers stay exact");
    let image = image(&all[0], "tok_image_hsc");
    assert_eq!(image.bands, ["HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y"]);
    let ivar = image.ivar.as_ref().unwrap();
    assert_eq!([ivar[0], ivar[10_000], ivar[20_000]], [4.0, 5.0, 0.0]);
    assert_eq!(
        keys(&all[0]),
        ["tok_image_hsc", "tok_mag_g", "tok_a_g", "tok_shape11"]
    );
}

#[test]
fn sdss_spectra_lose_their_padding_and_their_identifiers_their_blanks() {
    for set in ["v1/sdss", "hats/mmu_sdss"] {
        let all = partitioned(set);
        assert_eq!(all[0].id, "1237000000000000001");
        let [long, short] = [&all[0], &all[1]].map(|object| spectrum(object, "tok_spectrum_sdss"));
        assert_eq!((long.flux.len(), short.flux.len()), (300, 260));
        assert_eq!((short.ivar.len(), short.mask.len()), (260, 260));
        assert!(
            short
                .wavelength
                .iter()
                .all(|&wavelength| wavelength > 3900.0)
        );
        // True is bad: flagged, or without weight.
        assert!(long.mask[3] && long.mask[7] && !long.mask[8]);
        assert_eq!(scalar(&all[0], "tok_z"), Some(0.125));
        assert_eq!(all[0].flags["ZWARNING"], "0");
        // A redshift that the survey warns of is carried, not used.
        assert_eq!(scalar(&all[1], "tok_z"), None);
        assert_eq!(all[1].flags["Z"], "0.25");
        assert_ne!(all[1].flags["ZWARNING"], "0");
    }
}

#[test]
fn the_warning_of_desi_means_the_same_inverted_or_not() {
    for set in ["v1/desi", "hats/mmu_desi"] {
        let all = partitioned(set);
        assert_eq!(all[0].id, "39627776344457978");
        assert_eq!(scalar(&all[0], "tok_z"), Some(0.5), "{set}");
        assert_eq!(all[0].flags["ZWARN"], "0");
        assert_eq!(scalar(&all[1], "tok_z"), None, "{set}");
        assert_eq!(all[1].flags["Z"], "0.75");
        assert_eq!(scalar(&all[1], "tok_flux_g"), Some(8.0));
    }
    assert_eq!(
        partitioned("v1/desi")[1].flags["ZWARN"],
        "4",
        "the bits stay"
    );
    assert_eq!(partitioned("hats/mmu_desi")[1].flags["ZWARN"], "!=0");
}

#[test]
fn xp_coefficients_are_the_blue_arm_and_then_the_red_one() {
    for set in ["v1/gaia", "hats/mmu_gaia"] {
        let all = partitioned(set);
        let star = all.iter().find(|star| star.id == "38655544960").unwrap();
        assert_eq!(coefficients(star, "tok_xp_bp")[54], 34.0);
        assert_eq!(coefficients(star, "tok_xp_rp")[0], 35.0);
        assert_eq!(scalar(star, "tok_flux_g_gaia"), Some(2000.25));
        assert_eq!(scalar(star, "tok_parallax"), None, "NaN is missing");
        let proxima = all.iter().find(|star| star.id == "5853498713190525696");
        let keys = keys(proxima.unwrap());
        assert_eq!(keys, ["tok_xp_bp", "tok_flux_g_gaia", "tok_parallax"]);
    }
}

#[test]
fn labels_travel_as_flags() {
    let galaxy = partitioned("v1/desi_provabgs").remove(1);
    assert_eq!(galaxy.flags["PROVABGS_LOGMSTAR_BF"], "11.25");
    assert_eq!(galaxy.flags["TAGE_MW"], "6.5", "of an axis of length 1");
    assert_eq!(scalar(&galaxy, "tok_z"), Some(0.75));
    let galaxy = partitioned("v1/gz10").remove(1);
    assert_eq!(galaxy.flags["ans"], "7");
    assert_eq!(scalar(&galaxy, "tok_z"), Some(0.125));
}

/// The point of one mapping: the numbers are the same, bit for bit, so the tokens are.
#[test]
fn every_format_gives_the_same_objects() {
    for set in ["legacysurvey", "hsc", "sdss", "desi", "gaia"] {
        let [hdf5, hats] =
            [format!("v1/{set}"), format!("hats/mmu_{set}")].map(|name| partitioned(&name));
        assert_eq!(hdf5.len(), hats.len());
        for (one, other) in hdf5.iter().zip(&hats) {
            assert_eq!(one.id, other.id);
            // Compared as text too, since NaN does not equal itself.
            assert_eq!(
                format!("{:?}", one.measurements),
                format!("{:?}", other.measurements),
                "{set} {}",
                one.id
            );
            if set != "gaia" {
                assert_eq!((one.ra, one.dec), (other.ra, other.dec));
            }
        }
    }
    let native = |name: &str| objects(&fixture("native").join(name)).remove(0);
    for (object, spec) in partitioned("v1/sdss").iter().zip([
        "spec-0266-51630-0023.fits.gz",
        "spec-0266-51630-0024.fits.gz",
    ]) {
        let native = native(spec);
        assert_eq!(object.measurements, native.measurements, "{spec}");
        assert_eq!((object.ra, object.dec), (native.ra, native.dec));
    }
    for (object, cutout) in partitioned("v1/legacysurvey")
        .iter()
        .zip(["cutout-1498p022-17.fits.gz", "cutout-1498p022-18.fits.gz"])
    {
        assert_eq!(
            image(object, "tok_image"),
            image(&native(cutout), "tok_image")
        );
    }
    let tutorial = objects(&fixture("tutorial.fits.gz")).remove(0);
    let key = modality("tok_spectrum_desi");
    assert_eq!(tutorial.get(key), partitioned("v1/desi")[0].get(key));
    assert_eq!(
        image(&tutorial, "tok_image").flux,
        image(&partitioned("v1/legacysurvey")[0], "tok_image").flux
    );
}

#[test]
fn a_tutorials_table_holds_several_surveys() {
    let object = objects(&fixture("tutorial.fits.gz")).remove(0);
    assert_eq!(
        keys(&object),
        ["tok_image", "tok_flux_g", "tok_spectrum_desi", "tok_z"]
    );
    assert_eq!(object.flags["ZWARN"], "0");
    assert_eq!(object.flags["LOG_MSTAR"], "10.5");
    assert_eq!(
        image(&object, "tok_image").bands[3],
        "DES-Z",
        "four planes are griz"
    );
}

#[test]
fn bands_may_be_text_of_several_axes() {
    let options = ReadOptions {
        pad: true,
        ..ReadOptions::default()
    };
    let object = objects_with(&fixture("bands.fits"), &options).remove(0);
    assert_eq!(image(&object, "tok_image").bands, ["DES-R", "DES-Z"]);
    assert_eq!(
        image(&object, "tok_image").ivar.as_ref().unwrap()[46 * 96 + 46],
        0.0
    );
}

#[test]
fn pairs_are_fused_objects_and_nulls_are_absent() {
    let all = objects(&fixture("pairs.parquet"));
    assert_eq!(all[0].id, "1498p022-17");
    assert_eq!(
        keys(&all[0]),
        ["tok_image", "tok_ebv", "tok_spectrum_desi", "tok_z"]
    );
    assert_eq!(
        spectrum(&all[0], "tok_spectrum_desi"),
        spectrum(&partitioned("v1/desi")[0], "tok_spectrum_desi"),
        "a list of structs is a struct of lists"
    );
    assert_eq!(keys(&all[1]), ["tok_ebv"]);
}

#[test]
fn other_types_are_read_as_well() {
    let all = objects(&fixture("odd.hdf5"));
    let expected = partitioned("v1/desi").remove(0);
    let expected = spectrum(&expected, "tok_spectrum_desi");
    assert_eq!(
        (all[0].id.as_str(), all[1].id.as_str()),
        ("first", "second")
    );
    let found = spectrum(&all[0], "tok_spectrum_desi");
    assert_eq!(found.flux, expected.flux[..20]);
    assert_eq!(found.wavelength, expected.wavelength[..20]);
    assert_eq!(found.mask, expected.mask[..20]);
    assert_eq!(scalar(&all[0], "tok_z"), Some(1.0));
    assert_eq!(all[1].flags["ZWARN"], "32");
}

#[test]
fn what_is_wrong_is_named() {
    for (file, parts) in [
        (
            "length",
            &["object 7", "field spectrum_ivar", "(19), expected (20)"][..],
        ),
        ("rows", &["field spectrum_ivar", "2 rows, expected 1"]),
        ("claim", &["field spectrum_mask", "[150000000] a row"]),
        ("no_wavelength", &["object 7", "missing lambda"]),
        ("no_survey", &["object 7", "unknown survey", "--survey"]),
        ("nanometres", &["object 7", "missing pixels"]),
        (
            "float_id",
            &["row 1", "field object_id", "integers or text"],
        ),
        (
            "coefficients",
            &["object 7", "field coeff", "(109), expected (110)"],
        ),
        (
            "bands",
            &["object 7", "field image_band", "unknown band `F090W`"],
        ),
        ("two_surveys", &["field image_band", "bands of two surveys"]),
        ("planes", &["field image_band", "3 bands", "2 planes"]),
        ("no_bands", &["field image_array", "missing band names"]),
        (
            "scale",
            &["field image_scale", "0.4 arcsec a pixel, expected 0.262"],
        ),
        (
            "axes",
            &[
                "field image_array",
                "[2, 4], expected (bands, height, width)",
            ],
        ),
        (
            "ivar",
            &["field image_ivar", "[2, 4, 3], expected [2, 4, 4]"],
        ),
        ("mask", &["field image_mask", "[3, 4], expected [2, 4, 4]"]),
        (
            "small",
            &["object 7", "field tok_image/flux", "4 x 4 pixels"],
        ),
        (
            "type",
            &["object 7", "field object_mask", "7 is no type of source"],
        ),
        (
            "sources",
            &["object 7", "field catalog_Y", "(19), expected (20)"],
        ),
        ("unit", &["field FLUX_G", "the unit is `mag`"]),
        ("groups", &["HDF5 without arrays at its root"]),
        ("scalars", &["HDF5 without arrays at its root"]),
        ("compound", &["field object_id", "compound type"]),
    ] {
        let path = fixture("wrong").join(format!("{file}.hdf5"));
        let message = error(&path).to_string();
        for part in parts {
            assert!(
                message.contains(part),
                "{file}: `{part}` is not in: {message}"
            );
        }
    }
}

#[test]
fn a_survey_asked_for_limits_what_is_read() {
    let gaia = ReadOptions {
        survey: Some(Survey::Gaia),
        ..ReadOptions::default()
    };
    let object = objects_with(&fixture("tutorial.fits.gz"), &gaia).remove(0);
    assert_eq!(keys(&object), ["tok_z"]);
    let sdss = ReadOptions {
        survey: Some(Survey::Sdss),
        ..ReadOptions::default()
    };
    let object = results(&fixture("pairs.parquet"), &sdss).remove(0).unwrap();
    assert_eq!(keys(&object), ["tok_spectrum_sdss", "tok_z"]);
}

#[test]
fn truncated_files_are_refused() {
    let folder = Folder::new();
    for file in ["v1/sdss", "v1/hsc", "v1/legacysurvey", "hats/mmu_sdss"] {
        let path = partitions(&fixture(file)).unwrap().unwrap().remove(0);
        let bytes = std::fs::read(&path).unwrap();
        for keep in [9, 100, bytes.len() / 2, bytes.len() - 1] {
            let path = folder.write("cut", &bytes[..keep]);
            let error = error(&path).to_string();
            assert!(
                error.contains("not a readable"),
                "{file}, {keep} bytes: {error}"
            );
        }
    }
}

#[test]
fn ranges_and_counts_are_known_without_reading() {
    for (file, count) in [("v1/gaia", 3), ("v1/legacysurvey", 2), ("hats/mmu_sdss", 2)] {
        let path = partitions(&fixture(file)).unwrap().unwrap().remove(0);
        assert_eq!(num_objects(&path), Some(count));
        let all = objects(&path);
        for first in 0..count {
            let options = ReadOptions {
                rows: Some(first..first + 1),
                ..ReadOptions::default()
            };
            let one = objects_with(&path, &options);
            assert_eq!(
                format!("{one:?}"),
                format!("{:?}", &all[first as usize..][..1])
            );
        }
    }
}

#[test]
fn partitions_are_those_of_the_catalogue_in_the_order_of_the_sky() {
    let names = |folder: &str| -> Vec<String> {
        let root = fixture(folder);
        let files = partitions(&root).unwrap().unwrap();
        let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        files.iter().map(name).collect()
    };
    assert_eq!(
        names("hats/mmu_gaia"),
        [
            "dataset/Norder=8/Dir=60000/Npix=64215.parquet",
            "dataset/Norder=8/Dir=300000/Npix=300373.parquet",
            "dataset/Norder=8/Dir=410000/Npix=413288.parquet"
        ]
    );
    // Of a collection the catalogue without its margin; a partition may be a folder.
    let legacy = names("hats/mmu_legacysurvey");
    assert_eq!(legacy.len(), 1);
    assert!(legacy[0].starts_with("mmu_legacysurvey/dataset/Norder=8"));
    assert!(names("hats/mmu_sdss")[0].ends_with("Npix=436132/part0.parquet"));
    // Lock files are no partitions; cells are found below data set and configuration.
    assert_eq!(
        names("v1/legacysurvey"),
        ["dr10_south_21/healpix=1703/001-of-001.hdf5"]
    );
    assert_eq!(names("v1").len(), 7);
    assert!(partitions(&fixture("native")).unwrap().is_none());
}

#[test]
fn cells_of_version_1_are_ordered_by_number_and_broken_catalogues_refused() {
    let folder = Folder::new();
    let touch = |name: &str| {
        let path = folder.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    };
    for cell in ["11", "2", "0110"] {
        touch(&format!("a/healpix={cell}/001-of-001.hdf5"));
        touch(&format!("a/healpix={cell}/001-of-001.hdf5.lock"));
        touch(&format!("a/healpix={cell}/.001-of-001.h5"));
    }
    let files = partitions(&folder.path("a")).unwrap().unwrap();
    let cells = files
        .iter()
        .map(|path| path.parent().unwrap().file_name().unwrap());
    let cells: Vec<_> = cells.collect();
    assert_eq!(cells, ["healpix=2", "healpix=11", "healpix=0110"]);
    touch("b/dataset/Norder=1/Dir=0/Npix=5.txt");
    assert!(partitions(&folder.path("b")).is_err(), "no partition");
    touch("c/collection.properties");
    let error = partitions(&folder.path("c")).unwrap_err().to_string();
    assert!(error.contains("hats_primary_table_url"), "{error}");
}

/// A Parquet file of spectra that end after as many pixels as given.
fn write_spectra(path: &Path, pixels: &[(usize, usize)]) {
    let list = |values: fn(f32) -> f32, lengths: Vec<usize>| {
        let row = |count: usize| {
            Some(
                (0..count)
                    .map(|i| Some(values(i as f32)))
                    .collect::<Vec<_>>(),
            )
        };
        let rows = lengths.into_iter().map(row);
        ListArray::from_iter_primitive::<Float32Type, _, _>(rows)
    };
    let flux = pixels.iter().map(|pixels| pixels.0).collect::<Vec<_>>();
    let ivar = pixels.iter().map(|pixels| pixels.1).collect();
    let wavelength = list(|i| 3600.0 + 0.8 * i, flux.clone());
    let ids = (0..pixels.len() as i64).collect::<Vec<_>>();
    let batch = RecordBatch::try_from_iter([
        ("object_id", Arc::new(Int64Array::from(ids)) as ArrayRef),
        ("spectrum_flux", Arc::new(list(|i| i, flux))),
        ("spectrum_ivar", Arc::new(list(|_| 1.0, ivar))),
        ("spectrum_lambda", Arc::new(wavelength)),
    ])
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_bad_object_does_not_end_the_others() {
    let folder = Folder::new();
    let path = folder.path("a.parquet");
    write_spectra(&path, &[(40, 40), (40, 39), (0, 0), (30, 30)]);
    let results = results(&path, &ReadOptions::default());
    let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, true]);
    let error = results[1].as_ref().unwrap_err().to_string();
    for part in [
        "a.parquet",
        "object 1",
        "field spectrum_ivar",
        "(39), expected (40)",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = results[2].as_ref().unwrap_err().to_string();
    assert!(error.contains("missing measurement"), "{error}");
    // Known by its pixels, 0.8 Angstrom apart, and with a mask made of the inverse variance.
    let spectrum = spectrum(results[3].as_ref().unwrap(), "tok_spectrum_desi");
    assert_eq!(spectrum.mask, [false; 30]);
}

#[test]
fn ragged_images_are_refused() {
    let folder = Folder::new();
    let path = folder.path("a.parquet");
    let mut planes = ListBuilder::new(ListBuilder::new(ListBuilder::new(Float32Builder::new())));
    let mut bands = ListBuilder::new(StringBuilder::new());
    for length in [96, 95] {
        for row in 0..96 {
            let pixels = if row == 3 { length } else { 96 };
            planes
                .values()
                .values()
                .values()
                .append_slice(&vec![1.0; pixels]);
            planes.values().values().append(true);
        }
        planes.values().append(true);
        planes.append(true);
        bands.values().append_value("des-r");
        bands.append(true);
    }
    let batch = RecordBatch::try_from_iter([
        ("image_flux", Arc::new(planes.finish()) as ArrayRef),
        ("image_band", Arc::new(bands.finish())),
    ])
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let results = results(&path, &ReadOptions::default());
    assert_eq!(
        image(results[0].as_ref().unwrap(), "tok_image").bands,
        ["DES-R"]
    );
    let error = results[1].as_ref().unwrap_err().to_string();
    assert!(
        error.contains("9215 values, expected [1, 96, 96]"),
        "{error}"
    );
}

/// The most memory that this process has held, MiB.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever bytes are wrong, reading ends in objects or errors, in little memory.
    #[test]
    fn no_damage_panics_or_fills_memory(
        which in 0usize..10,
        spots in vec((0.0f64..1.0, any::<u8>()), 1..9),
        keep in prop_oneof![3 => Just(1.0), 1 => 0.0f64..1.0],
    ) {
        let sets = [
            "v1/legacysurvey", "v1/hsc", "v1/sdss", "v1/desi", "v1/gaia",
            "hats/mmu_legacysurvey", "hats/mmu_sdss", "hats/mmu_gaia",
        ];
        let path = match sets.get(which) {
            Some(set) => partitions(&fixture(set)).unwrap().unwrap().remove(0),
            None => fixture(["odd.hdf5", "pairs.parquet"][which - sets.len()]),
        };
        let mut bytes = std::fs::read(path).unwrap();
        let length = bytes.len();
        for (at, value) in spots {
            // Half of the damage goes where HDF5 has its headers, half of that where Parquet has.
            let at = match value % 4 {
                0 => at * 2048.0,
                1 => length as f64 - 1.0 - at * 2000.0,
                _ => at * (length - 1) as f64,
            };
            bytes[(at as usize).min(length - 1)] = value;
        }
        bytes.truncate((keep * length as f64) as usize);
        let folder = Folder::new();
        let path = folder.write("x", bytes);
        if let Ok(objects) = read(&path, &ReadOptions::default()) {
            objects.take(1000).for_each(drop);
        }
        num_objects(&path);
        prop_assert!(peak_memory().is_none_or(|peak| peak < 1500));
    }
}
