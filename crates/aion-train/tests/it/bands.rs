//! A trained checkpoint extended to a survey in bands of its own: what is new works, what was there is the
//! same to the bit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aion_codec::CodecSet;
use aion_data::{Kind, Measurement, ModalityId, Object, Survey, described};
use aion_kernel::tensor_file::TensorFile;
use aion_model::Aion;
use aion_simulate::Sky;
use aion_train::{Event, RunConfig, Summary, run};
use burn::tensor::Device;

fn trained() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/aion-tiny")
}

const RUN: &str = r#"
[run]
seed = 2
steps = 6
batch = 2
log_every = 1
[optim]
learning_rate = 1e-2
weight_decay = 0.0
[data.simulated]
seed = 9
count = 40
[report]
objects = 3
"#;

const SURVEY: &str = r#"
[codec.survey]
name = "swift"
like = "hsc"
pixel_scale = 0.2
[[codec.survey.band]]
name = "SWIFT-R"
zeropoint = 27.0
clip = 400.0
like = "HSC-R"
optics = { edges = [5500.0, 6900.0], seeing = 0.8, depth = 25.0, electrons = 5e4 }
[[codec.survey.band]]
name = "SWIFT-W"
zeropoint = 25.0
clip = 400.0
like = "HSC-Z"
optics = { edges = [6900.0, 9900.0], seeing = 0.7, depth = 25.0, electrons = 5e4 }
"#;

fn extension(folder: &Path, checkpoint: &Path) -> RunConfig {
    let task = format!(
        "[save]\ncheckpoint = \"unused\"\n[codec]\nkind = \"bands\"\ncheckpoint = {checkpoint:?}\n"
    );
    let text = format!("{RUN}{task}{SURVEY}").replace("seed = 2\n", "seed = 2\noutput = \"o\"\n");
    let config: RunConfig = text.parse().expect("a valid run file");
    config.with_output(folder)
}

fn train(config: &RunConfig, resume: bool, stop_at: u64) -> Summary {
    let stop = AtomicBool::new(false);
    let mut report = |event: &Event| {
        if let Event::Step(progress) = event {
            stop.store(progress.step >= stop_at, Ordering::Relaxed);
        }
    };
    run(config, &Device::flex(), resume, &mut report, &stop).expect("trains")
}

/// Objects with images by the published surveys and by `id`.
fn objects(id: ModalityId) -> Vec<Object> {
    let sky = Sky::new(4).with_everything().with_described(vec![id]);
    (0..3).map(|index| sky.object(index).object).collect()
}

/// Tokens of every image, and the images that these give.
fn images(folder: &Path, objects: &[Object], id: ModalityId) -> (Vec<Vec<u16>>, Vec<Measurement>) {
    let codecs = CodecSet::new(folder, &Device::flex());
    let alone = |object: &Object| {
        let mut object = object.clone();
        object.measurements.retain(|other, _| *other == id);
        object
    };
    let alone: Vec<Object> = objects.iter().map(alone).collect();
    let encoded = codecs.encode(&alone).expect("a codec");
    let tokens: Vec<Vec<u16>> = encoded
        .into_iter()
        .map(|found| found.expect("a good image").tokens[&id].clone())
        .collect();
    let codes: Vec<&[u16]> = tokens.iter().map(Vec::as_slice).collect();
    let restored = codecs.decode(id, &codes, &[]).expect("decodes");
    (tokens, restored)
}

#[test]
fn new_bands_are_learned_and_nothing_else_moves() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (folder, base) = (scratch.path().join("extended"), trained());
    let summary = train(&extension(&folder, &base), false, 100);
    let id = ModalityId::from_key("tok_image_swift").expect("known by now");
    assert_eq!(described::read(&folder).expect("described"), [id]);

    // Two bands of weights into and out of 54 channels, and two biases.
    assert_eq!(summary.parameters, 2 * 54 + 2 * 54 + 2);
    let chi2 = |reports: &[aion_train::codec_report::ModalityReport]| -> f64 {
        let [report] = reports else {
            panic!("one modality");
        };
        assert_eq!(
            (report.modality.as_str(), report.measurements),
            ("tok_image_swift", 3)
        );
        let bands: Vec<&str> = report.fidelity.iter().map(|f| f.band.as_str()).collect();
        assert_eq!(bands, ["SWIFT-R", "SWIFT-W"]);
        report.fidelity.iter().filter_map(|band| band.chi2).sum()
    };
    let (before, after) = (chi2(&summary.before), chi2(&summary.report));
    assert!(after < before, "{after} from {before}");

    let seen = objects(id);
    for survey in [Survey::LegacySurvey, Survey::Hsc] {
        let of_survey = ModalityId::of_kind(Kind::Image, survey).expect("images");
        assert!(
            images(&folder, &seen, of_survey) == images(&base, &seen, of_survey),
            "{survey}"
        );
    }
    let (tokens, restored) = images(&folder, &seen, id);
    assert!(tokens.iter().all(|codes| codes.len() == 576));
    let Measurement::Image(image) = &restored[0] else {
        panic!("an image");
    };
    assert_eq!(image.bands, ["SWIFT-R", "SWIFT-W"]);
}

#[test]
fn the_transformer_gains_the_survey_and_keeps_its_answers() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (folder, base) = (scratch.path().join("extended"), trained());
    let mut config = extension(&folder, &base);
    config.run.steps = 1;
    config.report.objects = 0;
    train(&config, false, 100);

    let open = |folder: &Path| TensorFile::open(&folder.join("model.safetensors")).expect("opens");
    let (old, new) = (open(&base), open(&folder));
    for name in old.names() {
        assert!(old.raw(name) == new.raw(name), "{name}");
    }
    let added: Vec<&str> = new
        .names()
        .filter(|name| old.shape(name).is_none())
        .collect();
    assert!(added.iter().all(|name| name.contains(".tok_image_swift.")));
    let copies = |side: &str| {
        let like = |name: &&str| name.starts_with(&format!("{side}_embeddings.tok_image_hsc."));
        old.names().filter(like).count()
    };
    assert_eq!(added.len(), copies("encoder") + copies("decoder"));

    let device = Device::flex();
    let (before, after) = (
        Aion::open(&base, &device, None).expect("opens"),
        Aion::open(&folder, &device, None).expect("opens"),
    );
    let id = ModalityId::from_key("tok_image_swift").expect("known by now");
    let redshift = ModalityId::from_key("tok_z").expect("a key");
    let mut object = objects(id).remove(0);
    object
        .measurements
        .retain(|id, _| id.info().kind == Kind::Image);
    let tokens = after.tokenize(&[object]).expect("codecs").remove(0);
    let mut tokens = tokens.expect("a good object").tokens;
    assert_eq!(tokens.len(), 3);
    let both = after
        .transformer
        .predict(&[tokens.clone()], &[redshift, id]);
    assert_eq!(
        both.expect("takes and predicts the survey")[0][&id]
            .argmax()
            .len(),
        576
    );
    tokens.remove(&id);
    let logits = |aion: &Aion| {
        let found = aion.transformer.predict(&[tokens.clone()], &[redshift]);
        found.expect("predicts")[0][&redshift].logits().to_vec()
    };
    assert!(logits(&before) == logits(&after));
    assert!(before.transformer.inputs().all(|known| known != id));
}

#[test]
fn a_stopped_extension_goes_on_to_the_same_bytes() {
    let scratch = tempfile::tempdir().expect("a folder");
    let result = |name: &str| {
        let path = scratch
            .path()
            .join(name)
            .join("codecs/image_swift/model.safetensors");
        std::fs::read(path).expect("a result")
    };
    let config = |name: &str| {
        let mut config = extension(&scratch.path().join(name), &trained());
        (config.run.steps, config.report.objects) = (3, 0);
        config
    };
    train(&config("whole"), false, 100);
    assert!(train(&config("stopped"), false, 2).stopped);
    assert!(!scratch.path().join("stopped/aion.toml").exists());
    train(&config("stopped"), true, 100);
    assert!(result("whole") == result("stopped"));
}

#[test]
fn pretraining_goes_on_with_the_survey() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (extended, result) = (
        scratch.path().join("extended"),
        scratch.path().join("model"),
    );
    let mut config = extension(&extended, &trained());
    (config.run.steps, config.report.objects) = (1, 0);
    train(&config, false, 100);
    let text = format!(
        "{}[save]\ncheckpoint = {extended:?}\n[model]\npreset = \"tiny\"\n",
        RUN.replace("count = 40", "count = 6").replace(
            "steps = 6",
            &format!("steps = 2\noutput = \"o\"\nstart = {extended:?}")
        )
    );
    let config: RunConfig = text.parse().expect("a valid run file");
    train(&config.with_output(&result), false, 100);
    let id = ModalityId::from_key("tok_image_swift").expect("known by now");
    assert_eq!(described::read(&result).expect("travels"), [id]);
    let model = aion_model::Checkpoint::open(&result, &Device::flex()).expect("opens");
    assert!(model.transformer.targets().any(|target| target == id));
}

#[test]
fn files_of_the_survey_are_learned_from() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut config = extension(&scratch.path().join("extended"), &trained());
    let id = match &config.codec {
        Some(aion_train::config::CodecTask::Bands { survey, .. }) => survey.register(),
        _ => panic!("an extension"),
    };
    let mut seen = objects(id.expect("valid"));
    for (object, name) in seen.iter_mut().zip(["a", "b", "c"]) {
        object.id = name.to_owned();
    }
    let path = scratch.path().join("swift.safetensors");
    aion_data::tensor_files::write_observations(&path, &seen, &Default::default())
        .expect("written");
    let source = format!("paths = [{path:?}]");
    config.data.simulated = None;
    config.data.survey = vec![toml::from_str(&source).expect("a source")];
    (config.run.steps, config.report.objects) = (1, 0);
    let summary = train(&config, false, 100);
    assert!(summary.survey.used > 0 && summary.survey.refused.total() == 0);
}
