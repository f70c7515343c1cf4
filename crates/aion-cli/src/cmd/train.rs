//! `aion train`: a run file from start to end, with progress and resume.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aion_train::codec_report::of_newest;
use aion_train::{Event, Progress, RunConfig, Summary, run as train};
use clap::{Args as ClapArgs, ValueEnum};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::args::MachineArgs;
use crate::failure::usage;
use crate::report::codec;

/// Train a codec or the transformer as a run file says.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:
  aion train codec configs/codec/tiny-image.toml
  aion train codec configs/codec/tiny-image.toml --report
  aion train model configs/pretrain/tiny.toml --resume

The run file names the data, the sizes, the optimiser and the checkpoint that the result becomes
part of. Reports go to <output>/losses.jsonl; an interrupted run goes on with --resume. A trained
codec is judged on held-out measurements: <output>/report.json and <output>/figures.")]
pub struct Args {
    /// What the run file trains
    pub what: What,
    /// The run file (TOML)
    pub run: PathBuf,
    /// Go on from the last checkpoint of the run's output folder
    #[arg(long)]
    pub resume: bool,
    /// Train nothing: judge the newest checkpoint of a codec's run, which may still be going on
    #[arg(long, conflicts_with = "resume")]
    pub report: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What a run file trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A codec: image, spectrum, or the codebooks of numbers
    Codec,
    /// The transformer
    Model,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = RunConfig::read(&args.run)?;
    let path = args.run.display();
    match (args.what, config.codec.is_some()) {
        (What::Codec, false) => {
            return Err(usage(format!(
                "{path}: trains a model: use `aion train model`"
            )));
        }
        (What::Model, true) => {
            return Err(usage(format!(
                "{path}: trains a codec: use `aion train codec`"
            )));
        }
        _ => {}
    }
    let device = args.machine.start()?;
    if args.report {
        let found = of_newest(&config, &device)?;
        return codec::show(&found, &config.run.output, args.json);
    }
    let mut display = Display::new(config.run.steps);
    let stop = AtomicBool::new(false);
    let summary = train(
        &config,
        &device,
        args.resume,
        &mut |event| display.show(event),
        &stop,
    )?;
    display.finish();
    debug_assert!(!stop.load(Ordering::Relaxed));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
        codec::draw(&summary.report, &config.run.output)?;
        return Ok(());
    }
    print_summary(&summary);
    codec::show(&summary.report, &config.run.output, false)
}

/// Progress on stderr: a bar on a terminal, a line a report elsewhere.
struct Display {
    bar: ProgressBar,
    lines: bool,
}

impl Display {
    fn new(steps: u64) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let bar = if lines {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(steps)
        };
        // A template that does not parse leaves the plain bar.
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left")
        {
            bar.set_style(style);
        }
        Display { bar, lines }
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Data { survey, examples } => {
                let text = format!(
                    "{examples} examples a round; survey objects: {} used, {} held out, {} refused",
                    survey.used,
                    survey.held_out,
                    survey.refused.len()
                );
                self.say(text);
                for reason in &survey.refused {
                    self.say(format!("refused: {reason}"));
                }
            }
            Event::Prepared { done, total } => {
                self.bar.set_length(*total);
                self.bar.set_position(*done);
                self.bar.set_message("preparing");
            }
            Event::Step(progress) => {
                self.bar.set_length(progress.steps);
                self.bar.set_position(progress.step);
                let text = describe(progress);
                if self.lines {
                    self.say(text);
                } else {
                    self.bar.set_message(text);
                }
            }
        }
    }

    fn say(&self, text: String) {
        if self.lines {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn describe(progress: &Progress) -> String {
    let losses: Vec<String> = progress
        .losses
        .iter()
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect();
    let left = Duration::try_from_secs_f64(progress.eta_seconds).unwrap_or_default();
    format!(
        "step {}/{}: {}; rate {:.2e}; {:.1} examples/s; {} left",
        progress.step,
        progress.steps,
        losses.join(", "),
        progress.learning_rate,
        progress.examples_per_second,
        HumanDuration(left)
    )
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
