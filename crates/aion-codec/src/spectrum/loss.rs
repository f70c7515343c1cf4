//! What training of the spectrum codec minimises (paper §2.2): the likelihood of the flux on its
//! own wavelengths, the cross-entropy of the mask, and the quantiser's terms.

use aion_data::{DataError, Spectrum};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::wavelength_grid::neighbours;
use super::{LatentSpectrum, SpectrumCodec, inverse_deviation};

/// Loss of a batch, and what it consists of.
#[derive(Debug, Clone)]
pub struct SpectrumLoss {
    /// What is minimised, `(1)`.
    pub total: Tensor<1>,
    /// Mean over valid pixels of half the squared error in units of the noise, limited as below, `(1)`.
    pub likelihood: Tensor<1>,
    /// Cross-entropy of the mask, `(1)`.
    pub mask: Tensor<1>,
    /// Mean squared distance between latents and their signs, `(1)`.
    pub commitment: Tensor<1>,
}

/// Residuals beyond this many standard deviations count linearly, so that cosmic rays and early
/// mistakes do not own the gradient.
const HUBER_SIGMAS: f32 = 3.0;
/// Weight of the mask term; the paper does not state one.
const MASK_WEIGHT: f32 = 1.0;

/// A batch of native spectra laid out in one rectangle, beside the interpolation to them.
struct Native {
    low: Tensor<2, Int>,
    fraction: Tensor<2>,
    flux: Tensor<2>,
    deviation: Tensor<2>,
    masked: Tensor<2>,
    on_grid: Tensor<2>,
}

impl SpectrumCodec {
    /// The loss on a batch of spectra of any lengths, quantisation included.
    ///
    /// # Errors
    /// A spectrum that the codec cannot take.
    pub fn loss(&self, spectra: &[Spectrum], device: &Device) -> Result<SpectrumLoss, DataError> {
        let latent: Vec<LatentSpectrum> = spectra
            .iter()
            .map(|spectrum| self.prepare(spectrum))
            .collect::<Result<_, _>>()?;
        let native = self.native(spectra, &latent, device);
        let encoded = self.latent(&latent, device);
        let [batch, positions, bits] = encoded.dims();
        let rows = encoded.reshape([batch * positions, bits]);
        let (quantized, auxiliary) = self.quantizer.straight_through(rows);
        let output = self.reconstruct(quantized, batch);

        let predicted = observe(output.clone(), 0, &native);
        let count = native.deviation.clone().greater_elem(0.0).float().sum();
        let residual = (predicted - native.flux.clone()) * native.deviation.clone();
        let size = residual.abs();
        let inner = size.clone().clamp_max(HUBER_SIGMAS);
        let each = inner.clone().powf_scalar(2.0) * 0.5 + (size - inner) * HUBER_SIGMAS;
        let likelihood = each.sum() / count.clamp_min(1.0);

        let mask = if output.dims()[2] > 1 {
            mask_loss(observe(output, 1, &native), &native)
        } else {
            Tensor::zeros([1], device)
        };
        Ok(SpectrumLoss {
            total: likelihood.clone() + mask.clone() * MASK_WEIGHT + auxiliary.total,
            likelihood,
            mask,
            commitment: auxiliary.commitment,
        })
    }

    fn native(&self, spectra: &[Spectrum], latent: &[LatentSpectrum], device: &Device) -> Native {
        let batch = spectra.len();
        let longest = spectra.iter().map(|s| s.flux.len()).max().unwrap_or(0);
        let size = batch * longest;
        let mut low = vec![0i32; size];
        let mut columns: [Vec<f32>; 5] = std::array::from_fn(|_| vec![0.0; size]);
        let clip = self.config.clip_ivar.map(|clip| clip as f32);
        for (row, (spectrum, latent)) in spectra.iter().zip(latent).enumerate() {
            let brightness = self.brightness(latent.normalization);
            let places = neighbours(self.grid.wavelength(), &spectrum.wavelength);
            for (pixel, place) in places.into_iter().enumerate() {
                let Some((below, fraction)) = place else {
                    continue;
                };
                let at = row * longest + pixel;
                let masked = spectrum.mask[pixel];
                let deviation = inverse_deviation(spectrum.ivar[pixel], clip) * brightness;
                let finite = spectrum.flux[pixel].is_finite();
                low[at] = below as i32;
                columns[0][at] = fraction;
                columns[1][at] = self.clean(spectrum.flux[pixel]) / brightness - 1.0;
                columns[2][at] = if masked || !finite { 0.0 } else { deviation };
                columns[3][at] = f32::from(masked);
                columns[4][at] = 1.0;
            }
        }
        let shape = [batch, longest];
        let [fraction, flux, deviation, masked, on_grid] =
            columns.map(|values| Tensor::from_data(TensorData::new(values, shape), device));
        Native {
            low: Tensor::from_data(TensorData::new(low, shape), device),
            fraction,
            flux,
            deviation,
            masked,
            on_grid,
        }
    }
}

/// One channel of the output at the native pixels: `(batch, pixels, channels)` → `(batch, native)`
fn observe(output: Tensor<3>, channel: usize, native: &Native) -> Tensor<2> {
    let [batch, pixels, _] = output.dims();
    let plane = output.narrow(2, channel, 1).reshape([batch, pixels]);
    let below = plane.clone().gather(1, native.low.clone());
    let above = plane.gather(1, native.low.clone() + 1);
    below.clone() + (above - below) * native.fraction.clone()
}

/// Binary cross-entropy of the mask over pixels on the grid.
fn mask_loss(logits: Tensor<2>, native: &Native) -> Tensor<1> {
    // log(1 + exp(x)) - x·y, in a form that does not overflow.
    let softplus =
        activation::relu(logits.clone()) + (logits.clone().abs().neg().exp() + 1.0).log();
    let each = softplus - logits * native.masked.clone();
    let count = native.on_grid.clone().sum().clamp_min(1.0);
    (each * native.on_grid.clone()).sum() / count
}
