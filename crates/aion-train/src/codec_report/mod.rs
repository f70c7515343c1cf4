//! What a codec loses: reconstruction by survey and band, the mask, the codebook's use, and how
//! measurements on reconstructions differ from those on pixels (paper §2.1, §2.2, §2.4).
//!
//! Everything is computed from the saved codec on objects that it was not trained on.

mod auc;
mod codebook;
mod fidelity;
mod held_out;
mod of_run;
mod photometry;
mod watched;

use aion_codec::{Codec, CodecSet};
use aion_data::band::{self, Band};
use aion_data::{Image, Measurement, ModalityId, Object, Spectrum};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use auc::Ranking;
use codebook::CodeCounts;
pub use codebook::CodebookUse;
pub use fidelity::Fidelity;
use fidelity::Sums;
use held_out::held_out;
pub use of_run::of_newest;
pub(crate) use of_run::{judge_held_out, of_codec, write_report};
pub use photometry::Photometry;
pub(crate) use photometry::{MAD, aperture, median};
use photometry::{Pairs, RADIUS};
pub use watched::Watched;

/// Measurements encoded at once.
const CHUNK: usize = 8;
/// Measurements a modality that are kept with their reconstructions.
const EXAMPLES: usize = 4;
/// Spectral bins in which fluxes are compared.
const BINS: usize = 10;

/// Section `report` of a run file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// Held-out measurements of each modality that a trained codec is judged on, and as many
    /// simulated ones where the run has a simulated sky; 0 for no report.
    pub objects: usize,
}

impl Default for ReportConfig {
    fn default() -> Self {
        ReportConfig { objects: 16 }
    }
}

/// A codec on held-out measurements of one modality.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModalityReport {
    /// The modality's token key.
    pub modality: String,
    /// Measurements judged.
    pub measurements: usize,
    /// Simulated ones among them.
    pub simulated: usize,
    /// Measurements that the codec cannot take.
    pub refused: usize,
    /// Reconstruction by band; one entry for spectra and maps.
    pub fidelity: Vec<Fidelity>,
    /// Area under the curve of true over false positive rate of masked pixels; spectra only, where
    /// some pixels are masked and some are not.
    pub mask_auc: Option<f64>,
    /// How the codes are used.
    pub codebook: CodebookUse,
    /// Fluxes measured on reconstructions beside the same on pixels.
    pub photometry: Vec<Photometry>,
    /// Some measurements with their reconstructions.
    #[serde(skip)]
    pub examples: Vec<Example>,
}

/// A measurement and what is left of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Identifier of the object.
    pub object: String,
    /// What went in.
    pub observed: Measurement,
    /// What came out.
    pub restored: Measurement,
}

/// Everything summed over measurements.
struct Tally {
    /// Of images, what the codec clips.
    bands: &'static [Band],
    fidelity: Vec<(String, Sums)>,
    ranking: Ranking,
    counts: CodeCounts,
    photometry: Vec<(String, Pairs)>,
}

/// Judges the codec of `modality` on the objects that have it. `None` where there is nothing that
/// the codec takes.
///
/// # Errors
/// The codec cannot be opened.
pub fn judge(
    codecs: &CodecSet,
    modality: ModalityId,
    objects: &[Object],
    device: &Device,
) -> Result<Option<ModalityReport>, TrainError> {
    let open = codecs.codec(modality)?;
    let found: Vec<(&Object, &Measurement)> = objects
        .iter()
        .filter_map(|object| Some((object, object.get(modality)?)))
        .collect();
    let mut tally = Tally {
        bands: band::of_codec(modality.info()),
        fidelity: Vec::new(),
        ranking: Ranking::default(),
        counts: CodeCounts::new(modality.info().vocabulary),
        photometry: Vec::new(),
    };
    let mut examples = Vec::new();
    let mut judged = Vec::new();
    for chunk in found.chunks(CHUNK) {
        let alone: Vec<Object> = chunk.iter().map(|(o, _)| only(o, modality)).collect();
        let encoded = codecs.encode(&alone)?.into_iter().zip(chunk);
        let (tokens, taken): (Vec<Vec<u16>>, Vec<(&Object, &Measurement)>) = encoded
            .filter_map(|(encoded, pair)| Some((encoded.ok()?.tokens.remove(&modality)?, *pair)))
            .unzip();
        let codes: Vec<&[u16]> = tokens.iter().map(Vec::as_slice).collect();
        let like: Vec<Option<&Measurement>> = taken.iter().map(|(_, m)| Some(*m)).collect();
        let restored = codecs.decode(modality, &codes, &like)?;
        codes.iter().for_each(|codes| tally.counts.add(codes));
        if let Codec::Spectrum(codec) = &open.codec {
            let grids: Vec<Option<&[f32]>> = taken.iter().map(|(_, m)| grid(m)).collect();
            let logits = codec.mask_logits(&codes, &grids, device);
            tally.rank(&like, &logits);
        }
        for ((object, observed), restored) in taken.iter().zip(restored) {
            tally.compare(observed, &restored);
            if examples.len() < EXAMPLES {
                examples.push(Example {
                    object: object.id.clone(),
                    observed: (*observed).clone(),
                    restored,
                });
            }
        }
        judged.extend(taken.iter().map(|(object, _)| object.simulated));
    }
    if judged.is_empty() {
        return Ok(None);
    }
    let fidelity = tally.fidelity.into_iter();
    let photometry = tally.photometry.into_iter();
    Ok(Some(ModalityReport {
        modality: modality.key().to_owned(),
        measurements: judged.len(),
        simulated: judged.iter().filter(|simulated| **simulated).count(),
        refused: found.len() - judged.len(),
        fidelity: fidelity.map(|(name, sums)| sums.finish(name)).collect(),
        mask_auc: tally.ranking.area(),
        codebook: tally.counts.finish(),
        photometry: photometry
            .filter_map(|(name, pairs)| pairs.finish(name))
            .collect(),
        examples,
    }))
}

impl Tally {
    fn rank(&mut self, observed: &[Option<&Measurement>], logits: &[Vec<f32>]) {
        for (observed, logits) in observed.iter().zip(logits) {
            if let Some(Measurement::Spectrum(spectrum)) = observed {
                self.ranking.add(logits, &spectrum.mask);
            }
        }
    }

    fn compare(&mut self, observed: &Measurement, restored: &Measurement) {
        match (observed, restored) {
            (Measurement::Image(observed), Measurement::Image(restored)) => {
                self.compare_images(observed, restored);
            }
            (Measurement::Spectrum(observed), Measurement::Spectrum(restored)) => {
                self.compare_spectra(observed, restored);
            }
            (Measurement::ScalarField(observed), Measurement::ScalarField(restored)) => {
                let size = [observed.height, observed.width];
                let field = centre(&observed.field, size, [restored.height, restored.width]);
                let sums = entry(&mut self.fidelity, "field");
                for (x, y) in field.zip(&restored.field) {
                    sums.add(x, *y, None);
                }
            }
            (Measurement::Scalar(observed), Measurement::Scalar(restored)) => {
                entry(&mut self.fidelity, "value").add(*observed, *restored, None);
            }
            (Measurement::Coefficients(observed), Measurement::Coefficients(restored)) => {
                let sums = entry(&mut self.fidelity, "value");
                for (x, y) in observed.iter().zip(restored) {
                    sums.add(*x, *y, None);
                }
            }
            _ => {}
        }
    }

    fn compare_images(&mut self, observed: &Image, restored: &Image) {
        let size = [observed.height, observed.width];
        let crop = [restored.height, restored.width];
        let (plane_len, crop_len) = (size[0] * size[1], crop[0] * crop[1]);
        let planes = observed.flux.chunks_exact(plane_len.max(1));
        let bands = observed.bands.iter().zip(planes).enumerate();
        for ((index, (band, plane)), restored) in
            bands.zip(restored.flux.chunks_exact(crop_len.max(1)))
        {
            let Some(channel) = band::channel(self.bands, band) else {
                continue;
            };
            let clamp = self.bands[channel].clamp;
            let flux: Vec<f32> = centre(plane, size, crop)
                .map(|x| x.clamp(-clamp, clamp))
                .collect();
            let ivar = observed.ivar.as_ref();
            let ivar = ivar.and_then(|all| all.get(index * plane_len..(index + 1) * plane_len));
            let weights: Option<Vec<f32>> = ivar.map(|ivar| centre(ivar, size, crop).collect());
            let sums = entry(&mut self.fidelity, band);
            for (pixel, (x, y)) in flux.iter().zip(restored).enumerate() {
                sums.add(*x, *y, weights.as_ref().map(|weights| weights[pixel]));
            }
            let pairs = entry(&mut self.photometry, band);
            pairs.add(
                aperture(&flux, crop, RADIUS),
                aperture(restored, crop, RADIUS),
            );
        }
    }

    fn compare_spectra(&mut self, observed: &Spectrum, restored: &Spectrum) {
        let sums = entry(&mut self.fidelity, "flux");
        let mut binned = [[0.0f64; 2]; BINS];
        let len = observed.flux.len().max(1);
        for (pixel, (x, y)) in observed.flux.iter().zip(&restored.flux).enumerate() {
            let valid = !observed.mask[pixel] && observed.ivar[pixel] > 0.0 && x.is_finite();
            if valid {
                sums.add(*x, *y, Some(observed.ivar[pixel]));
                let bin = &mut binned[pixel * BINS / len];
                bin[0] += f64::from(*x);
                bin[1] += f64::from(*y);
            }
        }
        let pairs = entry(&mut self.photometry, "tenths");
        for [x, y] in binned {
            pairs.add(x, y);
        }
    }
}

/// The entry of a name, in order of first use.
fn entry<'a, T: Default>(entries: &'a mut Vec<(String, T)>, name: &str) -> &'a mut T {
    let place = entries.iter().position(|(known, _)| known == name);
    let place = place.unwrap_or_else(|| {
        entries.push((name.to_owned(), T::default()));
        entries.len() - 1
    });
    &mut entries[place].1
}

/// The object with one measurement alone.
pub(crate) fn only(object: &Object, modality: ModalityId) -> Object {
    let mut object = object.clone();
    object.measurements.retain(|id, _| *id == modality);
    object
}

fn grid(measurement: &Measurement) -> Option<&[f32]> {
    match measurement {
        Measurement::Spectrum(spectrum) => Some(&spectrum.wavelength),
        _ => None,
    }
}

/// The centre of a plane, as large as the codec's crop.
fn centre(
    plane: &[f32],
    [height, width]: [usize; 2],
    [tall, wide]: [usize; 2],
) -> impl Iterator<Item = f32> + '_ {
    let (top, left) = (
        height.saturating_sub(tall) / 2,
        width.saturating_sub(wide) / 2,
    );
    let rows = plane.chunks_exact(width.max(1)).skip(top).take(tall);
    rows.flat_map(move |row| row.iter().skip(left).take(wide))
        .copied()
}
