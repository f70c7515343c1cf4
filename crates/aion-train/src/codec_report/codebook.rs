//! How evenly codes are used.

use serde::Serialize;

/// Use of a codebook.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CodebookUse {
    /// Tokens counted.
    pub tokens: u64,
    /// Codes that there are.
    pub codes: usize,
    /// Codes that occur.
    pub used: usize,
    /// The exponential of the entropy of codes: the number of codes that would carry as much if all
    /// were equally frequent.
    pub perplexity: f64,
}

/// Counts of codes.
#[derive(Debug)]
pub(super) struct CodeCounts(Vec<u64>);

impl CodeCounts {
    pub fn new(vocabulary: usize) -> Self {
        CodeCounts(vec![0; vocabulary])
    }

    pub fn add(&mut self, codes: &[u16]) {
        for code in codes {
            if let Some(count) = self.0.get_mut(usize::from(*code)) {
                *count += 1;
            }
        }
    }

    pub fn finish(self) -> CodebookUse {
        let tokens: u64 = self.0.iter().sum();
        let used = self.0.iter().filter(|count| **count > 0);
        let entropy: f64 = used
            .clone()
            .map(|count| *count as f64 / tokens as f64)
            .map(|share| -share * share.ln())
            .sum();
        CodebookUse {
            tokens,
            codes: self.0.len(),
            used: used.count(),
            perplexity: entropy.exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perplexity_of_equal_shares_is_their_number() {
        let mut counts = CodeCounts::new(8);
        counts.add(&[1, 2, 5, 7, 7, 5, 2, 1]);
        let found = counts.finish();
        assert_eq!((found.tokens, found.codes, found.used), (8, 8, 4));
        assert!((found.perplexity - 4.0).abs() < 1e-12);
    }
}
