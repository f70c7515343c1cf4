//! Every reference case through the command line.

use std::path::{Path, PathBuf};

use aion_data::ModalityId;
use serde::Deserialize;

use crate::parity::{self, Quantizer, Verdict};
use crate::run::{Scratch, fixtures, model};
use crate::tensors::{Array, metadata, names, read};

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<String>,
}

#[derive(Deserialize)]
struct About {
    model: String,
    kind: Kind,
    targets: Vec<String>,
    #[serde(default)]
    valid: Vec<usize>,
    #[serde(default)]
    sampled_positions: std::collections::BTreeMap<String, Vec<usize>>,
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Encode,
    Predict,
    Codec,
    EndToEnd,
}

/// One case, and what was found of it.
struct Case {
    name: String,
    folder: PathBuf,
    about: About,
    scratch: Scratch,
    compared: usize,
    differ: Vec<String>,
}

impl Case {
    fn open(name: &str) -> Self {
        let folder = fixtures().join("cases").join(name);
        let about = std::fs::read_to_string(folder.join("case.json")).expect("a case");
        Case {
            name: name.to_owned(),
            about: serde_json::from_str(&about).expect("a case's description"),
            folder,
            scratch: Scratch::new(),
            compared: 0,
            differ: Vec::new(),
        }
    }

    fn model(&self) -> PathBuf {
        model(&self.about.model)
    }

    fn file(&self, stem: &str) -> PathBuf {
        self.folder.join(format!("{stem}.safetensors"))
    }

    fn note(&mut self, what: &str, verdict: Verdict) {
        self.compared += 1;
        if let Err(reason) = verdict {
            self.differ.push(format!("{}: {what}: {reason}", self.name));
        }
    }

    /// Runs a verb on a file of the case; the output's path.
    fn run_verb(&self, verb: &str, input: &Path, more: &[&str]) -> PathBuf {
        let output = self.scratch.path(&format!("{verb}.safetensors"));
        let outcome = self
            .scratch
            .verb(verb, (&self.model(), input, &output), more);
        assert_eq!(outcome.code, 0, "{} {verb}: {}", self.name, outcome.stderr);
        output
    }

    fn source(&self) -> PathBuf {
        let observed = self.about.kind == Kind::EndToEnd;
        self.file(if observed { "observations" } else { "tokens" })
    }

    fn tokens(&mut self) {
        let output = self.run_verb("tokenize", &self.file("observations"), &[]);
        let latents = self.file("latent");
        for key in names(&self.file("tokens")) {
            let modality = ModalityId::from_key(&key).expect("a modality");
            let expected = read(&self.file("tokens"), &key).expect("tokens");
            let quantizer = Quantizer::of(&self.model(), modality);
            let latent = latents.exists().then(|| read(&latents, &key)).flatten();
            let verdict = parity::ours(&output, &key).and_then(|ours| {
                parity::tokens(&ours, &expected, quantizer.as_ref(), latent.as_ref())
            });
            self.note(&format!("tokens {key}"), verdict);
        }
    }

    fn reconstruction(&mut self) {
        let like = self.file("like");
        let like = if like.exists() {
            like
        } else {
            self.file("observations")
        };
        let like = like.display().to_string();
        let output = self.run_verb("detokenize", &self.file("tokens"), &["--like", &like]);
        let stored = self.file("reconstruction");
        for name in names(&stored) {
            let (key, field) = name.split_once('/').expect("a field");
            let modality = ModalityId::from_key(key).expect("a modality");
            let expected = read(&stored, &name).expect("a field");
            let tokens = read(&self.file("tokens"), key).expect("tokens");
            let verdict = parity::ours(&output, &name)
                .and_then(|ours| parity::field(modality, field, (&ours, &expected), &tokens));
            self.note(&name, verdict);
            let bands = format!("{key}/bands");
            let (ours, wanted) = (metadata(&output, &bands), metadata(&stored, &bands));
            if wanted.is_some() && ours != wanted {
                self.note(&bands, Err(format!("{ours:?}, not {wanted:?}")));
            }
        }
    }

    fn embedding(&mut self) {
        let output = self.run_verb("embed", &self.source(), &["--pool", "none"]);
        let expected = read(&self.file("embedding"), "embedding").expect("an embedding");
        let verdict = parity::ours(&output, "embedding")
            .and_then(|ours| parity::embedding(&ours, &expected, &self.about.valid));
        self.note("embedding", verdict);
    }

    fn logits(&mut self, attention: &str, stems: &[&str]) {
        let targets = self.about.targets.join(",");
        let more = [
            "--target",
            &targets,
            "--logits",
            "--decoder-attention",
            attention,
        ];
        let output = self.run_verb("predict", &self.source(), &more);
        assert_eq!(
            names(&output).len(),
            self.about.targets.len(),
            "{}",
            self.name
        );
        for stem in stems {
            let stored = self.file(stem);
            if !stored.exists() {
                continue;
            }
            for key in names(&stored) {
                let expected = read(&stored, &key).expect("logits");
                let positions = self.about.sampled_positions.get(&key);
                let verdict = parity::ours(&output, &key)
                    .map(|ours| positions.map_or(ours.clone(), |at| sampled(&ours, at)))
                    .and_then(|ours| parity::states(&ours, &expected));
                self.note(&format!("{stem} {key}"), verdict);
            }
        }
    }

    fn run(mut self) -> (usize, Vec<String>) {
        if matches!(self.about.kind, Kind::Codec | Kind::EndToEnd) {
            self.tokens();
        }
        if self.file("reconstruction").exists() {
            self.reconstruction();
        }
        if self.about.kind != Kind::Codec {
            self.embedding();
            if !self.about.targets.is_empty() {
                self.logits("reference", &["logits", "logits_sampled"]);
            }
            if self.file("logits_attending").exists() {
                self.logits("content", &["logits_attending"]);
            }
        }
        (self.compared, self.differ)
    }
}

/// Logits (B, n, V) at some of the n positions.
fn sampled(logits: &Array, positions: &[usize]) -> Array {
    let [objects, _, vocabulary] = logits.shape[..] else {
        return logits.clone();
    };
    let mut values = Vec::new();
    for object in 0..objects {
        for position in positions {
            let start = position * vocabulary;
            values.extend(&logits.row(object)[start..start + vocabulary]);
        }
    }
    Array {
        shape: vec![objects, positions.len(), vocabulary],
        values,
    }
}

#[test]
fn every_reference_case_agrees() {
    let manifest = std::fs::read_to_string(fixtures().join("manifest.json")).expect("a manifest");
    let manifest: Manifest = serde_json::from_str(&manifest).expect("a list of cases");
    let mut compared = 0;
    let mut differ = Vec::new();
    for name in &manifest.cases {
        let (count, found) = Case::open(name).run();
        compared += count;
        differ.extend(found);
    }
    assert!(
        differ.is_empty(),
        "{} of {compared} differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
    assert!(
        compared > manifest.cases.len(),
        "only {compared} comparisons"
    );
}
