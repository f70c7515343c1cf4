//! `aion masks`: what the samplers of masks feed a run.

use std::path::PathBuf;

use aion_train::masking::statistics::MaskStatistics;
use aion_train::{RunConfig, mask_report};
use serde_json::json;

use crate::args::use_threads;
use crate::report::{file, mask_figure};
use crate::summary::{print_json, print_table, print_text};

/// Show what each sampler of input and target tokens feeds a training run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: the samplers on the bundled tokens, as tables and as a figure
  aion masks configs/pretrain/smoke.toml --figure masks.svg

Draws masks for the run's own objects, in its own order, with every sampler at the run's budgets; the
run's own is marked. `fill` is the mean share of a budget that is used, `full` the share of objects that use all
of it, `seen` and `predicted` the shares of the objects that have a modality whose input or targets hold some,
`unseen` the share whose targets hold some while the input holds none.")]
pub struct Args {
    /// Run file of a model (TOML) with `data.tokens`
    #[arg(value_name = "RUN.toml")]
    run: PathBuf,
    /// Objects to draw masks for
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    objects: u64,
    /// Draw the figures
    #[arg(long, value_name = "FILE.svg")]
    figure: Option<PathBuf>,
    /// Threads; all cores by default
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    use_threads(args.threads)?;
    let config = RunConfig::read(&args.run)?;
    let found = mask_report(&config, args.objects)?;
    if let Some(path) = &args.figure {
        file::write(path, mask_figure::draw(&found)?)?;
    }
    if args.json {
        return print_json(&json!({"objects": args.objects, "samplers": found}));
    }
    print_table(&budgets(&found))?;
    print_text("")?;
    print_table(&modalities(&found))
}

/// The name in the tables; the run's own sampler comes first.
fn name(place: usize, found: &MaskStatistics) -> String {
    match place {
        0 => format!("{} (the run's)", found.sampler),
        _ => found.sampler.to_owned(),
    }
}

fn budgets(found: &[MaskStatistics]) -> Vec<Vec<String>> {
    let heading = [
        "sampler",
        "side",
        "budget",
        "tokens",
        "fill",
        "full",
        "modalities",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (place, found) in found.iter().enumerate() {
        for (label, side) in [("input", &found.input), ("target", &found.target)] {
            rows.push(vec![
                name(place, found),
                label.to_owned(),
                side.budget.to_string(),
                format!("{:.1}", side.tokens),
                format!("{:.3}", side.fill),
                format!("{:.3}", side.full),
                format!("{:.2}", side.modalities),
            ]);
        }
    }
    rows
}

fn modalities(found: &[MaskStatistics]) -> Vec<Vec<String>> {
    let mut heading = vec!["modality".to_owned(), "objects".to_owned()];
    for found in found {
        for column in ["seen", "tokens", "predicted", "unseen", "tokens"] {
            heading.push(format!("{}: {column}", found.sampler));
        }
    }
    let mut rows = vec![heading];
    let Some(first) = found.first() else {
        return rows;
    };
    for (key, of) in &first.by_modality {
        let mut row = vec![(*key).to_owned(), of.objects.to_string()];
        for found in found {
            let of = found.by_modality.get(key).copied().unwrap_or_default();
            row.push(format!("{:.3}", of.seen));
            row.push(format!("{:.1}", of.input_tokens));
            row.push(format!("{:.3}", of.predicted));
            row.push(format!("{:.3}", of.unseen));
            row.push(format!("{:.1}", of.target_tokens));
        }
        rows.push(row);
    }
    rows
}
