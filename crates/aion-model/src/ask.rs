//! Questions to the transformer: what is this modality of this object, given these of its tokens?
//!
//! Questions about different objects, with different contexts and targets, share passes; logits
//! are handed over pass by pass, so that memory grows with a pass and not with the questions.

use std::collections::BTreeSet;

use aion_data::{ModalityId, ObjectTokens, num_tokens};

use crate::error::ModelError;
use crate::predict::Prediction;
use crate::transformer::Transformer;
use crate::visible::{Target, Targets};

/// Context and target rows that share one pass.
const ROWS_PER_PASS: usize = 4096;

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// Place of the object among those studied.
    pub object: usize,
    /// The tokens that the model is shown.
    pub context: ObjectTokens,
    /// What it is asked for.
    pub targets: Vec<ModalityId>,
}

impl Question {
    fn rows(&self) -> usize {
        let asked: usize = self.targets.iter().map(|id| id.info().num_tokens()).sum();
        num_tokens(&self.context) + asked
    }

    fn targets(&self) -> Targets {
        let places = |id: &ModalityId| (0..=u16::MAX).take(id.info().num_tokens());
        let all = |id: &ModalityId| (*id, Target::At(places(id).collect()));
        self.targets.iter().map(all).collect()
    }
}

/// Answers `questions`, handing each answer to `each` with its question's place in the list.
/// Questions without context or targets have no answer.
///
/// # Errors
/// The model cannot take the tokens or has no such target; whatever `each` returns.
pub fn answer<E: From<ModelError>>(
    model: &Transformer,
    questions: &[Question],
    mut each: impl FnMut(usize, ModalityId, Prediction) -> Result<(), E>,
) -> Result<(), E> {
    let sensible = |place: &usize| {
        questions
            .get(*place)
            .is_some_and(|q| num_tokens(&q.context) > 0 && !q.targets.is_empty())
    };
    let mut pass: Vec<usize> = Vec::new();
    let mut rows = 0;
    for place in (0..questions.len()).filter(sensible) {
        let more = questions[place].rows();
        if !pass.is_empty() && rows + more > ROWS_PER_PASS {
            answer_pass(model, questions, &pass, &mut each)?;
            pass.clear();
            rows = 0;
        }
        pass.push(place);
        rows += more;
    }
    if pass.is_empty() {
        return Ok(());
    }
    answer_pass(model, questions, &pass, &mut each)
}

fn answer_pass<E: From<ModelError>>(
    model: &Transformer,
    questions: &[Question],
    pass: &[usize],
    each: &mut impl FnMut(usize, ModalityId, Prediction) -> Result<(), E>,
) -> Result<(), E> {
    let contexts: Vec<ObjectTokens> = pass.iter().map(|&q| questions[q].context.clone()).collect();
    let targets: Vec<Targets> = pass.iter().map(|&q| questions[q].targets()).collect();
    let encoded = model.encode(&contexts)?;
    let decoded = model.decode(&encoded, &targets)?;
    let asked: BTreeSet<ModalityId> = targets.iter().flat_map(|t| t.keys().copied()).collect();
    for modality in asked {
        let logits = model.logits(&decoded, modality)?.into_data();
        let logits: Vec<f32> = logits.iter::<f32>().collect();
        let vocabulary = modality.info().vocabulary;
        let size = modality.info().num_tokens() * vocabulary;
        let who = pass
            .iter()
            .zip(&targets)
            .filter(|(_, t)| t.contains_key(&modality));
        for ((&question, _), logits) in who.zip(logits.chunks_exact(size)) {
            each(
                question,
                modality,
                Prediction::new(vocabulary, logits.to_vec()),
            )?;
        }
    }
    Ok(())
}
