//! `aion crossmatch`: which objects of two catalogues are the same, as one dataset of pairs.

use std::path::{Path, PathBuf};

use aion_data::crossmatch::{self, Epochs, Input, Options, Report, SideCounts};
use aion_data::{DataError, Place, Problem};
use serde_json::{Map, Value, json};

use crate::args::OnError;
use crate::failure::usage;
use crate::input::find_files;
use crate::problems::Problems;
use crate::report::{file, separation_figure};
use crate::summary::{counted, print_json, print_table, print_text};

/// Pair the objects of two catalogues by their positions on the sky
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: stars of Gaia with spectra of DESI, which observed in 2021, and a figure of separations
  aion crossmatch gaia.parquet desi/ --radius 1 --right-epoch 2021.3 \\
      --output pairs.parquet --plot separations.svg

A pair is two objects that are each other's nearest neighbour within the radius. The output has
left_object_id, right_object_id and separation_arcsec, then the columns of both sides with left_ and
right_ before their names, then the mean position (ra, dec, _healpix_29), by which it is sorted.
Reading it (aion tokenize, embed, ...) gives each pair as one object with the measurements of both;
where both measured the same, the left side's counts.

Positions are compared as they stand, unless a side has proper motions (pmra, pmdec, ref_epoch): its
objects are then moved to the year of the other side's positions, which --left-epoch or
--right-epoch gives, or to --epoch.")]
pub struct Args {
    /// Files, a directory, a glob or a list (@files.txt): tables with positions, spectra, images
    #[arg(value_name = "A")]
    left: String,
    /// The other side
    #[arg(value_name = "B")]
    right: String,
    /// Largest separation of a pair
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "ARCSEC",
        allow_negative_numbers = true
    )]
    radius: f64,
    /// File of pairs (.parquet, .csv)
    #[arg(long, value_name = "F")]
    output: PathBuf,
    /// Year at which positions are compared (Julian, such as 2016.0)
    #[arg(long, value_name = "YEAR")]
    epoch: Option<f64>,
    /// Year of the positions of A, where its files do not say it
    #[arg(long, value_name = "YEAR")]
    left_epoch: Option<f64>,
    /// Year of the positions of B, where its files do not say it
    #[arg(long, value_name = "YEAR")]
    right_epoch: Option<f64>,
    /// Histogram of separations (.svg)
    #[arg(long, value_name = "F.svg")]
    plot: Option<PathBuf>,
    /// What a bad row does: end the command, or be listed and left out
    #[arg(long, value_enum, default_value_t = OnError::Skip)]
    on_error: OnError,
    /// Threads; all cores by default
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    check(&args)?;
    if let Some(threads) = args.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global()?;
    }
    let options = Options {
        epochs: Epochs {
            common: args.epoch,
            left: args.left_epoch,
            right: args.right_epoch,
        },
        ..Options::within(args.radius)
    };
    let (left, right) = (inputs(&args.left)?, inputs(&args.right)?);
    let mut problems = Problems::new(args.on_error);
    let mut note = |error| problems.note(error);
    let report = crossmatch::crossmatch(&left, &right, &options, &args.output, &mut note)?;
    if let Some(plot) = &args.plot {
        draw(plot, &report)?;
    }
    problems.print();
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    if args.json {
        return print_json(&in_json(&args, &report, &problems)?);
    }
    print(&args, &report)
}

fn check(args: &Args) -> anyhow::Result<()> {
    if !(args.radius > 0.0 && args.radius.is_finite()) {
        return Err(usage(format!(
            "--radius {}: expected arcseconds above 0",
            args.radius
        )));
    }
    let years = [
        ("--epoch", args.epoch),
        ("--left-epoch", args.left_epoch),
        ("--right-epoch", args.right_epoch),
    ];
    for (name, year) in years {
        if let Some(year) = year.filter(|year| !(1800.0..2200.0).contains(year)) {
            let text = format!("{name} {year}: expected a year such as 2016.0");
            return Err(usage(text));
        }
    }
    if args.threads == Some(0) {
        return Err(usage("--threads is 0, expected at least 1"));
    }
    let svg = |path: &PathBuf| path.extension().is_some_and(|end| end == "svg");
    match args.plot.as_ref().filter(|path| !svg(path)) {
        Some(path) => {
            let problem = Problem::Unrecognised("the extension should be .svg".to_owned());
            Err(DataError::new(Place::file(path), problem).into())
        }
        None => Ok(()),
    }
}

fn inputs(pattern: &str) -> anyhow::Result<Vec<Input>> {
    let files = find_files(&[pattern.to_owned()])?;
    let input = |file: crate::input::InputFile| Input {
        path: file.path,
        listed: file.listed,
    };
    Ok(files.into_iter().map(input).collect())
}

fn draw(path: &Path, report: &Report) -> anyhow::Result<()> {
    let Some(statistics) = &report.statistics else {
        eprintln!("note: no pairs, and so no figure {}", path.display());
        return Ok(());
    };
    let svg = separation_figure::separations(statistics, report.radius_arcsec)?;
    file::write(path, svg)
}

fn in_json(args: &Args, report: &Report, problems: &Problems) -> anyhow::Result<Value> {
    let mut all = Map::new();
    all.insert("output".into(), json!(args.output.display().to_string()));
    if let Value::Object(report) = serde_json::to_value(report)? {
        all.extend(report);
    }
    all.insert("skipped".into(), json!(problems.list()));
    Ok(Value::Object(all))
}

fn print(args: &Args, report: &Report) -> anyhow::Result<()> {
    let pairs = counted(report.pairs, "pair");
    let radius = report.radius_arcsec;
    let epoch = report.epoch.map(|year| format!(", positions of {year}"));
    print_text(&format!(
        "{}: {pairs} within {radius} arcsec{}",
        args.output.display(),
        epoch.unwrap_or_default()
    ))?;
    let heads = ["side", "files", "rows", "paired", "no position", "left out"];
    let side = |name: &str, counts: &SideCounts| {
        let share = 100.0 * report.pairs as f64 / counts.usable.max(1) as f64;
        vec![
            name.to_owned(),
            counts.files.to_string(),
            counts.rows.to_string(),
            format!("{share:.2} %"),
            counts.without_position.to_string(),
            counts.bad.to_string(),
        ]
    };
    print_table(&[
        heads.map(str::to_owned).to_vec(),
        side("left", &report.left),
        side("right", &report.right),
    ])?;
    print_text(&format!(
        "{} with another candidate within the radius, {} left rows whose neighbour is nearer to \
         another",
        report.ambiguous, report.not_mutual
    ))?;
    let Some(found) = &report.statistics else {
        return Ok(());
    };
    let row = |name: &str, arcsec: f64| vec![name.to_owned(), format!("{arcsec:.4}")];
    print_table(&[
        vec!["separation".to_owned(), "arcsec".to_owned()],
        row("mean", found.mean),
        row("median", found.median),
        row("95 of 100 below", found.p95),
        row("largest", found.max),
    ])?;
    print_text(&format!(
        "median offset, right minus left: {:+.4} arcsec in RA cos(dec), {:+.4} arcsec in dec",
        found.offset_ra, found.offset_dec
    ))
}
