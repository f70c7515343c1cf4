//! `aion embed`: objects to encoder states.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aion_data::{ModalityId, ObjectTokens};
use aion_model::{Aion, Encoded, ModelError, Transformer, VisibleTokens, budget, show_all};
use burn::tensor::Tensor;
use clap::ValueEnum;

use crate::args::{ComputeArgs, InputArgs, ModelArgs, parse_batch};
use crate::digest::hash;
use crate::input::{Accept, all_tokens};
use crate::model_source::{self, Need};
use crate::output::Sink;
use crate::provenance::Provenance;
use crate::result_table::{Cell, RESULTS, ResultRow};
use crate::summary::Summary;
use crate::token_stream::{TokenBatch, TokenStream};

/// Compute embeddings of objects
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: one vector an object, for a nearest-neighbour search
  aion embed --model polymathic-ai/aion-base --input tokens.parquet --pool mean \\
      --output embeddings.parquet

All tokens of an object are used, in registry order, unless --budget is given. Columns: `embedding`
(objects, tokens, width; with `embedding_mask` where objects differ), or (objects, width) with
--pool mean, or one `embedding_<modality>` each with --pool modality (NaN where an object lacks it).")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// File (.safetensors, .parquet), or a new directory of shards
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    /// What becomes of an object's tokens
    #[arg(long, value_enum, default_value_t = Pool::None)]
    pool: Pool,
    /// Use at most so many tokens of each object, drawn by --seed and the object's identifier
    #[arg(long, value_name = "N", value_parser = parse_batch)]
    budget: Option<usize>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What becomes of an object's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pool {
    /// All states, one a token
    None,
    /// The mean over all tokens
    Mean,
    /// The mean over the tokens of each modality
    Modality,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let device = args.compute.machine.start()?;
    let mut sink = Sink::create(&args.output, &RESULTS)?;
    let need = if all_tokens(&args.input.input)? {
        Need::transformer()
    } else {
        Need::transformer().and_codecs(ModalityId::all())
    };
    let model = model_source::find(&args.model, &need)?;
    let aion = Aion::open(&model.folder, &device)?;
    let mut provenance = Provenance::new(&model, &args.compute.machine);
    provenance.uses_transformer();
    let input = (&args.input, &args.compute);
    let mut stream = TokenStream::open("embedding", input, Accept::Any, &aion.codecs, args.json)?;
    let seed = args.compute.machine.seed;
    while let Some(mut batch) = stream.next(&mut provenance)? {
        let encoded = stream.run(&mut batch, |tokens, rows| match args.budget {
            None => aion.transformer.encode(tokens),
            Some(max) => encode_some(&aion.transformer, tokens, rows, (max, seed)),
        })?;
        if let Some(encoded) = encoded {
            let rows = results(batch, &encoded, args.pool);
            sink.push(rows, || provenance.metadata())?;
        }
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

/// Encodes at most `max` tokens of each object. The draw depends on the seed and the object alone.
fn encode_some(
    transformer: &Transformer,
    tokens: &[ObjectTokens],
    rows: &TokenBatch,
    (max, seed): (usize, u64),
) -> Result<Encoded, ModelError> {
    let shown: Result<Vec<VisibleTokens>, ModelError> = tokens
        .iter()
        .zip(rows)
        .enumerate()
        .map(|(place, (tokens, row))| {
            let seed = seed ^ hash(&row.row.id);
            Ok(budget(&show_all(place, tokens)?, max, seed))
        })
        .collect();
    transformer.encode_visible(&shown?)
}

/// The pooled states of each object of a batch.
fn results(batch: TokenBatch, encoded: &Encoded, pool: Pool) -> Vec<ResultRow> {
    let width = encoded.states.dims()[1];
    let mut rows: Vec<ResultRow> = batch
        .into_iter()
        .map(|located| ResultRow {
            identity: located.row,
            cells: BTreeMap::new(),
        })
        .collect();
    let mut put = |object: usize, column: &str, cell: Cell| {
        if let Some(row) = rows.get_mut(object) {
            row.cells.insert(column.to_owned(), cell);
        }
    };
    match pool {
        Pool::None => {
            let states = numbers(encoded.states.clone());
            for (object, range) in encoded.layout.objects().ranges().enumerate() {
                let data = states.get(range.start * width..range.end * width);
                let data = data.unwrap_or_default().to_vec();
                put(object, "embedding", Cell::Entries { width, data });
            }
        }
        Pool::Mean => {
            let means = numbers(encoded.mean());
            for (object, mean) in means.chunks_exact(width).enumerate() {
                put(object, "embedding", Cell::list(mean.to_vec()));
            }
        }
        Pool::Modality => {
            for modality in ModalityId::all() {
                let Some((objects, means)) = encoded.mean_of(modality) else {
                    continue;
                };
                let column = format!("embedding_{modality}");
                for (object, mean) in objects.into_iter().zip(numbers(means).chunks_exact(width)) {
                    put(object, &column, Cell::list(mean.to_vec()));
                }
            }
        }
    }
    rows
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
