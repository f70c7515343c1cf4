//! Cross-entropy of each modality, by what of an object is shown.
//!
//! A modality is asked for alone, all its tokens at once, and everything else of the object is shown, or
//! less of it. Where an object has nothing of what is shown the answer is the unigram's, so that the
//! columns of a row are of the same tokens.

use std::collections::BTreeMap;

use aion_data::{Kind, ModalityId, ObjectTokens, num_tokens};
use aion_model::Transformer;
use aion_model::ask::{Question, answer};
use serde::Serialize;

use super::sample::HeldOut;
use super::unigram::Unigrams;
use crate::error::TrainError;

/// Objects whose questions are made at once.
const CHUNK: usize = 8;

/// Cross-entropy of one modality of some objects, nats a token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossEntropy {
    /// The modality's token key.
    pub modality: &'static str,
    /// Objects.
    pub objects: usize,
    /// Tokens.
    pub tokens: usize,
    /// From all other modalities.
    pub all: f64,
    /// From how often codes occur in the training set.
    pub unigram: Without,
    /// From single numbers alone.
    pub numbers: Without,
    /// From all but images, maps and catalogues of what is around.
    pub without_images: Without,
    /// From all but spectra, Gaia's coefficients among them.
    pub without_spectra: Without,
}

/// What is lost by showing less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Without {
    /// Cross-entropy, nats a token.
    pub nats: f64,
    /// That less the cross-entropy from all other modalities.
    pub loss: f64,
    /// Standard error of the loss, over objects.
    pub error: f64,
}

/// Cross-entropy of one modality of one object, summed over its tokens, nats.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub modality: ModalityId,
    /// Whether the object has numbers, images and spectra.
    pub is_complete: bool,
    tokens: usize,
    /// In the order of [`Shown::ALL`], then the unigram's.
    nats: [f64; 5],
}

/// What is shown beside numbers.
#[derive(Debug, Clone, Copy)]
struct Shown {
    images: bool,
    spectra: bool,
}

impl Shown {
    const ALL: [Shown; 4] = [
        Shown {
            images: false,
            spectra: false,
        },
        Shown {
            images: false,
            spectra: true,
        },
        Shown {
            images: true,
            spectra: false,
        },
        Shown {
            images: true,
            spectra: true,
        },
    ];

    fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Scalar => true,
            Kind::Image | Kind::Catalog | Kind::ScalarField => self.images,
            Kind::Spectrum | Kind::Coefficients => self.spectra,
        }
    }

    fn context(self, tokens: &ObjectTokens, target: ModalityId) -> ObjectTokens {
        let shown = |id: &ModalityId| *id != target && self.has(id.info().kind);
        let shown = tokens.iter().filter(|(id, _)| shown(id));
        shown.map(|(id, tokens)| (*id, tokens.clone())).collect()
    }
}

/// Asks for what each object is to be asked for, with more and less of it shown.
///
/// # Errors
/// The objects do not fit the model.
pub(super) fn ask(
    model: &Transformer,
    objects: &[HeldOut],
    unigrams: &Unigrams,
) -> Result<Vec<Asked>, TrainError> {
    let costs = unigram_costs(objects, unigrams);
    let mut found: Vec<Asked> = Vec::new();
    for chunk in objects.chunks(CHUNK) {
        let mut questions: Vec<Question> = Vec::new();
        let mut truths: Vec<&[u16]> = Vec::new();
        // Where the answer to a question belongs.
        let mut readers: Vec<(usize, usize, usize)> = Vec::new();
        for object in chunk {
            for (id, truth) in object
                .asked
                .iter()
                .filter_map(|id| object.tokens.get_key_value(id))
            {
                let (place, first) = (found.len(), questions.len());
                found.push(Asked::by_unigram(*id, object, truth, &costs));
                for (column, shown) in Shown::ALL.into_iter().enumerate() {
                    let context = shown.context(&object.tokens, *id);
                    if num_tokens(&context) == 0 {
                        continue;
                    }
                    let same = questions
                        .iter()
                        .skip(first)
                        .position(|q| q.context == context);
                    let question = same.map_or(questions.len(), |same| first + same);
                    readers.push((question, place, column));
                    if same.is_none() {
                        truths.push(truth);
                        questions.push(Question {
                            object: place,
                            context,
                            targets: vec![*id],
                        });
                    }
                }
            }
        }
        let mut sums = vec![f64::NAN; questions.len()];
        answer::<TrainError>(model, &questions, |place, _, prediction| {
            sums[place] = prediction.cross_entropy(truths[place]);
            Ok(())
        })?;
        for (question, place, column) in readers {
            found[place].nats[column] = sums[question];
        }
    }
    Ok(found)
}

/// What the unigram asks for each code of the modalities that are asked for.
fn unigram_costs(objects: &[HeldOut], unigrams: &Unigrams) -> BTreeMap<ModalityId, Vec<f64>> {
    let asked = objects.iter().flat_map(|object| &object.asked);
    let mut costs = BTreeMap::new();
    for id in asked {
        costs.entry(*id).or_insert_with(|| {
            let asked = objects.iter().filter(|object| object.asked.contains(id));
            let tokens = asked.filter_map(|object| object.tokens.get(id)).flatten();
            unigrams.costs(*id, tokens)
        });
    }
    costs
}

impl Asked {
    /// The unigram's answers, until there are better ones.
    fn by_unigram(
        modality: ModalityId,
        object: &HeldOut,
        truth: &[u16],
        costs: &BTreeMap<ModalityId, Vec<f64>>,
    ) -> Self {
        let has = |kind| object.tokens.keys().any(|id| id.info().kind == kind);
        let costs = costs.get(&modality);
        let cost = |token: &u16| costs?.get(usize::from(*token)).copied();
        let sum = truth.iter().filter_map(cost).sum();
        Asked {
            modality,
            is_complete: [Kind::Scalar, Kind::Image, Kind::Spectrum]
                .into_iter()
                .all(has),
            tokens: truth.len(),
            nats: [sum; 5],
        }
    }
}

/// A row for each modality, in registry order.
pub(super) fn rows<'a>(asked: impl Iterator<Item = &'a Asked>) -> Vec<CrossEntropy> {
    let mut by_modality: BTreeMap<ModalityId, Vec<&Asked>> = BTreeMap::new();
    for asked in asked {
        by_modality.entry(asked.modality).or_default().push(asked);
    }
    let rows = by_modality.into_iter();
    rows.map(|(id, asked)| row(id, &asked)).collect()
}

fn row(id: ModalityId, asked: &[&Asked]) -> CrossEntropy {
    let tokens: usize = asked.iter().map(|asked| asked.tokens).sum();
    let mean = |column: usize| {
        let sum: f64 = asked.iter().map(|asked| asked.nats[column]).sum();
        sum / tokens as f64
    };
    let [numbers, without_images, without_spectra, all, unigram] = [0, 1, 2, 3, 4];
    let without = |column: usize| {
        let loss = mean(column) - mean(all);
        let residual =
            |asked: &&Asked| asked.nats[column] - asked.nats[all] - loss * asked.tokens as f64;
        let squares: f64 = asked.iter().map(|asked| residual(asked).powi(2)).sum();
        let objects = asked.len() as f64;
        Without {
            nats: mean(column),
            loss,
            error: (squares * objects / (objects - 1.0).max(1.0)).sqrt() / tokens as f64,
        }
    };
    CrossEntropy {
        modality: id.key(),
        objects: asked.len(),
        tokens,
        all: mean(all),
        unigram: without(unigram),
        numbers: without(numbers),
        without_images: without(without_images),
        without_spectra: without(without_spectra),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> ModalityId {
        ModalityId::from_key(key).expect("a known key")
    }

    #[test]
    fn a_context_never_holds_what_is_asked_for() {
        let keys = [
            "tok_z",
            "tok_flux_g",
            "tok_image",
            "catalog",
            "tok_spectrum_desi",
            "tok_xp_bp",
        ];
        let tokens: ObjectTokens = keys.map(|name| (key(name), vec![0])).into();
        let shown = |place: usize, target: &str| -> Vec<&str> {
            let context = Shown::ALL[place].context(&tokens, key(target));
            context.keys().map(|id| id.key()).collect()
        };
        assert_eq!(shown(0, "tok_z"), ["tok_flux_g"]);
        assert_eq!(
            shown(1, "tok_spectrum_desi"),
            ["tok_flux_g", "tok_z", "tok_xp_bp"]
        );
        assert_eq!(shown(2, "tok_flux_g"), ["tok_image", "tok_z", "catalog"]);
        assert_eq!(shown(3, "tok_image").len(), 5);
    }

    #[test]
    fn losses_are_means_over_tokens_with_errors_over_objects() {
        let asked = |tokens: usize, unigram: f64, all: f64| Asked {
            modality: key("tok_image"),
            is_complete: true,
            tokens,
            nats: [3.0, 2.0, 1.0, all, unigram],
        };
        let found = rows([asked(1, 3.0, 1.0), asked(3, 5.0, 1.0)].iter());
        let [row] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!((row.objects, row.tokens, row.all), (2, 4, 0.5));
        assert_eq!((row.unigram.nats, row.unigram.loss), (2.0, 1.5));
        // Residuals 2 - 1.5 and 4 - 4.5.
        assert!((row.unigram.error - 0.25).abs() < 1e-12, "{row:?}");
        assert_eq!(row.numbers.loss, 1.0);
    }
}
