//! `aion simulate`: what it writes, refuses, and goes on with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::Scratch;

fn simulate(scratch: &Scratch, output: &str, more: &[&str]) -> crate::run::Outcome {
    let output = scratch.path(output).display().to_string();
    let mut arguments = vec!["simulate", "--output", &output, "--seed", "5"];
    arguments.extend(more);
    scratch.aion(arguments)
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    found
}

const SMALL: [&str; 4] = ["--objects", "400", "--surveys", "sdss,gaia"];

#[test]
fn a_sky_says_that_it_is_simulated() {
    let scratch = Scratch::new();
    let outcome = simulate(&scratch, "sky", &[&SMALL[..], &["--json"]].concat()).success();
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(report["simulated"], true);
    assert_eq!(report["rows"]["truth"], 400);
    assert!(report["rows"]["sdss"].as_u64() > Some(20));
    let sky = scratch.path("sky");
    let readme = fs::read_to_string(sky.join("README.md")).expect("a readme");
    assert!(readme.contains("Nothing here was observed"));
    for (path, bytes) in contents(&sky) {
        let text = String::from_utf8_lossy(&bytes);
        let bare = path.ends_with("partition_info.csv");
        assert!(bare || text.contains("simulat"), "{}", path.display());
    }
}

#[test]
fn an_interrupted_sky_is_gone_on_with() {
    let scratch = Scratch::new();
    let threads = [&SMALL[..], &["--threads", "2"]].concat();
    simulate(&scratch, "sky", &threads).success();
    let sky = scratch.path("sky");
    let whole = contents(&sky);
    // As if the process had been killed: no properties, a partition without its truth, half a file.
    let partition = |(path, _): &(&PathBuf, &Vec<u8>)| {
        path.starts_with(sky.join("truth")) && path.extension().is_some_and(|e| e == "parquet")
    };
    let (truth, _) = whole
        .iter()
        .find(partition)
        .expect("a partition of the truth");
    fs::remove_file(truth).expect("a file");
    fs::remove_file(sky.join("gaia/hats.properties")).expect("a file");
    fs::write(sky.join("gaia/dataset/.Npix=1.parquet.7-0.partial"), "PAR1").expect("a file");
    simulate(&scratch, "sky", &SMALL).refused(&["--resume"]);
    let other = ["--objects", "401", "--surveys", "sdss,gaia", "--resume"];
    simulate(&scratch, "sky", &other).refused(&["simulation.json", "settings"]);
    let resumed = [&SMALL[..], &["--resume", "--threads", "1"]].concat();
    simulate(&scratch, "sky", &resumed).success();
    assert!(contents(&sky) == whole, "the files differ");
}

#[test]
fn wrong_arguments_are_named() {
    let scratch = Scratch::new();
    for (more, named) in [
        (["--objects", "0"], "at least 1"),
        (["--area", "0"], "square degrees"),
        (["--surveys", "sdss,euclid"], "euclid"),
        (["--images", "maybe"], "maybe"),
    ] {
        let mut arguments = more.to_vec();
        if more[0] != "--objects" {
            arguments.extend(["--objects", "5"]);
        }
        let outcome = simulate(&scratch, "sky", &arguments);
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(named), "{}", outcome.stderr);
        assert!(scratch.names().is_empty());
    }
    simulate(&scratch, "nowhere", &[&SMALL[..], &["--resume"]].concat())
        .refused(&["simulation.json"]);
}
