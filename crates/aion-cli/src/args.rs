//! Arguments that several commands share.

use std::path::Path;
use std::str::FromStr;

use aion_data::reader::ReadOptions;
use aion_data::survey::column_map::ColumnMap;
use aion_data::{ModalityId, Survey};
use aion_kernel::Narrow;
use burn::tensor::Device;
use clap::{Args, ValueEnum};

use crate::failure::usage;

/// Which checkpoint.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Checkpoint: a folder, or a hub id such as polymathic-ai/aion-base
    #[arg(long, value_name = "DIR|ID")]
    pub model: String,
    #[command(flatten)]
    pub hub: HubArgs,
}

/// How the hub is asked for a checkpoint.
#[derive(Debug, Clone, Args)]
pub struct HubArgs {
    /// Branch, tag or commit of a hub id
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// Use only what the hub's cache on this machine holds
    #[arg(long)]
    pub offline: bool,
}

/// How the transformer's weights are kept in memory.
#[derive(Debug, Clone, Args)]
pub struct WeightsArgs {
    /// Numbers that the transformer's matrices are kept in, on the CPU; sums are in single precision
    /// whatever they are (docs/precision.md says what it costs and saves)
    #[arg(long, value_enum, default_value_t = WeightFormat::F32)]
    weights: WeightFormat,
}

/// Numbers that matrices are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WeightFormat {
    /// 32 bits, as they are
    F32,
    /// 16 bits: 11 of precision, up to 65504
    F16,
    /// 16 bits: 8 of precision, any size
    Bf16,
    /// 8 bits, with a scale a row
    Int8,
}

impl WeightsArgs {
    /// The same for the model.
    pub fn narrow(&self) -> Option<Narrow> {
        match self.weights {
            WeightFormat::F32 => None,
            WeightFormat::F16 => Some(Narrow::F16),
            WeightFormat::Bf16 => Some(Narrow::Bf16),
            WeightFormat::Int8 => Some(Narrow::Int8),
        }
    }

    /// The same for a record of how results came about.
    pub fn name(&self) -> String {
        let narrow = self.narrow();
        narrow.map_or_else(|| "f32".to_owned(), |format| format.to_string())
    }
}

/// Which objects.
#[derive(Debug, Clone, Args)]
pub struct InputArgs {
    /// Files, directories, globs or lists (@files.txt); format and survey are told from the content
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    pub input: Vec<String>,
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Modalities of the input to leave out
    #[arg(long, value_delimiter = ',', value_name = "KEY,..")]
    pub without: Vec<String>,
    /// What a bad object does: end the command, or be listed and left out
    #[arg(long, value_enum, default_value_t = OnError::Fail)]
    pub on_error: OnError,
}

/// How files are read.
#[derive(Debug, Clone, Default, Args)]
pub struct ReadingArgs {
    /// Survey of the files, instead of what their content says
    #[arg(long, value_parser = parse_survey, value_name = "legacy|hsc|sdss|desi|gaia")]
    pub survey: Option<Survey>,
    /// Put zeros around images smaller than 96 x 96 pixels, instead of refusing them
    #[arg(long)]
    pub pad: bool,
    /// Make the positions of survey files modalities (tok_ra, tok_dec); else they only travel along
    #[arg(long)]
    pub with_position: bool,
    /// Read images of other pixel scales than 0.262 (Legacy Surveys) or 0.168 arcsec (HSC) too
    #[arg(long)]
    pub any_pixel_scale: bool,
    /// What the columns of tables mean, where their names do not say it: lines of TOML such as
    /// tok_flux_g = { column = "G_FLUX", unit = "nanomaggy" }
    #[arg(long, value_parser = parse_columns, value_name = "MAP.toml")]
    pub columns: Option<ColumnMap>,
    /// Convert wavelengths that a file states in air to vacuum, instead of refusing them
    #[arg(long)]
    pub air_to_vacuum: bool,
}

impl ReadingArgs {
    /// The same for the readers.
    pub fn options(&self) -> ReadOptions {
        ReadOptions {
            survey: self.survey,
            with_position: self.with_position,
            pad: self.pad,
            air_wavelengths: self.air_to_vacuum,
            rows: None,
            any_pixel_scale: self.any_pixel_scale,
            columns: self.columns.clone(),
        }
    }
}

/// What a bad object does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// End the command; nothing is written.
    Fail,
    /// Be listed and left out.
    Skip,
}

/// Where and how to compute.
#[derive(Debug, Clone, Args)]
pub struct ComputeArgs {
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Objects computed at a time; results do not depend on it
    #[arg(long, default_value_t = 16, value_parser = parse_batch, value_name = "N")]
    pub batch: usize,
}

/// The machine and the seed.
#[derive(Debug, Clone, Args)]
pub struct MachineArgs {
    #[command(flatten)]
    pub processor: ProcessorArgs,
    /// Seed of everything random
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

impl MachineArgs {
    /// Sets the number of threads and opens the device.
    pub fn start(&self) -> anyhow::Result<Device> {
        self.processor.start()
    }
}

/// The machine, for commands whose seed a run file gives.
#[derive(Debug, Clone, Args)]
pub struct ProcessorArgs {
    /// Processor: cpu, wgpu[:INDEX] or cuda[:INDEX]
    #[arg(long, default_value = "cpu")]
    pub device: DeviceName,
    /// Threads on the CPU; all of its cores by default
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

impl ProcessorArgs {
    /// Sets the number of threads and opens the device.
    pub fn start(&self) -> anyhow::Result<Device> {
        use_threads(self.threads)?;
        self.device.open()
    }
}

/// Sets the number of threads of the whole process.
pub fn use_threads(threads: Option<usize>) -> anyhow::Result<()> {
    let Some(threads) = threads else {
        return Ok(());
    };
    if threads == 0 {
        return Err(usage("--threads is 0, expected at least 1"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    Ok(pool.build_global()?)
}

/// A device as it is spelled on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// A GPU through WebGPU; the best one without an index.
    Wgpu(Option<usize>),
    /// An NVIDIA GPU.
    Cuda(usize),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is none of cpu, wgpu[:INDEX], cuda[:INDEX]");
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index.parse::<usize>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        match (name, index) {
            ("cpu", None) => Ok(DeviceName::Cpu),
            ("wgpu", index) => Ok(DeviceName::Wgpu(index)),
            ("cuda", index) => Ok(DeviceName::Cuda(index.unwrap_or(0))),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for DeviceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeviceName::Cpu => f.write_str("cpu"),
            DeviceName::Wgpu(None) => f.write_str("wgpu"),
            DeviceName::Wgpu(Some(index)) => write!(f, "wgpu:{index}"),
            DeviceName::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceName {
    /// The device, where this program was built with it.
    pub fn open(self) -> anyhow::Result<Device> {
        match self {
            DeviceName::Cpu => Ok(Device::flex()),
            #[cfg(feature = "wgpu")]
            DeviceName::Wgpu(index) => Ok(Device::wgpu(
                index.map_or_else(Default::default, burn::tensor::DeviceKind::DiscreteGpu),
            )),
            #[cfg(feature = "cuda")]
            DeviceName::Cuda(index) => {
                Ok(Device::cuda(burn::tensor::DeviceIndex::Specified(index)))
            }
            #[cfg(not(all(feature = "wgpu", feature = "cuda")))]
            other => {
                let name = other.to_string();
                let feature = name.split(':').next().unwrap_or_default();
                Err(usage(format!(
                    "--device {name}: this program was built without it; \
                     build with `cargo build --release --features {feature}`"
                )))
            }
        }
    }
}

/// A column map, by its path.
fn parse_columns(path: &str) -> Result<ColumnMap, String> {
    ColumnMap::open(Path::new(path)).map_err(|error| error.to_string())
}

/// Modalities by their token keys. Which there are is known once the checkpoint is found, as it may describe
/// surveys of its own.
///
/// # Errors
/// A key is unknown.
pub fn modalities(keys: &[String]) -> anyhow::Result<Vec<ModalityId>> {
    let find = |key: &String| {
        ModalityId::from_key(key).ok_or_else(|| {
            let known: Vec<&str> = ModalityId::all().map(ModalityId::key).collect();
            usage(format!(
                "unknown modality `{key}`; known: {}",
                known.join(", ")
            ))
        })
    };
    keys.iter().map(find).collect()
}

/// A survey, by its name on the command line.
pub fn parse_survey(name: &str) -> Result<Survey, String> {
    let wrong = || format!("unknown survey `{name}`; known: legacy, hsc, sdss, desi, gaia");
    Survey::from_name(name).ok_or_else(wrong)
}

/// A number of objects, at least 1.
pub fn parse_batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_spelled_alike() {
        for name in ["cpu", "wgpu", "wgpu:1", "cuda:0"] {
            let device: DeviceName = name.parse().expect("a device");
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
        for name in ["gpu", "cpu:0", "cuda:x", "wgpu:"] {
            assert!(name.parse::<DeviceName>().is_err(), "{name}");
        }
    }
}
