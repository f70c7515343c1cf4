//! `aion leakage`: whether a run trains on what is kept for tests.

use std::path::PathBuf;

use aion_train::RunConfig;
use aion_train::data::files::token_files;
use aion_train::leakage::{CheckedSet, Leak, Leakage, check, sets_of};
use anyhow::bail;

use crate::args::use_threads;
use crate::failure::usage;
use crate::summary::{counted, print_json, print_table, print_text};

/// Check that what runs train on is not held out elsewhere
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: the sets of a run among each other; the same with the test set of another work
  aion leakage configs/pretrain/smoke.toml
  aion leakage pretrain.toml probes.toml --test morphology-test.parquet

Looks at identifiers and positions of `data.tokens`, split as each run file says. An object leaks that is
trained on in one set and held out, for validation or test, in the same or another: at most --radius apart
or, where one has no position, of the same identifier. A cell of the sky leaks that holds both. Survey
files and simulated objects that a run tokenises itself are not looked at. The exit code is 1 when
anything leaks.")]
pub struct Args {
    /// Run files (TOML)
    #[arg(required = true, value_name = "RUN.toml")]
    runs: Vec<PathBuf>,
    /// Files of tokens that must not be trained on, all of them
    #[arg(long, num_args = 1.., value_name = "TOKENS")]
    test: Vec<String>,
    /// Objects nearer than this are the same, arcsec
    #[arg(long, default_value_t = 1.0, value_parser = parse_radius, value_name = "ARCSEC")]
    radius: f64,
    /// Threads; all cores by default
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn parse_radius(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(radius) if radius > 0.0 && radius <= 3600.0 => Ok(radius),
        _ => Err("expected arcseconds above 0, at most 3600".to_owned()),
    }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    use_threads(args.threads)?;
    let mut sets = Vec::new();
    for path in &args.runs {
        let config = RunConfig::read(path)?;
        let name = path.display().to_string();
        let found = sets_of(&name, &config.data)?;
        if found.is_empty() {
            return Err(usage(format!("{name}: names no `data.tokens`")));
        }
        if config.data.has_objects() {
            eprintln!("{name}: objects that the run tokenises itself are not looked at");
        }
        sets.extend(found);
    }
    if !args.test.is_empty() {
        sets.push(CheckedSet {
            name: format!("--test: {}", args.test.join(", ")),
            files: token_files("--test", &args.test)?,
            split: None,
        });
    }
    let found = check(&sets, args.radius)?;
    if args.json {
        print_json(&serde_json::to_value(&found)?)?;
    } else {
        print(&found)?;
    }
    verdict(&found)
}

fn print(found: &Leakage) -> anyhow::Result<()> {
    let heading = ["set", "trained on", "held out", "no position"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(found.sets.iter().map(|set| {
        let numbers = [set.train, set.held_out, set.without_position];
        let numbers = numbers.map(|number| number.to_string());
        std::iter::once(set.name.clone()).chain(numbers).collect()
    }));
    print_table(&rows)?;
    for (train, held, objects) in &found.pairs {
        let objects = counted(*objects as usize, "object");
        print_text(&format!(
            "{objects} trained on in {train}, held out in {held}"
        ))?;
    }
    for leak in &found.examples {
        print_text(&line(leak))?;
    }
    let cells = counted(found.cells.len(), "cell");
    let objects = counted(found.objects as usize, "object");
    print_text(&format!(
        "{objects} within {} arcsec and {cells} of nside {} on both sides",
        found.radius_arcsec, found.nside
    ))
}

fn line(leak: &Leak) -> String {
    let how = match leak.separation_arcsec {
        Some(separation) => format!("{separation:.3} arcsec apart"),
        None => "by identifier".to_owned(),
    };
    let Leak {
        train_set,
        train_object,
        held_out_set,
        held_out_object,
        ..
    } = leak;
    format!("  {train_object} ({train_set}) is {held_out_object} ({held_out_set}), {how}")
}

fn verdict(found: &Leakage) -> anyhow::Result<()> {
    if found.is_none() {
        return Ok(());
    }
    let objects = counted(found.objects as usize, "object");
    let cells = counted(found.cells.len(), "cell");
    bail!("leakage: {objects} and {cells} are both trained on and held out")
}
