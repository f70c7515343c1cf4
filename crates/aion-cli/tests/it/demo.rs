//! `aion demo` through the binary: what it prints, what it writes, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the demo on seeded random weights, whose answers are as many as a trained model's.
fn demo(output: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aion"))
        .arg("demo")
        .arg("--model")
        .arg(repository().join("fixtures/models/full"))
        .arg("--output")
        .arg(output)
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries
        .map(|entry| name(entry.expect("an entry")))
        .collect()
}

#[test]
fn the_report_is_complete_and_stands_alone() {
    let place = tempfile::tempdir().expect("a folder");
    let output = place.path().join("report");
    let run = demo(&output, &[]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(entries(place.path()), ["report"]);

    let summary: Value = serde_json::from_str(&read(output.join("demo.json"))).expect("JSON");
    let objects = summary["objects"].as_array().expect("objects");
    let simulated: Vec<&Value> = objects.iter().filter(|o| o["simulated"] == true).collect();
    assert!(objects.len() >= 46 && simulated.len() == 16);
    assert!(summary["provenance"]["aion.sha256"].as_str().is_some());
    for object in &simulated {
        assert!(
            object["object"]
                .as_str()
                .is_some_and(|id| id.starts_with("sim-"))
        );
        assert!(object["spectrum_chi2"].is_number() && object["redshift_true"].is_number());
    }
    for object in objects.iter().filter(|o| o["simulated"] == false) {
        assert!(
            object["source"]
                .as_str()
                .is_some_and(|source| !source.is_empty()),
            "{object}"
        );
        assert!(
            object["redshift"]
                .as_array()
                .is_some_and(|interval| interval.len() == 3)
        );
    }

    let printed = text(&run.stdout);
    for object in objects {
        let id = object["object"].as_str().expect("an identifier");
        let row = printed.lines().find(|line| line.starts_with(id));
        let row = row.unwrap_or_else(|| panic!("no row of {id} in\n{printed}"));
        assert_eq!(
            row.contains("simulated"),
            object["simulated"] == true,
            "{row}"
        );
        if object["redshift_true"].is_null() {
            assert!(row.contains("  – "), "{row}");
        }
    }

    let page = read(output.join("report.html"));
    for foreign in [
        "<script",
        "src=\"http",
        "href=\"http",
        "url(",
        "@import",
        "<link",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for section in [
        "objects",
        "images",
        "spectra",
        "predicted",
        "redshifts",
        "scatter",
        "ranges",
    ] {
        assert!(
            page.contains(&format!("<section id=\"{section}\"")),
            "{section}"
        );
    }
    assert_eq!(
        page.matches("<details class=\"card\"").count(),
        objects.len()
    );
    assert!(page.matches("mark simulated").count() > simulated.len());

    let figures = entries(&output.join("figures"));
    for kind in [
        ".png",
        "tok_spectrum_desi.svg",
        "-predicted.svg",
        "-redshift.svg",
        "redshifts.svg",
    ] {
        assert!(figures.iter().any(|name| name.ends_with(kind)), "{kind}");
    }
    for name in figures.iter().filter(|name| name.contains("sim-")) {
        assert!(name.contains("simulated"), "{name}");
        if name.ends_with(".svg") {
            assert!(
                read(output.join("figures").join(name)).contains("(simulated)"),
                "{name}"
            );
        }
    }
}

#[test]
fn own_tables_are_studied_and_an_earlier_report_is_replaced() {
    let place = tempfile::tempdir().expect("a folder");
    let output = place.path().join("report");
    let table = place.path().join("mine.csv");
    fs::write(&table, "object_id,FLUX_G,FLUX_R,FLUX_Z\na,1,2,3\nb,4,5,9\n").expect("written");
    for _ in 0..2 {
        let run = demo(
            &output,
            &["--json", "--input", &table.display().to_string()],
        );
        assert!(run.status.success(), "{}", text(&run.stderr));
        let printed: Value = serde_json::from_slice(&run.stdout).expect("JSON");
        assert_eq!(printed["objects"].as_array().map(Vec::len), Some(2));
        assert!(printed["objects"][0]["redshift_true"].is_null());
        assert!(printed["objects"][0]["redshift"][0].is_number());
    }
    let page = read(output.join("report.html"));
    assert!(!page.contains("mark simulated") && !page.contains("id=\"images\""));
    assert_eq!(entries(place.path()).len(), 2);
}

#[test]
fn what_is_not_ours_is_not_replaced_and_failures_leave_nothing() {
    let place = tempfile::tempdir().expect("a folder");
    let precious = place.path().join("precious");
    fs::create_dir(&precious).expect("made");
    fs::write(precious.join("notes.txt"), "mine").expect("written");
    let run = demo(&precious, &[]);
    assert_eq!(run.status.code(), Some(2));
    assert!(
        text(&run.stderr).contains("notes.txt"),
        "{}",
        text(&run.stderr)
    );
    assert_eq!(entries(&precious), ["notes.txt"]);

    let bad = place.path().join("bad.csv");
    fs::write(&bad, "object_id,FLUX_G\na,one\nb,2\n").expect("written");
    let output = place.path().join("report");
    let input = bad.display().to_string();
    let run = demo(&output, &["--input", &input]);
    assert_eq!(run.status.code(), Some(2));
    let message = text(&run.stderr);
    assert!(
        message.contains("bad.csv") && message.contains("FLUX_G"),
        "{message}"
    );
    assert!(!output.exists());

    let run = demo(&output, &["--input", &input, "--on-error", "skip"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("skipped") && output.join("report.html").exists());
    assert_eq!(entries(place.path()).len(), 3);
}

#[test]
fn real_spectra_and_images_are_studied() {
    let Some(samples) = std::env::var_os("AION_SAMPLES").map(PathBuf::from) else {
        return;
    };
    let place = tempfile::tempdir().expect("a folder");
    let spectrum = samples
        .join("sdss/spec-0266-51602-0107.fits")
        .display()
        .to_string();
    let image = samples.join("legacysurvey/ls_dr9_ra357.9087_dec-54.8817_grz_left160.fits");
    let image = image.display().to_string();
    let output = place.path().join("report");
    let run = demo(&output, &["--json", "--input", &spectrum, &image]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let printed: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert!(printed["objects"][0]["spectrum_chi2"].is_number());
    assert!(printed["objects"][1]["image_r2"].is_number());
    assert!(
        printed["objects"]
            .as_array()
            .is_some_and(|all| all.iter().all(|o| o["simulated"] == false))
    );
}
