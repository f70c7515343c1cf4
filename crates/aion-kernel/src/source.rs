//! Where the values of one parameter are: in a file, or in the stream of a seed.

use burn::tensor::TensorData;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::init::Init;
use crate::narrow::{Narrow, NarrowMatrix};
use crate::tensor_file::TensorFile;

/// Where parameters come from.
#[derive(Debug)]
pub(crate) enum Source {
    File(TensorFile),
    Seed(u64),
}

/// One parameter of a source.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub source: std::sync::Arc<Source>,
    /// Its published name.
    pub name: String,
    /// The name in the file; `None` where the file lacks it, which loading the whole reports.
    pub stored: Option<String>,
    pub shape: Vec<usize>,
    pub init: Init,
}

impl Parameter {
    /// The values; zeros where the file lacks them.
    pub(crate) fn read(&self) -> TensorData {
        let zeros = || TensorData::zeros::<f32, _>(self.shape.clone());
        match (&*self.source, &self.stored) {
            (Source::File(file), Some(stored)) => file.float(stored).unwrap_or_else(zeros),
            (Source::File(_), None) => zeros(),
            (Source::Seed(seed), _) => {
                let mut rng = ChaCha8Rng::seed_from_u64(*seed ^ name_hash(&self.name));
                TensorData::new(self.init.draw(&self.shape, &mut rng), self.shape.clone())
            }
        }
    }

    /// The values of a matrix in fewer bits. The file's own leave memory again.
    pub(crate) fn narrow(&self, format: Narrow) -> NarrowMatrix {
        let columns = self.shape.last().copied().unwrap_or_default();
        let file = match (&*self.source, &self.stored) {
            (Source::File(file), Some(stored)) => Some((file, stored)),
            _ => None,
        };
        if let Some(bytes) = file.and_then(|(file, stored)| file.narrow(stored, format)) {
            return NarrowMatrix::of_bytes(bytes, columns, format);
        }
        let data = self.read();
        // What is read or drawn is in single precision.
        let values = data.as_slice::<f32>().unwrap_or_default();
        let matrix = NarrowMatrix::of(values, columns, format);
        if let Some((file, stored)) = file {
            file.leave(stored);
        }
        matrix
    }
}

/// FNV-1a: any stable hash will do.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
