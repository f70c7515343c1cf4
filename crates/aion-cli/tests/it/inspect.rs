//! What `aion inspect` says of checkpoints, observations and results.

use std::fs;

use crate::commands::photometry;
use crate::run::{Scratch, model};
use crate::tensors::Spectra;

#[test]
fn inspect_tells_what_is_there() {
    let scratch = Scratch::new();
    let inspect = |path: &std::path::Path| {
        let path = path.display().to_string();
        scratch.aion(["inspect", &path, "--json"])
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let checkpoint = json(&inspect(&model("full")).success().stdout);
    assert_eq!(checkpoint["config"]["dim"], 4);
    let parts = checkpoint["parts"].as_array().expect("parts");
    assert!(
        parts
            .iter()
            .all(|part| part["problem"].is_null() && part["sha256"].is_string())
    );
    let image = parts
        .iter()
        .find(|part| part["name"] == "codecs/image")
        .expect("a codec");
    assert_eq!(
        image["modalities"],
        serde_json::json!(["tok_image_hsc", "tok_image"])
    );

    let file = json(&inspect(&photometry(&scratch)).success().stdout);
    assert_eq!(file["files"][0]["objects"], 2);
    assert_eq!(file["files"][0]["modalities"][0]["modality"], "tok_flux_g");
    let mut spectra = Spectra::new(2, 300);
    spectra.ivar[..300].fill(0.0);
    spectra.write(&scratch.path("bad.safetensors"));
    let outcome = inspect(&scratch.path("bad.safetensors")).refused(&["bad.safetensors", "spec-0"]);
    assert_eq!(json(&outcome.stdout)["files"][0]["objects"], 1);
    let table = scratch
        .aion(["inspect", &model("plain").display().to_string()])
        .success();
    assert!(table.stdout.contains("checkpoint") && table.stdout.contains("transformer"));

    // Results of this program are told from damaged files.
    let output = scratch.path("embedding.safetensors");
    let input = photometry(&scratch);
    scratch
        .verb("embed", (&model("full"), &input, &output), &[])
        .success();
    let results = json(&inspect(&output).success().stdout);
    assert_eq!(results["files"][0]["kind"], "results");
    assert_eq!(results["files"][0]["columns"]["embedding"], "2x3x4");
}

#[test]
fn a_quality_report_says_what_would_be_fed() {
    let scratch = Scratch::new();
    let input = scratch.path("field.csv");
    let table = "object_id,ra,dec,FLUX_G,EBV
a,359.9,10.0,1.5,0.02
b,0.1,10.2,-4.0,0.01
a,0.2,10.1,2.5,0.03
c,0.3,95.0,2.5,0.03
d,0.4,10.4,,
";
    fs::write(&input, table).expect("written");
    let (input, map) = (input.display().to_string(), scratch.path("sky.svg"));
    let drawn = map.display().to_string();
    let model = model("full").display().to_string();
    let arguments = ["inspect", &input, "--model", &model, "--map", &drawn];
    let report = scratch.aion(arguments.iter().copied().chain(["--json"]));
    let report = report.refused(&["field.csv", "2 problems"]);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).expect("JSON");
    assert_eq!(report["objects"], 3);
    assert_eq!(report["duplicates"]["objects"], 1);
    assert_eq!(report["duplicates"]["first"][0], "a");
    let reasons = report["files"][0]["problems"].as_array().expect("a list");
    let texts: Vec<&str> = reasons.iter().filter_map(|r| r["first"].as_str()).collect();
    assert!(
        texts
            .iter()
            .any(|text| text.contains("object c") && text.contains("dec"))
    );
    assert!(
        texts
            .iter()
            .any(|text| text.contains("object d") && text.contains("empty"))
    );
    // A negative flux lies below the floor of the logarithmic codebook.
    let range = |key: &str| {
        let ranges = report["ranges"].as_array().expect("a list");
        let found = ranges.iter().find(|range| range["modality"] == key);
        found.map(|range| range["outside"].as_u64().unwrap_or_default())
    };
    assert!(range("tok_flux_g").is_some_and(|outside| outside >= 1));
    let not_fed = report["not_fed"].as_array().expect("a list");
    assert_eq!(
        range("tok_ebv").is_none(),
        not_fed.iter().any(|key| key == "tok_ebv")
    );
    let cells = report["sky"]["cells"].as_array().expect("a list");
    let counted: u64 = cells.iter().filter_map(|cell| cell[1].as_u64()).sum();
    assert_eq!(counted, 3);
    let svg = fs::read_to_string(&map).expect("a map");
    assert!(svg.contains("3 objects") && svg.contains("right ascension"));

    let text = scratch.aion(arguments).refused(&["2 problems"]).stdout;
    for part in ["sky: ", "duplicates: 1", "fed, and how much", "masked"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Nothing to draw.
    let nowhere = scratch.path("nowhere.csv");
    fs::write(&nowhere, "object_id,FLUX_G\na,1.0\n").expect("written");
    let nowhere = nowhere.display().to_string();
    scratch
        .aion(["inspect", &nowhere, "--map", &drawn])
        .refused(&["sky.svg", "position"]);
}
