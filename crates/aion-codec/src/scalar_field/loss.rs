//! What training of the scalar-field codec minimises: the mean squared error of the map (paper
//! §2.4).
//!
//! Statistics of the batch norms are not learned: they stay what the weights say (mean 0 and
//! variance 1 for new ones), so that a map's loss does not depend on the maps beside it.

use aion_data::{DataError, ScalarField};
use burn::tensor::{Device, Tensor, TensorData};

use super::ScalarFieldCodec;
use crate::image::CROP;

impl ScalarFieldCodec {
    /// The mean squared error over all pixels of a batch of maps, quantisation included, `(1)`.
    ///
    /// # Errors
    /// A map that the codec cannot take.
    pub fn loss(&self, maps: &[ScalarField], device: &Device) -> Result<Tensor<1>, DataError> {
        let cropped: Vec<Vec<f32>> = maps
            .iter()
            .map(|map| self.crop(map))
            .collect::<Result<_, _>>()?;
        let target = TensorData::new(cropped.concat(), [maps.len(), CROP, CROP, 1]);
        let target: Tensor<4> = Tensor::from_data(target, device);
        let latent = self.latent(&cropped, device).permute([0, 3, 1, 2]);
        let latent = self.quantizer.straight_through(latent);
        let output = self.reconstruct(latent.permute([0, 2, 3, 1]));
        Ok((output - target).powf_scalar(2.0).mean())
    }
}
