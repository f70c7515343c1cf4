//! What a run reports, and the sums it is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Loss and its terms (of the model: cross-entropy of each modality, nats), means over the
    /// steps since the last report; and after a validation pass what it found.
    pub losses: BTreeMap<String, f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Gradient norm of the last step, before clipping.
    pub gradient_norm: f64,
    /// Steps left out so far because loss or gradient was not finite.
    pub skipped: u64,
    /// Examples a second since the last report.
    pub examples_per_second: f64,
    /// Tokens a second, seen and predicted; 0 where a run has none.
    pub tokens_per_second: f64,
    /// Floating-point operations of the model a second over those that the machine's cores can do,
    /// measured when the process began; absent where either is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<f64>,
    /// Peak memory of the process, megabytes (10⁶ bytes); absent where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_mb: Option<f64>,
    /// Seconds since this process began to train.
    pub seconds: f64,
    /// Seconds until the end at this speed.
    pub eta_seconds: f64,
}

/// Sums of figures between two reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Means {
    sums: BTreeMap<String, (f64, f64)>,
}

impl Means {
    /// Adds a value that counts `weight`; what is not finite is left out.
    pub fn add(&mut self, name: &str, value: f64, weight: f64) {
        if !value.is_finite() {
            return;
        }
        let (sum, total) = self.sums.entry(name.to_owned()).or_default();
        *sum += weight * value;
        *total += weight;
    }

    /// The means; nothing is left.
    pub fn take(&mut self) -> BTreeMap<String, f64> {
        let sums = std::mem::take(&mut self.sums);
        sums.into_iter()
            .map(|(name, (sum, total))| (name, sum / total))
            .collect()
    }
}

/// Steps that a [`RunningLoss`] remembers, about.
const MEMORY: f64 = 50.0;

/// The loss of the last steps, the older the less: the same however often a run was interrupted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningLoss {
    sum: f64,
    weight: f64,
}

impl RunningLoss {
    /// Adds a step's loss; what is not finite is left out.
    pub fn add(&mut self, loss: f64) {
        if loss.is_finite() {
            let keep = 1.0 - 1.0 / MEMORY;
            self.sum = keep * self.sum + loss;
            self.weight = keep * self.weight + 1.0;
        }
    }

    /// The mean; `None` before the first step.
    pub fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_weighted_and_leave_out_what_is_no_number() {
        let mut means = Means::default();
        means.add("loss", 1.0, 3.0);
        means.add("loss", 5.0, 1.0);
        means.add("loss", f64::NAN, 1.0);
        assert_eq!(means.take(), BTreeMap::from([("loss".to_owned(), 2.0)]));
        assert!(means.take().is_empty());
    }

    #[test]
    fn the_running_loss_follows() {
        let mut loss = RunningLoss::default();
        assert_eq!(loss.value(), None);
        loss.add(4.0);
        assert_eq!(loss.value(), Some(4.0));
        for _ in 0..1000 {
            loss.add(1.0);
        }
        assert!((loss.value().expect("a mean") - 1.0).abs() < 1e-6);
    }
}
