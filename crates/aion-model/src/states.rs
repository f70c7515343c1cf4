//! What encoder and decoder give: states of packed rows, and which row is what.

use aion_data::ModalityId;
use aion_kernel::{Segments, means};
use burn::tensor::Tensor;

use crate::layout::{Group, Layout, take_rows};

/// Encoder states of a batch.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `(rows, dim)`, rows as in `layout`.
    pub states: Tensor<2>,
    /// Which row is what.
    pub layout: Layout,
}

impl Encoded {
    /// The states of each object, `(rows of the object, dim)`.
    pub fn per_object(&self) -> Vec<Tensor<2>> {
        let objects = self.layout.objects().ranges();
        objects
            .map(|rows| self.states.clone().slice([rows]))
            .collect()
    }

    /// The mean over each object's rows, register rows included, `(objects, dim)`.
    pub fn mean(&self) -> Tensor<2> {
        means(self.states.clone(), self.layout.objects())
    }

    /// The mean over the rows of one modality, for the objects that have it: their places in the
    /// batch, and `(those objects, dim)`. `None` when no object has it.
    pub fn mean_of(&self, modality: ModalityId) -> Option<(Vec<usize>, Tensor<2>)> {
        let groups: Vec<&Group> = self.layout.of(modality).collect();
        if groups.is_empty() {
            return None;
        }
        let ranges: Vec<_> = groups.iter().map(|group| group.rows.clone()).collect();
        let lengths = Segments::new(ranges.iter().map(|rows| rows.len()).collect());
        let rows = take_rows(&self.states, &ranges);
        let objects = groups.iter().map(|group| group.object).collect();
        Some((objects, means(rows, &lengths)))
    }
}

/// Decoder states of a batch.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// `(rows, dim)`, rows as in `layout`.
    pub states: Tensor<2>,
    /// Which row asks for what.
    pub layout: Layout,
}
