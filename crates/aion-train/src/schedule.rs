//! The learning rate over a run: linear warm-up, then constant or cosine (paper §2.1, §3).

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// How the rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// It stays.
    Constant,
    /// Half a cosine down to `floor`.
    Cosine,
}

/// Warm-up and decay, as fractions of the peak rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Steps over which the rate rises linearly from 0.
    pub warmup: u64,
    /// What follows.
    pub decay: Decay,
    /// The last rate of a cosine, as a fraction of the peak.
    pub floor: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            warmup: 100,
            decay: Decay::Cosine,
            floor: 0.0,
        }
    }
}

impl Schedule {
    /// Fraction of the peak rate at `step` (from 0) of `steps`.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / self.warmup as f64;
        }
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine => {
                let span = steps.saturating_sub(self.warmup).max(1) as f64;
                let done = ((step - self.warmup) as f64 / span).min(1.0);
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
                self.floor + (1.0 - self.floor) * cosine
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if (0.0..=1.0).contains(&self.floor) {
            Ok(())
        } else {
            Err(TrainError::config(
                "schedule.floor",
                format!("is {}, expected a fraction from 0 to 1", self.floor),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls() {
        let schedule = Schedule {
            warmup: 10,
            decay: Decay::Cosine,
            floor: 0.1,
        };
        assert_eq!(schedule.factor(0, 110), 0.1);
        assert_eq!(schedule.factor(9, 110), 1.0);
        assert_eq!(schedule.factor(10, 110), 1.0);
        assert!((schedule.factor(60, 110) - 0.55).abs() < 1e-12);
        assert!((schedule.factor(110, 110) - 0.1).abs() < 1e-12);
        assert!((schedule.factor(500, 110) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn constant_stays() {
        let schedule = Schedule {
            warmup: 0,
            decay: Decay::Constant,
            floor: 0.0,
        };
        assert_eq!(schedule.factor(0, 10), 1.0);
        assert_eq!(schedule.factor(9, 10), 1.0);
    }
}
