//! `aion evaluate`: what a trained model knows of objects that it has not seen.

use std::path::PathBuf;

use aion_train::RunConfig;
use aion_train::model_report::{Settings, report};
use anyhow::{Context, Result};

use crate::args::{ProcessorArgs, parse_batch};
use crate::report::{evaluation, evaluation_figures, file};
use crate::summary::{print_json, print_text};

/// Report on a trained model: what it knows of objects that its run kept from training
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: the bundled model, and gradient boosting on the same galaxies
  aion evaluate configs/pretrain/tiny.toml --output target/evaluate
  python bench/redshift_baseline.py target/evaluate

Held out are survey objects that the run kept from training, and simulated ones beyond those trained on;
they are never mixed. Each modality is asked for alone, from all other modalities of the object, from
less of them, and beside the unigram of the training set. The output folder gets report.md,
report.json, figures/, and redshift-table.json: photometry and redshifts of the galaxies trained on and
held out, for other methods.")]
pub struct Args {
    /// The run file (TOML) that the model was trained with; the model lies where it saves it
    #[arg(value_name = "RUN.toml")]
    run: PathBuf,
    /// Folder of the report
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Objects of each modality, simulated ones and as many real ones
    #[arg(long, default_value_t = 64, value_parser = parse_batch, value_name = "N")]
    objects: usize,
    /// Galaxies of each survey whose redshift is asked for, simulated ones and as many real ones
    #[arg(long, default_value_t = 400, value_parser = parse_batch, value_name = "N")]
    redshifts: usize,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    processor: ProcessorArgs,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let config = RunConfig::read(&args.run)?;
    let device = args.processor.start()?;
    let settings = Settings {
        objects: args.objects,
        redshifts: args.redshifts,
    };
    let mut stage = |text: &str| eprintln!("{text}");
    let (found, tables) = report(&config, settings, &device, &mut stage)?;
    let text = evaluation::markdown(&found);
    let json = serde_json::to_value(&found)?;
    let mut files = vec![
        ("report.md".to_owned(), text.clone()),
        ("report.json".to_owned(), format!("{json:#}\n")),
        (
            "redshift-table.json".to_owned(),
            serde_json::to_string(&tables)?,
        ),
    ];
    let figures = evaluation_figures::draw(&found)?.into_iter();
    files.extend(figures.map(|(name, svg)| (format!("figures/{name}.svg"), svg)));
    std::fs::create_dir_all(args.output.join("figures"))
        .with_context(|| format!("{}: cannot be written", args.output.display()))?;
    for (name, text) in &files {
        file::write(&args.output.join(name), text)?;
    }
    match args.json {
        true => print_json(&json),
        false => print_text(&text),
    }
}
