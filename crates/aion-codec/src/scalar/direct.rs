//! Codebooks of compressed values, searched without compressing.
//!
//! The inverse hyperbolic sine increases, so that asking which boundaries lie below the compressed value
//! is asking which of the boundaries' own inverses lie below the value. The inverses are found among the
//! numbers of single precision by trying, so that codes are the same to the last bit. A million XP
//! spectra have 110 million coefficients, each of which would take a logarithm.

use super::config::Function;
use crate::quantizer::Codebook;
use crate::range::Coverage;

/// Rows from which on it pays to invert the codebooks, which takes a tenth of a second.
pub(super) const WORTHWHILE: usize = 256;
/// How far from a first guess a number is sought.
const FARTHEST: i64 = 1 << 20;

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
    /// The codebooks, where the compression is the inverse hyperbolic sine, once or repeated.
    pub fn all(codebooks: &[Codebook], compress: &[Function]) -> Option<Vec<Self>> {
        if compress
            .iter()
            .any(|function| *function != Function::Arcsinh)
        {
            return None;
        }
        let books = codebooks.iter();
        books
            .map(|book| DirectCodebook::new(book, compress))
            .collect()
    }

    fn new(codebook: &Codebook, compress: &[Function]) -> Option<Self> {
        let values = codebook.values();
        let (&low, &high) = (values.first()?, values.last()?);
        let (_, boundaries) = values.split_last()?;
        let starts = boundaries.iter().map(|b| least_above(compress, *b));
        let starts: Option<Vec<f32>> = starts.collect();
        let book = DirectCodebook {
            starts: starts?,
            first: least_above(compress, low.next_down())?,
            beyond: least_above(compress, high)?,
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

/// The least number that is above `boundary` when compressed, if it is found near the boundary's own
/// inverse.
fn least_above(compress: &[Function], boundary: f32) -> Option<f32> {
    let compressed = |place: i64| compress.iter().fold(number(place), |x, f| f.apply(x));
    let above = |place: i64| compressed(place) > boundary;
    let guess = compress.iter().fold(f64::from(boundary), |x, _| x.sinh()) as f32;
    if !guess.is_finite() {
        return None;
    }
    let (mut low, mut high) = (place(guess), place(guess));
    let mut step = 1;
    while above(low) {
        (low, high) = (low - step, low);
        step *= 2;
        (step < FARTHEST).then_some(())?;
    }
    while !above(high) {
        (low, high) = (high, high + step);
        step *= 2;
        (step < FARTHEST).then_some(())?;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match above(middle) {
            true => high = middle,
            false => low = middle,
        }
    }
    Some(number(high))
}

/// The place of a finite number in the order of all numbers of single precision, 0 for zero.
fn place(number: f32) -> i64 {
    let size = i64::from(number.abs().to_bits());
    if number < 0.0 { -size } else { size }
}

/// The number at a place.
fn number(place: i64) -> f32 {
    let size = f32::from_bits(place.unsigned_abs() as u32);
    if place < 0 { -size } else { size }
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
