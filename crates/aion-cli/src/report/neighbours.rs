//! Nearest neighbours among the studied objects, by the cosine of their embeddings.

/// Another object and how alike it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its place among the studied objects.
    pub object: usize,
    /// Cosine of the angle between the embeddings.
    pub cosine: f64,
}

/// For each embedding, all others, nearest first.
pub fn neighbours(embeddings: &[Vec<f32>]) -> Vec<Vec<Neighbour>> {
    let ranked = |(place, embedding): (usize, &Vec<f32>)| {
        let others = embeddings
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place);
        let mut found: Vec<Neighbour> = others
            .map(|(object, other)| Neighbour {
                object,
                cosine: cosine(embedding, other),
            })
            .collect();
        found.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        found
    };
    embeddings.iter().enumerate().map(ranked).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        let products = x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y));
        products.sum()
    };
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_parallel_comes_first() {
        let found = neighbours(&[vec![1.0, 0.0], vec![0.0, 1.0], vec![5.0, 1.0]]);
        assert_eq!(
            found[0].iter().map(|n| n.object).collect::<Vec<_>>(),
            [2, 1]
        );
        assert!(found[0][0].cosine > 0.98 && found[0][1].cosine.abs() < 1e-12);
    }
}
