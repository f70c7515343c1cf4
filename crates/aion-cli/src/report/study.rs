//! The study of a set of objects: tokens, reconstructions, embeddings, predictions.
//!
//! Nothing that an object's redshift is compared with is shown to the model when it is asked for
//! it; numbers and spectra that were measured are asked for as well, from the rest of the object.

use std::collections::{BTreeMap, BTreeSet};

use aion_codec::{Codec, CodecSet, RangeReport};
use aion_data::{
    DataError, Kind, Measurement, ModalityId, Object, ObjectTokens, Place, Problem, num_tokens,
};
use aion_model::ask::{Question, answer};
use aion_model::{Distribution, Prediction, Transformer};
use anyhow::Result;

use crate::problems::Problems;
use crate::report::agreement::{Agreement, agreement};
use crate::report::names::redshift;
use crate::report::neighbours::{Neighbour, neighbours};
use crate::report::questions::{absent_question, redshift_contexts, withheld_questions};

/// Measurements that pass through a codec together.
const CODEC_BATCH: usize = 8;
/// Tokens that are embedded together.
const EMBEDDING_ROWS: usize = 8192;

/// What the model says about something that it was not shown.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The distribution of one number.
    Number(Distribution),
    /// The likeliest measurement.
    Measured(Measurement),
}

/// The redshift as the model sees it when it is shown more and more.
#[derive(Debug, Clone, Default)]
pub struct Redshift {
    /// The measured redshift.
    pub truth: Option<f64>,
    /// What was shown, and the answer; the last one was shown everything but the redshift.
    pub stages: Vec<(&'static str, Distribution)>,
}

impl Redshift {
    /// The answer from everything but the redshift itself.
    pub fn predicted(&self) -> Option<&Distribution> {
        self.stages.last().map(|(_, found)| found)
    }
}

/// Everything about one object.
#[derive(Debug, Clone, Default)]
pub struct Study {
    /// What was observed.
    pub object: Object,
    /// Its tokens.
    pub tokens: ObjectTokens,
    /// Values outside the codecs' ranges.
    pub ranges: RangeReport,
    /// Measurements decoded from their own tokens.
    pub restored: BTreeMap<ModalityId, Measurement>,
    /// How well they agree with what was observed.
    pub agreement: BTreeMap<ModalityId, Agreement>,
    /// Mean over the encoder's states of all tokens.
    pub embedding: Vec<f32>,
    /// The other objects, nearest first.
    pub neighbours: Vec<Neighbour>,
    /// The redshift.
    pub redshift: Redshift,
    /// What was not measured, predicted from everything that was.
    pub absent: BTreeMap<ModalityId, Answer>,
    /// What was measured, predicted without it: a number from the object's other numbers, a
    /// spectrum from images and numbers.
    pub withheld: BTreeMap<ModalityId, Answer>,
}

/// The parts of a checkpoint that a study needs.
pub struct Instruments<'a> {
    /// Measurements to tokens and back.
    pub codecs: &'a CodecSet,
    /// Tokens to answers.
    pub model: &'a Transformer,
}

/// Studies `objects`; those that the codecs cannot take are noted as problems, and `stage` hears
/// what is being done.
///
/// # Errors
/// A codec or the model fails, an object is bad and ends the command, or none is left.
pub fn study(
    objects: Vec<Object>,
    with: &Instruments,
    problems: &mut Problems,
    stage: &dyn Fn(&'static str),
) -> Result<Vec<Study>> {
    stage("tokenising");
    let mut studies = with.tokenise(objects, problems)?;
    if studies.is_empty() {
        return Err(DataError::new(Place::default(), Problem::Empty).into());
    }
    stage("reconstructing");
    with.restore(&mut studies)?;
    stage("embedding");
    with.embed(&mut studies)?;
    stage("measuring redshifts");
    with.ask_redshifts(&mut studies)?;
    stage("predicting what was withheld");
    with.ask_measurements(&mut studies, withheld_questions, |study| {
        &mut study.withheld
    })?;
    stage("predicting what is absent");
    with.ask_measurements(&mut studies, absent_question, |study| &mut study.absent)?;
    Ok(studies)
}

impl Instruments<'_> {
    /// Whether the checkpoint can take a modality.
    fn takes(&self, id: ModalityId) -> bool {
        self.codecs.has(id) && self.model.inputs().any(|input| input == id)
    }

    fn tokenise(&self, objects: Vec<Object>, problems: &mut Problems) -> Result<Vec<Study>> {
        let mut studies = Vec::new();
        let usable = |mut object: Object| {
            object.measurements.retain(|id, _| self.takes(*id));
            object
        };
        let objects: Vec<Object> = objects.into_iter().map(usable).collect();
        for batch in objects.chunks(CODEC_BATCH) {
            for (object, encoded) in batch.iter().zip(self.codecs.encode(batch)?) {
                let Some(encoded) = problems.keep(encoded)? else {
                    continue;
                };
                if num_tokens(&encoded.tokens) == 0 {
                    let what = "a measurement that this model can take".to_owned();
                    let place = Place::default().with_object(&object.id);
                    problems.note(DataError::new(place, Problem::Missing(what)))?;
                    continue;
                }
                studies.push(Study {
                    object: object.clone(),
                    tokens: encoded.tokens,
                    ranges: encoded.ranges,
                    ..Study::default()
                });
            }
        }
        Ok(studies)
    }

    fn restore(&self, studies: &mut [Study]) -> Result<()> {
        let mut wanted: BTreeMap<ModalityId, Vec<(usize, Vec<u16>)>> = BTreeMap::new();
        for (place, study) in studies.iter().enumerate() {
            for (&id, tokens) in &study.tokens {
                wanted.entry(id).or_default().push((place, tokens.clone()));
            }
        }
        let decoded = self.decode(&wanted, studies)?;
        for (place, id, restored) in decoded {
            let Some(study) = studies.get_mut(place) else {
                continue;
            };
            if let Some(observed) = study.object.get(id)
                && let Some(found) = agreement(observed, &restored)
            {
                study.agreement.insert(id, found);
            }
            study.restored.insert(id, restored);
        }
        Ok(())
    }

    /// Measurements of tokens, each on the grid of the object's own measurement where it has one.
    fn decode(
        &self,
        wanted: &BTreeMap<ModalityId, Vec<(usize, Vec<u16>)>>,
        studies: &[Study],
    ) -> Result<Vec<(usize, ModalityId, Measurement)>> {
        let mut decoded = Vec::new();
        for (&id, rows) in wanted {
            for batch in rows.chunks(CODEC_BATCH) {
                let tokens: Vec<&[u16]> = batch.iter().map(|(_, tokens)| &tokens[..]).collect();
                let like = batch
                    .iter()
                    .map(|(place, _)| studies.get(*place)?.object.get(id));
                let like: Vec<Option<&Measurement>> = like.collect();
                let measurements = self.codecs.decode(id, &tokens, &like)?;
                let rows = batch.iter().zip(measurements);
                decoded.extend(rows.map(|((place, _), found)| (*place, id, found)));
            }
        }
        Ok(decoded)
    }

    fn embed(&self, studies: &mut [Study]) -> Result<()> {
        let mut embeddings: Vec<Vec<f32>> = Vec::new();
        let tokens: Vec<ObjectTokens> = studies.iter().map(|s| s.tokens.clone()).collect();
        let mut rows = 0;
        let mut start = 0;
        for (place, object) in tokens.iter().enumerate() {
            rows += num_tokens(object);
            if rows >= EMBEDDING_ROWS || place + 1 == tokens.len() {
                let mean = self.model.encode(&tokens[start..=place])?.mean();
                let [_, dim] = mean.dims();
                let values: Vec<f32> = mean.into_data().iter::<f32>().collect();
                embeddings.extend(values.chunks_exact(dim).map(<[f32]>::to_vec));
                (start, rows) = (place + 1, 0);
            }
        }
        let ranked = neighbours(&embeddings);
        for ((study, embedding), ranked) in studies.iter_mut().zip(embeddings).zip(ranked) {
            study.embedding = embedding;
            study.neighbours = ranked;
        }
        Ok(())
    }

    fn ask_redshifts(&self, studies: &mut [Study]) -> Result<()> {
        let Some(target) = redshift().filter(|id| self.predicts(*id)) else {
            return Ok(());
        };
        let Some(grid) = self.grid(target)? else {
            return Ok(());
        };
        let mut questions = Vec::new();
        let mut labels = Vec::new();
        for (object, study) in studies.iter().enumerate() {
            for (label, context) in redshift_contexts(&study.tokens) {
                labels.push(label);
                questions.push(Question {
                    object,
                    context,
                    targets: vec![target],
                });
            }
        }
        let mut answers = vec![None; questions.len()];
        answer::<anyhow::Error>(self.model, &questions, |place, _, prediction| {
            if let Some(slot) = answers.get_mut(place) {
                *slot = prediction.distribution(&grid);
            }
            Ok(())
        })?;
        for study in studies.iter_mut() {
            study.redshift.truth = study.object.scalar(target).map(f64::from);
        }
        for ((question, label), answer) in questions.iter().zip(labels).zip(answers) {
            if let (Some(study), Some(answer)) = (studies.get_mut(question.object), answer) {
                study.redshift.stages.push((label, answer));
            }
        }
        Ok(())
    }

    /// Asks what `questions` gives for each object and puts the answers where `place` says.
    fn ask_measurements(
        &self,
        studies: &mut [Study],
        questions: impl Fn(&ObjectTokens, usize, &BTreeSet<ModalityId>) -> Vec<Question>,
        into: impl Fn(&mut Study) -> &mut BTreeMap<ModalityId, Answer>,
    ) -> Result<()> {
        let targets: BTreeSet<ModalityId> =
            ModalityId::all().filter(|id| self.predicts(*id)).collect();
        let asked: Vec<Question> = studies
            .iter()
            .enumerate()
            .flat_map(|(object, study)| questions(&study.tokens, object, &targets))
            .collect();
        let mut likeliest: BTreeMap<ModalityId, Vec<(usize, Vec<u16>)>> = BTreeMap::new();
        answer::<anyhow::Error>(self.model, &asked, |place, id, prediction: Prediction| {
            let Some(object) = asked.get(place).map(|question| question.object) else {
                return Ok(());
            };
            let grid = self.grid(id)?;
            match grid.and_then(|grid| prediction.distribution(&grid)) {
                Some(number) => {
                    if let Some(study) = studies.get_mut(object) {
                        into(study).insert(id, Answer::Number(number));
                    }
                }
                None => {
                    let tokens = (object, prediction.argmax());
                    likeliest.entry(id).or_default().push(tokens);
                }
            }
            Ok(())
        })?;
        for (object, id, found) in self.decode(&likeliest, studies)? {
            if let Some(study) = studies.get_mut(object) {
                into(study).insert(id, Answer::Measured(found));
            }
        }
        Ok(())
    }

    /// Whether a modality can be predicted and its tokens understood.
    fn predicts(&self, id: ModalityId) -> bool {
        let info = id.info();
        !info.is_sequence()
            && !info.is_position()
            && self.codecs.has(id)
            && self.model.targets().any(|target| target == id)
    }

    /// The values of a number's tokens; `None` for everything that is not one number.
    fn grid(&self, id: ModalityId) -> Result<Option<Vec<f32>>> {
        if id.info().kind != Kind::Scalar {
            return Ok(None);
        }
        Ok(match &self.codecs.codec(id)?.codec {
            Codec::Scalar(codec) => codec.grid(),
            _ => None,
        })
    }
}
