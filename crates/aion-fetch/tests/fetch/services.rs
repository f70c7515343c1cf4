//! What each survey's services are asked, and what becomes of their answers.

use aion_data::{Measurement, ModalityId, Survey};
use aion_fetch::{Credentials, FetchError, Status, Target};

use crate::answers;
use crate::server::Reply;
use crate::work::{Work, at, objects};

const HERE: (f64, f64) = (187.70593, 12.39112);

fn modality(key: &str) -> ModalityId {
    ModalityId::from_key(key).expect("a modality")
}

#[test]
fn legacy_cutouts_are_fetched_and_read() {
    let work = Work::new(|_, _| Reply::ok(answers::legacy(HERE, 0.5)));
    let outcome = work.one(Survey::LegacySurvey, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    assert_eq!(work.files(), ["legacy/m87.fits", "manifest.jsonl"]);
    let object = objects(&work.path("legacy/m87.fits")).remove(0);
    let Some(Measurement::Image(image)) = object.get(modality("tok_image")) else {
        panic!("no image");
    };
    assert_eq!(
        (image.bands.len(), image.height, image.width),
        (4, 160, 160)
    );
    assert!(image.ivar.is_some());
    let asked = work.server.asked().remove(0);
    assert_eq!(asked.path, "/viewer/cutout.fits");
    for (name, expected) in [
        ("ra", "187.70593"),
        ("dec", "12.39112"),
        ("layer", "ls-dr10"),
        ("pixscale", "0.262"),
        ("size", "160"),
        ("bands", "griz"),
        ("invvar", "1"),
    ] {
        assert_eq!(asked.parameter(name), expected, "{name}");
    }
    assert!(asked.headers["user-agent"].starts_with("aion/"));
    let manifest = std::fs::read_to_string(work.path("manifest.jsonl")).expect("a manifest");
    let record: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(record["status"], "fetched");
    assert_eq!(record["files"][0]["path"], "legacy/m87.fits");
    assert_eq!(record["objects"][0], "m87");
    assert!(
        record["acknowledgement"]
            .as_str()
            .is_some_and(|text| text.contains("CC BY"))
    );
    assert!(
        record["addresses"][0]
            .as_str()
            .is_some_and(|text| text.contains("ls-dr10"))
    );
}

#[test]
fn places_outside_the_survey_are_absent() {
    let work = Work::new(|_, _| Reply::ok(answers::legacy(HERE, 0.0)));
    let outcome = work.one(Survey::LegacySurvey, at(HERE.0, HERE.1));
    assert!(matches!(outcome.status, Status::Absent(reason) if reason.contains("every pixel")));
    assert_eq!(work.files(), ["manifest.jsonl"]);
}

#[test]
fn hsc_bands_come_one_file_each_with_the_account() {
    let mut work = Work::new(|asked, _| match asked.parameter("filter") {
        // No data of this band here.
        "HSC-Y" => Reply::status(404, "no such image"),
        filter => Reply::ok(answers::hsc(HERE, filter)),
    });
    work.access.credentials = Some(Credentials {
        user: "me".into(),
        password: "secret".into(),
    });
    let outcome = work.one(Survey::Hsc, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    let expected = ["g", "i", "r", "z"].map(|band| format!("hsc/m87_{band}.fits"));
    assert_eq!(work.files()[..4], expected);
    let object = objects(&work.path("hsc/m87_g.fits")).remove(0);
    let Some(Measurement::Image(image)) = object.get(modality("tok_image_hsc")) else {
        panic!("no image");
    };
    assert_eq!(image.bands, ["HSC-G", "HSC-R", "HSC-I", "HSC-Z"]);
    let asked = work.server.asked();
    assert_eq!(asked.len(), 5);
    for asked in asked {
        assert_eq!(asked.headers["authorization"], "Basic bWU6c2VjcmV0");
        assert_eq!(asked.parameter("mask"), "on");
        assert_eq!(asked.parameter("variance"), "on");
        assert_eq!(asked.parameter("rerun"), "pdr3_wide");
    }
    let manifest = std::fs::read_to_string(work.path("manifest.jsonl")).expect("a manifest");
    assert!(!manifest.contains("secret") && !manifest.contains("bWU6"));
}

#[test]
fn a_wrong_or_missing_account_ends_the_run() {
    let mut work = Work::new(|_, _| Reply::status(401, "who are you"));
    let targets = || -> Vec<Target> {
        (0..4)
            .map(|n| Target::named(&format!("t{n}"), f64::from(n), 0.0).expect("a target"))
            .collect()
    };
    let outcomes = work.fetch(Survey::Hsc, targets());
    assert_eq!(work.server.asked().len(), 0);
    assert!(matches!(&outcomes[0].status, Status::Failed(reason) if reason.contains("account")));
    work.access.credentials = Some(Credentials {
        user: "me".into(),
        password: "wrong".into(),
    });
    let outcomes = work.fetch(Survey::Hsc, targets());
    assert_eq!(work.server.asked().len(), 1, "refused once is enough");
    for outcome in &outcomes {
        assert!(matches!(&outcome.status, Status::Failed(reason)
            if reason.contains("401") && !reason.contains("wrong")));
    }
}

#[test]
fn sdss_spectra_are_looked_up_and_fetched() {
    let work = Work::new(|asked, _| {
        if asked.path == "/dr17/sql" {
            let row = "7339,56783,735,v5_13_2,187.70590,12.39110\n";
            return Reply::ok(answers::skyserver(row));
        }
        Reply::ok(answers::sdss((7339, 56783, 735), HERE))
    });
    let outcome = work.one(Survey::Sdss, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    assert_eq!(outcome.object.as_deref(), Some("7339-56783-0735"));
    let asked = work.server.asked();
    let sql = asked[0].parameter("cmd");
    assert!(
        sql.contains("fGetNearestSpecObjEq(187.70593, 12.39112, 0.0333"),
        "{sql}"
    );
    assert_eq!(asked[0].parameter("format"), "csv");
    // A reduction of eBOSS lies under another project.
    assert_eq!(
        asked[1].path,
        "/sas/dr17/eboss/v5_13_2/7339/spec-7339-56783-0735.fits"
    );
    let object = objects(&work.path("sdss/m87.fits")).remove(0);
    assert!(object.get(modality("tok_spectrum_sdss")).is_some());
}

#[test]
fn sdss_identifiers_and_old_reductions_work() {
    let work = Work::new(|asked, _| {
        if asked.path == "/dr17/sql" {
            return Reply::ok(answers::skyserver("266,51630,23,26,145.5,-0.25\n"));
        }
        Reply::ok(answers::sdss((266, 51630, 23), (145.5, -0.25)))
    });
    let target = Target::identified("266-51630-23").expect("a target");
    assert_eq!(work.one(Survey::Sdss, target).status, Status::Fetched);
    let asked = work.server.asked();
    assert!(
        asked[0]
            .parameter("cmd")
            .contains("s.plate = 266 AND s.mjd = 51630")
    );
    assert_eq!(
        asked[1].path,
        "/sas/dr17/sdss/26/0266/spec-0266-51630-0023.fits"
    );
    assert_eq!(work.files(), ["manifest.jsonl", "sdss/266-51630-23.fits"]);
}

#[test]
fn another_spectrum_than_asked_for_is_refused() {
    let work = Work::new(|asked, _| {
        if asked.path == "/dr17/sql" {
            return Reply::ok(answers::skyserver("266,51630,23,26,145.5,-0.25\n"));
        }
        Reply::ok(answers::sdss((266, 51630, 24), (145.5, -0.25)))
    });
    let outcome = work.one(Survey::Sdss, at(145.5, -0.25));
    assert!(matches!(outcome.status, Status::Failed(reason)
        if reason.contains("0266-51630-0023") && reason.contains("0266-51630-0024")));
    assert_eq!(work.files(), ["manifest.jsonl"]);
}

#[test]
fn no_spectrum_nearby_is_absent() {
    let work = Work::new(|_, _| Reply::ok(answers::skyserver("")));
    let outcome = work.one(Survey::Sdss, at(HERE.0, HERE.1));
    assert!(matches!(outcome.status, Status::Absent(reason) if reason.contains("2 arcsec")));
}

const STAR: u64 = 4_295_806_720_123;

#[test]
fn gaia_rows_and_coefficients_are_joined() {
    let work = Work::new(|asked, _| match asked.path.as_str() {
        "/tap/sync" => Reply::ok(answers::gaia_source(STAR, HERE, "true")),
        _ => Reply::ok(answers::gaia_xp(STAR)),
    });
    let outcome = work.one(Survey::Gaia, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    assert_eq!(outcome.object, Some(STAR.to_string()));
    let object = objects(&work.path("gaia/m87.csv")).remove(0);
    assert_eq!(object.scalar(modality("tok_parallax")), Some(7.5));
    assert_eq!(object.scalar(modality("tok_flux_g_gaia")), Some(1000.5));
    for (key, first) in [("tok_xp_bp", 100.0), ("tok_xp_rp", 200.0)] {
        let Some(Measurement::Coefficients(values)) = object.get(modality(key)) else {
            panic!("no {key}");
        };
        assert_eq!((values.len(), values[0]), (55, first));
    }
    let asked = work.server.asked();
    let adql = asked[0].parameter("QUERY");
    assert!(adql.contains("gaiadr3.gaia_source") && adql.contains("CIRCLE(187.70593, 12.39112,"));
    assert_eq!(asked[1].parameter("RETRIEVAL_TYPE"), "XP_CONTINUOUS");
    assert_eq!(asked[1].parameter("ID"), STAR.to_string());
    assert_eq!(asked[1].parameter("DATA_STRUCTURE"), "RAW");
}

#[test]
fn gaia_sources_without_coefficients_are_kept_and_archives_unpacked() {
    let work = Work::new(|_, _| Reply::ok(answers::gaia_source(STAR, HERE, "false")));
    let target = Target::identified(&STAR.to_string()).expect("a target");
    assert_eq!(work.one(Survey::Gaia, target).status, Status::Fetched);
    let asked = work.server.asked();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0]
            .parameter("QUERY")
            .contains(&format!("source_id = {STAR}"))
    );

    let work = Work::new(|asked, _| match asked.path.as_str() {
        "/tap/sync" => Reply::ok(answers::gaia_source(STAR, HERE, "True")),
        _ => {
            let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            let options = zip::write::SimpleFileOptions::default();
            archive
                .start_file("XP_CONTINUOUS_RAW.csv", options)
                .expect("a file");
            let xp = answers::gaia_xp(STAR);
            std::io::Write::write_all(&mut archive, xp.as_bytes()).expect("written");
            Reply::ok(archive.finish().expect("an archive").into_inner())
        }
    });
    assert_eq!(
        work.one(Survey::Gaia, at(HERE.0, HERE.1)).status,
        Status::Fetched
    );
    let object = objects(&work.path("gaia/m87.csv")).remove(0);
    assert!(object.get(modality("tok_xp_bp")).is_some());
}

#[test]
fn promised_coefficients_that_do_not_come_are_an_error() {
    let work = Work::new(|asked, _| match asked.path.as_str() {
        "/tap/sync" => Reply::ok(answers::gaia_source(STAR, HERE, "true")),
        _ => Reply::ok(answers::gaia_xp(STAR + 1)),
    });
    let outcome = work.one(Survey::Gaia, at(HERE.0, HERE.1));
    assert!(matches!(outcome.status, Status::Failed(reason) if reason.contains("DataLink")));
}

#[test]
fn desi_spectra_become_observations() {
    const TARGET: i64 = 39_627_788_403_084_375;
    let work = Work::new(|asked, _| match asked.path.as_str() {
        "/sparc/find/" => Reply::ok(answers::sparcl_found(&[
            // Nearer, but not the best spectrum of the target; and one too far away.
            ("not-primary", HERE.0, HERE.1, false),
            ("primary", HERE.0, HERE.1 + 1e-4, true),
            ("corner", HERE.0, HERE.1 + 9e-4, true),
        ])),
        _ => Reply::ok(answers::sparcl_spectrum(TARGET, HERE, 0)),
    });
    let outcome = work.one(Survey::Desi, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    let object = objects(&work.path("desi/m87.safetensors")).remove(0);
    assert_eq!(object.id, TARGET.to_string());
    assert_eq!(object.scalar(modality("tok_z")), Some(0.25));
    assert_eq!(object.flags["SPECTYPE"], "GALAXY");
    let Some(Measurement::Spectrum(spectrum)) = object.get(modality("tok_spectrum_desi")) else {
        panic!("no spectrum");
    };
    assert_eq!(spectrum.flux.len(), 7781);
    assert_eq!(spectrum.wavelength[7780], 9824.0);
    // No weight, and a flag of the pipeline.
    assert_eq!(spectrum.mask[..3], [true, true, false]);
    let asked = work.server.asked();
    assert_eq!(asked[0].method, "POST");
    let find: serde_json::Value = serde_json::from_str(&asked[0].body).expect("JSON");
    assert_eq!(find["search"][0][0], "ra");
    assert_eq!(
        find["search"][2],
        serde_json::json!(["data_release", "DESI-DR1"])
    );
    assert_eq!(asked[1].body, "[\"primary\"]");
    assert_eq!(asked[1].parameter("format"), "json");
}

#[test]
fn doubtful_redshifts_are_flags_only_and_ra_wraps() {
    let work = Work::new(|asked, _| match asked.path.as_str() {
        "/sparc/find/" if asked.body.contains("[\"ra\",359.99") => {
            Reply::ok(answers::sparcl_found(&[("x", 359.9999, 0.0, true)]))
        }
        "/sparc/find/" => Reply::ok(answers::sparcl_found(&[])),
        _ => Reply::ok(answers::sparcl_spectrum(7, (359.9999, 0.0), 4)),
    });
    assert_eq!(
        work.one(Survey::Desi, at(0.0001, 0.0)).status,
        Status::Fetched
    );
    assert_eq!(work.server.asked().len(), 3);
    let object = objects(&work.path("desi/m87.safetensors")).remove(0);
    assert_eq!(object.scalar(modality("tok_z")), None);
    assert_eq!(object.flags["ZWARN"], "4");
}

#[test]
fn desi_targets_are_found_by_identifier() {
    let work = Work::new(|_, _| Reply::ok(answers::sparcl_found(&[])));
    let target = Target::identified("39627788403084375").expect("a target");
    assert!(matches!(
        work.one(Survey::Desi, target).status,
        Status::Absent(_)
    ));
    assert!(
        work.server.asked()[0]
            .body
            .contains("[\"specid\",39627788403084375]")
    );
}

#[test]
fn what_a_survey_cannot_be_asked_is_refused_before_asking() {
    let mut work = Work::new(|_, _| Reply::ok(""));
    let target = || vec![Target::identified("123").expect("a target")];
    for survey in [Survey::LegacySurvey, Survey::Hsc] {
        let error = work.try_fetch(survey, target()).expect_err("refused");
        assert!(matches!(&error, FetchError::Target(reason) if reason.contains("position")));
    }
    work.radius = Some(3.0);
    let error = work.try_fetch(Survey::LegacySurvey, vec![at(1.0, 2.0)]);
    assert!(error.expect_err("refused").to_string().contains("radius"));
    work.radius = Some(1e6);
    assert!(work.try_fetch(Survey::Gaia, vec![at(1.0, 2.0)]).is_err());
    assert_eq!(work.server.asked().len(), 0);
}
