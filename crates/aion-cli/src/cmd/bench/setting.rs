//! What is measured: codecs, transformer and objects of the published sizes, weights and values random.

use std::path::{Path, PathBuf};

use aion_codec::image::{ImageCodec, ImageConfig};
use aion_codec::spectrum::{SpectrumCodec, SpectrumConfig};
use aion_codec::{Codec, CodecSet};
use aion_data::{Image, Kind, ModalityId, ObjectTokens, Spectrum, Survey};
use aion_kernel::{Narrow, Weights};
use aion_model::{Checkpoint, Preset, Transformer, Visible, VisibleTokens};
use burn::tensor::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::failure::usage;

const IMAGE_BANDS: [&str; 4] = ["DES-G", "DES-R", "DES-I", "DES-Z"];
pub(super) const IMAGE_SIDE: usize = 96;
/// Pixels of a DESI spectrum: 3600 to 9824 Angstrom in steps of 0.8.
pub(super) const SPECTRUM_PIXELS: usize = 7781;

/// The Legacy Survey's numbers of a unit, in registry order.
pub(super) fn numbers(unit: &str) -> impl Iterator<Item = &'static str> {
    ModalityId::all()
        .filter(move |id| {
            let info = id.info();
            (info.kind, info.survey, info.unit) == (Kind::Scalar, Survey::LegacySurvey, unit)
        })
        .map(ModalityId::key)
}

/// The fluxes of the image's bands.
pub(super) fn photometry() -> Vec<&'static str> {
    numbers("nanomaggy").take(IMAGE_BANDS.len()).collect()
}

/// What operations are made from.
#[derive(Clone)]
pub(super) struct Setting {
    pub model: Option<PathBuf>,
    pub batch: usize,
    /// Tokens of an object, where an operation can choose.
    pub tokens: Option<usize>,
    pub seed: u64,
    /// What the transformer's matrices are kept in, where not in single precision.
    pub narrow: Option<Narrow>,
    pub device: Device,
}

impl Setting {
    /// The same for models that learn: parameters want gradients from the moment they are drawn, and
    /// are drawn when they are used.
    pub(super) fn for_training(&self) -> Setting {
        Setting {
            device: self.device.clone().autodiff(),
            ..self.clone()
        }
    }

    pub(super) fn random(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }

    pub(super) fn codec(&self, folder: &Path, key: &str) -> anyhow::Result<Codec> {
        let codecs = CodecSet::new(folder, &self.device);
        Ok(codecs.codec(modality(key)?)?.codec.clone())
    }

    pub(super) fn image_codec(&self) -> anyhow::Result<ImageCodec> {
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

    pub(super) fn spectrum_codec(&self) -> anyhow::Result<SpectrumCodec> {
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

    pub(super) fn transformer(&self) -> anyhow::Result<Transformer> {
        let checkpoint = match &self.model {
            Some(folder) => Checkpoint::open_narrowed(folder, &self.device, self.narrow)?,
            None => self.base(None)?,
        };
        Ok(checkpoint.transformer)
    }

    /// Base with random weights, perhaps with another number of layers on each side.
    pub(super) fn base(&self, depth: Option<usize>) -> anyhow::Result<Checkpoint> {
        let mut config = Preset::Base.config();
        if let Some(depth) = depth {
            (config.encoder_depth, config.decoder_depth) = (depth, depth);
        }
        let weights = Weights::seeded(self.seed, &self.device).narrowed(self.narrow)?;
        Ok(Checkpoint::of(&config, &weights)?)
    }

    pub(super) fn tokens(&self, id: ModalityId, random: &mut ChaCha8Rng) -> Vec<u16> {
        let info = id.info();
        let token = |_| random.random_range(0..info.vocabulary) as u16;
        (0..info.num_tokens()).map(token).collect()
    }

    pub(super) fn objects(&self, keys: &[&str]) -> anyhow::Result<Vec<ObjectTokens>> {
        let ids: anyhow::Result<Vec<ModalityId>> = keys.iter().map(|key| modality(key)).collect();
        let (ids, mut random) = (ids?, self.random());
        let mut object = || {
            ids.iter()
                .map(|&id| (id, self.tokens(id, &mut random)))
                .collect()
        };
        Ok((0..self.batch).map(|_| object()).collect())
    }

    pub(super) fn tokens_of(&self, key: &str) -> anyhow::Result<Vec<Vec<u16>>> {
        let (id, mut random) = (modality(key)?, self.random());
        Ok((0..self.batch)
            .map(|_| self.tokens(id, &mut random))
            .collect())
    }
}

pub(super) fn modality(key: &str) -> anyhow::Result<ModalityId> {
    ModalityId::from_key(key).ok_or_else(|| usage(format!("unknown modality `{key}`")))
}

pub(super) fn image_bands() -> Vec<String> {
    IMAGE_BANDS.map(str::to_owned).to_vec()
}

/// Uniform noise of unit width.
pub(super) fn noise(random: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.random::<f32>()).collect()
}

pub(super) fn desi_grid() -> Vec<f32> {
    (0..SPECTRUM_PIXELS)
        .map(|pixel| 3600.0 + 0.8 * pixel as f32)
        .collect()
}

impl Setting {
    /// Images with noise for flux, as many as the batch.
    pub(super) fn images(&self) -> Vec<Image> {
        let mut random = self.random();
        let pixels = IMAGE_BANDS.len() * IMAGE_SIDE * IMAGE_SIDE;
        let image = |_| Image {
            bands: image_bands(),
            height: IMAGE_SIDE,
            width: IMAGE_SIDE,
            flux: noise(&mut random, pixels),
            ivar: None,
        };
        (0..self.batch).map(image).collect()
    }

    /// DESI spectra with noise for flux, as many as the batch.
    pub(super) fn spectra(&self) -> Vec<Spectrum> {
        let mut random = self.random();
        let spectrum = |_| Spectrum {
            flux: noise(&mut random, SPECTRUM_PIXELS),
            ivar: noise(&mut random, SPECTRUM_PIXELS),
            wavelength: desi_grid(),
            mask: noise(&mut random, SPECTRUM_PIXELS)
                .iter()
                .map(|x| *x < 0.01)
                .collect(),
        };
        (0..self.batch).map(spectrum).collect()
    }

    /// `count` tokens of an object that was measured in every way that the model takes, image and
    /// spectrum first. Beyond what an object has, some 2,000, places are shown again, so that cost can
    /// be seen to grow.
    pub(super) fn shown(
        &self,
        transformer: &Transformer,
        count: usize,
        random: &mut ChaCha8Rng,
    ) -> anyhow::Result<VisibleTokens> {
        let first = ["tok_image", "tok_spectrum_desi"].map(modality);
        let first: Vec<ModalityId> = first.into_iter().collect::<Result<_, _>>()?;
        let others = transformer.inputs();
        let others = others.filter(|id| !first.contains(id) && !id.info().is_sequence());
        let ids: Vec<ModalityId> = first.iter().copied().chain(others).collect();
        let (mut shown, mut rest) = (VisibleTokens::new(), count);
        for id in ids.into_iter().cycle() {
            if rest == 0 {
                break;
            }
            let mut tokens = self.tokens(id, random);
            tokens.truncate(rest);
            rest -= tokens.len();
            let more = Visible::all(&tokens);
            let visible: &mut Visible = shown.entry(id).or_default();
            visible.positions.extend(more.positions);
            visible.tokens.extend(more.tokens);
        }
        Ok(shown)
    }
}
