//! The `aion` command: modalities of any survey to tokens, embeddings and predictions.
//!
//! A command is one file under `cmd`, with its arguments, its help and its `run`. What several share
//! lies beside this file; exit codes and broken pipes are handled here alone.

mod allocator;
mod args;
mod cmd;
mod digest;
mod failure;
mod input;
mod interrupt;
mod job;
mod like;
mod model_source;
mod output;
mod problems;
mod progress;
mod provenance;
mod ranges;
mod report;
mod result_table;
mod sink;
mod summary;

use std::panic;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// AION-1, the multimodal foundation model for astronomy.
#[derive(Debug, Parser)]
#[command(
    name = "aion",
    version,
    propagate_version = false,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(cmd::demo::Args),
    Fetch(cmd::fetch::Args),
    Inspect(cmd::inspect::Args),
    Cutout(cmd::cutout::Args),
    Tokenize(cmd::tokenize::Args),
    Detokenize(cmd::detokenize::Args),
    Embed(cmd::embed::Args),
    Predict(cmd::predict::Args),
    Train(cmd::train::Args),
    Evaluate(cmd::evaluate::Args),
    Masks(cmd::masks::Args),
    Leakage(cmd::leakage::Args),
    Plan(cmd::plan::Args),
    Scaling(cmd::scaling::Args),
    Bench(cmd::bench::Args),
    Crossmatch(cmd::crossmatch::Args),
    Simulate(cmd::simulate::Args),
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Demo(args) => cmd::demo::run(args),
            Command::Fetch(args) => cmd::fetch::run(args),
            Command::Inspect(args) => cmd::inspect::run(args),
            Command::Cutout(args) => cmd::cutout::run(args),
            Command::Tokenize(args) => cmd::tokenize::run(args),
            Command::Detokenize(args) => cmd::detokenize::run(args),
            Command::Embed(args) => cmd::embed::run(args),
            Command::Predict(args) => cmd::predict::run(args),
            Command::Train(args) => cmd::train::run(args),
            Command::Evaluate(args) => cmd::evaluate::run(args),
            Command::Masks(args) => cmd::masks::run(args),
            Command::Leakage(args) => cmd::leakage::run(args),
            Command::Plan(args) => cmd::plan::run(args),
            Command::Scaling(args) => cmd::scaling::run(args),
            Command::Bench(args) => cmd::bench::run(args),
            Command::Crossmatch(args) => cmd::crossmatch::run(args),
            Command::Simulate(args) => cmd::simulate::run(args),
        }
    }
}

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    let command = Cli::parse().command;
    // Readers turn panics of third-party parsers into errors; those must not print.
    panic::set_hook(Box::new(failure::note_panic));
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| command.run()));
    let error = match outcome {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => error,
        Err(_) => failure::panicked(),
    };
    if failure::is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", failure::message(&error));
    ExitCode::from(failure::exit_code(&error))
}
