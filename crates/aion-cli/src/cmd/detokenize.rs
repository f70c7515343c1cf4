//! `aion detokenize`: tokens to observations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aion_codec::catalog::CODES_PER_SOURCE;
use aion_codec::{CodecError, CodecSet};
use aion_data::shards::sha256;
use aion_data::table_out::Floats;
use aion_data::{Measurement, ModalityId, Object, TokenRow};

use crate::args::{ComputeArgs, InputArgs, ModelArgs};
use crate::input::{Accept, sequence_lengths};
use crate::job::{self, Job, ShardArgs, TokenBatch};
use crate::like::Like;
use crate::model_source::{self, Need};
use crate::output::OBSERVATIONS;
use crate::provenance::{Provenance, Record};

/// Turn tokens back into observations
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: what the tokens of some spectra keep of them, on the wavelengths that were observed
  aion detokenize --model polymathic-ai/aion-base --input tokens.parquet --like spectra.safetensors \\
      --output decoded.safetensors

Without --like, images have their survey's bands and spectra the codec's own wavelength grid.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// File of observations (.safetensors; .parquet for one survey's), or a directory of shards
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    #[command(flatten)]
    shards: ShardArgs,
    /// Observations whose bands and wavelengths are wanted: one row, or as many as the tokens
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let device = args.compute.machine.start()?;
    let files = job::check(&args.input, (&args.output, &OBSERVATIONS), &args.shards)?;
    let like = match &args.like {
        Some(path) => Like::read(path)?,
        None => Like::default(),
    };
    let model = model_source::find(&args.model, &Need::all_codecs())?;
    let mut provenance = Provenance::new(&model, &args.compute.machine);
    for (modality, length) in sequence_lengths(&files) {
        let sources = length / CODES_PER_SOURCE;
        provenance.note(format!("{modality}/length"), sources.to_string());
    }
    let like_what = match &args.like {
        Some(path) => sha256(path)?,
        None => "nothing".to_owned(),
    };
    let job = Job {
        verb: "decoding",
        input: &args.input,
        files: &files,
        accept: Accept::Tokens,
        compute: &args.compute,
        output: &args.output,
        format: &OBSERVATIONS,
        floats: Floats::F32,
        shards: &args.shards,
        hats: None,
        options: BTreeMap::from([("like".to_owned(), like_what)]),
        encodes: false,
        transformer: false,
        json: args.json,
    };
    let codecs = CodecSet::new(&model.folder, &device);
    job.run(&codecs, provenance, &Record::default(), |stage, batch| {
        let modalities = present(&batch);
        stage.record.uses_codecs(modalities.iter().copied());
        stage.record.holds(modalities);
        Ok(decode(&codecs, batch, &like)?)
    })
}

/// Modalities that any object of a batch has.
fn present(batch: &TokenBatch) -> BTreeSet<ModalityId> {
    let keys = batch.iter().flat_map(|row| row.row.tokens.keys());
    keys.copied().collect()
}

/// The objects of a batch, each modality decoded for all of them at once.
fn decode(codecs: &CodecSet, batch: TokenBatch, like: &Like) -> Result<Vec<Object>, CodecError> {
    let mut objects: Vec<Object> = batch.iter().map(|row| named(&row.row)).collect();
    for modality in present(&batch) {
        let mut owners = Vec::new();
        let mut tokens = Vec::new();
        let mut samplings: Vec<Option<&Measurement>> = Vec::new();
        for (row, object) in batch.iter().zip(&mut objects) {
            if let Some(found) = row.row.tokens.get(&modality) {
                let sampling = like.get(modality, row.number);
                samplings.push(sampling.map_err(|error| error.in_object(&row.row.id))?);
                tokens.push(found.as_slice());
                owners.push(object);
            }
        }
        let decoded = codecs.decode(modality, &tokens, &samplings)?;
        for (object, measurement) in owners.into_iter().zip(decoded) {
            object.measurements.insert(modality, measurement);
        }
    }
    Ok(objects)
}

fn named(row: &TokenRow) -> Object {
    Object {
        ra: row.ra,
        dec: row.dec,
        flags: row.flags.clone(),
        ..Object::named(&row.id)
    }
}
