//! `aion tokenize`: observations to tokens.

use std::path::PathBuf;

use aion_codec::CodecSet;

use crate::args::{ComputeArgs, InputArgs, ModelArgs};
use crate::input::Accept;
use crate::model_source::{self, Need};
use crate::output::{Sink, TOKENS};
use crate::provenance::Provenance;
use crate::summary::Summary;
use crate::token_stream::TokenStream;

/// Turn observations into tokens
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: tokens of all SDSS spectra of a folder, leaving out those that are damaged
  aion tokenize --model polymathic-ai/aion-base --input 'spectra/spec-*.fits' \\
      --output tokens.parquet --on-error skip

Every modality that the files hold and the checkpoint has a codec for is tokenised. The table that is
printed says how many values lay outside what a codec can express.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// File of tokens (.safetensors, .parquet), or a new directory of shards
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print the report as JSON, with the counts of every object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let device = args.compute.machine.start()?;
    let mut sink = Sink::create(&args.output, &TOKENS)?;
    let model = model_source::find(&args.model, &Need::all_codecs())?;
    let mut provenance = Provenance::new(&model, &args.compute.machine);
    let codecs = CodecSet::new(&model.folder, &device);
    let input = (&args.input, &args.compute);
    let mut stream = TokenStream::open(
        "tokenising",
        input,
        Accept::Observations,
        &codecs,
        args.json,
    )?;
    for (modality, length) in stream.sequence_lengths() {
        provenance.note(format!("{modality}/length"), length.to_string());
    }
    while let Some(batch) = stream.next(&mut provenance)? {
        let rows: Vec<_> = batch.into_iter().map(|located| located.row).collect();
        provenance.holds(rows.iter().flat_map(|row| row.tokens.keys().copied()));
        sink.push(rows, || provenance.metadata())?;
    }
    let objects = sink.len();
    sink.finish(&provenance.metadata()?)?;
    Summary {
        output: &args.output,
        objects,
        problems: &stream.problems,
        ranges: Some(&stream.ranges),
        more: provenance.summary()?,
    }
    .print(args.json)
}
