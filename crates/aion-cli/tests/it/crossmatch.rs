//! `aion crossmatch` from outside: what it prints and writes, and what it refuses.

use std::fs;

use crate::run::{Outcome, Scratch, model};

/// Runs the command on two files of a scratch folder.
fn crossmatch(scratch: &Scratch, sides: [&str; 2], output: &str, more: &[&str]) -> Outcome {
    let [left, right] = sides.map(|name| scratch.path(name).display().to_string());
    let output = scratch.path(output).display().to_string();
    let mut arguments = vec!["crossmatch", &left, &right, "--output", &output];
    arguments.extend(more);
    scratch.aion(arguments)
}

/// Two catalogues with two objects in common.
fn catalogues() -> Scratch {
    let scratch = Scratch::new();
    let left = "object_id,ra,dec,FLUX_G,Z\na1,359.99999,10,1.5,0.5\na2,20,-89.99999,2.5,0.25\n\
                a3,50,0,3.5,0.75\n";
    let right =
        "source_id,ra,dec,phot_g_mean_flux\n1,0.00001,10,100\n2,200,-89.99999,200\n3,80,0,300\n";
    fs::write(scratch.path("a.csv"), left).expect("written");
    fs::write(scratch.path("b.csv"), right).expect("written");
    scratch
}

#[test]
fn pairs_are_reported_drawn_and_tokenised() {
    let scratch = catalogues();
    let plot = scratch.path("separations.svg").display().to_string();
    let more = ["--radius", "1", "--plot", &plot];
    let said = crossmatch(&scratch, ["a.csv", "b.csv"], "pairs.parquet", &more).success();
    for part in [
        "pairs.parquet: 2 pairs within 1 arcsec",
        "66.67 %",
        "median",
        "0.07",
    ] {
        assert!(said.stdout.contains(part), "`{part}` in {}", said.stdout);
    }
    let svg = fs::read_to_string(&plot).expect("a figure");
    assert!(svg.starts_with("<svg") && svg.contains("separation, arcsec"));

    let more = ["--radius", "1", "--json"];
    let said = crossmatch(&scratch, ["a.csv", "b.csv"], "pairs.csv", &more).success();
    let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(
        (&report["pairs"], &report["left"]["rows"]),
        (&2.into(), &3.into())
    );
    assert_eq!(report["radius_arcsec"], 1.0);
    let histogram = report["statistics"]["histogram"].as_array().expect("bins");
    let sum: u64 = histogram.iter().filter_map(|bin| bin.as_u64()).sum();
    assert_eq!(sum, 2);
    let text = fs::read_to_string(scratch.path("pairs.csv")).expect("pairs");
    let head = "left_object_id,right_object_id,separation_arcsec,left_ra,left_dec,left_FLUX_G,left_Z,\
                right_source_id,right_ra,right_dec,right_phot_g_mean_flux,ra,dec,_healpix_29";
    assert_eq!(text.lines().next(), Some(head));
    assert_eq!(text.lines().count(), 3);

    // One read gives the fused object: tokens of both sides in one row.
    for pairs in ["pairs.parquet", "pairs.csv"] {
        let (pairs, tokens) = (scratch.path(pairs), scratch.path("tokens.parquet"));
        let said = scratch
            .verb("tokenize", (&model("full"), &pairs, &tokens), &["--json"])
            .success();
        let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
        assert_eq!(report["objects"], 2);
        let ranges = report["ranges"].as_array().expect("ranges");
        let keys = ranges.iter().filter_map(|row| row["modality"].as_str());
        let keys: Vec<&str> = keys.collect();
        assert_eq!(keys, ["tok_flux_g", "tok_z", "tok_flux_g_gaia"]);
        fs::remove_file(tokens).expect("removed");
    }
}

#[test]
fn directories_globs_and_lists_are_sides() {
    let scratch = catalogues();
    fs::create_dir(scratch.path("side")).expect("made");
    fs::copy(scratch.path("b.csv"), scratch.path("side/b.csv")).expect("copied");
    fs::write(scratch.path("side/notes.csv"), "what,when\nx,y\n").expect("written");
    let said = crossmatch(&scratch, ["a.csv", "side"], "pairs.parquet", &[]).success();
    assert!(said.stderr.contains("notes.csv"), "{}", said.stderr);
    crossmatch(&scratch, ["a.csv", "side/b*"], "glob.parquet", &[]).success();
    let read = |name: &str| fs::read(scratch.path(name)).expect("pairs");
    assert!(
        read("pairs.parquet") == read("glob.parquet"),
        "the same pairs, the same bytes"
    );
}

#[test]
fn bad_rows_are_counted_and_listed() {
    let scratch = catalogues();
    let left = "object_id,ra,dec\na1,0,10\nsouth,3,-91\nnone,,\n";
    fs::write(scratch.path("a.csv"), left).expect("written");
    let said = crossmatch(&scratch, ["a.csv", "b.csv"], "pairs.parquet", &["--json"]).success();
    let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    let left = &report["left"];
    assert_eq!(
        (&left["bad"], &left["without_position"]),
        (&1.into(), &1.into())
    );
    assert_eq!(report["skipped"][0]["object"], "south");
    for part in ["a.csv", "object south", "field dec", "-91"] {
        assert!(said.stderr.contains(part), "`{part}` in {}", said.stderr);
    }
    fs::remove_file(scratch.path("pairs.parquet")).expect("removed");
    let fail = ["--on-error", "fail"];
    crossmatch(&scratch, ["a.csv", "b.csv"], "pairs.parquet", &fail).refused(&[
        "a.csv",
        "object south",
        "field dec",
    ]);
    assert_eq!(scratch.names(), ["a.csv", "b.csv"]);
}

#[test]
fn bad_input_is_refused() {
    let scratch = catalogues();
    fs::write(scratch.path("bare.csv"), "id,flux\n1,2\n").expect("written");
    fs::write(scratch.path("empty.csv"), "").expect("written");
    fs::write(scratch.path("list.csv"), "id,ra,dec\n1,2,3\n").expect("written");
    let before = scratch.names();
    let sides = ["a.csv", "b.csv"];
    let refused = |sides, output: &str, more: &[&str], named: &[&str]| {
        crossmatch(&scratch, sides, output, more).refused(named);
        assert_eq!(scratch.names(), before, "nothing is left behind");
    };
    refused(
        ["a.csv", "bare.csv"],
        "p.parquet",
        &[],
        &["bare.csv", "ra and dec", "flux"],
    );
    refused(["absent.csv", "b.csv"], "p.parquet", &[], &["absent.csv"]);
    refused(["a.csv", "empty.csv"], "p.parquet", &[], &["empty.csv"]);
    for radius in ["0", "-1", "nan", "1e9"] {
        refused(sides, "p.parquet", &["--radius", radius], &["radius"]);
    }
    refused(sides, "p.safetensors", &[], &["p.safetensors", ".parquet"]);
    refused(
        sides,
        "p.parquet",
        &["--epoch", "2016"],
        &["proper motions"],
    );
    refused(
        sides,
        "p.parquet",
        &["--right-epoch", "57388"],
        &["--right-epoch", "year"],
    );
    refused(
        sides,
        "p.parquet",
        &["--plot", "figure.png"],
        &["figure.png", ".svg"],
    );
    refused(sides, "p.parquet", &["--threads", "0"], &["--threads"]);
}
