//! `aion embed`: objects to encoder states.

use aion_data::fnv::fnv1a;
use std::collections::BTreeMap;
use std::path::PathBuf;

use aion_data::table_out::Floats;
use aion_data::{ModalityId, ObjectTokens};
use aion_model::{Aion, Encoded, ModelError, Transformer, VisibleTokens, budget, show_all};
use burn::tensor::Tensor;
use clap::ValueEnum;

use crate::args::{ComputeArgs, InputArgs, ModelArgs, WeightsArgs, parse_batch};
use crate::input::{Accept, all_tokens};
use crate::job::{self, HatsArgs, Job, ShardArgs, TokenBatch};
use crate::model_source::{self, Need};
use crate::provenance::{Provenance, Record};
use crate::result_table::{Cell, RESULTS, ResultRow};

/// Compute embeddings of objects
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: one vector an object, for a nearest-neighbour search
  aion embed --model polymathic-ai/aion-base --input tokens.parquet --pool mean \\
      --output embeddings.parquet

All tokens of an object are used, in registry order, unless --budget is given. Columns: `embedding`
(objects, tokens, width; with `embedding_mask` where objects differ), or (objects, width) with
--pool mean, or one `embedding_<modality>` each with --pool modality (NaN where an object lacks it).

An output without extension is a directory of shards. A run that was stopped or killed goes on with
--resume; Ctrl-C (exit code 130) and SIGTERM (143) stop it after the batch at hand. Several processes
share the work with --claim, array jobs also with --shard 1/8, 2/8, ...")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// File (.safetensors, .parquet, .fits), or a directory of shards
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    /// How the numbers are stored; bf16 is rounded single precision in Parquet, which compresses
    #[arg(long, value_enum, default_value_t = Float::F32)]
    float: Float,
    #[command(flatten)]
    shards: ShardArgs,
    #[command(flatten)]
    hats: HatsArgs,
    /// What becomes of an object's tokens
    #[arg(long, value_enum, default_value_t = Pool::None)]
    pool: Pool,
    /// Use at most so many tokens of each object, drawn by --seed and the object's identifier
    #[arg(long, value_name = "N", value_parser = parse_batch)]
    budget: Option<usize>,
    #[command(flatten)]
    weights: WeightsArgs,
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
    let files = job::check(&args.input, (&args.output, &RESULTS), &args.shards)?;
    let need = match all_tokens(&files) {
        true => Need::transformer(),
        false => Need::transformer().and_codecs(ModalityId::all()),
    };
    let model = model_source::find(&args.model, &need)?;
    let aion = Aion::open(&model.folder, &device, args.weights.narrow())?;
    let mut provenance = Provenance::new(&model, &args.compute.machine);
    provenance.note("aion.weights".to_owned(), args.weights.name());
    let mut record = Record::default();
    record.uses_transformer();
    let budget = args
        .budget
        .map_or("none".to_owned(), |budget| budget.to_string());
    let options = [
        ("pool", format!("{:?}", args.pool)),
        ("budget", budget),
        ("weights", args.weights.name()),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value));
    let job = Job {
        verb: "embedding",
        input: &args.input,
        files: &files,
        accept: Accept::Any,
        compute: &args.compute,
        output: &args.output,
        format: &RESULTS,
        floats: args.float.into(),
        shards: &args.shards,
        hats: args.hats.catalogue("embeddings"),
        options: options.into(),
        encodes: true,
        transformer: true,
        json: args.json,
    };
    let seed = args.compute.machine.seed;
    job.run(&aion.codecs, provenance, &record, |stage, mut batch| {
        let encoded = stage.run(&mut batch, |tokens, rows| match args.budget {
            None => aion.transformer.encode(tokens),
            Some(max) => encode_some(&aion.transformer, tokens, rows, (max, seed)),
        })?;
        Ok(encoded.map_or_else(Vec::new, |encoded| results(batch, &encoded, args.pool)))
    })
}

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Float {
    /// 32 bits
    F32,
    /// 16 bits: 11 of precision, up to 65504
    F16,
    /// 16 bits: 8 of precision, any size
    Bf16,
}

impl From<Float> for Floats {
    fn from(float: Float) -> Floats {
        match float {
            Float::F32 => Floats::F32,
            Float::F16 => Floats::F16,
            Float::Bf16 => Floats::Bf16,
        }
    }
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
            let seed = seed ^ fnv1a(&row.row.id);
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
