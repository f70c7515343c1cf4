//! Bad input: one typed error that names file, object and field, and nothing left behind.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Outcome, Scratch, model};
use crate::tensors::{Spectra, Tensors, images, pattern, read};

/// Runs `aion tokenize` on inputs of a scratch folder.
fn tokenize(scratch: &Scratch, input: &str, more: &[&str]) -> Outcome {
    let (input, output) = (scratch.path(input), scratch.path("out.safetensors"));
    scratch.verb("tokenize", (&model("full"), &input, &output), more)
}

/// Checks that `input` is refused with a line that names all of `named`, and leaves nothing behind.
#[track_caller]
fn refused(scratch: &Scratch, input: &str, named: &[&str]) {
    let before = scratch.names();
    tokenize(scratch, input, &[]).refused(named);
    assert_eq!(scratch.names(), before, "nothing is left behind");
}

/// Checks that skipping keeps `kept` objects of `input` and lists all of `named`, on stderr and in JSON.
#[track_caller]
fn skipped(scratch: &Scratch, input: &str, kept: usize, named: &[&str]) {
    let outcome = tokenize(scratch, input, &["--on-error", "skip", "--json"]).success();
    let line = outcome
        .stderr
        .lines()
        .find(|line| line.starts_with("skipped: "));
    let line = line.expect("a list of what was skipped");
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let listed = report["skipped"][0].to_string();
    for name in named {
        assert!(
            line.contains(name) && listed.contains(name),
            "{name} in {line} and {listed}"
        );
    }
    assert_eq!(report["objects"], kept);
    let output = scratch.path("out.safetensors");
    let name = crate::tensors::names(&output)
        .into_iter()
        .find(|name| name.starts_with("tok_"));
    let tokens = read(&output, &name.expect("tokens")).expect("tokens");
    assert_eq!(tokens.shape[0], kept);
    fs::remove_file(output).expect("removed");
}

#[test]
fn images_below_96_pixels() {
    let scratch = Scratch::new();
    images(7, 1, 80).write(&scratch.path("small.safetensors"));
    refused(
        &scratch,
        "small.safetensors",
        &["small.safetensors", "object 7", "tok_image/flux", "96"],
    );
    tokenize(&scratch, "small.safetensors", &["--pad"]).success();
    fs::remove_file(scratch.path("out.safetensors")).expect("removed");
    images(8, 2, 96).write(&scratch.path("large.safetensors"));
    skipped(
        &scratch,
        "*.safetensors",
        2,
        &["small.safetensors", "7", "tok_image/flux"],
    );
}

#[test]
fn bands_that_are_unknown_or_not_given() {
    let scratch = Scratch::new();
    images(0, 1, 96)
        .note("tok_image/bands", "DES-G,DES-R,DES-Q")
        .write(&scratch.path("q.safetensors"));
    refused(
        &scratch,
        "q.safetensors",
        &["q.safetensors", "object 0", "tok_image/bands", "DES-Q"],
    );
    let flux = pattern(3 * 96 * 96, 0);
    Tensors::new()
        .f32("tok_image/flux", &[1, 3, 96, 96], flux)
        .write(&scratch.path("no.safetensors"));
    refused(
        &scratch,
        "no.safetensors",
        &["no.safetensors", "tok_image/bands", "missing"],
    );
}

#[test]
fn values_without_information() {
    let scratch = Scratch::new();
    let mut spectra = Spectra::new(3, 400);
    spectra.flux[400..800].fill(f32::NAN);
    spectra.write(&scratch.path("nan.safetensors"));
    let named = ["nan.safetensors", "spec-1", "tok_spectrum_sdss/flux"];
    refused(&scratch, "nan.safetensors", &named);
    skipped(&scratch, "nan.safetensors", 2, &named);

    let mut spectra = Spectra::new(3, 400);
    spectra.ivar[800..].fill(0.0);
    spectra.ivar[800] = -1.0;
    spectra.write(&scratch.path("ivar.safetensors"));
    let named = ["ivar.safetensors", "spec-2", "tok_spectrum_sdss/ivar"];
    refused(&scratch, "ivar.safetensors", &named);
    skipped(&scratch, "ivar.safetensors", 2, &named);

    let mut pixels = pattern(2 * 96 * 96, 0);
    pixels[..96 * 96].fill(f32::NAN);
    Tensors::new()
        .f32("tok_image/flux", &[2, 1, 96, 96], pixels)
        .note("tok_image/bands", "DES-G")
        .write(&scratch.path("image.safetensors"));
    refused(
        &scratch,
        "image.safetensors",
        &["image.safetensors", "object 0", "tok_image/flux"],
    );
}

#[test]
fn wavelengths_out_of_order_or_of_another_length() {
    let scratch = Scratch::new();
    let mut spectra = Spectra::new(2, 400);
    spectra.wavelength.swap(5, 6);
    spectra.write(&scratch.path("order.safetensors"));
    let named = [
        "order.safetensors",
        "spec-0",
        "tok_spectrum_sdss/wavelength",
    ];
    refused(&scratch, "order.safetensors", &named);
    skipped(&scratch, "order.safetensors", 1, &named);
    Tensors::new()
        .f32("tok_spectrum_sdss/flux", &[1, 400], pattern(400, 0))
        .f32("tok_spectrum_sdss/ivar", &[1, 400], vec![1.0; 400])
        .f32("tok_spectrum_sdss/wavelength", &[1, 399], pattern(399, 0))
        .write(&scratch.path("length.safetensors"));
    let named = ["length.safetensors", "tok_spectrum_sdss/wavelength", "399"];
    refused(&scratch, "length.safetensors", &named);
}

#[test]
fn fields_that_disagree_and_modalities_that_are_unknown() {
    let scratch = Scratch::new();
    Tensors::new()
        .f32("tok_z/value", &[3, 1], vec![0.1, 0.2, 0.3])
        .f32("tok_flux_g/value", &[2, 1], vec![1.0, 2.0])
        .write(&scratch.path("rows.safetensors"));
    refused(
        &scratch,
        "rows.safetensors",
        &["rows.safetensors", "/value", "rows"],
    );
    Tensors::new()
        .f32("tok_radio/value", &[1, 1], vec![1.0])
        .write(&scratch.path("radio.safetensors"));
    refused(
        &scratch,
        "radio.safetensors",
        &["radio.safetensors", "tok_radio", "unknown modality"],
    );
}

#[test]
fn tokens_that_no_model_can_take() {
    let scratch = Scratch::new();
    let output = scratch.path("out.safetensors");
    let embed = |input: &str, more: &[&str]| {
        scratch.verb(
            "embed",
            (&model("full"), &scratch.path(input), &output),
            more,
        )
    };
    Tensors::new()
        .i64("tok_z", &[2, 1], vec![3, 1025])
        .i64("object_id", &[2], vec![40, 41])
        .write(&scratch.path("outside.safetensors"));
    let named = ["outside.safetensors", "object 41", "tok_z", "1025"];
    embed("outside.safetensors", &[]).refused(&named);
    assert!(!output.exists());
    embed("outside.safetensors", &["--on-error", "skip"]).success();
    assert_eq!(
        read(&output, "embedding").expect("an embedding").shape,
        [1, 1, 4]
    );
    fs::remove_file(&output).expect("removed");

    Tensors::new()
        .i64("tok_xp_bp", &[1, 54], vec![0; 54])
        .write(&scratch.path("count.safetensors"));
    embed("count.safetensors", &[]).refused(&["count.safetensors", "tok_xp_bp", "54", "55"]);
    Tensors::new()
        .i64("tok_radio", &[1, 1], vec![0])
        .write(&scratch.path("radio.safetensors"));
    embed("radio.safetensors", &[]).refused(&[
        "radio.safetensors",
        "tok_radio",
        "unknown modality",
    ]);

    // A modality that this model was not trained on.
    Tensors::new()
        .i64("tok_flux_w1", &[2, 1], vec![-1, 2])
        .i64("tok_z", &[2, 1], vec![1, 1])
        .i64("object_id", &[2], vec![50, 51])
        .write(&scratch.path("foreign.safetensors"));
    let foreign = scratch.path("foreign.safetensors");
    let causal = |more: &[&str]| scratch.verb("embed", (&model("causal"), &foreign, &output), more);
    causal(&[]).refused(&[
        "foreign.safetensors",
        "object 51",
        "tok_flux_w1",
        "does not take",
    ]);
    let kept = causal(&["--on-error", "skip"]).success();
    assert!(kept.stderr.contains("object 51"), "{}", kept.stderr);
    causal(&["--without", "tok_flux_w1"]).success();
    assert_eq!(
        read(&output, "embedding").expect("an embedding").shape[0],
        2
    );
}

#[test]
fn targets_that_are_unknown() {
    let scratch = Scratch::new();
    let input = scratch.path("z.safetensors");
    Tensors::new().i64("tok_z", &[1, 1], vec![3]).write(&input);
    let output = scratch.path("out.safetensors");
    let predict = |model_name: &str, target: &str| {
        let paths = (model(model_name), input.clone(), output.clone());
        scratch.verb(
            "predict",
            (&paths.0, &paths.1, &paths.2),
            &["--target", target],
        )
    };
    // Refused before any input is read.
    let outcome = predict("full", "tok_radio");
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("tok_radio") && outcome.stderr.contains("tok_parallax"));
    predict("causal", "tok_image").refused(&["tok_image", "predicts", "tok_xp_bp"]);
    predict("full", "catalog").refused(&["catalog", "sequence"]);
    assert!(!output.exists());
}

/// Cuts a file short, and writes nonsense into the middle of a copy.
fn spoil(path: &Path, scratch: &Scratch, kept: usize) -> [PathBuf; 2] {
    let bytes = fs::read(path).expect("a file");
    let extension = path.extension().expect("an extension").to_string_lossy();
    let truncated = scratch.path(&format!("truncated.{extension}"));
    fs::write(&truncated, &bytes[..kept]).expect("written");
    let corrupted = scratch.path(&format!("corrupted.{extension}"));
    let mut bytes = bytes;
    bytes[20..200].fill(0xfe);
    fs::write(&corrupted, bytes).expect("written");
    [truncated, corrupted]
}

#[test]
fn truncated_and_corrupted_files() {
    let scratch = Scratch::new();
    images(0, 1, 96).write(&scratch.path("good.safetensors"));
    spoil(&scratch.path("good.safetensors"), &scratch, 5000);
    refused(
        &scratch,
        "truncated.safetensors",
        &["truncated.safetensors", "safetensors"],
    );
    refused(
        &scratch,
        "corrupted.safetensors",
        &["corrupted.safetensors"],
    );
    fs::write(scratch.path("cutout.fits"), cutout(100)).expect("written");
    let whole = tokenize(&scratch, "cutout.fits", &[]).success();
    assert!(whole.stdout.contains("tok_image"), "{}", whole.stdout);
    fs::remove_file(scratch.path("out.safetensors")).expect("removed");
    spoil(&scratch.path("cutout.fits"), &scratch, 2880 + 40_000);
    refused(&scratch, "truncated.fits", &["truncated.fits"]);
    refused(&scratch, "corrupted.fits", &["corrupted.fits"]);
    // The good files among them are kept.
    let skip = ["--on-error", "skip"];
    tokenize(&scratch, "*.fits", &skip).success();
    let tokens = read(&scratch.path("out.safetensors"), "tok_image").expect("tokens");
    assert_eq!(tokens.shape, [1, 576]);
}

/// A Legacy Survey cutout in g, r, i, z of `side` pixels.
fn cutout(side: usize) -> Vec<u8> {
    let cards = [
        "SIMPLE  =                    T".to_owned(),
        "BITPIX  =                  -32".to_owned(),
        "NAXIS   =                    3".to_owned(),
        format!("NAXIS1  = {side:>20}"),
        format!("NAXIS2  = {side:>20}"),
        "NAXIS3  =                    4".to_owned(),
        "BANDS   = 'griz    '".to_owned(),
        "END".to_owned(),
    ];
    let mut bytes: Vec<u8> = cards
        .iter()
        .flat_map(|card| format!("{card:<80}").into_bytes())
        .collect();
    bytes.resize(2880, b' ');
    let pixels = pattern(4 * side * side, 1);
    bytes.extend(pixels.iter().flat_map(|pixel| pixel.to_be_bytes()));
    bytes.resize(bytes.len().next_multiple_of(2880), 0);
    bytes
}

/// A copy of a checkpoint.
fn copy_of(name: &str, scratch: &Scratch) -> PathBuf {
    let copy = scratch.path("model");
    fs::create_dir_all(&copy).expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(model(name).join(file), copy.join(file)).expect("copied");
    }
    copy
}

#[test]
fn checkpoints_that_are_not_whole() {
    let scratch = Scratch::new();
    let input = scratch.path("z.safetensors");
    Tensors::new().i64("tok_z", &[1, 1], vec![3]).write(&input);
    let output = scratch.path("out.safetensors");
    let copy = copy_of("plain", &scratch);
    let embed = || scratch.verb("embed", (&copy, &input, &output), &[]);
    embed().success();
    fs::remove_file(&output).expect("removed");

    let config = fs::read_to_string(copy.join("config.json")).expect("a configuration");
    fs::write(
        copy.join("config.json"),
        config.replacen('{', "{\"dimension\": 8,", 1),
    )
    .expect("written");
    embed().refused(&["config.json", "dimension"]);
    fs::write(copy.join("config.json"), config).expect("written");

    let weights = fs::read(copy.join("model.safetensors")).expect("weights");
    let tensors = safetensors::SafeTensors::deserialize(&weights).expect("tensors");
    let kept = tensors.iter().filter(|(name, _)| *name != "mask_token");
    let bytes = safetensors::serialize(kept, None).expect("tensors");
    fs::write(copy.join("model.safetensors"), bytes).expect("written");
    embed().refused(&["model.safetensors", "missing", "mask_token"]);
    fs::write(
        copy.join("model.safetensors"),
        &weights[..weights.len() / 2],
    )
    .expect("written");
    embed().refused(&["model.safetensors"]);
    assert!(!output.exists());

    let gone = scratch.path("gone");
    scratch
        .verb("embed", (&gone, &input, &output), &[])
        .refused(&["gone", "no such folder"]);
}

#[test]
fn nothing_to_do() {
    let scratch = Scratch::new();
    fs::write(scratch.path("empty.csv"), "").expect("written");
    refused(&scratch, "empty.csv", &["empty.csv", "no objects"]);
    fs::write(scratch.path("heading.csv"), "object_id,FLUX_G\n").expect("written");
    refused(&scratch, "heading.csv", &["heading.csv", "no objects"]);
    Tensors::new().write(&scratch.path("empty.safetensors"));
    refused(
        &scratch,
        "empty.safetensors",
        &["empty.safetensors", "no objects"],
    );
    fs::create_dir(scratch.path("folder")).expect("a folder");
    refused(&scratch, "folder", &["folder", "no objects"]);
    refused(&scratch, "absent.fits", &["absent.fits"]);
    refused(
        &scratch,
        "absent*.fits",
        &["absent*.fits", "matches no file"],
    );
    // Skipping everything is no result either.
    let outcome = tokenize(&scratch, "empty.csv", &["--on-error", "skip"]);
    outcome.refused(&["no objects"]);
    assert!(!scratch.path("out.safetensors").exists());
}

#[test]
fn outputs_that_cannot_be_written() {
    let scratch = Scratch::new();
    let input = scratch.path("images.safetensors");
    images(0, 1, 96).write(&input);
    let write = |name: &str| {
        let outcome = scratch.verb(
            "tokenize",
            (&model("full"), &input, &scratch.path(name)),
            &[],
        );
        let text = format!("{}{}", outcome.stdout, outcome.stderr);
        assert_ne!(outcome.code, 0, "{name}: {text}");
        assert!(outcome.stderr.contains(name), "{name}: {text}");
    };
    write("absent/out.safetensors");
    write("images.safetensors/out.safetensors");
    write("out.docx");
    write("out.csv");
    fs::create_dir(scratch.path("taken.safetensors")).expect("a folder");
    write("taken.safetensors");
    fs::create_dir(scratch.path("shards")).expect("a folder");
    fs::write(scratch.path("shards").join("notes"), "of someone").expect("written");
    write("shards");
    assert_eq!(
        scratch.names(),
        ["images.safetensors", "shards", "taken.safetensors"]
    );
}

#[test]
fn single_bad_values_are_counted() {
    let scratch = Scratch::new();
    let mut pixels = pattern(96 * 96, 0);
    pixels[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, -1e9, 1e9]);
    Tensors::new()
        .f32("tok_image/flux", &[1, 1, 96, 96], pixels)
        .note("tok_image/bands", "DES-G")
        .i64("object_id", &[1], vec![5])
        .write(&scratch.path("image.safetensors"));
    let outcome = tokenize(&scratch, "image.safetensors", &["--json"]).success();
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let range = &report["ranges"][0];
    assert_eq!(range["modality"], "tok_image");
    assert_eq!(
        (&range["outside"], &range["not_finite"]),
        (&2.into(), &2.into())
    );
    assert_eq!(report["out_of_range"][0]["object"], "5");
    let table = tokenize(&scratch, "image.safetensors", &[]).success();
    assert!(table.stdout.contains("0.02 %"), "{}", table.stdout);
}

#[test]
fn arguments_that_cannot_be_meant() {
    let scratch = Scratch::new();
    let input = scratch.path("z.safetensors");
    Tensors::new().i64("tok_z", &[1, 1], vec![3]).write(&input);
    let output = scratch.path("out.safetensors");
    let embed = |more: &[&str]| scratch.verb("embed", (&model("full"), &input, &output), more);
    for more in [
        ["--batch", "0"],
        ["--threads", "0"],
        ["--device", "abacus"],
        ["--pool", "max"],
        ["--budget", "0"],
        ["--survey", "iras"],
    ] {
        let outcome = embed(&more);
        assert_eq!(outcome.code, 2, "{more:?}: {}", outcome.stderr);
    }
    if cfg!(not(feature = "cuda")) {
        embed(&["--device", "cuda:1"]).refused(&["cuda:1", "--features cuda"]);
    }
    let kinds = scratch.verb("tokenize", (&model("full"), &input, &output), &[]);
    kinds.refused(&["z.safetensors", "expected observations"]);
    let observed = scratch.path("observed.safetensors");
    images(0, 1, 96).write(&observed);
    let kinds = scratch.verb("detokenize", (&model("full"), &observed, &output), &[]);
    kinds.refused(&["observed.safetensors", "expected tokens"]);
    assert!(!output.exists());
}
