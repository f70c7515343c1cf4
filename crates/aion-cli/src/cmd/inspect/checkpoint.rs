//! What a checkpoint holds.

use std::path::Path;

use aion_codec::{Codec, CodecSet};
use aion_data::{ModalityId, described};
use aion_kernel::LoadReport;
use aion_kernel::tensor_file::sha256;
use aion_model::checkpoint::{CONFIG_FILE, WEIGHTS_FILE};
use aion_model::{Checkpoint, ModelConfig};
use burn::tensor::Device;
use serde::Serialize;
use serde_json::json;

use crate::failure::usage;
use crate::summary;

/// A part of a checkpoint: the transformer, or a codec.
#[derive(Debug, Serialize)]
struct Part {
    name: String,
    /// Modalities that it serves, for codecs.
    modalities: Vec<&'static str>,
    /// Numbers stored, trained or not.
    values: usize,
    applied: usize,
    unused: Vec<String>,
    sha256: Option<String>,
    problem: Option<String>,
}

/// Shows the checkpoint in `folder`.
pub fn run(folder: &Path, json: bool) -> anyhow::Result<()> {
    let device = Device::flex();
    described::read(folder)?;
    let config = ModelConfig::read(&folder.join(CONFIG_FILE))?;
    let mut parts = Vec::new();
    if folder.join(WEIGHTS_FILE).is_file() {
        parts.push(transformer(folder, &device));
    }
    let codecs = CodecSet::new(folder, &device);
    for name in codecs.available() {
        parts.push(codec(&codecs, &name));
    }
    if json {
        summary::print_json(&json!({
            "folder": folder.display().to_string(),
            "config": config,
            "parameters": config.num_parameters(),
            "parts": parts,
        }))?;
    } else {
        print(folder, &config, &parts)?;
    }
    let bad: Vec<&str> = parts
        .iter()
        .filter_map(|part| part.problem.as_deref())
        .collect();
    match bad.as_slice() {
        [] => Ok(()),
        [problem] => Err(usage(*problem)),
        [first, ..] => Err(usage(format!("{} problems, the first: {first}", bad.len()))),
    }
}

fn transformer(folder: &Path, device: &Device) -> Part {
    let opened = Checkpoint::open(folder, device);
    let opened = opened.map(|checkpoint| (checkpoint.report, checkpoint.names.num_values()));
    let weights = folder.join(WEIGHTS_FILE);
    part(
        "transformer",
        Vec::new(),
        &weights,
        opened.map_err(|e| e.to_string()),
    )
}

fn codec(codecs: &CodecSet, name: &str) -> Part {
    let served: Vec<ModalityId> = ModalityId::all()
        .filter(|id| id.info().codec == name)
        .collect();
    let opened = match served.first() {
        Some(&id) => match codecs.codec(id) {
            Ok(open) => {
                let values = open.names.num_values() + codebook_values(&open.codec);
                Ok((open.report.clone(), values))
            }
            Err(error) => Err(error.to_string()),
        },
        None => Err(format!("{name}: no modality has a codec of this name")),
    };
    let weights = codecs.folder().join(name).join(WEIGHTS_FILE);
    let keys = served.iter().map(|id| id.key()).collect();
    part(&format!("codecs/{name}"), keys, &weights, opened)
}

/// Values of scalar codebooks, which are tables and no parameters.
fn codebook_values(codec: &Codec) -> usize {
    match codec {
        Codec::Scalar(codec) => codec.grid().map_or(0, |grid| grid.len()),
        _ => 0,
    }
}

fn part(
    name: &str,
    modalities: Vec<&'static str>,
    weights: &Path,
    opened: Result<(LoadReport, usize), String>,
) -> Part {
    let sha256 = sha256(weights).ok();
    let (report, values, problem) = match opened {
        Ok((report, values)) => (report, values, None),
        Err(problem) => (LoadReport::default(), 0, Some(problem)),
    };
    Part {
        name: name.to_owned(),
        modalities,
        values,
        applied: report.applied,
        unused: report.unused,
        sha256,
        problem,
    }
}

fn print(folder: &Path, config: &ModelConfig, parts: &[Part]) -> anyhow::Result<()> {
    let millions = config.num_parameters() as f64 / 1e6;
    let mlp = if config.gated_mlp { "gated" } else { "plain" };
    let text = format!(
        "{}: checkpoint\n\
         transformer  {} + {} blocks, width {}, {} heads, {mlp} {:?} of {}, {millions:.1} M parameters\n\
         takes        {}\n\
         predicts     {}",
        folder.display(),
        config.encoder_depth,
        config.decoder_depth,
        config.dim,
        config.num_heads,
        config.act_layer,
        config.mlp_hidden(),
        config.domains_in.join(" "),
        config.domains_out.join(" "),
    );
    summary::print_text(&text)?;
    let heading = ["part", "values", "tensors", "unused", "sha256", "serves"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(parts.iter().map(|part| {
        let digest = part.sha256.as_deref().and_then(|digest| digest.get(..12));
        vec![
            part.name.clone(),
            part.values.to_string(),
            part.applied.to_string(),
            part.unused.len().to_string(),
            digest.unwrap_or("-").to_owned(),
            part.modalities.join(" "),
        ]
    }));
    summary::print_table(&rows)?;
    for part in parts {
        if !part.unused.is_empty() {
            summary::print_text(&format!(
                "unused in {}: {}",
                part.name,
                part.unused.join(", ")
            ))?;
        }
        if let Some(problem) = &part.problem {
            summary::print_text(&format!("problem: {problem}"))?;
        }
    }
    Ok(())
}
