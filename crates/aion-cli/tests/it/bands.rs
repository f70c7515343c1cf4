//! A checkpoint extended to a survey in bands of its own, used as any other.

use std::path::{Path, PathBuf};

use aion_data::described::SurveyDescription;
use aion_data::tensor_files::write_observations;
use aion_data::{Kind, Object};
use aion_simulate::Sky;

use crate::run::Scratch;

const RUN: &str = r#"
[run]
seed = 2
steps = 1
batch = 1
output = "elsewhere"
[data.simulated]
seed = 9
count = 8
[report]
objects = 1
[save]
checkpoint = "elsewhere"
[codec]
kind = "bands"
checkpoint = MODEL
[codec.survey]
name = "wide"
like = "legacy"
pixel_scale = 0.25
[[codec.survey.band]]
name = "WIDE-V"
zeropoint = 23.9
clip = 30.0
like = "DES-R"
optics = { edges = [5500.0, 9000.0], seeing = 0.5, depth = 25.0, electrons = 4e4 }
"#;

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/aion-tiny")
}

fn run_file(scratch: &Scratch, from: &str, to: &str) -> String {
    assert!(RUN.contains(from), "{from}");
    let text = RUN.replace(from, to);
    let text = text.replace("MODEL", &format!("{:?}", bundled()));
    let path = scratch.path("run.toml");
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// Two objects with an image by the survey and one by a published survey.
fn observations(path: &Path, run: &str) {
    let text = std::fs::read_to_string(run).expect("the run file");
    let table: toml::Table = text.parse().expect("TOML");
    let survey = table["codec"]["survey"].clone();
    let survey: SurveyDescription = survey.try_into().expect("a description");
    let id = survey.register().expect("valid");
    let sky = Sky::new(4).with_everything().with_described(vec![id]);
    let images = |index| {
        let mut object: Object = sky.object(index).object;
        let wanted = ["tok_image", id.key()];
        object
            .measurements
            .retain(|other, _| other.info().kind == Kind::Image && wanted.contains(&other.key()));
        object
    };
    let objects: Vec<Object> = (0..2).map(images).collect();
    write_observations(path, &objects, &Default::default()).expect("written");
}

#[test]
fn an_extended_checkpoint_is_used_as_any_other() {
    let scratch = Scratch::new();
    let run = run_file(&scratch, "seed = 2", "seed = 2");
    let extended = scratch.path("extended");
    let output = extended.display().to_string();
    let said = scratch.aion(["train", "codec", &run, "--output", &output]);
    let said = said.success().stdout;
    for part in [
        "Before training",
        "After training",
        "tok_image_wide",
        "WIDE-V",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let input = scratch.path("wide.safetensors");
    observations(&input, &run);
    let tokens = scratch.path("tokens.parquet");
    scratch
        .verb("tokenize", (&extended, &input, &tokens), &[])
        .success();
    let vectors = scratch.path("vectors.parquet");
    let pooled = ["--pool", "modality"];
    scratch
        .verb("embed", (&extended, &tokens, &vectors), &pooled)
        .success();
    let answers = scratch.path("answers.safetensors");
    let ask = [
        "--target",
        "tok_image_wide",
        "--without",
        "tok_image_wide",
        "--tokens",
    ];
    scratch
        .verb("predict", (&extended, &input, &answers), &ask)
        .success();
    let restored = scratch.path("restored.safetensors");
    scratch
        .verb("detokenize", (&extended, &answers, &restored), &[])
        .success();
    let said = scratch.aion(["inspect", &output]).success().stdout;
    assert!(
        said.contains("codecs/image_wide") && said.contains("tok_image_wide"),
        "{said}"
    );
    // To a checkpoint without the description, the survey is unknown.
    let base = (bundled(), scratch.path("none.parquet"));
    let other = scratch.verb("tokenize", (&base.0, &input, &base.1), &[]);
    other.refused(&["tok_image_wide", "unknown modality"]);
}

#[test]
fn descriptions_that_cannot_be_used_are_refused() {
    let scratch = Scratch::new();
    let output = scratch.path("extended");
    let output = output.display().to_string();
    for (from, to, named) in [
        ("\"DES-R\"", "\"DES-Q\"", "survey.wide.band.WIDE-V.like"),
        ("clip = 30.0", "clip = 0.0", "survey.wide.band.WIDE-V.clip"),
        ("\"wide\"", "\"hsc\"", "published survey"),
        ("pixel_scale", "pixelscale", "pixelscale"),
        ("MODEL", "\"nowhere\"", "nowhere/codecs/image"),
    ] {
        let run = run_file(&scratch, from, to);
        let said = scratch.aion(["train", "codec", &run, "--output", &output]);
        assert_ne!(said.code, 0, "{named}");
        assert!(said.stderr.contains(named), "{named}: {}", said.stderr);
    }
    assert!(!Path::new(&output).join("aion.toml").exists());
}
