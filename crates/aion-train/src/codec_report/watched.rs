//! A codec while it is trained: figures on measurements that it does not learn from.

use std::path::Path;

use aion_codec::codec::OpenCodec;
use aion_codec::{Codec, CodecSet};
use aion_data::{Measurement, ModalityId, Object};
use aion_kernel::{LoadReport, WeightNames};
use burn::tensor::Device;

use super::{ModalityReport, held_out, judge};
use crate::config::RunConfig;
use crate::error::TrainError;

/// Held-out objects with measurements of modalities that share a codec, the same in every pass.
#[derive(Debug, Default)]
pub struct Watched {
    modalities: Vec<ModalityId>,
    objects: Vec<Object>,
}

impl Watched {
    /// Those of the modalities that the report at the end judges too; none where the run file asks for no validation.
    ///
    /// # Errors
    /// A file cannot be read, or nothing is held out although the run file asks for validation.
    pub(crate) fn new(config: &RunConfig, modalities: Vec<ModalityId>) -> Result<Self, TrainError> {
        if config.run.validate_every.is_none() {
            return Ok(Watched::default());
        }
        let objects = held_out(&config.data, &modalities, config.report.objects)?;
        if objects.is_empty() {
            let reason = "no measurement is held out: raise `report.objects` or \
                          `data.split.validation`, or name a simulated sky";
            return Err(TrainError::config("run.validate_every", reason));
        }
        Ok(Watched {
            modalities,
            objects,
        })
    }

    /// The measurements.
    pub(crate) fn measurements(&self) -> impl Iterator<Item = &Measurement> {
        let of = |object| {
            self.modalities
                .iter()
                .filter_map(move |id| Object::get(object, *id))
        };
        self.objects.iter().flat_map(of)
    }

    /// Reconstruction by survey and band, the mask's ranking and the codebook's use, by name:
    /// `report/<modality>/<band>/chi2` and so on, as in [`ModalityReport`].
    pub(crate) fn figures(
        &self,
        codec: Codec,
        device: &Device,
    ) -> Result<Vec<(String, f64)>, TrainError> {
        let Some(first) = self.modalities.first() else {
            return Ok(Vec::new());
        };
        let open = OpenCodec {
            codec,
            names: WeightNames::default(),
            report: LoadReport::default(),
        };
        // All share the codec, so that no folder is looked into.
        let codecs = CodecSet::new(Path::new(""), device).with(*first, open);
        let mut figures = Vec::new();
        for modality in &self.modalities {
            let report = judge(&codecs, *modality, &self.objects, device)?;
            figures.extend(report.iter().flat_map(named));
        }
        Ok(figures)
    }
}

/// The figures of a report that are numbers of the codec as a whole or of a band.
fn named(report: &ModalityReport) -> Vec<(String, f64)> {
    let of_bands = report.fidelity.iter().flat_map(|band| {
        let figures = [("chi2", band.chi2), ("nll", band.nll), ("r2", band.r2)];
        figures.map(|(name, value)| (format!("{}/{name}", band.band), value))
    });
    let whole = [
        ("mask_auc", report.mask_auc),
        ("perplexity", Some(report.codebook.perplexity)),
        ("codes_used", Some(report.codebook.used as f64)),
    ];
    let whole = whole.map(|(name, value)| (name.to_owned(), value));
    let named = of_bands.chain(whole);
    let name = |name: String| format!("report/{}/{name}", report.modality);
    named
        .filter_map(|(figure, value)| Some((name(figure), value?)))
        .collect()
}
