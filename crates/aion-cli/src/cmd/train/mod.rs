//! `aion train`: a run file from start to end, with progress, resume and curves.

mod curves;
mod display;

use std::path::{Path, PathBuf};

use aion_train::codec_report::of_newest;
use aion_train::{RunConfig, Summary, log, run as train};
use clap::{Args as ClapArgs, ValueEnum};

use crate::args::ProcessorArgs;
use crate::failure::{Stopped, usage};
use crate::interrupt::Interrupt;
use crate::report::{codec, file};

use display::Display;

/// Train a codec or the transformer as a run file says.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:
  aion train codec configs/codec/smoke-image.toml --output runs/image
  aion train model configs/pretrain/smoke.toml --output runs/model --plot runs/model.svg
  aion train model configs/pretrain/smoke.toml --output runs/model --resume
  aion train codec configs/codec/smoke-image.toml --output runs/image --report
  aion train codec configs/survey/rubin-like.toml --output runs/rubin
  aion train plot runs/model

The run file names the data, the sizes, the optimiser, and where the result goes unless --output
says it. The output folder gets the configuration (run.toml), reports (losses.jsonl, and
events.out.tfevents.* for TensorBoard), checkpoints/, and with --output the result:
config.json and model.safetensors, the running means of the weights if `optim.ema` is set.
A trained codec is judged on measurements that it has not seen: report.json and figures/.
A run file that describes a new survey (`kind = \"bands\"`) extends a trained checkpoint to it: the
output folder is the checkpoint with the survey.

Ctrl-C or SIGTERM finishes the step, saves and exits with code 75; a second one ends the process at
once. A stopped or killed run goes on with the same command and --resume, to the same bytes.
Exit codes: 0 done, 2 bad input, 75 stopped and resumable, 1 anything else (a full disk, a loss
that is not finite in 20 steps in a row).")]
pub struct Args {
    /// What the run file trains; or `plot`, to draw the curves of a run
    pub what: What,
    /// The run file (TOML); for `plot` the run's output folder
    #[arg(value_name = "RUN.toml|DIR")]
    pub run: PathBuf,
    /// Folder of everything that the run writes, the result included; instead of the run file's
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Go on from the last checkpoint of the run's output folder
    #[arg(long)]
    pub resume: bool,
    /// Train nothing: judge the newest checkpoint of a codec's run, which may still be going on
    #[arg(long, conflicts_with = "resume")]
    pub report: bool,
    /// Draw loss, learning rate and gradient norm (SVG) when the run ends; for `plot`
    /// DIR/curves.svg is the default
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
    /// Seed of first weights, order and masks, instead of the run file's `run.seed`; a resumed run needs
    /// the seed that it began with
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub processor: ProcessorArgs,
}

/// What a run file trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A codec: image, spectrum, segmentation map, or the codebooks of numbers
    Codec,
    /// The transformer
    Model,
    /// Nothing: draw the curves of a run, finished or not
    Plot,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    if args.what == What::Plot {
        return plot_only(&args);
    }
    let config = read(&args)?;
    let device = args.processor.start()?;
    if args.report {
        let found = of_newest(&config, &device)?;
        return codec::show(&found, &config.run.output, args.json);
    }
    let interrupt = Interrupt::listen()?;
    let mut display = Display::new(config.run.steps);
    let outcome = train(
        &config,
        &device,
        args.resume,
        &mut |event| display.show(event),
        interrupt.flag(),
    );
    display.finish();
    let summary = outcome?;
    if let Some(path) = &args.plot {
        draw(&summary.output, path)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
        codec::draw(&summary.report, &config.run.output)?;
    } else {
        print_summary(&summary);
        if !summary.before.is_empty() {
            println!("\nBefore training:");
            codec::print(&summary.before);
            println!("\nAfter training:");
        }
        codec::show(&summary.report, &config.run.output, false)?;
    }
    if summary.stopped {
        let (step, steps) = (summary.steps, config.run.steps);
        let text = format!("stopped after step {step} of {steps}: --resume goes on from there");
        return Err(Stopped(text).into());
    }
    Ok(())
}

/// The run file, and whether it is one of what was asked for.
fn read(args: &Args) -> anyhow::Result<RunConfig> {
    let mut config = RunConfig::read(&args.run)?;
    config.run.seed = args.seed.unwrap_or(config.run.seed);
    let path = args.run.display();
    let other = match (args.what, config.codec.is_some()) {
        (What::Codec, false) => Some("model"),
        (What::Model, true) => Some("codec"),
        _ => None,
    };
    if let Some(other) = other {
        let text = format!("{path}: trains a {other}: use `aion train {other}`");
        return Err(usage(text));
    }
    Ok(match &args.output {
        Some(folder) => config.with_output(folder),
        None => config,
    })
}

fn plot_only(args: &Args) -> anyhow::Result<()> {
    let default = args.run.join("curves.svg");
    let path = args.plot.as_ref().unwrap_or(&default);
    draw(&args.run, path)?;
    if args.json {
        println!("{}", serde_json::json!({ "saved": [path] }));
    } else {
        println!("saved {}", path.display());
    }
    Ok(())
}

fn draw(output: &Path, path: &Path) -> anyhow::Result<()> {
    let reports = log::read(output)?;
    if reports.len() < 2 {
        let text = format!("{}: fewer than two reports, no curve", output.display());
        return Err(usage(text));
    }
    let svg = curves::draw(&reports)?;
    file::write(path, svg)
}

fn print_summary(summary: &Summary) {
    println!(
        "{} steps in {:.0} s, {} trained values",
        summary.steps, summary.seconds, summary.parameters
    );
    for folder in &summary.saved {
        println!("saved {}", folder.display());
    }
}
