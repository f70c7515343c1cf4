//! `aion scaling`: train a ladder of sizes, fit the law of their losses, draw it.

use std::path::{Path, PathBuf};

use aion_train::TrainError;
use aion_train::scaling::{Analysis, Estimate, Ladder, Outcome, Study, StudyEvent, run_study};
use anyhow::Context;
use serde_json::{Value, json};

use crate::args::ProcessorArgs;
use crate::failure::{Stopped, usage};
use crate::interrupt::Interrupt;
use crate::report::{file, scaling_figure};
use crate::summary::{print_json, print_table, print_text};

/// Train a ladder of model and data sizes, and fit how the loss falls with both
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: a minute's study, and its figure once more from what it stored
  aion scaling configs/scaling/smoke.toml
  aion scaling configs/scaling/smoke.toml --replot --plot scaling.svg

All runs learn from equally many tokens. A finished run leaves rungs/<name>/result.json in the
study's folder and is not trained again; --resume goes on with what is left, from the last
checkpoint of the run that was stopped. Ctrl-C or SIGTERM finishes the step, saves and exits with
code 75, as `aion train` does.
The law is L(N, D) = E + A/N^alpha + B/D^beta: N parameters but for embeddings and heads, D tokens
in the training set, L the cross-entropy on objects held out. Intervals are 95 % of a bootstrap.
The study's folder gets study.json, which --replot takes too, and scaling.svg.")]
pub struct Args {
    /// The ladder (TOML); with --replot also a study.json
    #[arg(value_name = "LADDER.toml")]
    study: PathBuf,
    /// Go on with the study that the folder holds; begin it where it holds none
    #[arg(long)]
    resume: bool,
    /// Fit and draw the stored results, training nothing
    #[arg(long, conflicts_with = "resume")]
    replot: bool,
    /// The figure, instead of scaling.svg in the study's folder
    #[arg(long, value_name = "F.svg")]
    plot: Option<PathBuf>,
    /// Print results and fit as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    processor: ProcessorArgs,
}

/// Objects that become tokens between two lines of progress; a multiple of those done at once.
const TOKENS_A_LINE: u64 = 640;

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let is_study = args.study.extension().is_some_and(|end| end == "json");
    if is_study && !args.replot {
        let path = args.study.display();
        return Err(usage(format!("{path}: stored results: use --replot")));
    }
    let (study, folder) = if is_study {
        let folder = args.study.parent().map(Path::to_owned);
        (read(&args.study)?, folder.unwrap_or_default())
    } else {
        let ladder = Ladder::read(&args.study)?;
        let study = match args.replot {
            true => Study::stored(&ladder)?,
            false => train(&args, &ladder)?,
        };
        (study, ladder.run.output)
    };
    let analysis = analyse(&study)?;
    let results = in_json(&study, analysis.as_ref())?;
    if !is_study {
        let text = serde_json::to_string_pretty(&results)?;
        file::write(&folder.join("study.json"), &text)?;
    }
    let plot = args.plot.unwrap_or_else(|| folder.join("scaling.svg"));
    match scaling_figure::scaling(&study, analysis.as_ref())? {
        Some(svg) => file::write(&plot, svg)?,
        None => eprintln!("note: too few results, and so no figure {}", plot.display()),
    }
    if args.json {
        print_json(&results)?;
    } else {
        print(&study, analysis.as_ref())?;
    }
    let (done, all) = (study.outcomes.len() as u64, study.rungs);
    if done < all && !args.replot {
        let text = format!("stopped after {done} of {all} runs: --resume goes on from there");
        return Err(Stopped(text).into());
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Study> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    let study = serde_json::from_slice(&text);
    study.map_err(|error| usage(format!("{}: no study: {error}", path.display())))
}

fn train(args: &Args, ladder: &Ladder) -> anyhow::Result<Study> {
    let device = args.processor.start()?;
    let interrupt = Interrupt::listen()?;
    let stop = interrupt.flag();
    Ok(run_study(ladder, &device, args.resume, &mut show, stop)?)
}

/// A line a report on stderr.
fn show(event: &StudyEvent) {
    match event {
        StudyEvent::Tokens { done, total } if done % TOKENS_A_LINE == 0 || done == total => {
            eprintln!("{done} of {total} objects are tokens");
        }
        StudyEvent::Tokens { .. } => {}
        StudyEvent::Rung { name, place, total } => eprintln!("run {place} of {total}: {name}"),
        StudyEvent::Step(progress) => {
            let loss = progress.losses.get("loss").copied().unwrap_or(f64::NAN);
            let (step, steps) = (progress.step, progress.steps);
            let (rate, left) = (progress.examples_per_second, progress.eta_seconds);
            eprintln!(
                "  step {step}/{steps}: loss {loss:.4}, {rate:.1} objects/s, {left:.0} s left"
            );
        }
        StudyEvent::Outcome(outcome) => {
            let (loss, seconds) = (outcome.held_out.loss, outcome.seconds);
            eprintln!("  held-out loss {loss:.4} after {seconds:.0} s");
        }
    }
}

/// The fit, unless there are too few results yet.
fn analyse(study: &Study) -> anyhow::Result<Option<Analysis>> {
    match Analysis::of(study) {
        Ok(analysis) => Ok(Some(analysis)),
        Err(TrainError::Scaling(reason)) => {
            eprintln!("note: no fit: {reason}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn in_json(study: &Study, analysis: Option<&Analysis>) -> anyhow::Result<Value> {
    let mut all = serde_json::to_value(study)?;
    if let Value::Object(all) = &mut all {
        all.insert("analysis".to_owned(), json!(analysis));
    }
    Ok(all)
}

fn print(study: &Study, analysis: Option<&Analysis>) -> anyhow::Result<()> {
    let heads = [
        "run",
        "parameters",
        "objects",
        "tokens",
        "rounds",
        "training",
        "held out",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(study.outcomes.iter().map(row));
    print_table(&rows)?;
    let (done, all) = (study.outcomes.len() as u64, study.rungs);
    if done < all {
        print_text(&format!(
            "{done} of {all} runs are finished; --resume goes on"
        ))?;
    }
    match analysis {
        Some(analysis) => print_analysis(analysis),
        None => Ok(()),
    }
}

fn row(outcome: &Outcome) -> Vec<String> {
    let training = outcome.training_loss;
    vec![
        outcome.name.clone(),
        outcome.parameters.to_string(),
        outcome.objects.to_string(),
        outcome.tokens.to_string(),
        format!("{:.1}", outcome.examples as f64 / outcome.objects as f64),
        training.map_or_else(|| "?".to_owned(), |loss| format!("{loss:.4}")),
        format!("{:.4}", outcome.held_out.loss),
    ]
}

fn print_analysis(analysis: &Analysis) -> anyhow::Result<()> {
    let scatter = analysis.scatter;
    print_text(&format!(
        "\nL(N, D) = E + A / N^alpha + B / D^beta, residuals {scatter:.4} nats\n"
    ))?;
    let constants = &analysis.constants;
    let mut rows = vec![
        ["constant", "value", "95 % from", "to"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(
        [
            ("E", &constants.e),
            ("A", &constants.a),
            ("alpha", &constants.alpha),
            ("B", &constants.b),
            ("beta", &constants.beta),
        ]
        .map(|(name, estimate)| cells(name, None, estimate)),
    );
    print_table(&rows)?;
    print_text("\nThe largest model, predicted from the smaller ones\n")?;
    let heads = ["run", "measured", "predicted", "95 % from", "to", ""];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(analysis.checks.iter().map(|check| {
        let mut cells = cells(&check.name, Some(check.measured), &check.predicted);
        cells.push(if check.inside { "inside" } else { "outside" }.to_owned());
        cells
    }));
    print_table(&rows)
}

fn cells(name: &str, measured: Option<f64>, estimate: &Estimate) -> Vec<String> {
    let numbers = [estimate.value, estimate.low, estimate.high];
    let mut cells = vec![name.to_owned()];
    cells.extend(measured.into_iter().chain(numbers).map(number));
    cells
}

/// Four decimals, or powers of ten where they would be long.
fn number(value: f64) -> String {
    if value < 1e4 {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    }
}
