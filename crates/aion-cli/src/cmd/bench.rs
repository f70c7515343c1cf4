//! `aion bench`: how fast this machine runs each operation.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aion_codec::image::{ImageCodec, ImageConfig};
use aion_codec::spectrum::{SpectrumCodec, SpectrumConfig};
use aion_codec::{Codec, CodecSet};
use aion_data::{Image, Kind, ModalityId, ObjectTokens, Spectrum, Survey, num_tokens};
use aion_kernel::Weights;
use aion_model::{Checkpoint, Preset, Transformer};
use burn::tensor::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::args::{MachineArgs, parse_batch};
use crate::failure::usage;
use crate::summary;

/// Time each operation on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: a transformer of Base size with random weights, four objects at a time
  aion bench --only encode,predict-spectrum --batch 4

Operations: image-encode, image-decode, spectrum-encode, spectrum-decode (codecs of the published
sizes, pre-processing included), encode (855 tokens), predict-spectrum (580 tokens to 273).
Without --model, weights are random; time does not depend on them.")]
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

/// What is timed: tokens of one object, and the call.
type Operation = (usize, Box<dyn FnMut() -> anyhow::Result<()>>);

/// Makes an operation ready.
type Prepare = fn(&Setting) -> anyhow::Result<Operation>;

/// Every operation by name.
const OPERATIONS: [(&str, Prepare); 6] = [
    ("image-encode", image_encode),
    ("image-decode", image_decode),
    ("spectrum-encode", spectrum_encode),
    ("spectrum-decode", spectrum_decode),
    ("encode", encode),
    ("predict-spectrum", predict_spectrum),
];

/// Calls of an operation end after so many, or so long.
const MOST_CALLS: usize = 30;
const LONGEST: Duration = Duration::from_secs(4);
const FEWEST_CALLS: usize = 3;

/// What operations are made from.
struct Setting {
    model: Option<PathBuf>,
    batch: usize,
    seed: u64,
    device: Device,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let chosen = chosen(&args.only)?;
    let setting = Setting {
        device: args.machine.start()?,
        model: args.model,
        batch: args.batch,
        seed: args.machine.seed,
    };
    let mut rows = Vec::new();
    for (name, prepare) in chosen {
        rows.push(time(name, &setting, prepare)?);
    }
    if args.json {
        return summary::print_json(&serde_json::to_value(rows)?);
    }
    let heading = [
        "name",
        "batch",
        "tokens",
        "seconds",
        "spread",
        "objects/s",
        "peak MB",
    ];
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        vec![
            row.name.to_owned(),
            row.batch.to_string(),
            row.tokens.to_string(),
            format!("{:.4}", row.seconds),
            format!("{:.4}", row.spread),
            format!("{:.2}", row.rate),
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

/// Times an operation after one call that is not counted.
fn time(name: &'static str, setting: &Setting, prepare: Prepare) -> anyhow::Result<Row> {
    let (tokens, mut call) = prepare(setting)?;
    call()?;
    let mut seconds = Vec::new();
    let begin = Instant::now();
    while seconds.len() < FEWEST_CALLS || (seconds.len() < MOST_CALLS && begin.elapsed() < LONGEST)
    {
        let start = Instant::now();
        call()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let ends = seconds.first().zip(seconds.last());
    Ok(Row {
        name,
        batch: setting.batch,
        tokens,
        seconds: median,
        spread: ends.map_or(0.0, |(shortest, longest)| longest - shortest),
        rate: setting.batch as f64 / median,
        unit: "objects/s",
        peak_mb: peak_megabytes(),
    })
}

/// Peak resident memory of this process, from the Linux kernel.
fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

const IMAGE_BANDS: [&str; 4] = ["DES-G", "DES-R", "DES-I", "DES-Z"];
const IMAGE_SIDE: usize = 96;
/// Pixels of a DESI spectrum: 3600 to 9824 Angstrom in steps of 0.8.
const SPECTRUM_PIXELS: usize = 7781;

/// The Legacy Survey's numbers of a unit, in registry order.
fn numbers(unit: &str) -> impl Iterator<Item = &'static str> {
    ModalityId::all()
        .filter(move |id| {
            let info = id.info();
            (info.kind, info.survey, info.unit) == (Kind::Scalar, Survey::LegacySurvey, unit)
        })
        .map(ModalityId::key)
}

/// The fluxes of the image's bands.
fn photometry() -> Vec<&'static str> {
    numbers("nanomaggy").take(IMAGE_BANDS.len()).collect()
}

impl Setting {
    fn random(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }

    fn codec(&self, folder: &Path, key: &str) -> anyhow::Result<Codec> {
        let codecs = CodecSet::new(folder, &self.device);
        Ok(codecs.codec(modality(key)?)?.codec.clone())
    }

    fn image_codec(&self) -> anyhow::Result<ImageCodec> {
        match self
            .model
            .as_deref()
            .map(|folder| self.codec(folder, "tok_image"))
        {
            Some(codec) => match codec? {
                Codec::Image(codec) => Ok(*codec),
                other => Err(anyhow::anyhow!("the image codec is {other:?}")),
            },
            None => {
                let weights = Weights::seeded(self.seed, &self.device);
                Ok(ImageCodec::new(&ImageConfig::published(), &weights))
            }
        }
    }

    fn spectrum_codec(&self) -> anyhow::Result<SpectrumCodec> {
        let opened = self.model.as_deref();
        match opened.map(|folder| self.codec(folder, "tok_spectrum_desi")) {
            Some(codec) => match codec? {
                Codec::Spectrum(codec) => Ok(*codec),
                other => Err(anyhow::anyhow!("the spectrum codec is {other:?}")),
            },
            None => {
                let weights = Weights::seeded(self.seed, &self.device);
                Ok(SpectrumCodec::new(&SpectrumConfig::published(), &weights))
            }
        }
    }

    fn transformer(&self) -> anyhow::Result<Transformer> {
        let checkpoint = match &self.model {
            Some(folder) => Checkpoint::open(folder, &self.device)?,
            None => Checkpoint::seeded(&Preset::Base.config(), self.seed, &self.device)?,
        };
        Ok(checkpoint.transformer)
    }

    fn tokens(&self, id: ModalityId, random: &mut ChaCha8Rng) -> Vec<u16> {
        let info = id.info();
        let token = |_| random.random_range(0..info.vocabulary) as u16;
        (0..info.num_tokens()).map(token).collect()
    }

    fn objects(&self, keys: &[&str]) -> anyhow::Result<Vec<ObjectTokens>> {
        let ids: anyhow::Result<Vec<ModalityId>> = keys.iter().map(|key| modality(key)).collect();
        let (ids, mut random) = (ids?, self.random());
        let mut object = || {
            ids.iter()
                .map(|&id| (id, self.tokens(id, &mut random)))
                .collect()
        };
        Ok((0..self.batch).map(|_| object()).collect())
    }

    fn tokens_of(&self, key: &str) -> anyhow::Result<Vec<Vec<u16>>> {
        let (id, mut random) = (modality(key)?, self.random());
        Ok((0..self.batch)
            .map(|_| self.tokens(id, &mut random))
            .collect())
    }
}

fn modality(key: &str) -> anyhow::Result<ModalityId> {
    ModalityId::from_key(key).ok_or_else(|| usage(format!("unknown modality `{key}`")))
}

fn image_bands() -> Vec<String> {
    IMAGE_BANDS.map(str::to_owned).to_vec()
}

/// Uniform noise of unit width.
fn noise(random: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.random::<f32>()).collect()
}

fn desi_grid() -> Vec<f32> {
    (0..SPECTRUM_PIXELS)
        .map(|pixel| 3600.0 + 0.8 * pixel as f32)
        .collect()
}

fn image_encode(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, device) = (setting.image_codec()?, setting.device.clone());
    let mut random = setting.random();
    let pixels = IMAGE_BANDS.len() * IMAGE_SIDE * IMAGE_SIDE;
    let image = |_| Image {
        bands: image_bands(),
        height: IMAGE_SIDE,
        width: IMAGE_SIDE,
        flux: noise(&mut random, pixels),
        ivar: None,
    };
    let images: Vec<Image> = (0..setting.batch).map(image).collect();
    let call = move || {
        let compressed: Result<Vec<_>, _> = images.iter().map(|i| codec.compress(i)).collect();
        codec.encode(&compressed?, &device);
        Ok(())
    };
    Ok((modality("tok_image")?.info().num_tokens(), Box::new(call)))
}

fn image_decode(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, device) = (setting.image_codec()?, setting.device.clone());
    let tokens = setting.tokens_of("tok_image")?;
    let bands = vec![image_bands(); setting.batch];
    let count = tokens.first().map_or(0, Vec::len);
    let call = move || {
        let tokens: Vec<&[u16]> = tokens.iter().map(Vec::as_slice).collect();
        codec.decode(&tokens, &bands, &device)?;
        Ok(())
    };
    Ok((count, Box::new(call)))
}

fn spectrum_encode(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, device) = (setting.spectrum_codec()?, setting.device.clone());
    let mut random = setting.random();
    let spectrum = |_| Spectrum {
        flux: noise(&mut random, SPECTRUM_PIXELS),
        ivar: noise(&mut random, SPECTRUM_PIXELS),
        wavelength: desi_grid(),
        mask: noise(&mut random, SPECTRUM_PIXELS)
            .iter()
            .map(|x| *x < 0.01)
            .collect(),
    };
    let spectra: Vec<Spectrum> = (0..setting.batch).map(spectrum).collect();
    let call = move || {
        let prepared: Result<Vec<_>, _> = spectra.iter().map(|s| codec.prepare(s)).collect();
        codec.encode(&prepared?, &device);
        Ok(())
    };
    Ok((
        modality("tok_spectrum_desi")?.info().num_tokens(),
        Box::new(call),
    ))
}

fn spectrum_decode(setting: &Setting) -> anyhow::Result<Operation> {
    let (codec, device) = (setting.spectrum_codec()?, setting.device.clone());
    let tokens = setting.tokens_of("tok_spectrum_desi")?;
    let grids = vec![desi_grid(); setting.batch];
    let count = tokens.first().map_or(0, Vec::len);
    let call = move || {
        let tokens: Vec<&[u16]> = tokens.iter().map(Vec::as_slice).collect();
        let grids: Vec<Option<&[f32]>> = grids.iter().map(|grid| Some(grid.as_slice())).collect();
        codec.decode(&tokens, &grids, &device);
        Ok(())
    };
    Ok((count, Box::new(call)))
}

fn encode(setting: &Setting) -> anyhow::Result<Operation> {
    let mut keys = photometry();
    keys.extend(["tok_image", "tok_spectrum_desi"]);
    // Radius and reddening.
    keys.extend(numbers("arcsec").chain(numbers("mag")));
    let objects = setting.objects(&keys)?;
    let transformer = setting.transformer()?;
    let count = objects.first().map_or(0, num_tokens);
    let call = move || {
        // Reading the states waits for devices that work on their own.
        transformer.encode(&objects)?.states.into_data();
        Ok(())
    };
    Ok((count, Box::new(call)))
}

fn predict_spectrum(setting: &Setting) -> anyhow::Result<Operation> {
    let target = modality("tok_spectrum_desi")?;
    let objects = setting.objects(&[&photometry()[..], &["tok_image"][..]].concat())?;
    let transformer = setting.transformer()?;
    let count = objects.first().map_or(0, num_tokens) + target.info().num_tokens();
    let call = move || {
        transformer.predict(&objects, &[target])?;
        Ok(())
    };
    Ok((count, Box::new(call)))
}
