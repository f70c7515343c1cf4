//! Codebooks, codecs, model: a whole checkpoint from a simulated sky, at toy size.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use aion_model::Aion;
use aion_simulate::Sky;
use aion_train::{Event, RunConfig, Summary, TrainError, run};
use burn::tensor::Device;

pub const IMAGE: &str = r#"
[codec]
kind = "image"
[codec.config]
quantizer_levels = [7, 5, 5, 5, 5]
hidden_dims = 8
multisurvey_projection_dims = 6
n_compressions = 2
num_consecutive = 1
embedding_dim = 5
range_compression_factor = 0.01
mult_factor = 10.0
"#;

/// What gives surveys their shares.
const MIX: &str = "
[codec.mix]
tok_image = 3
tok_image_hsc = 1
";

const FIELD: &str = r#"
[codec]
kind = "field"
[codec.config]
encoder_output_dim = 8
embedding_dim = 4
res_hidden_dims = 4
num_res_layers = 1
num_downsamples = 3
levels = [8, 5, 5, 5]
"#;

pub const SPECTRUM: &str = r#"
[codec]
kind = "spectrum"
[codec.config]
encoder_depths = [1, 1, 1, 1]
encoder_dims = [4, 4, 8, 8]
decoder_depths = [1, 1, 1, 1]
decoder_dims = [8, 4, 4, 2]
lambda_min = 3500.0
resolution = 0.8
num_pixels = 8704
latent_channels = 8
embedding_dim = 10
clip_ivar = 100.0
input_scaling = 0.2
normalization_range = [-1.0, 5.0]
codebook_size = 1024
dim = 10
"#;

pub const NUMBERS: &str = r#"
[codec]
kind = "numbers"
sample = 100
"#;

const MODEL: &str = r#"
[model]
preset = "tiny"
"#;

fn config(folder: &Path, name: &str, task: &str) -> RunConfig {
    let output = folder.join(name);
    let checkpoint = folder.join("model");
    let text = format!(
        r#"
[run]
seed = 5
steps = 6
batch = 2
output = {output:?}
log_every = 2
checkpoint_every = 4
[data.simulated]
seed = 3
count = 12
[report]
objects = 2
[save]
checkpoint = {checkpoint:?}
half = true
{task}"#
    );
    text.parse().expect("a valid run file")
}

/// Runs until the report of step `stop_at`.
fn train(config: &RunConfig, resume: bool, stop_at: u64) -> Result<Summary, TrainError> {
    let stop = AtomicBool::new(false);
    let mut report = |event: &Event| {
        if let Event::Step(progress) = event {
            stop.store(progress.step >= stop_at, Ordering::Relaxed);
        }
    };
    run(config, &Device::flex(), resume, &mut report, &stop)
}

#[test]
fn a_checkpoint_is_made_from_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, task) in [
        ("numbers", NUMBERS),
        ("image", IMAGE),
        ("spectrum", SPECTRUM),
        ("field", FIELD),
        ("model", MODEL),
    ] {
        let summary = train(&config(folder.path(), name, task), false, 100).expect(name);
        assert!(!summary.stopped && !summary.saved.is_empty(), "{name}");
        if let Some(last) = summary.last {
            assert!(
                last.losses["loss"].is_finite() && last.skipped == 0,
                "{name}"
            );
        }
    }
    let aion = Aion::open(&folder.path().join("model"), &Device::flex(), None).expect("complete");
    let mut object = Sky::new(3).object(1).object;
    object.measurements.retain(|id, _| aion.codecs.has(*id));
    let tokens = aion.tokenize(&[object]).expect("codecs").remove(0);
    let tokens = tokens.expect("a good object").tokens;
    assert!(!tokens.is_empty());
    aion.embed(&[tokens]).expect("an embedding");
}

#[test]
fn a_codec_is_watched_while_it_is_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, task, figures) in [
        (
            "image",
            IMAGE,
            ["tok_image_hsc/HSC-G/r2", "tok_image/perplexity"],
        ),
        (
            "spectrum",
            SPECTRUM,
            ["tok_spectrum_sdss/flux/chi2", "tok_spectrum_desi/mask_auc"],
        ),
    ] {
        let mut config = config(folder.path(), name, task);
        config.run.validate_every = Some(3);
        let last = train(&config, false, 100).expect(name).last;
        let losses = last.expect("a report").losses;
        assert!(losses["validation/loss"].is_finite(), "{losses:?}");
        for figure in figures {
            let name = format!("report/{figure}");
            assert!(
                losses.get(&name).is_some_and(|x| x.is_finite()),
                "{name}: {losses:?}"
            );
        }
        let watched = std::fs::read(folder.path().join(name).join(LAST)).expect("weights");
        std::fs::remove_dir_all(folder.path().join(name)).expect("removed");
        config.run.validate_every = None;
        let last = train(&config, false, 100).expect(name).last;
        assert!(
            !last
                .expect("a report")
                .losses
                .contains_key("validation/loss")
        );
        let unwatched = std::fs::read(folder.path().join(name).join(LAST)).expect("weights");
        assert!(watched == unwatched, "{name}");
    }
    let mut config = config(folder.path(), "none", IMAGE);
    (config.run.validate_every, config.report.objects) = (Some(3), 0);
    let error = train(&config, false, 100).expect_err("refused").to_string();
    assert!(error.contains("run.validate_every"), "{error}");
}

/// The weights after the last step.
const LAST: &str = "checkpoints/step-00000006/model.safetensors";

#[test]
fn a_trained_codec_is_judged_on_what_it_has_not_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let mixed = format!("{IMAGE}{MIX}");
    for (name, task, modalities, bands) in [
        ("image", mixed.as_str(), 2, 4),
        ("spectrum", SPECTRUM, 2, 1),
        ("field", FIELD, 1, 1),
    ] {
        let config = config(folder.path(), name, task);
        let report = train(&config, false, 100).expect(name).report;
        assert_eq!(report.len(), modalities, "{name}");
        for found in &report {
            let name = &found.modality;
            assert_eq!((found.measurements, found.simulated), (2, 2), "{name}");
            assert!(found.fidelity.len() >= bands, "{name}");
            assert_eq!(found.mask_auc.is_some(), name.starts_with("tok_spectrum"));
            let codes = &found.codebook;
            assert!(codes.used > 0 && codes.perplexity <= codes.used as f64 + 1e-6);
            for band in &found.fidelity {
                assert!(
                    band.pixels > 1000 && band.mse.is_finite(),
                    "{name}: {band:?}"
                );
                assert_eq!(
                    band.chi2.is_some(),
                    band.band != "field",
                    "{name}: {band:?}"
                );
            }
            assert_eq!(found.examples.len(), 2);
        }
        let file = config.run.output.join("report.json");
        assert!(file.is_file(), "{name}");
        let again = aion_train::codec_report::of_newest(&config, &Device::flex()).expect(name);
        assert_eq!(again.len(), report.len(), "{name}");
    }
}

#[test]
fn stopped_tasks_resume_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, task) in [("image", IMAGE), ("spectrum", SPECTRUM), ("field", FIELD)] {
        let weights = |config: &RunConfig| {
            let file = config
                .run
                .output
                .join("checkpoints/step-00000006/model.safetensors");
            std::fs::read(file).expect("a checkpoint")
        };
        let straight = config(&folder.path().join("straight"), name, task);
        train(&straight, false, 100).expect(name);
        let halting = config(&folder.path().join("halting"), name, task);
        assert!(train(&halting, false, 2).expect(name).stopped);
        train(&halting, true, 100).expect(name);
        assert_eq!(weights(&straight), weights(&halting), "{name}");
    }
}

#[test]
fn nothing_to_resume_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = train(&config(folder.path(), "image", IMAGE), true, 100).expect_err("refused");
    assert!(matches!(error, TrainError::Resume { .. }), "{error}");
}
