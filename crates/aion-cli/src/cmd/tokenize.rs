//! `aion tokenize`: observations to tokens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aion_codec::CodecSet;
use aion_data::table_out::Floats;

use crate::args::{ComputeArgs, InputArgs, ModelArgs};
use crate::input::{Accept, sequence_lengths};
use crate::job::{self, HatsArgs, Job, ShardArgs};
use crate::model_source::{self, Need};
use crate::output::TOKENS;
use crate::provenance::{Provenance, Record};

/// Turn observations into tokens
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: tokens of all SDSS spectra of a folder, leaving out those that are damaged
  aion tokenize --model polymathic-ai/aion-base --input 'spectra/spec-*.fits' \\
      --output tokens.parquet --on-error skip

Every modality that the files hold and the checkpoint has a codec for is tokenised. The table that is
printed says how many values lay outside what a codec can express.

An output without extension is a directory of shards. A run that was stopped or killed goes on with
--resume; Ctrl-C (exit code 130) and SIGTERM (143) stop it after the batch at hand. Several processes
share the work with --claim, array jobs also with --shard 1/8, 2/8, ...:
  aion tokenize --model polymathic-ai/aion-base --input survey/ --output tokens --claim")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// File of tokens (.safetensors, .parquet, .fits), or a directory of shards
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    #[command(flatten)]
    shards: ShardArgs,
    #[command(flatten)]
    hats: HatsArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print the report as JSON, with the counts of every object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let device = args.compute.machine.start()?;
    let files = job::check(&args.input, (&args.output, &TOKENS), &args.shards)?;
    let model = model_source::find(&args.model, &Need::all_codecs())?;
    let mut provenance = Provenance::new(&model, &args.compute.machine);
    for (modality, length) in sequence_lengths(&files) {
        provenance.note(format!("{modality}/length"), length.to_string());
    }
    let job = Job {
        verb: "tokenising",
        input: &args.input,
        files: &files,
        accept: Accept::Observations,
        compute: &args.compute,
        output: &args.output,
        format: &TOKENS,
        floats: Floats::F32,
        shards: &args.shards,
        hats: args.hats.catalogue("tokens"),
        options: BTreeMap::new(),
        encodes: true,
        transformer: false,
        json: args.json,
    };
    let codecs = CodecSet::new(&model.folder, &device);
    job.run(&codecs, provenance, &Record::default(), |stage, batch| {
        let rows: Vec<_> = batch.into_iter().map(|located| located.row).collect();
        stage
            .record
            .holds(rows.iter().flat_map(|row| row.tokens.keys().copied()));
        Ok(rows)
    })
}
