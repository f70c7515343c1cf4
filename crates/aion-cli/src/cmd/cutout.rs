//! `aion cutout`: stamps of the objects of a catalogue, cut out of bricks or patches.

mod left;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_data::extract::{self, Fields};
use aion_data::reader::{Objects, ReadOptions};
use aion_data::survey::brick::{self, BrickOptions};
use aion_data::{DataError, Survey};
use serde_json::{Value, json};

use crate::args::{self, OnError};
use crate::failure::usage;
use crate::input::{self, InputFile};
use crate::output::OBSERVATIONS;
use crate::progress::Progress;
use crate::sink::Sink;
use crate::{provenance, summary};
use left::Left;

/// Pixels a side that the image codec looks at.
const LEAST_SIZE: usize = aion_data::check::MIN_PIXELS;
/// Pixels a side of the largest brick or patch.
const LARGEST_SIZE: usize = 4200;

/// Cut images of a catalogue's objects out of survey bricks, and join its measurements
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: all sources of a brick of the Legacy Surveys, as files of 256 MB in a new folder
  aion cutout --bricks coadd/095/0959p805 --table tractor/095/tractor-0959p805.fits \\
      --output stamps

Bricks are files legacysurvey-BRICK-image-BAND.fits.fz, with -invvar-BAND and -maskbits beside them,
or patches calexp-FILTER-TRACT-PATCH.fits of HSC. Pixels are taken as they are: of all squares of
--size pixels the one whose centre is nearest to the position. Positions that no image holds, whose
stamp an edge cuts or where a band has no data are counted, and listed with the reason.")]
pub struct Args {
    /// Files of bricks, or folders with bricks anywhere in them
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    bricks: Vec<PathBuf>,
    /// Catalogues: tractor or sweep files, or any table of positions
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    table: Vec<String>,
    /// File of observations (.safetensors, .parquet), which is in memory until it is written, or a new
    /// directory, written shard by shard
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    /// Pixels per side
    #[arg(long, default_value_t = 160, value_parser = parse_size, value_name = "PIXELS")]
    size: usize,
    /// Survey of the bricks, where both are there
    #[arg(long, value_parser = args::parse_survey, value_name = "legacy|hsc")]
    survey: Option<Survey>,
    /// Bands that every object needs, such as grz; by default all that any brick has
    #[arg(long, value_name = "LETTERS")]
    bands: Option<String>,
    /// Read bricks of other pixel scales than 0.262 (Legacy Surveys) or 0.168 arcsec (HSC) too
    #[arg(long)]
    any_pixel_scale: bool,
    /// Make the positions modalities (tok_ra, tok_dec); else they only travel along
    #[arg(long)]
    with_position: bool,
    /// What an object without a stamp does: end the command, or be listed and left out
    #[arg(long, value_enum, default_value_t = OnError::Skip)]
    on_error: OnError,
    /// Table of all that is left out (.csv): object, reason, what is wrong
    #[arg(long, value_name = "FILE")]
    skipped: Option<PathBuf>,
    /// Threads; all cores by default
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    args::use_threads(args.threads)?;
    if args.survey.is_some_and(|survey| !IMAGED.contains(&survey)) {
        return Err(usage("--survey: only legacy and hsc have images"));
    }
    let mut sink = Sink::create(&args.output, &OBSERVATIONS)?;
    let options = BrickOptions {
        survey: args.survey,
        bands: args.bands.clone(),
        any_pixel_scale: args.any_pixel_scale,
    };
    let found = brick::find(&args.bricks, &options)?;
    let survey = found.survey;
    let mut left = Left::begin(args.skipped.as_deref(), args.on_error)?;
    for problem in found.problems {
        if found.fields.is_empty() {
            return Err(problem.into());
        }
        left.brick(problem)?;
    }
    let fields = Fields::new(found.fields);
    let bricks = fields.len();
    let tables = input::find_files(&args.table)?;
    let progress = Progress::start("cutting", input::estimate(&tables));
    let stamps = extract::stamps(catalogues(tables, &args)?, fields, args.size);
    let metadata = metadata(survey);
    for object in stamps {
        progress.advance(1);
        match object {
            Ok(object) => sink.push([object], || Ok(metadata.clone()))?,
            Err(error) => left.object(error)?,
        }
    }
    drop(progress);
    let objects = sink.len();
    left.finish()?;
    if objects == 0 {
        left.print();
        return Err(usage(format!("no stamp could be cut: {}", left.reasons())));
    }
    sink.finish(&metadata)?;
    report(&args, (objects, bricks), survey, &left)
}

/// Surveys that have images.
const IMAGED: [Survey; 2] = [Survey::LegacySurvey, Survey::Hsc];

/// The rows of all catalogues, each opened when it is its turn, the first at once.
fn catalogues(files: Vec<InputFile>, args: &Args) -> anyhow::Result<Objects> {
    let options = ReadOptions {
        with_position: args.with_position,
        ..ReadOptions::default()
    };
    let rows = move |file: InputFile| -> aion_data::Result<Objects> {
        let objects = extract::catalogue(&file.path, &options)?;
        let in_file = move |error: DataError| error.in_file(&file.path);
        Ok(Box::new(
            objects.map(move |object| object.map_err(&in_file)),
        ))
    };
    let mut files = files.into_iter();
    let first = files.next().map(&rows).transpose()?;
    // A later table that cannot be read is one thing that is left out.
    let unreadable = |error| -> Objects { Box::new(std::iter::once(Err(error))) };
    let others = files.flat_map(move |file| rows(file).unwrap_or_else(unreadable));
    Ok(Box::new(first.into_iter().flatten().chain(others)))
}

/// The record of how the stamps came about.
fn metadata(survey: Survey) -> BTreeMap<String, String> {
    let entries = [
        ("aion.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("aion.command", provenance::command()),
        ("aion.surveys", survey.name().to_owned()),
    ];
    let entries = entries.map(|(key, value)| (key.to_owned(), value));
    BTreeMap::from(entries)
}

fn report(
    args: &Args,
    (objects, bricks): (usize, usize),
    survey: Survey,
    left: &Left,
) -> anyhow::Result<()> {
    left.print();
    if args.json {
        let mut report = json!({
            "output": args.output.display().to_string(),
            "objects": objects,
            "bricks": bricks,
            "survey": survey.name(),
            "size": args.size,
        });
        if let (Value::Object(report), Value::Object(left)) = (&mut report, left.json()) {
            report.extend(left);
        }
        return summary::print_json(&report);
    }
    let cut = summary::counted(objects, "object");
    let from = summary::counted(bricks, "brick");
    summary::print_text(&format!("{}: {cut} from {from}", shown(&args.output)))?;
    if left.total() > 0 {
        summary::print_text(&format!("left out: {}", left.reasons()))?;
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Pixels a side of a stamp.
fn parse_size(text: &str) -> Result<usize, String> {
    let expected = || format!("expected a whole number from {LEAST_SIZE} to {LARGEST_SIZE}");
    let size = text.parse::<usize>().map_err(|_| expected())?;
    let possible = (LEAST_SIZE..=LARGEST_SIZE).contains(&size);
    possible.then_some(size).ok_or_else(expected)
}
