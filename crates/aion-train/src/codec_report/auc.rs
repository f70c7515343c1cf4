//! Area under the receiver operating characteristic, from ranks.

/// Scores of pixels that are masked and that are not.
#[derive(Debug, Default)]
pub(super) struct Ranking(Vec<(f32, bool)>);

impl Ranking {
    pub fn add(&mut self, scores: &[f32], masked: &[bool]) {
        let pairs = scores.iter().copied().zip(masked.iter().copied());
        self.0.extend(pairs.filter(|(score, _)| score.is_finite()));
    }

    /// The chance that a masked pixel has a higher score than one that is not, ties counting half.
    pub fn area(mut self) -> Option<f64> {
        self.0.sort_by(|a, b| a.0.total_cmp(&b.0));
        let masked = self.0.iter().filter(|(_, masked)| *masked).count() as f64;
        let others = self.0.len() as f64 - masked;
        let mut below = 0.0;
        let mut area = 0.0;
        for equal in self.0.chunk_by(|a, b| a.0 == b.0) {
            let hits = equal.iter().filter(|(_, masked)| *masked).count() as f64;
            let misses = equal.len() as f64 - hits;
            area += hits * (below + 0.5 * misses);
            below += misses;
        }
        (masked > 0.0 && others > 0.0).then(|| area / (masked * others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_counts_pairs() {
        let mut ranking = Ranking::default();
        ranking.add(&[0.1, 0.4, 0.4, 0.9], &[false, false, true, true]);
        // Four pairs: three in order, one tie.
        assert_eq!(ranking.area(), Some(3.5 / 4.0));
        let mut ranking = Ranking::default();
        ranking.add(&[0.1], &[false]);
        assert_eq!(ranking.area(), None);
    }
}
