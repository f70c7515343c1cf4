//! What the model is asked about an object, and what it is shown when it is asked.

use std::collections::BTreeSet;

use aion_data::{Kind, ModalityId, ObjectTokens};
use aion_model::ask::Question;

use crate::report::names::{is_catalogue_number, redshift};

/// The tokens of the modalities that `keep` wants.
fn select(tokens: &ObjectTokens, keep: impl Fn(ModalityId) -> bool) -> ObjectTokens {
    let kept = tokens.iter().filter(|(id, _)| keep(**id));
    kept.map(|(id, tokens)| (*id, tokens.clone())).collect()
}

/// What the redshift is asked from: the numbers, then images too, then spectra too.
pub fn redshift_contexts(tokens: &ObjectTokens) -> Vec<(&'static str, ObjectTokens)> {
    let is_pixels = |id: ModalityId| {
        matches!(
            id.info().kind,
            Kind::Image | Kind::ScalarField | Kind::Catalog
        )
    };
    let is_spectrum = |id: ModalityId| id.info().kind == Kind::Spectrum;
    let mut shown = ObjectTokens::new();
    let mut contexts = Vec::new();
    let groups = [
        (
            "photometry",
            "photometry",
            select(tokens, is_catalogue_number),
        ),
        ("image", "+ image", select(tokens, is_pixels)),
        ("spectrum", "+ spectrum", select(tokens, is_spectrum)),
    ];
    for (alone, added, group) in groups {
        if group.is_empty() {
            continue;
        }
        let label = if shown.is_empty() { alone } else { added };
        shown.extend(group);
        contexts.push((label, shown.clone()));
    }
    contexts
}

/// Everything that the object lacks, from everything that it has.
pub fn absent_question(
    tokens: &ObjectTokens,
    object: usize,
    targets: &BTreeSet<ModalityId>,
) -> Vec<Question> {
    let lacking = |id: &&ModalityId| !tokens.contains_key(id) && redshift() != Some(**id);
    vec![Question {
        object,
        context: tokens.clone(),
        targets: targets.iter().filter(lacking).copied().collect(),
    }]
}

/// Each number from the other numbers; spectra from images and numbers.
pub fn withheld_questions(
    tokens: &ObjectTokens,
    object: usize,
    targets: &BTreeSet<ModalityId>,
) -> Vec<Question> {
    let measured = tokens.keys().copied().filter(|id| targets.contains(id));
    let (spectra, others): (Vec<ModalityId>, Vec<ModalityId>) =
        measured.partition(|id| id.info().kind == Kind::Spectrum);
    let numbers = others.into_iter().filter(|id| is_catalogue_number(*id));
    let mut questions: Vec<Question> = numbers
        .map(|target| Question {
            object,
            context: select(tokens, |id| is_catalogue_number(id) && id != target),
            targets: vec![target],
        })
        .collect();
    let seen = |id: ModalityId| {
        id.info().kind != Kind::Spectrum && redshift() != Some(id) && !id.info().is_position()
    };
    questions.push(Question {
        object,
        context: select(tokens, seen),
        targets: spectra,
    });
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(keys: &[&str]) -> ObjectTokens {
        let known = keys.iter().filter_map(|key| ModalityId::from_key(key));
        known
            .map(|id| (id, vec![0; id.info().num_tokens()]))
            .collect()
    }

    #[test]
    fn the_redshift_is_never_shown_when_it_is_asked_for() {
        let all = tokens(&[
            "tok_z",
            "tok_flux_g",
            "tok_image",
            "tok_spectrum_desi",
            "tok_ra",
        ]);
        let contexts = redshift_contexts(&all);
        let labels: Vec<&str> = contexts.iter().map(|(label, _)| *label).collect();
        assert_eq!(labels, ["photometry", "+ image", "+ spectrum"]);
        for (_, context) in &contexts {
            assert!(
                context
                    .keys()
                    .all(|id| !["tok_z", "tok_ra"].contains(&id.key()))
            );
        }
        assert_eq!(
            redshift_contexts(&tokens(&["tok_spectrum_sdss"]))[0].0,
            "spectrum"
        );
    }

    #[test]
    fn withheld_measurements_are_not_in_their_context() {
        let all = tokens(&["tok_flux_g", "tok_flux_r", "tok_spectrum_desi", "tok_z"]);
        let targets = all.keys().copied().collect();
        for question in withheld_questions(&all, 0, &targets) {
            assert!(
                question
                    .targets
                    .iter()
                    .all(|id| !question.context.contains_key(id))
            );
            assert!(question.context.keys().all(|id| id.key() != "tok_z"));
        }
    }
}
