//! Codebooks of compressed values, searched without compressing.
//!
//! The inverse hyperbolic sine increases, so that asking which boundaries lie below the compressed value
//! is asking which of the boundaries' own inverses lie below the value. The inverses are found among the
//! numbers of single precision by trying, so that codes are the same to the last bit. A million XP
//! spectra have 110 million coefficients, each of which would take a logarithm.

use super::config::Function;
use crate::quantizer::Codebook;
use crate::range::Coverage;

/// Steps from a first guess to the number that is sought.
const STEPS: usize = 64;

/// A codebook in terms of values before compression.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectCodebook {
    /// The least value with each code but the first.
    starts: Vec<f32>,
    /// The least value that the codebook spans.
    first: f32,
    /// The least value beyond those that it spans.
    beyond: f32,
}

impl DirectCodebook {
    /// The codebooks, where the compression is the inverse hyperbolic sine and their values are such
    /// that its inverse is exact.
    pub fn all(codebooks: &[Codebook], compress: &[Function]) -> Option<Vec<Self>> {
        if compress != [Function::Arcsinh] {
            return None;
        }
        codebooks.iter().map(DirectCodebook::new).collect()
    }

    fn new(codebook: &Codebook) -> Option<Self> {
        let values = codebook.values();
        let (&low, &high) = (values.first()?, values.last()?);
        let (_, boundaries) = values.split_last()?;
        let starts: Option<Vec<f32>> = boundaries.iter().map(|b| least_above(*b)).collect();
        let book = DirectCodebook {
            starts: starts?,
            first: least_above(low.next_down())?,
            beyond: least_above(high)?,
        };
        book.starts.is_sorted().then_some(book)
    }

    fn encode(&self, value: f32) -> u16 {
        self.starts.partition_point(|start| *start <= value) as u16
    }

    fn spans(&self, value: f32) -> bool {
        self.first <= value && value < self.beyond
    }
}

/// The least number whose inverse hyperbolic sine is above `boundary`, if it is found near the
/// boundary's hyperbolic sine.
fn least_above(boundary: f32) -> Option<f32> {
    let above = |value: f32| Function::Arcsinh.apply(value) > boundary;
    let mut value = f64::from(boundary).sinh() as f32;
    if !value.is_finite() {
        return None;
    }
    for _ in 0..STEPS {
        let before = value.next_down();
        match (above(before), above(value)) {
            (false, true) => return Some(value),
            (true, _) => value = before,
            (false, false) => value = value.next_up(),
        }
    }
    None
}

/// Codes and coverage of vectors, component by component: one codebook after the other is in the
/// processor's nearest memory.
pub fn encode_all(books: &[DirectCodebook], rows: &[&[f32]]) -> Vec<(Vec<u16>, Coverage)> {
    let mut encoded: Vec<(Vec<u16>, Coverage)> = rows
        .iter()
        .map(|values| {
            let coverage = Coverage {
                values: values.len(),
                ..Coverage::default()
            };
            (vec![0; values.len().min(books.len())], coverage)
        })
        .collect();
    for (component, book) in books.iter().enumerate() {
        for (values, (codes, coverage)) in rows.iter().zip(&mut encoded) {
            let (Some(&value), Some(code)) = (values.get(component), codes.get_mut(component))
            else {
                continue;
            };
            // A component that is not a number is coded as zero.
            *code = book.encode(if value.is_nan() { 0.0 } else { value });
            coverage.not_finite += usize::from(!value.is_finite());
            coverage.outside += usize::from(value.is_finite() && !book.spans(value));
        }
    }
    encoded
}
