//! SDSS files beside single spectra: plates, images of early releases, SDSS-V; written by
//! `fixtures/surveys/make_spectra.py`.

use std::fs;

use aion_data::Survey;
use aion_data::reader::{ReadOptions, num_objects, without_repeats};

use crate::fixtures::{
    Folder, error, expect_error, inflated, made, objects, objects_with, results, scalar, spectrum,
    with_card,
};

const PLATE: &str = "spPlate-0266-51630.fits";
const IMAGE: &str = "spSpec-51630-0266-023.fit";
const FIVE: &str = "spec-015000-59202-27021597773849812.fits";

#[test]
fn a_plate_is_one_object_a_fibre() {
    let found = results(&made(PLATE), &ReadOptions::default());
    let [Ok(first), Err(unplugged), Ok(sky)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(first.id, "0266-51630-0001");
    assert_eq!((first.ra, first.dec), (Some(145.5), Some(-0.25)));
    assert_eq!(scalar(first, "tok_z"), Some(0.125), "joined by FIBERID");
    assert_eq!(first.flags["CLASS"], "QSO");
    let spectrum = spectrum(first, "tok_spectrum_sdss");
    assert_eq!(spectrum.flux.len(), 200);
    assert_eq!(spectrum.flux[17], 1.0);
    assert!((f64::from(spectrum.wavelength[199]) - 10f64.powf(3.58 + 0.0199)).abs() < 1e-3);
    let bad: Vec<usize> = (0..200).filter(|&pixel| spectrum.mask[pixel]).collect();
    assert_eq!(bad, [7]);
    let message = unplugged.to_string();
    assert!(message.contains("0266-51630-0002") && message.contains("nowhere positive"));
    assert_eq!(scalar(sky, "tok_z"), None, "sky");
    assert_eq!(sky.flags["ZWARNING"], "0");
    assert_eq!(num_objects(&made(PLATE)), Some(3));
    let options = ReadOptions {
        rows: Some(2..9),
        ..ReadOptions::default()
    };
    assert_eq!(objects_with(&made(PLATE), &options), vec![sky.clone()]);
}

#[test]
fn redshifts_beside_a_plate_are_not_objects_again() {
    let redshifts = made("spZbest-0266-51630.fits");
    let both = vec![made(PLATE), redshifts.clone()];
    assert_eq!(without_repeats(both), [made(PLATE)]);
    assert_eq!(objects(&redshifts).len(), 3);
    let folder = Folder::new();
    let alone = folder.write(PLATE, inflated(PLATE));
    let tried = folder.write(
        "spZall-0266-51630.fits",
        inflated("spZbest-0266-51630.fits"),
    );
    assert_eq!(
        without_repeats(vec![tried, alone.clone()]),
        vec![alone.clone()]
    );
    let first = results(&alone, &ReadOptions::default()).remove(0).unwrap();
    assert_eq!(scalar(&first, "tok_z"), None);
}

#[test]
fn plates_with_wrong_grids_units_and_tables_are_refused() {
    let folder = Folder::new();
    let write =
        |card: &str, new: &str| folder.write("a.fits", with_card(inflated(PLATE), card, new));
    let path = write("CRVAL1  =", "CRVAL1  =                 3.59");
    expect_error(&path, &["COEFF0", "the WCS says"]);
    let path = write("COEFF1  =", "COEFF1  =                 -1.0");
    expect_error(&path, &["COEFF"]);
    let path = write("BUNIT   =", "BUNIT   = 'ADU'");
    expect_error(&path, &["BUNIT", "`ADU`"]);
    let path = write("VACUUM  =", "VACUUM  =                    F");
    expect_error(&path, &["VACUUM", "in air"]);
    let path = write("TTYPE1  = 'FIBERID", "TTYPE1  = 'RA      '");
    assert!(results(&path, &ReadOptions::default())[0].is_ok());
    let bytes = inflated(PLATE);
    error(&folder.write("b.fits", &bytes[..bytes.len() - 2880]));
}

#[test]
fn a_fibre_must_stand_in_its_row() {
    let folder = Folder::new();
    let mut bytes = inflated(PLATE);
    // The identifiers 1, 2, 3 begin rows of 36 bytes.
    let row = |fiber: u8| [0, 0, 0, fiber, 0x40, 0x62];
    let at = bytes.windows(6).position(|bytes| bytes == row(2)).unwrap();
    bytes[at + 3] = 9;
    let path = folder.write("a.fits", &bytes);
    let found = results(&path, &ReadOptions::default());
    assert!(found[0].is_ok());
    let message = found[1].as_ref().unwrap_err().to_string();
    assert!(
        message.contains("FIBERID") && message.contains("fibre 9 in row 2"),
        "{message}"
    );
}

#[test]
fn images_of_early_releases_are_read() {
    let [object] = &objects(&made(IMAGE))[..] else {
        panic!("one object");
    };
    assert_eq!(object.id, "0266-51630-0023");
    assert_eq!((object.ra, object.dec), (Some(145.5), Some(-0.25)));
    assert_eq!(scalar(object, "tok_z"), Some(0.125));
    assert_eq!(object.flags["SPEC_CLN"], "2");
    let spectrum = spectrum(object, "tok_spectrum_sdss");
    assert_eq!(spectrum.flux[9], 2.0);
    assert_eq!((spectrum.ivar[3], spectrum.ivar[4]), (4.0, 0.0));
    let bad: Vec<usize> = (0..60).filter(|&pixel| spectrum.mask[pixel]).collect();
    assert_eq!(bad, [4, 5], "no error, rejected; an emission line is good");
    assert!((spectrum.wavelength[10] - 3169.57).abs() < 0.01);
}

#[test]
fn doubtful_redshifts_of_early_releases_stay_flags() {
    let folder = Folder::new();
    for (card, new) in [
        ("Z_WARNIN=", "Z_WARNIN=                   16"),
        ("Z_STATUS=", "Z_STATUS=                    1"),
        ("SPEC_CLN=", "SPEC_CLN=                    5"),
    ] {
        let path = folder.write("a.fit", with_card(inflated(IMAGE), card, new));
        let object = objects(&path).remove(0);
        assert_eq!(scalar(&object, "tok_z"), None, "{card}");
        assert_eq!(object.flags["Z"], "0.125");
    }
}

#[test]
fn air_wavelengths_are_refused_or_converted() {
    let folder = Folder::new();
    let options = ReadOptions {
        air_wavelengths: true,
        ..ReadOptions::default()
    };
    for (name, card, new) in [
        (IMAGE, "VACUUM  =", "VACUUM  =                    F"),
        (IMAGE, "CTYPE1  =", "CTYPE1  = 'AWAV-LOG'"),
        (PLATE, "VACUUM  =", "VACUUM  =                    F"),
    ] {
        let path = folder.write(name, with_card(inflated(name), card, new));
        expect_error(&path, &["wavelengths in air, expected vacuum"]);
        let plain = results(&made(name), &ReadOptions::default())
            .remove(0)
            .unwrap();
        let object = results(&path, &options).remove(0).unwrap();
        let first = |object| spectrum(object, "tok_spectrum_sdss").wavelength[0];
        let shift = f64::from(first(&object)) / f64::from(first(&plain)) - 1.0;
        assert!((2.8e-4..3.0e-4).contains(&shift), "{shift}");
        // What is in vacuum stays where it is.
        let unchanged = results(&made(name), &options).remove(0).unwrap();
        assert_eq!(first(&unchanged), first(&plain));
    }
}

#[test]
fn units_are_converted_or_refused() {
    let folder = Folder::new();
    let write = |new: &str| folder.write("a.fit", with_card(inflated(IMAGE), "BUNIT   =", new));
    let path = write("BUNIT   = 'erg/s/cm2/A'");
    let object = objects(&path).remove(0);
    let converted = spectrum(&object, "tok_spectrum_sdss");
    assert!((converted.flux[9] / 2e17 - 1.0).abs() < 1e-6);
    assert!((converted.ivar[9] / 4e-34 - 1.0).abs() < 1e-3 || converted.mask[9]);
    expect_error(&write("BUNIT   = 'Jy'"), &["BUNIT", "`Jy`", "flux density"]);
    let bytes = inflated(FIVE);
    let path = folder.write(
        "b.fits",
        with_card(bytes, "TTYPE3  =", "TTYPE3  = 'INVVAR  '"),
    );
    expect_error(&path, &["missing column", "IVAR"]);
}

#[test]
fn spectra_of_sdss_five_are_named_by_catalogue() {
    let [object] = &objects(&made(FIVE))[..] else {
        panic!("one object");
    };
    assert_eq!(object.id, "015000-59202-27021597773849812");
    assert_eq!((object.ra, object.dec), (Some(145.5), Some(-0.25)));
    assert_eq!(object.flags["SDSS_ID"], "70350000");
    assert_eq!(scalar(object, "tok_z"), Some(0.125));
    assert!(
        spectrum(object, "tok_spectrum_sdss")
            .mask
            .iter()
            .all(|bad| !bad)
    );
    let options = ReadOptions {
        survey: Some(Survey::Desi),
        ..ReadOptions::default()
    };
    let as_desi = objects_with(&made(FIVE), &options).remove(0);
    assert_eq!(spectrum(&as_desi, "tok_spectrum_desi").flux.len(), 40);
}

#[test]
fn spectra_in_the_rest_frame_are_refused() {
    expect_error(
        &made("mwmStar-0.6.0-70350000.fits"),
        &["BOSS/APO", "Milky Way Mapper", "rest frame"],
    );
}

#[test]
fn damaged_spectra_never_panic() {
    let folder = Folder::new();
    for name in [PLATE, IMAGE, FIVE] {
        let bytes = fs::read(made(name)).unwrap();
        for step in 1..40 {
            let mut broken = bytes.clone();
            let at = step * 7919 % broken.len();
            broken[at] = broken[at].wrapping_add(97);
            let path = folder.write(name, &broken);
            if let Ok(objects) = aion_data::reader::read(&path, &ReadOptions::default()) {
                let messages = objects
                    .filter_map(Result::err)
                    .map(|error| error.to_string());
                assert!(messages.into_iter().all(|message| message.contains(name)));
            }
        }
    }
}
