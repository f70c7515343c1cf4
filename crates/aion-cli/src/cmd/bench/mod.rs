//! `aion bench`: how fast this machine runs each operation.

mod inference;
mod machine;
mod setting;
mod training;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;

use crate::args::{MachineArgs, WeightsArgs, parse_batch};
use crate::failure::usage;
use crate::summary;
use setting::Setting;

/// Time each operation on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: a transformer of Base size with random weights, four objects at a time
  aion bench --only encode,predict-spectrum --batch 4

Operations: image-encode, image-decode, spectrum-encode, spectrum-decode (codecs of the published
sizes, pre-processing included), scalar-encode (a million numbers), encode (855 tokens, or as many
as --tokens says), encode-ragged (objects of different numbers of tokens, 150 on average),
predict-spectrum (580 tokens to 273); train-transformer, train-image-codec, train-spectrum-codec
(one step of the optimiser); matrix-product and stream (what the machine can do).
Without --model, weights are random; time does not depend on them.

With --turns the process says \"ready\", then calls its operation once a line on standard input and
answers with the seconds that it took: so others can be timed in between on the same machine.")]
pub struct Args {
    /// Checkpoint folder to time, instead of random weights of Base size
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Operations to time, instead of all
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    only: Vec<String>,
    /// Objects at a time
    #[arg(long, default_value_t = 1, value_parser = parse_batch, value_name = "N")]
    batch: usize,
    /// Tokens of an object that `encode` reads, instead of 855
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// Call the one operation of --only when told to, a line on standard input each time
    #[arg(long, requires = "only")]
    turns: bool,
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print rows as JSON
    #[arg(long)]
    json: bool,
}

/// One operation's timing.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    batch: usize,
    /// Tokens of one object, read and predicted.
    tokens: usize,
    /// Median of one call.
    seconds: f64,
    /// Longest less shortest call.
    spread: f64,
    rate: f64,
    unit: &'static str,
    /// Peak resident memory of this process so far; none where the system does not tell.
    peak_mb: Option<f64>,
}

/// An operation made ready.
struct Operation {
    /// Tokens of one object, read and predicted.
    tokens: usize,
    call: Box<dyn FnMut() -> anyhow::Result<()>>,
    work: Work,
}

/// What one call does, to give a rate.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// As many objects as the batch holds.
    Objects,
    /// So many of a unit.
    Other(f64, &'static str),
}

impl Operation {
    fn new(tokens: usize, call: impl FnMut() -> anyhow::Result<()> + 'static) -> Self {
        Operation {
            tokens,
            call: Box::new(call),
            work: Work::Objects,
        }
    }
}

/// Makes an operation ready.
type Prepare = fn(&Setting) -> anyhow::Result<Operation>;

/// Every operation by name.
const OPERATIONS: [(&str, Prepare); 13] = [
    ("image-encode", inference::image_encode),
    ("image-decode", inference::image_decode),
    ("spectrum-encode", inference::spectrum_encode),
    ("spectrum-decode", inference::spectrum_decode),
    ("scalar-encode", inference::scalar_encode),
    ("encode", inference::encode),
    ("encode-ragged", inference::encode_ragged),
    ("predict-spectrum", inference::predict_spectrum),
    ("train-transformer", training::transformer),
    ("train-image-codec", training::image_codec),
    ("train-spectrum-codec", training::spectrum_codec),
    ("matrix-product", machine::matrix_product),
    ("stream", machine::stream),
];

/// Calls of an operation end after so many, or so long.
const MOST_CALLS: usize = 30;
const LONGEST: Duration = Duration::from_secs(4);
const FEWEST_CALLS: usize = 3;

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let chosen = chosen(&args.only)?;
    if args.turns && chosen.len() > 1 {
        return Err(usage("--turns takes one operation".to_owned()));
    }
    let calls = match args.turns {
        true => when_told,
        false => one_after_the_other,
    };
    let setting = Setting {
        device: args.machine.start()?,
        model: args.model,
        batch: args.batch,
        tokens: args.tokens,
        narrow: args.weights.narrow(),
        seed: args.machine.seed,
    };
    let mut rows = Vec::new();
    for (name, prepare) in chosen {
        rows.push(time(name, &setting, prepare, calls)?);
    }
    if args.json {
        return summary::print_json(&serde_json::to_value(rows)?);
    }
    let heading = [
        "name", "batch", "tokens", "seconds", "spread", "rate", "peak MB",
    ];
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        vec![
            row.name.to_owned(),
            row.batch.to_string(),
            row.tokens.to_string(),
            format!("{:.4}", row.seconds),
            format!("{:.4}", row.spread),
            format!("{:.2} {}", row.rate, row.unit),
            row.peak_mb
                .map_or_else(|| "?".to_owned(), |peak| format!("{peak:.0}")),
        ]
    }));
    summary::print_table(&table)
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<(&'static str, Prepare)>> {
    if only.is_empty() {
        return Ok(OPERATIONS.to_vec());
    }
    let find = |name: &String| {
        let found = OPERATIONS.iter().find(|(known, _)| known == name);
        found.copied().ok_or_else(|| {
            let known: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
            usage(format!(
                "unknown operation `{name}`; known: {}",
                known.join(", ")
            ))
        })
    };
    only.iter().map(find).collect()
}

/// Seconds of each call of an operation.
type Calls = fn(&mut dyn FnMut() -> anyhow::Result<f64>) -> anyhow::Result<Vec<f64>>;

fn one_after_the_other(call: &mut dyn FnMut() -> anyhow::Result<f64>) -> anyhow::Result<Vec<f64>> {
    let mut seconds = Vec::new();
    let begin = Instant::now();
    while seconds.len() < FEWEST_CALLS || (seconds.len() < MOST_CALLS && begin.elapsed() < LONGEST)
    {
        seconds.push(call()?);
    }
    Ok(seconds)
}

fn when_told(call: &mut dyn FnMut() -> anyhow::Result<f64>) -> anyhow::Result<Vec<f64>> {
    let mut seconds = Vec::new();
    println!("ready");
    for line in std::io::stdin().lines() {
        line?;
        let took = call()?;
        println!("{took}");
        seconds.push(took);
    }
    ensure!(
        !seconds.is_empty(),
        "standard input ended before a call was asked for"
    );
    Ok(seconds)
}

/// Times an operation after one call that is not counted.
fn time(
    name: &'static str,
    setting: &Setting,
    prepare: Prepare,
    calls: Calls,
) -> anyhow::Result<Row> {
    let Operation {
        tokens,
        mut call,
        work,
    } = prepare(setting)?;
    call()?;
    let mut seconds = calls(&mut || {
        let start = Instant::now();
        call()?;
        Ok(start.elapsed().as_secs_f64())
    })?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let ends = seconds.first().zip(seconds.last());
    let (amount, unit) = match work {
        Work::Objects => (setting.batch as f64, "objects/s"),
        Work::Other(amount, unit) => (amount, unit),
    };
    Ok(Row {
        name,
        batch: setting.batch,
        tokens,
        seconds: median,
        spread: ends.map_or(0.0, |(shortest, longest)| longest - shortest),
        rate: amount / median,
        unit,
        peak_mb: aion_train::memory::peak_megabytes(),
    })
}
