//! What the optimiser does with each parameter: train it, with or without decay, or leave it alone.

use std::collections::HashMap;

use aion_kernel::WeightNames;
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;
use glob::Pattern;

use crate::error::TrainError;
use crate::lora::LoraConfig;
use crate::optim::AdamWConfig;

/// What becomes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Trained; shrinks by weight decay.
    Decayed,
    /// Trained without decay.
    Plain,
    /// Left as it is, and no gradient is computed for it.
    Frozen,
}

/// Last parts of the names of weights of norms that are stored with more than one axis.
const NORM_WEIGHTS: [&str; 2] = ["gamma", "beta"];

/// The role of every parameter. Matrices, embeddings among them, decay; norm weights and biases,
/// which decay would only bias, do not (paper §3, 4M).
///
/// # Errors
/// A pattern that is none or matches no parameter.
pub fn roles(
    names: &WeightNames,
    optim: &AdamWConfig,
    lora: Option<&LoraConfig>,
) -> Result<HashMap<ParamId, Role>, TrainError> {
    let frozen = Patterns::new("optim.frozen", &optim.frozen)?;
    frozen.require_matches(names)?;
    let trained = match lora {
        Some(lora) => {
            let whole = Patterns::new("lora.whole", &lora.whole)?;
            whole.require_matches(names)?;
            let targets = Patterns::new("lora.targets", &lora.targets)?;
            targets.require_matches(names)?;
            Some((whole, targets))
        }
        None => None,
    };
    let role = |name: &str, shape: &[usize]| {
        let left_alone = trained.as_ref().is_some_and(|(whole, targets)| {
            !(whole.match_any(name) || targets.match_any(name) && shape.len() == 2)
        });
        if left_alone || frozen.match_any(name) {
            return Role::Frozen;
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if shape.len() > 1 && !NORM_WEIGHTS.contains(&last) {
            Role::Decayed
        } else {
            Role::Plain
        }
    };
    let params = names.params();
    Ok(params
        .map(|(name, id, shape)| (id, role(name, shape)))
        .collect())
}

/// Patterns of published parameter names, `*` standing for anything.
pub(crate) struct Patterns {
    key: &'static str,
    patterns: Vec<Pattern>,
}

impl Patterns {
    pub(crate) fn new(key: &'static str, patterns: &[String]) -> Result<Self, TrainError> {
        let parse = |text: &String| {
            let wrong = |error| TrainError::config(key, format!("`{text}`: {error}"));
            Pattern::new(text).map_err(wrong)
        };
        let patterns = patterns.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Patterns { key, patterns })
    }

    pub(crate) fn match_any(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    fn require_matches(&self, names: &WeightNames) -> Result<(), TrainError> {
        for pattern in &self.patterns {
            if !names.params().any(|(name, ..)| pattern.matches(name)) {
                let example = names.params().next().map_or("", |(name, ..)| name);
                let reason =
                    format!("`{pattern}` matches no parameter; names are like `{example}`");
                return Err(TrainError::config(self.key, reason));
            }
        }
        Ok(())
    }
}

/// The module without gradients for its frozen parameters, and for those that have no role since the result
/// does not hold them.
pub(crate) fn freeze<M: Module>(module: M, roles: &HashMap<ParamId, Role>) -> M {
    struct Freeze<'a>(&'a HashMap<ParamId, Role>);
    impl ModuleMapper for Freeze<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if matches!(self.0.get(&param.id), None | Some(Role::Frozen)) {
                param.set_require_grad(false)
            } else {
                param
            }
        }
    }
    module.map(&mut Freeze(roles))
}
