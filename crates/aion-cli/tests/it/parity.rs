//! Agreement with the reference: comparisons at the tolerances of the design.

use std::path::Path;

use aion_data::{Kind, ModalityId};

use crate::tensors::{Array, read};

/// Embeddings and logits, relative to the largest magnitude.
const STATES: f64 = 1e-4;
/// Reconstructions, relative to their scale; where decoding ends in a sinh.
const RECONSTRUCTION: f64 = 1e-4;
const RECONSTRUCTION_SINH: f64 = 1e-3;
/// Fraction of network tokens, and of decoded mask pixels, that must be identical.
const IDENTICAL: f64 = 0.999;
/// The spectrum decoder ends in norms over two channels, which enlarge rounding a thousandfold where
/// both are nearly equal: there the reference is as far from itself in double precision. So few pixels
/// may, within this factor of the limit.
const ILL_CONDITIONED: f64 = 0.002;
const ENLARGED: f64 = 10.0;
/// How close to a rounding tie a differing token must lie, in quantiser levels.
const TIE: f64 = 1e-3;
/// Catalogue padding.
const PADDING: f64 = 9999.0;

/// What a comparison found wrong, if anything.
pub type Verdict = Result<(), String>;

fn same_shape(ours: &Array, expected: &Array) -> Verdict {
    if ours.shape == expected.shape {
        return Ok(());
    }
    Err(format!("shape {:?}, not {:?}", ours.shape, expected.shape))
}

fn at_most(error: f64, limit: f64) -> Verdict {
    // A NaN is no agreement.
    if error <= limit {
        return Ok(());
    }
    Err(format!("error {error:.2e} above {limit:e}"))
}

/// The largest difference over the largest magnitude.
fn relative(ours: &[f64], expected: &[f64]) -> f64 {
    let differences = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let magnitudes = expected.iter().map(|b| b.abs());
    largest(differences) / largest(magnitudes).max(1e-6)
}

/// The largest of values, NaN if any is.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |a, b| if b.is_nan() || b > a { b } else { a })
}

/// Embeddings or logits.
pub fn states(ours: &Array, expected: &Array) -> Verdict {
    same_shape(ours, expected)?;
    at_most(relative(&ours.values, &expected.values), STATES)
}

/// Embeddings, in each object's valid rows.
pub fn embedding(ours: &Array, expected: &Array, valid: &[usize]) -> Verdict {
    let longest = valid.iter().max().copied().unwrap_or(0);
    let alike = ours.shape.len() == 3
        && ours.shape[0] == expected.shape[0]
        && ours.shape[2] == expected.shape[2]
        && ours.shape[1] >= longest;
    if !alike {
        return Err(format!("shape {:?}, not {:?}", ours.shape, expected.shape));
    }
    let width = expected.shape[2];
    let rows = |array: &Array| -> Vec<f64> {
        let rows = valid.iter().enumerate();
        rows.flat_map(|(object, n)| array.row(object)[..n * width].to_vec())
            .collect()
    };
    at_most(relative(&rows(ours), &rows(expected)), STATES)
}

/// The quantiser of a network codec, as its configuration says.
pub enum Quantizer {
    /// Levels of each channel.
    Finite(Vec<usize>),
    /// One bit a channel, after a token of brightness.
    Bits(usize),
}

impl Quantizer {
    /// The quantiser of a modality; none where tokens are looked up in a table.
    pub fn of(model: &Path, modality: ModalityId) -> Option<Quantizer> {
        let kind = modality.info().kind;
        let path = model
            .join("codecs")
            .join(modality.info().codec)
            .join("config.json");
        let number = |value: &serde_json::Value| value.as_u64().expect("a number") as usize;
        let read = |key: &str| {
            let text = std::fs::read_to_string(&path).expect("a codec's configuration");
            let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            config[key].clone()
        };
        let levels = |key: &str| {
            let levels = read(key);
            levels
                .as_array()
                .expect("levels")
                .iter()
                .map(number)
                .collect()
        };
        match kind {
            Kind::Image => Some(Quantizer::Finite(levels("quantizer_levels"))),
            Kind::ScalarField => Some(Quantizer::Finite(levels("levels"))),
            Kind::Spectrum => Some(Quantizer::Bits(number(&read("dim")))),
            _ => None,
        }
    }

    /// Whether two tokens are one step apart in channels whose latent lies at a tie.
    fn is_tie(&self, ours: usize, expected: usize, latent: impl Fn(usize) -> f64) -> bool {
        match self {
            Quantizer::Bits(bits) => (0..*bits).all(|channel| {
                // The first channel is the highest bit.
                let bit = 1 << (bits - 1 - channel);
                ours & bit == expected & bit || latent(channel).abs() < TIE
            }),
            Quantizer::Finite(levels) => {
                let mut step = 1;
                levels.iter().enumerate().all(|(channel, &level)| {
                    let digits = [ours, expected].map(|token| token / step % level);
                    step *= level;
                    if digits[0] == digits[1] {
                        return true;
                    }
                    let place = bounded(latent(channel), level);
                    let distance = (place - place.floor() - 0.5).abs();
                    digits[0].abs_diff(digits[1]) == 1 && distance < TIE
                })
            }
        }
    }
}

/// A latent before it is rounded to a level.
fn bounded(latent: f64, level: usize) -> f64 {
    let half = (level as f64 - 1.0) * 1.001 / 2.0;
    let offset = if level % 2 == 1 { 0.0 } else { 0.5 };
    (latent + (offset / half).atanh()).tanh() * half - offset
}

/// Tokens: identical; for network codecs nearly all, and the rest at ties where the latent is known.
pub fn tokens(
    ours: &Array,
    expected: &Array,
    quantizer: Option<&Quantizer>,
    latent: Option<&Array>,
) -> Verdict {
    same_shape(ours, expected)?;
    let pairs = ours.values.iter().zip(&expected.values).enumerate();
    let differing: Vec<usize> = pairs.filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let count = differing.len();
    let fraction = 1.0 - count as f64 / ours.values.len() as f64;
    let Some(quantizer) = quantizer else {
        return Err(format!("{count} tokens differ"));
    };
    if fraction < IDENTICAL && count > 1 {
        return Err(format!("{:.2} % of the tokens agree", 100.0 * fraction));
    }
    let (Some(latent), width) = (latent, expected.shape[1]) else {
        return Ok(());
    };
    let first = usize::from(matches!(quantizer, Quantizer::Bits(_)));
    let positions = width - first;
    for place in differing {
        let (object, token) = (place / width, place % width);
        let at = |channel: usize| latent.row(object)[channel * positions + token - first];
        let [a, b] = [ours, expected].map(|array| array.values[place] as usize);
        if token < first || !quantizer.is_tie(a, b, at) {
            return Err(format!(
                "token {token} of object {object} is {a}, not {b}, beyond a tie"
            ));
        }
    }
    Ok(())
}

/// One decoded field.
pub fn field(
    modality: ModalityId,
    name: &str,
    (ours, expected): (&Array, &Array),
    expected_tokens: &Array,
) -> Verdict {
    same_shape(ours, expected)?;
    if name == "mask" {
        let pairs = ours.values.iter().zip(&expected.values);
        let same = pairs.filter(|(a, b)| (**a != 0.0) == (**b != 0.0)).count();
        let fraction = same as f64 / ours.values.len() as f64;
        return at_most(1.0 - fraction, 1.0 - IDENTICAL);
    }
    let kind = modality.info().kind;
    let sinh = matches!(kind, Kind::Image | Kind::Coefficients);
    let limit = if sinh {
        RECONSTRUCTION_SINH
    } else {
        RECONSTRUCTION
    };
    if kind == Kind::Spectrum {
        return few_above(ours, expected, limit);
    }
    // Images are compared band by band, maps as a whole, tables value by value.
    let axes = match kind {
        Kind::Image => 2,
        Kind::ScalarField => 1,
        _ => expected.shape.len(),
    };
    let width = expected.width(axes);
    let parts = ours
        .values
        .chunks(width)
        .zip(expected.values.chunks(width))
        .enumerate();
    let compared = parts.filter(|(source, _)| {
        // Padding has no value to agree on.
        kind != Kind::Catalog || expected_tokens.values[5 * source] != PADDING
    });
    let errors = compared.map(|(_, (ours, expected))| relative(ours, expected));
    at_most(largest(errors), limit)
}

/// Whether all but a few ill-conditioned pixels of each spectrum agree.
fn few_above(ours: &Array, expected: &Array, limit: f64) -> Verdict {
    for object in 0..expected.shape[0] {
        let (ours, expected) = (ours.row(object), expected.row(object));
        at_most(relative(ours, expected), limit * ENLARGED)?;
        let scale = largest(expected.iter().map(|b| b.abs())).max(1e-6);
        let pairs = ours.iter().zip(expected);
        let above = pairs.filter(|(a, b)| (**a - **b).abs() / scale > limit);
        let fraction = above.count() as f64 / expected.len() as f64;
        at_most(fraction, ILL_CONDITIONED)?;
    }
    Ok(())
}

/// Whether an object's results differ by more than `limit` of `scale`, the largest magnitude of all
/// objects' results.
pub fn same_within(limit: f64, ours: &[f64], expected: &[f64], scale: f64) -> Verdict {
    if ours.len() != expected.len() {
        return Err(format!("{} numbers, not {}", ours.len(), expected.len()));
    }
    let differences = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
    at_most(largest(differences) / scale, limit)
}

/// The tensor of a file of ours, or a verdict that it is missing.
pub fn ours(path: &Path, name: &str) -> Result<Array, String> {
    read(path, name).ok_or_else(|| "missing".to_owned())
}
