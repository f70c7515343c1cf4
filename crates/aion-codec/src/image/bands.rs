//! Bands of another survey for a trained codec: new columns of the subsampled linear before the network and
//! new rows of the one after it (paper §2.1). The network, and so the meaning of its codes, stays.

use std::collections::BTreeMap;

use aion_data::band::Band;
use aion_kernel::tensor_file::StoredTensor;
use aion_kernel::{Init, Weights};
use burn::tensor::Tensor;

use super::{ImageCodec, Projection};

/// Names of what is stored for a survey's bands.
const WEIGHT_IN: &str = "subsample_in.weight";
const WEIGHT_OUT: &str = "subsample_out.weight";
const BIAS_OUT: &str = "subsample_out.bias";

impl ImageCodec {
    /// The codec of `bands` with this one's network: `rows` has the weights from and to the bands, and
    /// nothing else.
    ///
    /// # Shapes
    /// `subsample_in.weight` `(hidden, bands)`, `subsample_out.weight` `(bands, hidden)`,
    /// `subsample_out.bias` `(bands)`
    pub fn with_bands(self, bands: &'static [Band], rows: &Weights) -> Self {
        let hidden = self.num_hidden();
        let inputs = Init::fan_in(bands.len());
        ImageCodec {
            subsample_in: Projection {
                weight: rows.param(WEIGHT_IN, [hidden, bands.len()], inputs),
                bias: self.subsample_in.bias,
            },
            subsample_out: Projection::new(&rows.at("subsample_out"), hidden, bands.len()),
            bands,
            ..self
        }
    }

    /// Channels that all surveys are projected to.
    fn num_hidden(&self) -> usize {
        self.subsample_in.bias.dims()[0]
    }

    /// Weights for new bands, each that of one of this codec's `channels`: what their training starts
    /// from, under the names that [`ImageCodec::with_bands`] asks for.
    pub fn rows_like(&self, channels: &[usize]) -> BTreeMap<String, StoredTensor> {
        let (count, hidden) = (channels.len(), self.num_hidden());
        let before = values(self.subsample_in.weight.val());
        let after = values(self.subsample_out.weight.val());
        let bias = values(self.subsample_out.bias.val());
        let pick = |row: &[f32]| channels.iter().map(|c| row[*c]).collect::<Vec<f32>>();
        let before: Vec<f32> = before
            .chunks_exact(self.bands.len())
            .flat_map(pick)
            .collect();
        let row = |channel: &usize| &after[channel * hidden..(channel + 1) * hidden];
        let after: Vec<f32> = channels.iter().flat_map(row).copied().collect();
        let stored = |shape: &[usize], values: &[f32]| StoredTensor::float(shape, values, false);
        BTreeMap::from([
            (WEIGHT_IN.to_owned(), stored(&[hidden, count], &before)),
            (WEIGHT_OUT.to_owned(), stored(&[count, hidden], &after)),
            (BIAS_OUT.to_owned(), stored(&[count], &pick(&bias))),
        ])
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
