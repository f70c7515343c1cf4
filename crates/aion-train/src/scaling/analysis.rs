//! What a study's results say: the law, how sure its constants are, and whether the smaller models
//! predict the largest.

use serde::Serialize;

use super::law::{Bootstrap, Law, Point};
use super::study::{Outcome, Study};
use crate::error::TrainError;

/// A figure with its central 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The best fit's.
    pub value: f64,
    /// 2.5 %.
    pub low: f64,
    /// 97.5 %.
    pub high: f64,
}

/// The law's constants with intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Constants {
    /// What no model and no data removes, nats a token.
    pub e: Estimate,
    /// Weight of the model's size.
    pub a: Estimate,
    /// Exponent of the model's size.
    pub alpha: Estimate,
    /// Weight of the data's size.
    pub b: Estimate,
    /// Exponent of the data's size.
    pub beta: Estimate,
}

/// One result of the largest model against the law of the smaller ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The run.
    pub name: String,
    /// Its parameters.
    pub parameters: u64,
    /// Tokens of its training set.
    pub tokens: u64,
    /// Its loss.
    pub measured: f64,
    /// What the smaller models predict, with the interval of one more result.
    pub predicted: Estimate,
    /// Whether the result lies in the interval.
    pub inside: bool,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analysis {
    /// The law of all results.
    pub law: Law,
    /// Its constants with intervals.
    pub constants: Constants,
    /// Root mean square residual, nats a token.
    pub scatter: f64,
    /// The law of all but the largest model.
    pub law_of_smaller: Law,
    /// The largest model's results against it.
    pub checks: Vec<Check>,
}

impl Analysis {
    /// Fits a study's results.
    ///
    /// # Errors
    /// There are too few: three sizes of data and, below the largest, three of models.
    pub fn of(study: &Study) -> Result<Analysis, TrainError> {
        let outcomes = &study.outcomes;
        let largest = outcomes.iter().map(|o| o.parameters).max().unwrap_or(0);
        let points: Vec<Point> = outcomes.iter().map(point).collect();
        let smaller = outcomes.iter().filter(|o| o.parameters < largest);
        let smaller: Vec<Point> = smaller.map(point).collect();
        let whole = Bootstrap::new(&points, study.draws, study.seed)?;
        let below = Bootstrap::new(&smaller, study.draws, study.seed)?;
        let tops = outcomes.iter().filter(|o| o.parameters == largest);
        Ok(Analysis {
            law: whole.law,
            constants: constants(&whole),
            scatter: whole.scatter,
            law_of_smaller: below.law,
            checks: tops.map(|outcome| check(&below, outcome)).collect(),
        })
    }
}

/// A result as the law sees it.
fn point(outcome: &Outcome) -> Point {
    Point {
        parameters: outcome.parameters as f64,
        tokens: outcome.tokens as f64,
        loss: outcome.held_out.loss,
    }
}

fn constants(fit: &Bootstrap) -> Constants {
    let estimate = |of: fn(&Law) -> f64| {
        let (low, high) = fit.interval(of);
        let value = of(&fit.law);
        Estimate { value, low, high }
    };
    Constants {
        e: estimate(|law| law.e),
        a: estimate(|law| law.a),
        alpha: estimate(|law| law.alpha),
        b: estimate(|law| law.b),
        beta: estimate(|law| law.beta),
    }
}

fn check(fit: &Bootstrap, outcome: &Outcome) -> Check {
    let Point {
        parameters,
        tokens,
        loss,
    } = point(outcome);
    let (low, high) = fit.prediction(parameters, tokens);
    Check {
        name: outcome.name.clone(),
        parameters: outcome.parameters,
        tokens: outcome.tokens,
        measured: loss,
        predicted: Estimate {
            value: fit.law.loss(parameters, tokens),
            low,
            high,
        },
        inside: (low..=high).contains(&loss),
    }
}
