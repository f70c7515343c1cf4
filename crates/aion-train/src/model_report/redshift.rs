//! Redshifts as the model predicts them, from photometry and from photometry and images.

use aion_data::{Kind, ModalityId, Object, ObjectTokens, Survey};
use aion_model::Aion;
use aion_model::ask::{Question, answer};
use aion_simulate::Sky;
use serde::Serialize;

use super::features::{has_row, photometry, redshift};
use super::sample::{takes, tokenise};
use super::statistics::{Estimate, Quality};
use crate::data::SimulatedSource;
use crate::error::TrainError;

/// Simulated objects drawn at most for each redshift: a sixth of the sky has photometry and redshift.
const DRAWS: u64 = 10;

/// Redshifts of held-out galaxies that one survey has photometry of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedshiftReport {
    /// The survey's name.
    pub survey: &'static str,
    /// Whether the galaxies are simulated.
    pub simulated: bool,
    /// What the model is shown: `photometry` or `photometry + image`.
    pub inputs: &'static str,
    /// How good they are.
    pub quality: Quality,
    /// Each of them, in the order of the table for other methods, those without an image left out where
    /// images are shown.
    pub estimates: Vec<Estimate>,
}

/// Simulated galaxies beyond those trained on that have redshift and photometry of a survey, at most
/// `most`; spectra are left out.
pub(super) fn simulated(source: &SimulatedSource, survey: Survey, most: usize) -> Vec<Object> {
    let sky = Sky::new(source.seed);
    let places = source.total()..source.total() + DRAWS * most as u64;
    let is_wanted = |index: &u64| has_row(&source.without_pixels(*index), survey);
    let draw = |index| sky.object(index).object;
    places.filter(is_wanted).take(most).map(draw).collect()
}

/// Asks for the redshift of `objects`, which have photometry of `survey` and a redshift.
///
/// # Errors
/// The objects do not fit the model, or a codec cannot be opened.
pub(super) fn ask(
    aion: &Aion,
    objects: &[Object],
    survey: Survey,
    simulated: bool,
) -> Result<Vec<RedshiftReport>, TrainError> {
    let image = ModalityId::of_kind(Kind::Image, survey);
    let numbers: Vec<ModalityId> = photometry(survey).collect();
    let mut known = Vec::new();
    for object in objects {
        let mut alone = object.clone();
        alone
            .measurements
            .retain(|id, _| numbers.contains(id) || image == Some(*id));
        if let (Some(z), Some(tokens)) = (redshift(), tokenise(aion, &alone)?) {
            known.extend(object.scalar(z).map(|z| (f64::from(z), tokens)));
        }
    }
    let of_numbers = |tokens: &ObjectTokens| {
        let mut tokens = tokens.clone();
        tokens.retain(|id, _| numbers.contains(id));
        tokens
    };
    let photometry = known.iter().map(|(z, tokens)| (*z, of_numbers(tokens)));
    let has_image = |tokens: &ObjectTokens| image.is_some_and(|id| tokens.contains_key(&id));
    let with_image = known.iter().filter(|(_, tokens)| has_image(tokens));
    let samples = [
        ("photometry", photometry.collect::<Vec<_>>()),
        ("photometry + image", with_image.cloned().collect()),
    ];
    let mut reports = Vec::new();
    for (inputs, shown) in samples {
        let estimates = estimates(aion, &shown)?;
        reports.extend(Quality::of(&estimates).map(|quality| RedshiftReport {
            survey: survey.name(),
            simulated,
            inputs,
            quality,
            estimates,
        }));
    }
    Ok(reports)
}

/// The model's redshifts of objects with true redshift and shown tokens.
fn estimates(aion: &Aion, shown: &[(f64, ObjectTokens)]) -> Result<Vec<Estimate>, TrainError> {
    let Some(target) = redshift().filter(|id| takes(aion, *id)) else {
        return Ok(Vec::new());
    };
    let questions: Vec<Question> = shown
        .iter()
        .enumerate()
        .map(|(object, (_, context))| Question {
            object,
            context: context.clone(),
            targets: vec![target],
        })
        .collect();
    let mut found = Vec::new();
    answer::<TrainError>(&aion.transformer, &questions, |place, id, prediction| {
        let z = shown[place].0;
        let distribution = aion.distribution(id, &prediction)?;
        found.extend(distribution.map(|found| Estimate {
            z,
            mean: found.mean,
            median: found.median,
            q16: found.q16,
            q84: found.q84,
            pit: found.cdf(z),
        }));
        Ok(())
    })?;
    Ok(found)
}
