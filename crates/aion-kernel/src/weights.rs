//! Where parameters come from and where they go: a checkpoint file, or a seed.
//!
//! Modules ask [`Weights`] for each parameter by its published name, so the model's construction
//! is the map of weight names and no converter exists. A parameter is read when it is first used;
//! names and shapes are checked for all of them at once by [`Weights::finish`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Shape, Tensor};

use crate::error::WeightsError;
use crate::init::Init;
use crate::narrow::{LazyMatrix, Narrow};
use crate::source::{Parameter, Source};
use crate::tensor_file::{StoredTensor, TensorFile, is_readable, save};

/// What became of the tensors of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors that the model asked for and the file has.
    pub applied: usize,
    /// Names that the file lacks.
    pub missing: Vec<String>,
    /// Names whose shape or type differs, with both.
    pub wrong_shape: Vec<String>,
    /// Names in the file that nothing asked for.
    pub unused: Vec<String>,
}

impl LoadReport {
    /// Whether every tensor asked for was found with its shape.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.wrong_shape.is_empty()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors applied", self.applied)?;
        for (what, names) in [
            ("missing", &self.missing),
            ("wrong shape", &self.wrong_shape),
            ("unused", &self.unused),
        ] {
            if !names.is_empty() {
                write!(f, "; {} {what}: {}", names.len(), names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// How a named parameter is kept: followed by its identity, or constant.
#[derive(Debug, Clone)]
enum Entry {
    Param(ParamId, Vec<usize>),
    Constant(StoredTensor),
}

#[derive(Debug, Default)]
struct Ledger {
    entries: BTreeMap<String, Entry>,
    aliases: HashMap<String, String>,
    used: BTreeSet<String>,
    report: LoadReport,
}

#[derive(Debug)]
struct Shared {
    device: Device,
    source: Arc<Source>,
    ledger: Mutex<Ledger>,
}

/// A place in a tree of named parameters.
#[derive(Debug, Clone)]
pub struct Weights {
    shared: Arc<Shared>,
    prefix: String,
    narrow: Option<Narrow>,
}

impl Weights {
    /// Parameters of a checkpoint file.
    ///
    /// # Errors
    /// The file cannot be mapped or is not valid safetensors.
    pub fn open(path: &Path, device: &Device) -> Result<Self, WeightsError> {
        let file = TensorFile::open(path)?;
        Ok(Self::from_source(Source::File(file), device))
    }

    /// Random parameters: each depends on the seed and its own name only, so adding one parameter
    /// does not change another.
    pub fn seeded(seed: u64, device: &Device) -> Self {
        Self::from_source(Source::Seed(seed), device)
    }

    fn from_source(source: Source, device: &Device) -> Self {
        let shared = Shared {
            device: device.clone(),
            source: Arc::new(source),
            ledger: Mutex::default(),
        };
        Weights {
            shared: Arc::new(shared),
            prefix: String::new(),
            narrow: None,
        }
    }

    /// The same place with its matrices kept in fewer bits where a format is given: those of linear maps
    /// and of embeddings, for inference on the CPU. What is kept so is made when it is first used; what
    /// the file holds in that format is used where it lies.
    ///
    /// # Errors
    /// A format is given, and the device is another or records gradients.
    pub fn narrowed(self, narrow: Option<Narrow>) -> Result<Self, WeightsError> {
        let device = &self.shared.device;
        match narrow {
            Some(format) if device.is_autodiff() || *device != Device::flex() => {
                Err(WeightsError::Narrow { format })
            }
            _ => Ok(Weights { narrow, ..self }),
        }
    }

    /// The device that parameters are created on.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// The place one level below, `name` being a field or a position.
    pub fn at(&self, name: impl fmt::Display) -> Weights {
        Weights {
            shared: self.shared.clone(),
            prefix: self.name(name),
            narrow: self.narrow,
        }
    }

    fn name(&self, name: impl fmt::Display) -> String {
        if self.prefix.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A poisoned lock only means that another thread stopped while noting a name.
        self.shared
            .ledger
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A trained parameter of shape `shape`.
    pub fn param<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Param<Tensor<D>> {
        self.register(name, shape, true, init)
    }

    /// A parameter that training leaves alone (a buffer in the reference's terms).
    pub fn buffer<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Param<Tensor<D>> {
        self.register(name, shape, false, init)
    }

    fn register<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        trained: bool,
        init: Init,
    ) -> Param<Tensor<D>> {
        let id = ParamId::new();
        let parameter = self.parameter(id, name, &shape, init);
        self.lazy(id, shape, trained, Arc::new(parameter))
    }

    /// A trained matrix, and what stands for it in memory where it is kept in fewer bits.
    pub(crate) fn matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        init: Init,
    ) -> (Param<Tensor<2>>, Option<LazyMatrix>) {
        let id = ParamId::new();
        let parameter = Arc::new(self.parameter(id, name, &shape, init));
        let narrow = self.narrow.map(|format| -> LazyMatrix {
            let parameter = parameter.clone();
            Arc::new(LazyLock::new(Box::new(move || parameter.narrow(format))))
        });
        (self.lazy(id, shape, true, parameter), narrow)
    }

    /// Notes a parameter and says where its values are.
    fn parameter(&self, id: ParamId, name: &str, shape: &[usize], init: Init) -> Parameter {
        let full = self.name(name);
        let stored = self.note(&full, shape, Entry::Param(id, shape.to_vec()));
        Parameter {
            source: self.shared.source.clone(),
            name: full,
            stored,
            shape: shape.to_vec(),
            init,
        }
    }

    /// Reads a parameter when it is first used.
    fn lazy<const D: usize>(
        &self,
        id: ParamId,
        shape: [usize; D],
        trained: bool,
        parameter: Arc<Parameter>,
    ) -> Param<Tensor<D>> {
        Param::uninitialized(
            id,
            move |device, require_grad| {
                let tensor = Tensor::from_data(parameter.read(), device);
                if require_grad {
                    tensor.require_grad()
                } else {
                    tensor
                }
            },
            self.shared.device.clone(),
            trained,
            Shape::from(shape),
        )
    }

    /// A stored value that is not a float parameter (levels, a count): written as given, and
    /// required to be present when reading, where the configuration rules over the value.
    pub fn constant(&self, name: &str, value: StoredTensor) {
        let full = self.name(name);
        let shape = value.shape.clone();
        self.note(&full, &shape, Entry::Constant(value));
    }

    /// Values of a float table that the host computes with (codebooks): read now.
    /// Without a file, `initial` gives them.
    pub fn table(
        &self,
        name: &str,
        shape: &[usize],
        initial: impl FnOnce() -> Vec<f32>,
    ) -> Vec<f32> {
        let full = self.name(name);
        let placeholder = StoredTensor::float(shape, &[], false);
        let stored = self.note(&full, shape, Entry::Constant(placeholder));
        let values = match (&*self.shared.source, stored) {
            (Source::File(file), Some(stored)) => file.values(&stored).unwrap_or_default(),
            (Source::File(_), None) => vec![0.0; shape.iter().product()],
            (Source::Seed(_), _) => initial(),
        };
        let entry = Entry::Constant(StoredTensor::float(shape, &values, false));
        self.ledger().entries.insert(full, entry);
        values
    }

    /// Shape under which the file holds a name, where there is a file. For what the configuration
    /// does not say.
    pub fn stored_shape(&self, name: &str) -> Option<Vec<usize>> {
        match &*self.shared.source {
            Source::File(file) => {
                let stored = stored_name(file, &self.name(name))?;
                file.shape(&stored).map(<[usize]>::to_vec)
            }
            Source::Seed(_) => None,
        }
    }

    /// States that `name` is the same parameter as `target` (a full name), which alone is stored.
    pub fn alias(&self, name: &str, target: &str) {
        let full = self.name(name);
        self.ledger().aliases.insert(full, target.to_owned());
    }

    /// Notes a name, compares it with the file, and gives the name it is stored under.
    fn note(&self, full: &str, shape: &[usize], entry: Entry) -> Option<String> {
        let mut ledger = self.ledger();
        ledger.entries.insert(full.to_owned(), entry);
        let Source::File(file) = &*self.shared.source else {
            return None;
        };
        let Some(stored) = stored_name(file, full) else {
            ledger.report.missing.push(full.to_owned());
            return None;
        };
        ledger.used.insert(stored.clone());
        let found = file.shape(&stored).unwrap_or_default();
        let readable = file.dtype(&stored).is_some_and(is_readable);
        if found != shape || !readable {
            let dtype = file.dtype(&stored);
            let line = format!("{full} is {dtype:?} {found:?}, expected {shape:?}");
            ledger.report.wrong_shape.push(line);
            return None;
        }
        ledger.report.applied += 1;
        Some(stored)
    }

    /// Closes the ledger: the names to save under, and what was found in the file.
    ///
    /// # Errors
    /// Some tensor is missing or has another shape or an unreadable type; all are listed.
    pub fn finish(&self) -> Result<(WeightNames, LoadReport), WeightsError> {
        let mut ledger = self.ledger();
        let names = WeightNames {
            entries: ledger.entries.clone(),
            aliases: ledger.aliases.clone(),
        };
        let Source::File(file) = &*self.shared.source else {
            return Ok((names, LoadReport::default()));
        };
        let mut unused: Vec<String> = file
            .names()
            .filter(|name| !ledger.used.contains(*name))
            .map(str::to_owned)
            .collect();
        unused.sort();
        ledger.report.unused = unused;
        let report = ledger.report.clone();
        if report.is_complete() {
            Ok((names, report))
        } else {
            Err(WeightsError::Incomplete {
                path: file.path().to_owned(),
                report,
            })
        }
    }
}

/// The name in the file for a parameter: its own, the one that the file's metadata says it is
/// shared with, or the older spelling of scalar codecs (`quantizer.` for `_quantizer.`).
fn stored_name(file: &TensorFile, full: &str) -> Option<String> {
    let older = full.strip_prefix('_').map(str::to_owned);
    let shared = file.metadata().get(full).cloned();
    [Some(full.to_owned()), shared, older]
        .into_iter()
        .flatten()
        .find(|name| file.shape(name).is_some())
}

/// The published names of a module's parameters, to save it under.
#[derive(Debug, Clone, Default)]
pub struct WeightNames {
    entries: BTreeMap<String, Entry>,
    aliases: HashMap<String, String>,
}

impl WeightNames {
    /// Number of values, trained or not.
    pub fn num_values(&self) -> usize {
        let size = |entry: &Entry| match entry {
            Entry::Param(_, shape) => shape.iter().product(),
            Entry::Constant(_) => 0,
        };
        self.entries.values().map(size).sum()
    }

    /// Name, identity and shape of every parameter, in the order of names; constants are left out.
    pub fn params(&self) -> impl Iterator<Item = (&str, ParamId, &[usize])> {
        self.entries.iter().filter_map(|(name, entry)| match entry {
            Entry::Param(id, shape) => Some((name.as_str(), *id, shape.as_slice())),
            Entry::Constant(_) => None,
        })
    }

    /// Writes `module` as a safetensors file in the published layout; `half` rounds trained
    /// parameters to 16-bit floats (which the reference reads too).
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save<M: Module>(&self, module: &M, path: &Path, half: bool) -> Result<(), WeightsError> {
        let mut collector = Collector::default();
        module.visit(&mut collector);
        let mut tensors = BTreeMap::new();
        for (name, entry) in &self.entries {
            let stored = match entry {
                Entry::Constant(stored) => stored.clone(),
                Entry::Param(id, shape) => match collector.values.get(id) {
                    Some(values) => StoredTensor::float(shape, values, half),
                    None => continue,
                },
            };
            tensors.insert(name.clone(), stored);
        }
        save(path, &tensors, self.aliases.clone())
    }
}

#[derive(Default)]
struct Collector {
    values: HashMap<ParamId, Vec<f32>>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().iter::<f32>().collect();
        self.values.insert(param.id, values);
    }
}
