//! `aion inspect`: what a file or a checkpoint holds, and what is wrong with it.

mod checkpoint;
mod contents;
mod results;

use std::path::Path;

use serde_json::json;

use crate::args::ReadingArgs;
use crate::failure::usage;
use crate::input;
use crate::summary;
use contents::Contents;

/// Show what observations, tokens or a checkpoint hold, and what is wrong with them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: a checkpoint, and a folder of survey files
  aion inspect models/aion-tiny
  aion inspect spectra/ --json

The exit code is 2 when something is wrong.")]
pub struct Args {
    /// Checkpoint folder, or files as for --input of other commands
    #[arg(required = true, value_name = "PATH")]
    path: Vec<String>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    if let [path] = args.path.as_slice()
        && Path::new(path).join("config.json").is_file()
    {
        return checkpoint::run(Path::new(path), args.json);
    }
    let files = input::find_files(&args.path)?;
    let files = files
        .iter()
        .map(|file| contents::read(file, &args.reading.options()));
    let files: Vec<Contents> = files.collect();
    if args.json {
        summary::print_json(&json!(files))?;
    } else {
        contents::print(&files)?;
    }
    let problems: Vec<&String> = files.iter().flat_map(|file| &file.problems).collect();
    match problems.as_slice() {
        [] => Ok(()),
        [problem] => Err(usage(*problem)),
        [first, ..] => {
            let count = problems.len();
            Err(usage(format!("{count} problems, the first: {first}")))
        }
    }
}
