//! The law L(N, D) = E + A / N^α + B / D^β, fitted by least squares (Hoffmann et al. 2022, §3.3).
//!
//! For given exponents the law is linear in E, A and B, which must not be negative. So only the two
//! exponents are searched (variable projection, Golub & Pereyra 1973): a grid, then a pattern search
//! with halving steps from its best place. Two dimensions need no derivatives and no library: a fit
//! takes less than a millisecond, and always ends at the same place.
//!
//! Intervals come from the residual bootstrap: the law plus residuals drawn with replacement, fitted
//! again. Drawing whole points would leave sizes of a small grid out.

use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::random::{Purpose, stream};

/// Exponents are searched between these, which hold all that were ever published.
const EXPONENTS: (f64, f64) = (0.02, 3.0);
/// Places of the grid along each exponent.
const GRID: u32 = 14;
/// The search ends at this relative step in the exponents.
const FINEST: f64 = 1e-5;
/// Free constants of the law.
const CONSTANTS: usize = 5;

/// A trained model's loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Parameters N.
    pub parameters: f64,
    /// Tokens D of the training set.
    pub tokens: f64,
    /// Loss on held-out objects, nats a token.
    pub loss: f64,
}

/// The law's constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Law {
    /// What no model and no data removes, nats a token.
    pub e: f64,
    /// Weight of the model's size.
    pub a: f64,
    /// Exponent of the model's size.
    pub alpha: f64,
    /// Weight of the data's size.
    pub b: f64,
    /// Exponent of the data's size.
    pub beta: f64,
}

impl Law {
    /// The loss of a model of `parameters` trained on `tokens`, nats a token.
    pub fn loss(&self, parameters: f64, tokens: f64) -> f64 {
        self.e + self.a * parameters.powf(-self.alpha) + self.b * tokens.powf(-self.beta)
    }

    /// The law that fits best.
    ///
    /// # Errors
    /// Too few points to tell five constants: at least six, of at least three model sizes and three
    /// data sizes; or a number that is not positive.
    pub fn fit(points: &[Point]) -> Result<Law, TrainError> {
        check(points)?;
        Ok(Scaled::new(points).search())
    }
}

fn check(points: &[Point]) -> Result<(), TrainError> {
    let values = |point: &Point| [point.parameters, point.tokens, point.loss];
    let positive = |value: f64| value > 0.0 && value.is_finite();
    if let Some(point) = points.iter().find(|p| !values(p).into_iter().all(positive)) {
        let reason = format!("{point:?} is not made of positive numbers");
        return Err(TrainError::Scaling(reason));
    }
    let distinct = |of: fn(&Point) -> f64| {
        let mut values: Vec<f64> = points.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values.len()
    };
    let (models, data) = (distinct(|p| p.parameters), distinct(|p| p.tokens));
    if points.len() > CONSTANTS && models >= 3 && data >= 3 {
        return Ok(());
    }
    let reason = format!(
        "{} results of {models} model sizes and {data} data sizes, expected at least 6 of 3 and 3",
        points.len()
    );
    Err(TrainError::Scaling(reason))
}

/// Points with sizes over their geometric means, so that E, A and B are of like magnitude.
struct Scaled {
    units: (f64, f64),
    /// Logarithms of both sizes, loss.
    points: Vec<(f64, f64, f64)>,
}

/// Squared error with E, A, B.
type Fit = (f64, [f64; 3]);

impl Scaled {
    fn new(points: &[Point]) -> Self {
        let mean = |of: fn(&Point) -> f64| {
            points.iter().map(|p| of(p).ln()).sum::<f64>() / points.len() as f64
        };
        let units = (mean(|p| p.parameters), mean(|p| p.tokens));
        let scaled = |p: &Point| (p.parameters.ln() - units.0, p.tokens.ln() - units.1, p.loss);
        Scaled {
            units,
            points: points.iter().map(scaled).collect(),
        }
    }

    fn search(&self) -> Law {
        let (low, high) = (EXPONENTS.0.ln(), EXPONENTS.1.ln());
        let mut step = (high - low) / f64::from(GRID - 1);
        let places = || (0..GRID).map(|place| low + step * f64::from(place));
        let grid = places().flat_map(|alpha| places().map(move |beta| (alpha, beta)));
        let fits = grid.map(|place| (place, self.solve(place)));
        let best = fits.min_by(|a, b| a.1.0.total_cmp(&b.1.0));
        let (mut place, mut best) = best.unwrap_or(((0.0, 0.0), (f64::INFINITY, [0.0; 3])));
        while step > FINEST {
            let around = NEIGHBOURS.iter().map(|(alpha, beta)| {
                let moved = (place.0 + alpha * step, place.1 + beta * step);
                let moved = (moved.0.clamp(low, high), moved.1.clamp(low, high));
                (moved, self.solve(moved))
            });
            match around.min_by(|a, b| a.1.0.total_cmp(&b.1.0)) {
                Some((moved, found)) if found.0 < best.0 => (place, best) = (moved, found),
                _ => step *= 0.5,
            }
        }
        let (alpha, beta) = (place.0.exp(), place.1.exp());
        let [e, a, b] = best.1;
        Law {
            e,
            a: a * (alpha * self.units.0).exp(),
            alpha,
            b: b * (beta * self.units.1).exp(),
            beta,
        }
    }

    /// The best E, A, B for the logarithms of both exponents. The optimum without negative values
    /// is the best of the plain ones over all choices of which are 0.
    fn solve(&self, (alpha, beta): (f64, f64)) -> Fit {
        let (alpha, beta) = (alpha.exp(), beta.exp());
        let row = |(n, d, _): &(f64, f64, f64)| [1.0, (-alpha * n).exp(), (-beta * d).exp()];
        let rows: Vec<[f64; 3]> = self.points.iter().map(row).collect();
        let (mut gram, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
        for (row, (_, _, loss)) in rows.iter().zip(&self.points) {
            for i in 0..3 {
                right[i] += row[i] * loss;
                for j in 0..3 {
                    gram[i][j] += row[i] * row[j];
                }
            }
        }
        let error = |values: &[f64; 3]| -> f64 {
            let residual = |(row, point): (&[f64; 3], &(f64, f64, f64))| {
                let predicted: f64 = row.iter().zip(values).map(|(x, c)| x * c).sum();
                (predicted - point.2).powi(2)
            };
            rows.iter().zip(&self.points).map(residual).sum()
        };
        let choices = (1..8).filter_map(|choice| linear(gram, right, choice));
        let fits = choices.map(|values| (error(&values), values));
        let best = fits.min_by(|a, b| a.0.total_cmp(&b.0));
        best.unwrap_or((f64::INFINITY, [0.0; 3]))
    }
}

const NEIGHBOURS: [(f64, f64); 8] = [
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, 1.0),
    (0.0, -1.0),
    (1.0, 1.0),
    (-1.0, -1.0),
    (1.0, -1.0),
    (-1.0, 1.0),
];

/// Solves the normal equations for the unknowns whose bits are set in `choice`; the others are 0.
/// `None` where they are not independent, or one comes out negative.
fn linear(mut gram: [[f64; 3]; 3], mut right: [f64; 3], choice: u8) -> Option<[f64; 3]> {
    for i in (0..3).filter(|i| choice & (1 << i) == 0) {
        gram[i] = [0.0; 3];
        for row in &mut gram {
            row[i] = 0.0;
        }
        gram[i][i] = 1.0;
        right[i] = 0.0;
    }
    // The matrix is symmetric and positive: no pivots need to be looked for.
    let scale = gram[0][0].max(gram[1][1]).max(gram[2][2]);
    for i in 0..3 {
        if gram[i][i] < 1e-12 * scale {
            return None;
        }
        for j in i + 1..3 {
            let factor = gram[j][i] / gram[i][i];
            let above = gram[i];
            for (value, above) in gram[j].iter_mut().zip(above).skip(i) {
                *value -= factor * above;
            }
            right[j] -= factor * right[i];
        }
    }
    let mut values = [0.0; 3];
    for i in (0..3).rev() {
        let known: f64 = (i + 1..3).map(|j| gram[i][j] * values[j]).sum();
        values[i] = (right[i] - known) / gram[i][i];
    }
    values.iter().all(|value| *value >= 0.0).then_some(values)
}

/// A law with what the bootstrap says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// The best fit.
    pub law: Law,
    /// Root mean square of the residuals, over the degrees of freedom, nats a token.
    pub scatter: f64,
    /// Laws of the draws.
    draws: Vec<Law>,
    /// Residuals, centred, widened for the constants that the fit used up.
    residuals: Vec<f64>,
    seed: u64,
}

impl Bootstrap {
    /// Fits `points`, and `draws` times the law with drawn residuals.
    ///
    /// # Errors
    /// See [`Law::fit`].
    pub fn new(points: &[Point], draws: u64, seed: u64) -> Result<Self, TrainError> {
        let law = Law::fit(points)?;
        let of = |point: &Point| point.loss - law.loss(point.parameters, point.tokens);
        let raw: Vec<f64> = points.iter().map(of).collect();
        let count = raw.len() as f64;
        let widen = (count / (count - CONSTANTS as f64)).sqrt();
        let mean = raw.iter().sum::<f64>() / count;
        let residuals: Vec<f64> = raw.iter().map(|r| (r - mean) * widen).collect();
        let squares: f64 = raw.iter().map(|r| r * r).sum();
        let fit = |draw: u64| {
            let mut rng = stream(seed, Purpose::Bootstrap, draw);
            let again: Vec<Point> = points
                .iter()
                .map(|point| Point {
                    loss: law.loss(point.parameters, point.tokens)
                        + residuals[rng.random_range(0..residuals.len())],
                    ..*point
                })
                .collect();
            Scaled::new(&again).search()
        };
        Ok(Bootstrap {
            law,
            scatter: (squares / (count - CONSTANTS as f64)).sqrt(),
            draws: (0..draws).into_par_iter().map(fit).collect(),
            residuals,
            seed,
        })
    }

    /// The central 95 % of a figure of the law.
    pub fn interval(&self, of: impl Fn(&Law) -> f64) -> (f64, f64) {
        central(self.draws.iter().map(of).collect())
    }

    /// The central 95 % of where one more result would lie: of the law, with a residual.
    pub fn prediction(&self, parameters: f64, tokens: f64) -> (f64, f64) {
        // Past the streams of the draws.
        let mut rng = stream(self.seed, Purpose::Bootstrap, self.draws.len() as u64);
        let draw = |law: &Law| {
            law.loss(parameters, tokens) + self.residuals[rng.random_range(0..self.residuals.len())]
        };
        central(self.draws.iter().map(draw).collect())
    }
}

/// Quantiles 2.5 and 97.5 %; the ends of few values. NaN of none.
fn central(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * values.len().saturating_sub(1) as f64).round() as usize;
        values.get(place).copied().unwrap_or(f64::NAN)
    };
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: Law = Law {
        e: 1.7,
        a: 60.0,
        alpha: 0.34,
        b: 90.0,
        beta: 0.28,
    };

    /// Five models on three data sets, with noise of a size in nats.
    fn points(noise: f64, seed: u64) -> Vec<Point> {
        let mut rng = stream(seed, Purpose::Mask, 0);
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let mut found = Vec::new();
        for parameters in [3e5, 1e6, 3e6, 8e6, 2e7] {
            for tokens in [1e5, 5e5, 2.5e6] {
                let loss = PLANTED.loss(parameters, tokens) + noise * normal();
                found.push(Point {
                    parameters,
                    tokens,
                    loss,
                });
            }
        }
        found
    }

    #[test]
    fn finds_planted_constants() {
        let law = Law::fit(&points(0.0, 0)).expect("a fit");
        for (found, planted) in [
            (law.e, PLANTED.e),
            (law.a, PLANTED.a),
            (law.alpha, PLANTED.alpha),
            (law.b, PLANTED.b),
            (law.beta, PLANTED.beta),
        ] {
            assert!((found / planted - 1.0).abs() < 1e-2, "{law:?}");
        }
        let noisy = Law::fit(&points(0.003, 1)).expect("a fit");
        assert!((noisy.alpha - PLANTED.alpha).abs() < 0.1, "{noisy:?}");
        assert!((noisy.beta - PLANTED.beta).abs() < 0.1, "{noisy:?}");
    }

    #[test]
    fn constants_are_not_negative() {
        // The loss grows with the model: no A above 0 helps.
        let mut points = points(0.0, 0);
        for point in &mut points {
            point.loss = 2.0 + 1e-8 * point.parameters;
        }
        let law = Law::fit(&points).expect("a fit");
        assert!(law.a == 0.0 && law.b == 0.0 && law.e > 2.0, "{law:?}");
    }

    #[test]
    fn intervals_cover_what_was_planted() {
        let studies = 40;
        let mut covered = [0; 3];
        for seed in 0..studies {
            let all = points(0.005, seed);
            let (small, largest): (Vec<_>, Vec<_>) =
                all.iter().copied().partition(|p| p.parameters < 2e7);
            let whole = Bootstrap::new(&all, 100, seed).expect("a fit");
            let part = Bootstrap::new(&small, 100, seed).expect("a fit");
            let holds = |(low, high): (f64, f64), value: f64| low <= value && value <= high;
            let new = &largest[2];
            let predicted = part.prediction(new.parameters, new.tokens);
            for (count, hit) in covered.iter_mut().zip([
                holds(whole.interval(|law| law.alpha), PLANTED.alpha),
                holds(whole.interval(|law| law.beta), PLANTED.beta),
                holds(predicted, new.loss),
            ]) {
                *count += u64::from(hit);
            }
        }
        // 95 % are meant; of 40 studies, fewer than 32 are hit once in ten thousand times.
        assert!(covered.iter().all(|hits| *hits >= 32), "{covered:?}");
        assert!(covered.iter().any(|hits| *hits < studies), "{covered:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let interval = |seed| {
            let bootstrap = Bootstrap::new(&points(0.01, 3), 50, seed).expect("a fit");
            bootstrap.interval(|law| law.e)
        };
        assert_eq!(interval(1), interval(1));
        assert_ne!(interval(1), interval(2));
    }

    #[test]
    fn too_few_results_are_refused() {
        let all = points(0.0, 0);
        let error = Law::fit(&all[..5]).expect_err("refused").to_string();
        assert!(error.contains("5 results of 2 model sizes"), "{error}");
        let mut wrong = all.clone();
        wrong[3].loss = f64::NAN;
        assert!(Law::fit(&wrong).is_err());
    }
}
