//! Checkpoints on disk.

use aion_kernel::tensor_file::TensorFile;
use aion_model::{Checkpoint, ConfigError, ModelConfig, ModelError};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use crate::batch::{config, objects};
use crate::case::{open, root};

#[test]
fn saving_gives_back_the_file_that_was_read() {
    for model in ["plain", "biased", "registers", "causal", "full"] {
        let folder = tempfile::tempdir().expect("a folder");
        let checkpoint = open(model);
        assert!(
            checkpoint.report.unused.is_empty(),
            "{model}: {}",
            checkpoint.report
        );
        checkpoint
            .transformer
            .save(&checkpoint.names, folder.path(), false)
            .expect("a saved model");
        let original = root().join("models").join(model);
        let [ours, theirs] = [folder.path(), &original]
            .map(|folder| TensorFile::open(&folder.join("model.safetensors")).expect("weights"));
        assert_eq!(ours.metadata(), theirs.metadata(), "{model}");
        assert_eq!(ours.names().count(), theirs.names().count(), "{model}");
        for name in theirs.names() {
            assert_eq!(ours.shape(name), theirs.shape(name), "{model} {name}");
            assert_eq!(ours.values(name), theirs.values(name), "{model} {name}");
        }
        let [ours, theirs] = [folder.path(), &original]
            .map(|folder| ModelConfig::read(&folder.join("config.json")).expect("a configuration"));
        assert_eq!(ours, theirs, "{model}");
    }
}

#[test]
fn half_precision_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = Checkpoint::seeded(&config(), 1, &Device::flex()).expect("a model");
    new.transformer
        .save(&new.names, folder.path(), true)
        .expect("a saved model");
    let read = Checkpoint::open(folder.path(), &Device::flex()).expect("the model");
    let states = |checkpoint: &Checkpoint| -> Vec<f32> {
        let encoded = checkpoint.transformer.encode(&objects()).expect("states");
        encoded.states.into_data().iter::<f32>().collect()
    };
    let off = crate::case::difference(&states(&read), &states(&new));
    assert!(off > 0.0 && off < 1e-2, "{off}");
}

#[derive(Default)]
struct Trained(usize);

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.0 += value.shape().num_elements();
        }
    }
}

#[test]
fn the_counted_parameters_are_the_trained_ones() {
    for model in ["plain", "biased", "registers", "causal", "full"] {
        let transformer = open(model).transformer;
        let mut trained = Trained::default();
        transformer.clone().train().visit(&mut trained);
        assert_eq!(transformer.config().num_parameters(), trained.0, "{model}");
    }
}

#[test]
fn unknown_and_missing_keys_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(root().join("models/plain/config.json")).expect("text");
    for (changed, named) in [
        (text.replace("\"dim\"", "\"dimension\""), "dimension"),
        (
            text.replace("\"norm_bias\"", "\"use_act_checkpoint\""),
            "norm_bias",
        ),
        (text.replace("SiLU", "Swish"), "Swish"),
        (text.replace("tok_ebv", "tok_dust"), "tok_dust"),
    ] {
        std::fs::write(&path, changed).expect("a written file");
        let error = ModelConfig::read(&path).expect_err(named).to_string();
        assert!(
            error.contains(named) && error.contains("config.json"),
            "{error}"
        );
    }
    std::fs::remove_file(&path).expect("a removed file");
    let missing = Checkpoint::open(folder.path(), &Device::flex());
    assert!(matches!(
        missing,
        Err(ModelError::Config(ConfigError::Io { .. }))
    ));
}

#[test]
fn weights_of_another_shape_are_all_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = root().join("models/plain");
    let copy = |name: &str| std::fs::copy(source.join(name), folder.path().join(name));
    copy("model.safetensors").expect("a copy");
    let mut config = ModelConfig::read(&source.join("config.json")).expect("a configuration");
    config.encoder_depth += 1;
    config.mlp_ratio = 3.0;
    config
        .write(&folder.path().join("config.json"))
        .expect("a written file");
    let error = Checkpoint::open(folder.path(), &Device::flex()).expect_err("incomplete");
    let text = error.to_string();
    assert!(text.contains("encoder.2.attn.qkv.weight"), "{text}");
    assert!(text.contains("encoder.0.mlp.fc1.weight"), "{text}");
}
