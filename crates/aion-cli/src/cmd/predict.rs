//! `aion predict`: any modalities from any others.

use aion_data::fnv::fnv1a;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aion_codec::survey_bands;
use aion_data::table_out::Floats;
use aion_data::{Kind, Measurement, ModalityId, TokenRow};
use aion_model::{Aion, DecoderAttention, Distribution, ModelError, Prediction};
use burn::tensor::Device;
use clap::ValueEnum;

use crate::args::{ComputeArgs, InputArgs, ModelArgs, WeightsArgs, modalities, parse_batch};
use crate::input::{Accept, InputFile, all_tokens};
use crate::job::{self, Job, ShardArgs};
use crate::model_source::{self, Need};
use crate::output::{Format, TOKENS};
use crate::provenance::{Provenance, Record};
use crate::result_table::{Cell, RESULTS, ResultRow, TENSORS};
use crate::summary;

/// Predict modalities that an object lacks
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: redshifts with their uncertainty from images and photometry
  aion predict --model polymathic-ai/aion-base --input cutouts/ --target tok_z \\
      --output redshifts.parquet

By default the likeliest values are written in physical units: scalars as `<key>/value`, with the
distribution as `<key>/{mean,median,q16,q84}` and, unless the output is CSV, its bins as
`<key>/{grid,probabilities}`; images, spectra and maps in the layout of observations. What the input
holds of a target is used as input too: hide it with --without.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// Modalities to predict, all in one pass
    #[arg(long, required = true, value_delimiter = ',', value_name = "KEY,..")]
    target: Vec<String>,
    /// File (.safetensors, .parquet, .csv), or a directory of shards
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    #[command(flatten)]
    shards: ShardArgs,
    /// Write logits (objects, tokens, vocabulary) as `<key>`
    #[arg(long, group = "form")]
    logits: bool,
    /// Write the likeliest tokens, as a file of tokens
    #[arg(long, group = "form")]
    tokens: bool,
    /// Write N draws of the tokens (objects, N, tokens) as `<key>`
    #[arg(long, group = "form", value_name = "N", value_parser = parse_batch)]
    samples: Option<usize>,
    /// Flattens (above 1) or sharpens (below 1) what is drawn; 0 takes the likeliest
    #[arg(long, default_value_t = 1.0, value_name = "T", requires = "samples")]
    temperature: f64,
    /// How predicted positions attend to each other: as the published package computes it, or by
    /// content as models are trained
    #[arg(long, value_enum, default_value_t = Attention::Reference)]
    decoder_attention: Attention,
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// How predicted positions attend to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Attention {
    /// All alike, as the published package does
    Reference,
    /// By content
    Content,
}

type Predictions = BTreeMap<ModalityId, Prediction>;

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        let text = format!("--temperature is {}, expected 0 or more", args.temperature);
        return Err(crate::failure::usage(text));
    }
    // Which modalities there are is known with the checkpoint.
    model_source::find(&args.model, &Need::default())?;
    let targets: BTreeSet<ModalityId> = modalities(&args.target)?.into_iter().collect();
    let targets: Vec<ModalityId> = targets.into_iter().collect();
    let device = args.compute.machine.start()?;
    let seed = args.compute.machine.seed;
    if args.tokens {
        let asked = Asked::new(&args, &TOKENS, targets)?;
        return asked.run(&device, |_, _, rows| {
            Ok(rows.into_iter().map(tokens).collect())
        });
    }
    if args.logits {
        let asked = Asked::new(&args, &TENSORS, targets)?;
        return asked.run(&device, |_, _, rows| {
            let row = |(identity, p): Predicted| with_cells(identity, &p, logits);
            Ok(rows.into_iter().map(row).collect())
        });
    }
    let asked = Asked::new(&args, &RESULTS, targets)?;
    if let Some(count) = args.samples {
        return asked.run(&device, |_, _, rows| {
            let row = |(identity, predictions): Predicted| {
                let object = fnv1a(&identity.id);
                with_cells(identity, &predictions, |p| {
                    samples(&p.sample(args.temperature, count, seed, object))
                })
            };
            Ok(rows.into_iter().map(row).collect())
        });
    }
    let heading = ["object", "modality", "likeliest", "median", "16 %", "84 %"];
    let mut preview = vec![heading.map(str::to_owned).to_vec()];
    asked.run(&device, |aion, record, rows| {
        let (identities, predictions): (Vec<TokenRow>, Vec<Predictions>) = rows.into_iter().unzip();
        let predicted = predictions.iter().flat_map(|p| p.keys().copied());
        record.uses_codecs(predicted.collect::<BTreeSet<_>>());
        values(aion, identities, &predictions, &mut preview)
    })?;
    match preview.len() > 1 && !args.json {
        true => summary::print_table(&preview),
        false => Ok(()),
    }
}

/// An object with what was predicted of it.
type Predicted = (TokenRow, Predictions);

/// What is asked, and where answers of one form go.
struct Asked<'a, R: 'static> {
    args: &'a Args,
    targets: Vec<ModalityId>,
    files: Vec<InputFile>,
    format: &'static Format<R>,
}

impl<'a, R: Send> Asked<'a, R> {
    /// Checks input and output, before anything is read.
    fn new(
        args: &'a Args,
        format: &'static Format<R>,
        targets: Vec<ModalityId>,
    ) -> anyhow::Result<Self> {
        let files = job::check(&args.input, (&args.output, format), &args.shards)?;
        Ok(Asked {
            args,
            targets,
            files,
            format,
        })
    }

    /// Predicts for all objects; `form` gives the answers their form.
    fn run(
        &self,
        device: &Device,
        mut form: impl FnMut(&Aion, &mut Record, Vec<Predicted>) -> anyhow::Result<Vec<R>>,
    ) -> anyhow::Result<()> {
        let Asked { args, targets, .. } = self;
        let model = model_source::find(&args.model, &needed(args, &self.files, targets))?;
        let attention = match args.decoder_attention {
            Attention::Reference => DecoderAttention::Reference,
            Attention::Content => DecoderAttention::Content,
        };
        let aion = Aion::open(&model.folder, device, args.weights.narrow())?;
        let aion = aion.with_decoder_attention(attention);
        check_targets(&aion, targets)?;
        let mut provenance = Provenance::new(&model, &args.compute.machine);
        provenance.note("aion.weights".to_owned(), args.weights.name());
        let mut record = Record::default();
        record.uses_transformer();
        record.holds(targets.iter().copied());
        for target in targets.iter().filter(|id| id.info().kind == Kind::Image) {
            provenance.note(format!("{target}/bands"), survey_bands(*target).join(","));
        }
        let job = Job {
            verb: "predicting",
            input: &args.input,
            files: &self.files,
            accept: Accept::Any,
            compute: &args.compute,
            output: &args.output,
            format: self.format,
            floats: Floats::F32,
            shards: &args.shards,
            hats: None,
            options: options(args),
            encodes: true,
            transformer: true,
            json: args.json,
        };
        let mut given = BTreeSet::new();
        job.run(&aion.codecs, provenance, &record, |stage, mut batch| {
            let predictions = stage.run(&mut batch, |tokens, _| {
                aion.transformer.predict(tokens, targets)
            })?;
            let Some(predictions) = predictions else {
                return Ok(Vec::new());
            };
            let present = batch.iter().flat_map(|row| row.row.tokens.keys().copied());
            given.extend(present.filter(|id| targets.contains(id)));
            let rows = batch.into_iter().map(|located| located.row);
            form(&aion, &mut stage.record, rows.zip(predictions).collect())
        })?;
        if !given.is_empty() {
            let keys: Vec<&str> = given.into_iter().map(ModalityId::key).collect();
            let keys = keys.join(",");
            eprintln!("note: {keys} is in the input and was used; --without {keys} hides it");
        }
        Ok(())
    }
}

/// Options that answers depend on.
fn options(args: &Args) -> BTreeMap<String, String> {
    let form = match (args.logits, args.tokens, args.samples) {
        (true, ..) => "logits".to_owned(),
        (_, true, _) => "tokens".to_owned(),
        (.., Some(count)) => format!("{count} samples at {}", args.temperature),
        _ => "values".to_owned(),
    };
    let attention = format!("{:?}", args.decoder_attention);
    let options = [
        ("target", args.target.join(",")),
        ("form", form),
        ("decoder-attention", attention),
        ("weights", args.weights.name()),
    ];
    options.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What the command uses of a checkpoint.
fn needed(args: &Args, files: &[InputFile], targets: &[ModalityId]) -> Need {
    let need = Need::transformer();
    if !all_tokens(files) {
        need.and_codecs(ModalityId::all())
    } else if args.logits || args.tokens || args.samples.is_some() {
        need
    } else {
        need.and_codecs(targets.iter().copied())
    }
}

/// Refuses unknown targets before anything is read.
fn check_targets(aion: &Aion, targets: &[ModalityId]) -> Result<(), ModelError> {
    let known: Vec<ModalityId> = aion.transformer.targets().collect();
    for &modality in targets {
        if modality.info().is_sequence() {
            return Err(ModelError::SequenceTarget { modality });
        }
        if !known.contains(&modality) {
            let keys: Vec<&str> = known.iter().map(|id| id.key()).collect();
            let known = keys.join(", ");
            return Err(ModelError::UnknownTarget { modality, known });
        }
    }
    Ok(())
}

/// Objects shown on the terminal.
const PREVIEW: usize = 20;

/// The likeliest tokens.
fn tokens((row, predictions): Predicted) -> TokenRow {
    let tokens = predictions.iter().map(|(id, p)| (*id, p.argmax()));
    TokenRow {
        tokens: tokens.collect(),
        ..row
    }
}

/// One cell a target.
fn with_cells(
    identity: TokenRow,
    predictions: &Predictions,
    cell: impl Fn(&Prediction) -> Cell,
) -> ResultRow {
    let cells = predictions.iter();
    let cells = cells.map(|(id, prediction)| (id.key().to_owned(), cell(prediction)));
    ResultRow {
        identity,
        cells: cells.collect(),
    }
}

fn logits(prediction: &Prediction) -> Cell {
    Cell::Numbers {
        shape: vec![prediction.rows().count(), prediction.vocabulary()],
        data: prediction.logits().to_vec(),
    }
}

fn samples(draws: &[Vec<u16>]) -> Cell {
    Cell::Whole {
        shape: vec![draws.len(), draws.first().map_or(0, Vec::len)],
        data: draws
            .iter()
            .flatten()
            .map(|token| i64::from(*token))
            .collect(),
    }
}

/// The likeliest values in physical units, and the distributions of scalars.
fn values(
    aion: &Aion,
    identities: Vec<TokenRow>,
    predictions: &[Predictions],
    preview: &mut Vec<Vec<String>>,
) -> anyhow::Result<Vec<ResultRow>> {
    let row = |identity| ResultRow {
        identity,
        cells: BTreeMap::new(),
    };
    let mut rows: Vec<ResultRow> = identities.into_iter().map(row).collect();
    let targets: BTreeSet<ModalityId> =
        predictions.iter().flat_map(|p| p.keys().copied()).collect();
    for target in targets {
        let of_target: Vec<&Prediction> =
            predictions.iter().filter_map(|p| p.get(&target)).collect();
        let likeliest = aion.most_likely(target, &of_target)?;
        let grid = aion.grid(target)?;
        for ((row, prediction), measurement) in rows.iter_mut().zip(of_target).zip(likeliest) {
            let distribution = grid
                .as_deref()
                .and_then(|grid| prediction.distribution(grid));
            if let (Some(d), Measurement::Scalar(value)) = (&distribution, &measurement)
                && preview.len() <= PREVIEW
            {
                let number = |value: f64| format!("{value:.4}");
                let numbers = [f64::from(*value), d.median, d.q16, d.q84].map(number);
                let names = [row.identity.id.clone(), target.key().to_owned()];
                preview.push(names.into_iter().chain(numbers).collect());
            }
            let fields = measured_fields(measurement)
                .into_iter()
                .chain(distribution.map(distribution_fields).unwrap_or_default());
            let fields = fields.map(|(field, cell)| (format!("{target}/{field}"), cell));
            row.cells.extend(fields);
        }
    }
    Ok(rows)
}

type Fields = Vec<(&'static str, Cell)>;

/// A measurement in the layout of observations.
fn measured_fields(measurement: Measurement) -> Fields {
    match measurement {
        Measurement::Scalar(value) => {
            let value = Cell::list(vec![value]);
            vec![("value", value)]
        }
        Measurement::Coefficients(values) => vec![("value", Cell::list(values))],
        Measurement::Image(image) => {
            let flux = Cell::Numbers {
                shape: vec![image.bands.len(), image.height, image.width],
                data: image.flux,
            };
            vec![("flux", flux)]
        }
        Measurement::Spectrum(spectrum) => {
            let mask = Cell::Whole {
                shape: vec![spectrum.mask.len()],
                data: spectrum.mask.iter().map(|bad| i64::from(*bad)).collect(),
            };
            vec![
                ("flux", Cell::list(spectrum.flux)),
                ("ivar", Cell::list(spectrum.ivar)),
                ("wavelength", Cell::list(spectrum.wavelength)),
                ("mask", mask),
            ]
        }
        Measurement::ScalarField(map) => {
            let field = Cell::Numbers {
                shape: vec![map.height, map.width],
                data: map.field,
            };
            vec![("field", field)]
        }
        // Sequences are refused as targets.
        Measurement::Catalog(_) => Vec::new(),
    }
}

fn distribution_fields(distribution: Distribution) -> Fields {
    let probabilities = distribution.probabilities.iter().map(|p| *p as f32);
    vec![
        ("mean", Cell::number(distribution.mean)),
        ("median", Cell::number(distribution.median)),
        ("q16", Cell::number(distribution.q16)),
        ("q84", Cell::number(distribution.q84)),
        ("probabilities", Cell::list(probabilities.collect())),
        ("grid", Cell::list(distribution.grid)),
    ]
}
