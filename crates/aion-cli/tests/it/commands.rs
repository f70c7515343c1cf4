//! What the commands' outputs hold, in every form.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use aion_data::token_files::{TokenReader, read_tokens};

use crate::run::{Scratch, model};
use crate::tensors::{Spectra, Tensors, images, metadata, names, read};

const PHOTOMETRY: &str = "object_id,ra,dec,FLUX_G,FLUX_R,SHAPE_R,TYPE
a1,10.5,-3.25,1.5,2.5,0.8,DEV
b2,11.5,-4.25,0.5,0.7,,PSF
";

pub fn photometry(scratch: &Scratch) -> std::path::PathBuf {
    let path = scratch.path("photometry.csv");
    fs::write(&path, PHOTOMETRY).expect("written");
    path
}

#[test]
fn identity_and_provenance_travel() {
    let scratch = Scratch::new();
    let (model, input) = (model("full"), photometry(&scratch));
    let tokens = scratch.path("tokens.parquet");
    scratch
        .verb("tokenize", (&model, &input, &tokens), &[])
        .success();
    let reader = TokenReader::open(&tokens).expect("tokens");
    let record = reader.metadata().clone();
    let rows: Vec<_> = reader.map(|row| row.expect("a row")).collect();
    assert_eq!(rows[0].id, "a1");
    assert_eq!((rows[1].ra, rows[1].dec), (Some(11.5), Some(-4.25)));
    assert_eq!(rows[1].flags["TYPE"], "PSF");
    assert_eq!((rows[0].tokens.len(), rows[1].tokens.len()), (3, 2));
    assert_eq!(record["aion.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(record["aion.surveys"], "legacy");
    assert!(record["aion.command"].starts_with("aion tokenize --model"));
    let digests: serde_json::Value = serde_json::from_str(&record["aion.sha256"]).expect("JSON");
    let weights = model.join("codecs/FLUX_G/model.safetensors");
    let digest = aion_kernel::tensor_file::sha256(&weights).expect("a digest");
    assert_eq!(digests["codecs/FLUX_G/model.safetensors"], digest);
    assert_eq!(digests.as_object().map(serde_json::Map::len), Some(3));

    let embedding = scratch.path("embedding.safetensors");
    scratch
        .verb("embed", (&model, &tokens, &embedding), &["--seed", "7"])
        .success();
    assert_eq!(
        metadata(&embedding, "object_id").as_deref(),
        Some("[\"a1\",\"b2\"]")
    );
    assert_eq!(
        metadata(&embedding, "flag_TYPE").as_deref(),
        Some("[\"DEV\",\"PSF\"]")
    );
    assert_eq!(metadata(&embedding, "aion.seed").as_deref(), Some("7"));
    assert!(metadata(&embedding, "aion.sha256").is_some_and(|d| d.contains("model.safetensors")));
    assert_eq!(
        read(&embedding, "ra").expect("positions").values,
        [10.5, 11.5]
    );
    let mask = read(&embedding, "embedding_mask").expect("a mask");
    assert_eq!(mask.values, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn embeddings_can_be_pooled() {
    let scratch = Scratch::new();
    let (model, input) = (model("full"), photometry(&scratch));
    let run = |pool: &str| {
        let output = scratch.path(&format!("{pool}.safetensors"));
        scratch
            .verb("embed", (&model, &input, &output), &["--pool", pool])
            .success();
        output
    };
    let all = read(&run("none"), "embedding").expect("states");
    assert_eq!(all.shape, [2, 3, 4]);
    let mean = read(&run("mean"), "embedding").expect("means");
    assert_eq!(mean.shape, [2, 4]);
    let expected = (all.row(1)[0] + all.row(1)[4]) / 2.0;
    assert!((mean.row(1)[0] - expected).abs() < 1e-6);
    let by_modality = run("modality");
    let shape = read(&by_modality, "embedding_tok_shape_r").expect("a modality");
    assert!(shape.row(1).iter().all(|value| value.is_nan()));
    assert_eq!(shape.row(0), &all.row(0)[8..]);
    let parquet = scratch.path("mean.parquet");
    scratch
        .verb("embed", (&model, &input, &parquet), &["--pool", "mean"])
        .success();
}

#[test]
fn predictions_come_in_every_form() {
    let scratch = Scratch::new();
    let (model, input) = (model("full"), photometry(&scratch));
    let run = |name: &str, more: &[&str]| {
        let output = scratch.path(name);
        scratch
            .verb("predict", (&model, &input, &output), more)
            .success();
        output
    };
    let target = [
        "--target",
        "tok_z,tok_image,tok_spectrum_sdss,tok_segmap,tok_xp_bp",
    ];
    let values = run("values.safetensors", &target);
    assert_eq!(
        read(&values, "tok_image/flux").expect("an image").shape,
        [2, 4, 96, 96]
    );
    let bands = metadata(&values, "tok_image/bands");
    assert_eq!(bands.as_deref(), Some("DES-G,DES-R,DES-I,DES-Z"));
    assert_eq!(
        read(&values, "tok_spectrum_sdss/wavelength")
            .expect("a grid")
            .shape,
        [2, 8704]
    );
    assert_eq!(
        read(&values, "tok_segmap/field").expect("a map").shape,
        [2, 96, 96]
    );
    assert_eq!(
        read(&values, "tok_xp_bp/value")
            .expect("coefficients")
            .shape,
        [2, 55]
    );
    let get = |field: &str| {
        read(&values, &format!("tok_z/{field}"))
            .expect("a field")
            .row(0)
            .to_vec()
    };
    let (grid, probabilities) = (get("grid"), get("probabilities"));
    assert_eq!((grid.len(), probabilities.len()), (1024, 1024));
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    let products = grid.iter().zip(&probabilities).map(|(z, p)| z * p);
    assert!((products.sum::<f64>() - get("mean")[0]).abs() < 1e-4);
    assert!(get("q16")[0] <= get("median")[0] && get("median")[0] <= get("q84")[0]);
    assert!(grid.contains(&get("value")[0]));

    let logits = run(
        "logits.safetensors",
        &["--target", "tok_z,tok_xp_bp", "--logits"],
    );
    assert_eq!(names(&logits), ["tok_xp_bp", "tok_z"]);
    assert_eq!(
        read(&logits, "tok_xp_bp").expect("logits").shape,
        [2, 55, 1024]
    );
    run("logits.parquet", &["--target", "tok_z", "--logits"]);
    let draws = [
        "--target",
        "tok_xp_bp",
        "--samples",
        "3",
        "--temperature",
        "0.5",
    ];
    let draws = read(&run("draws.safetensors", &draws), "tok_xp_bp").expect("draws");
    assert_eq!(draws.shape, [2, 3, 55]);
    let tokens = run(
        "tokens.parquet",
        &["--target", "tok_z,tok_xp_bp", "--tokens"],
    );
    let tokens = read_tokens(&tokens).expect("tokens");
    assert_eq!((tokens[0].id.as_str(), tokens[0].tokens.len()), ("a1", 2));

    let table = fs::read_to_string(run("table.csv", &["--target", "tok_z"])).expect("a table");
    let heading =
        "object_id,ra,dec,flag_TYPE,tok_z/mean,tok_z/median,tok_z/q16,tok_z/q84,tok_z/value";
    assert_eq!(table.lines().next(), Some(heading));
    assert_eq!(table.lines().count(), 3);
}

#[test]
fn tokens_become_observations_again() {
    let scratch = Scratch::new();
    let model = model("full");
    let (image, spectra) = (
        scratch.path("image.safetensors"),
        scratch.path("spectra.safetensors"),
    );
    images(1, 2, 112).write(&image);
    Spectra::new(2, 300).write(&spectra);
    let decode = |input: &std::path::Path, name: &str, more: &[&str]| {
        let tokens = scratch.path(&format!("{name}-tokens.parquet"));
        scratch
            .verb("tokenize", (&model, input, &tokens), &[])
            .success();
        let output = scratch.path(&format!("{name}-decoded.safetensors"));
        scratch
            .verb("detokenize", (&model, &tokens, &output), more)
            .success();
        output
    };
    let decoded = decode(&image, "image", &[]);
    assert_eq!(
        read(&decoded, "tok_image/flux").expect("images").shape,
        [2, 4, 96, 96]
    );
    let like = image.display().to_string();
    let decoded = decode(&image, "like", &["--like", &like]);
    assert_eq!(
        metadata(&decoded, "tok_image/bands").as_deref(),
        Some("DES-G,DES-R,DES-Z")
    );
    let decoded = decode(&spectra, "latent", &[]);
    assert_eq!(
        read(&decoded, "tok_spectrum_sdss/flux")
            .expect("spectra")
            .shape,
        [2, 8704]
    );
    let like = spectra.display().to_string();
    let decoded = decode(&spectra, "grid", &["--like", &like]);
    assert_eq!(
        read(&decoded, "tok_spectrum_sdss/flux")
            .expect("spectra")
            .shape,
        [2, 300]
    );
    assert_eq!(
        read(&decoded, "tok_spectrum_sdss/wavelength"),
        read(&spectra, "tok_spectrum_sdss/wavelength")
    );
}

#[test]
fn shards_are_an_output_and_an_input() {
    let scratch = Scratch::new();
    let (model, input) = (model("full"), photometry(&scratch));
    let shards = scratch.path("tokens");
    scratch
        .verb("tokenize", (&model, &input, &shards), &[])
        .success();
    let manifest = fs::read_to_string(shards.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["objects"], 2);
    assert_eq!(manifest["files"][0]["file"], "00000.parquet");
    let output = scratch.path("embedding.safetensors");
    scratch
        .verb("embed", (&model, &shards, &output), &["--pool", "mean"])
        .success();
    assert_eq!(read(&output, "embedding").expect("means").shape, [2, 4]);
}

#[test]
fn weights_can_be_kept_in_fewer_bits() {
    let scratch = Scratch::new();
    let (model, input) = (model("full"), photometry(&scratch));
    let run = |weights: &str| {
        let output = scratch.path(&format!("{weights}.safetensors"));
        let more = ["--weights", weights, "--pool", "mean"];
        scratch
            .verb("embed", (&model, &input, &output), &more)
            .success();
        assert_eq!(metadata(&output, "aion.weights").as_deref(), Some(weights));
        read(&output, "embedding").expect("means").values
    };
    let exact = run("f32");
    // The cases' weights were rounded so when they were made.
    assert_eq!(run("bf16"), exact);
    let rounded = run("int8");
    let largest = exact.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    let differences = rounded.iter().zip(&exact).map(|(r, e)| (r - e).abs());
    let off = differences.fold(0.0, f64::max);
    assert!(off > 0.0 && off < 0.05 * largest, "{off} of {largest}");
    let output = scratch.path("logits.safetensors");
    let more = ["--weights", "int8", "--target", "tok_z", "--logits"];
    scratch
        .verb("predict", (&model, &input, &output), &more)
        .success();
    assert_eq!(metadata(&output, "aion.weights").as_deref(), Some("int8"));
}

#[test]
fn benchmarks_give_rows() {
    let scratch = Scratch::new();
    let model = model("full").display().to_string();
    let arguments = [
        "bench",
        "--model",
        &model,
        "--only",
        "encode,spectrum-decode",
        "--batch",
        "2",
        "--json",
    ];
    let rows = scratch.aion(arguments).success().stdout;
    let rows: serde_json::Value = serde_json::from_str(&rows).expect("JSON");
    let named: Vec<&str> = rows
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|r| r["name"].as_str())
        .collect();
    assert_eq!(named, ["encode", "spectrum-decode"]);
    assert_eq!(
        (&rows[0]["tokens"], &rows[0]["batch"]),
        (&855.into(), &2.into())
    );
    assert!(
        rows[0]["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
    scratch
        .aion(["bench", "--only", "warp-drive"])
        .refused(&["warp-drive", "image-encode"]);
}

#[test]
fn benchmarks_take_turns() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aion"))
        .args(["bench", "--only", "stream", "--turns", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut input = child.stdin.take().expect("its input");
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = || {
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    };
    assert_eq!(line(), "ready");
    let mut seconds = Vec::new();
    for _ in 0..3 {
        writeln!(input).expect("told");
        seconds.push(line().parse::<f64>().expect("seconds"));
    }
    drop(input);
    let mut row = String::new();
    output.read_to_string(&mut row).expect("a row");
    assert!(child.wait().expect("ended").success());
    let rows: serde_json::Value = serde_json::from_str(&row).expect("JSON");
    seconds.sort_by(f64::total_cmp);
    assert_eq!(rows[0]["seconds"].as_f64(), Some(seconds[1]));
    let scratch = Scratch::new();
    let two = ["bench", "--only", "encode,stream", "--turns"];
    scratch.aion(two).refused(&["--turns", "one operation"]);
}

#[test]
fn every_command_has_help_with_an_example() {
    let scratch = Scratch::new();
    for verb in [
        "inspect",
        "tokenize",
        "detokenize",
        "embed",
        "predict",
        "bench",
    ] {
        let help = scratch.aion([verb, "--help"]).success().stdout;
        assert!(
            help.contains("Example") && help.contains(&format!("aion {verb}")),
            "{help}"
        );
    }
    let version = scratch.aion(["--version"]).success().stdout;
    assert_eq!(version.trim(), concat!("aion ", env!("CARGO_PKG_VERSION")));
    assert_eq!(scratch.aion(["dance"]).code, 2);
}

#[test]
fn positions_are_used_only_on_request() {
    let scratch = Scratch::new();
    let (model, input) = (model("full"), photometry(&scratch));
    let output = scratch.path("tokens.safetensors");
    scratch
        .verb("tokenize", (&model, &input, &output), &[])
        .success();
    assert!(!names(&output).contains(&"tok_ra".to_owned()));
    scratch
        .verb("tokenize", (&model, &input, &output), &["--with-position"])
        .success();
    assert!(names(&output).contains(&"tok_ra".to_owned()));
    // What a tensor file lists is used as listed.
    let listed = scratch.path("listed.safetensors");
    Tensors::new()
        .f32("tok_ra/value", &[1, 1], vec![12.0])
        .write(&listed);
    scratch
        .verb("tokenize", (&model, &listed, &output), &[])
        .success();
    assert!(names(&output).contains(&"tok_ra".to_owned()));
}
