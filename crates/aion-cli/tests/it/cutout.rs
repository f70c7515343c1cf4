//! `aion cutout` on small bricks written by astropy (`fixtures/surveys/make_images.py`).

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::run::{Outcome, Scratch, model};
use crate::tensors::{metadata, read};

fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/surveys/images");
    PathBuf::from(folder).join(name).display().to_string()
}

/// `aion cutout` on the fixtures' bricks, stamps of 96 pixels.
fn cut(scratch: &Scratch, table: &str, output: &str, more: &[&str]) -> Outcome {
    let (bricks, output) = (
        fixture("bricks"),
        scratch.path(output).display().to_string(),
    );
    let mut arguments = vec!["cutout", "--bricks", &bricks, "--table", table];
    arguments.extend(["--output", &output, "--size", "96"]);
    arguments.extend(more);
    scratch.aion(arguments)
}

#[test]
fn stamps_carry_the_catalogue_and_become_tokens() {
    let scratch = Scratch::new();
    let table = fixture("bricks/tractor-0000p000.fits");
    let left = scratch.path("left.csv").display().to_string();
    let more = ["--json", "--skipped", &left];
    let outcome = cut(&scratch, &table, "stamps.safetensors", &more).success();
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(
        (&report["objects"], &report["bricks"]),
        (&4.into(), &2.into())
    );
    assert_eq!(report["skipped_objects"], 3);
    assert_eq!(report["reasons"]["cut by an edge"], 2);
    assert_eq!(report["reasons"]["outside all images"], 1);
    assert_eq!(report["skipped"][2]["object"], "9010-330368-106");
    assert!(
        outcome.stderr.contains("skipped: object 9010-330368-103"),
        "{}",
        outcome.stderr
    );
    let listed = fs::read_to_string(&left).expect("the list");
    assert_eq!(listed.lines().count(), 4);
    assert!(
        listed.contains("9010-330368-104,cut by an edge,"),
        "{listed}"
    );

    let stamps = scratch.path("stamps.safetensors");
    let flux = read(&stamps, "tok_image/flux").expect("stamps");
    assert_eq!(flux.shape, [4, 3, 96, 96]);
    assert_eq!(
        metadata(&stamps, "tok_image/bands").as_deref(),
        Some("DES-G,DES-R,DES-Z")
    );
    assert_eq!(
        read(&stamps, "tok_flux_g/value").expect("fluxes").values,
        [1.0, 2.0, 3.0, 6.0]
    );
    let flags = metadata(&stamps, "flags").expect("flags");
    let flags: Value = serde_json::from_str(&flags).expect("JSON");
    let bricks = ["0000p000", "0000p000", "0000p000", "0001p000"];
    assert_eq!(flags["brick"], serde_json::json!(bricks));
    assert_eq!(metadata(&stamps, "aion.surveys").as_deref(), Some("legacy"));
    assert!(read(&stamps, "tok_ra/value").is_none());

    let tokens = scratch.path("tokens.parquet");
    scratch
        .verb("tokenize", (&model("full"), &stamps, &tokens), &[])
        .success();
    assert_eq!(
        scratch.names(),
        ["left.csv", "stamps.safetensors", "tokens.parquet"]
    );
}

#[test]
fn stamps_come_as_parquet_and_as_shards() {
    let scratch = Scratch::new();
    let table = fixture("bricks/positions.csv");
    for (name, more) in [
        ("stamps.parquet", vec![]),
        ("stamps", vec!["--bands", "gr"]),
    ] {
        let outcome = cut(&scratch, &table, name, &more).success();
        assert!(
            outcome.stdout.contains("4 objects from 2 bricks"),
            "{}",
            outcome.stdout
        );
        let left = "left out: 2 objects cut by an edge, 1 object outside all images";
        assert!(outcome.stdout.contains(left), "{}", outcome.stdout);
    }
    let shard = scratch.path("stamps/00000.safetensors");
    assert_eq!(
        read(&shard, "tok_image/flux").expect("stamps").shape,
        [4, 2, 96, 96]
    );
    assert!(
        fs::metadata(scratch.path("stamps.parquet"))
            .expect("a table")
            .len()
            > 1000
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let scratch = Scratch::new();
    let table = fixture("bricks/tractor-0000p000.fits");
    let run = |more: &[&str]| cut(&scratch, &table, "out.safetensors", more);
    run(&["--on-error", "fail"]).refused(&["9010-330368-103", "cut by an edge"]);
    run(&["--survey", "gaia"]).refused(&["only legacy and hsc"]);
    run(&["--survey", "hsc"]).refused(&["no brick image"]);
    run(&["--bands", "gi"]).refused(&["the band i"]);
    run(&["--threads", "0"]).refused(&["--threads"]);
    let bricks = fixture("bricks");
    let output = scratch.path("out.safetensors").display().to_string();
    let files = ["--bricks", &bricks, "--table", &table, "--output", &output];
    let small = ["cutout", "--size", "95"].into_iter().chain(files);
    scratch.aion(small).refused(&["--size", "95"]);
    let far = scratch.path("far.csv");
    fs::write(&far, "object_id,ra,dec\na,10,10\nb,11,95\n").expect("written");
    let outside = cut(&scratch, &far.display().to_string(), "out.safetensors", &[]);
    let outside = outside.refused(&["1 object outside all images", "1 object bad row"]);
    assert!(
        outside.stderr.contains("object b, field dec"),
        "{}",
        outside.stderr
    );
    let missing = scratch.path("nothing.csv").display().to_string();
    cut(&scratch, &missing, "out.safetensors", &[]).refused(&["nothing.csv"]);
    cut(&scratch, &table, "out.fits", &[]).refused(&["out.fits"]);
    assert_eq!(scratch.names(), ["far.csv"]);
}
