//! What training on one object takes: operations, and values kept for the backward pass.
//!
//! Counted from the model's configuration for `input` tokens in the encoder and `target` tokens in the
//! decoder. A multiplication with its addition is two operations. Only products count: norms,
//! activations and softmax are bound by memory. Attention is counted whole, although the decoder's
//! falls into modalities under `decoder_sep_mask`.

use aion_data::{Modality, ModalityId};
use aion_model::{ModelConfig, Visible, VisibleTokens};

use crate::masking::MaskConfig;

/// Bytes of a bf16 number.
pub const BF16: f64 = 2.0;
/// Bytes of a float32 number.
pub const FLOAT32: f64 = 4.0;

/// Sizes of model and object, from which everything follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    dim: f64,
    /// Width of the feed-forward layers.
    hidden: f64,
    /// Products into that width: two when gated.
    inner: f64,
    encoder_depth: f64,
    decoder_depth: f64,
    /// Codes that a target token is told apart from, on average.
    vocabulary: f64,
    input: f64,
    target: f64,
}

impl Work {
    /// The work of a model on an object whose tokens fill the budgets.
    pub fn new(config: &ModelConfig, budgets: &MaskConfig) -> Self {
        let tokens = [budgets.input_budget, budgets.target_budget];
        Work::with(config, tokens, vocabulary(config))
    }

    /// The work on an object of which these tokens are shown and predicted.
    pub fn of_object(config: &ModelConfig, shown: &VisibleTokens, hidden: &VisibleTokens) -> Self {
        let count = |tokens: &VisibleTokens| tokens.values().map(Visible::len).sum::<usize>();
        let codes = |(id, tokens): (&ModalityId, &Visible)| id.info().vocabulary * tokens.len();
        let (input, target) = (config.num_register_tokens + count(shown), count(hidden));
        let codes: usize = hidden.iter().map(codes).sum();
        let vocabulary = codes as f64 / target.max(1) as f64;
        Work::with(config, [input, target], vocabulary)
    }

    fn with(config: &ModelConfig, [input, target]: [usize; 2], vocabulary: f64) -> Self {
        Work {
            dim: config.dim as f64,
            hidden: config.mlp_hidden() as f64,
            inner: if config.gated_mlp { 2.0 } else { 1.0 },
            encoder_depth: config.encoder_depth as f64,
            decoder_depth: config.decoder_depth as f64,
            vocabulary,
            input: input as f64,
            target: target as f64,
        }
    }

    /// Operations of a forward pass.
    pub fn forward(&self) -> f64 {
        self.encoder() + self.context() + self.decoder() + self.heads()
    }

    /// Operations of a training step: the backward pass is two products for each one of the forward
    /// pass, and recomputed blocks are run forward once more.
    pub fn training(&self, checkpointing: bool) -> f64 {
        let again = if checkpointing {
            self.encoder() + self.decoder()
        } else {
            0.0
        };
        3.0 * self.forward() + again
    }

    fn encoder(&self) -> f64 {
        let linear = 4.0 * self.dim * self.dim + self.mlp();
        self.encoder_depth * (2.0 * self.input * linear + self.attention(self.input, self.input))
    }

    fn decoder(&self) -> f64 {
        let square = self.dim * self.dim;
        // Self-attention has four maps of targets, cross-attention two of targets and two of inputs.
        let of_targets = 2.0 * self.target * (6.0 * square + self.mlp());
        let of_inputs = 2.0 * self.input * 2.0 * square;
        let attention = self.attention(self.target, self.target + self.input);
        self.decoder_depth * (of_targets + of_inputs + attention)
    }

    /// The map between encoder and decoder, which is in no block.
    fn context(&self) -> f64 {
        2.0 * self.input * self.dim * self.dim
    }

    fn heads(&self) -> f64 {
        2.0 * self.target * self.dim * self.vocabulary
    }

    /// Weights of a feed-forward layer.
    fn mlp(&self) -> f64 {
        (self.inner + 1.0) * self.dim * self.hidden
    }

    /// Scores, and sums weighted by them.
    fn attention(&self, queries: f64, keys: f64) -> f64 {
        4.0 * queries * keys * self.dim
    }

    /// Bytes kept of the forward pass in bf16, with fused attention that keeps no scores. With
    /// checkpointing only each block's input is kept, and one block is whole while it is recomputed.
    pub fn activations(&self, checkpointing: bool) -> f64 {
        let (encoder, decoder) = (self.encoder_block(), self.decoder_block());
        let blocks = if checkpointing {
            let inputs = self.encoder_depth * self.input + self.decoder_depth * self.target;
            inputs * self.dim + encoder.max(decoder)
        } else {
            self.encoder_depth * encoder + self.decoder_depth * decoder
        };
        // Logits in bf16, their log-softmax in float32.
        let logits = self.target * self.vocabulary * (BF16 + FLOAT32);
        BF16 * blocks + logits
    }

    /// Values that an encoder block keeps: inputs of both norms, their results, queries, keys and
    /// values, the attention's result; and of the feed-forward layer the inner products and their
    /// activation.
    fn encoder_block(&self) -> f64 {
        self.input * (8.0 * self.dim + self.feed_forward())
    }

    /// The same of a decoder block, whose context has a norm of its own, keys and values.
    fn decoder_block(&self) -> f64 {
        let of_targets = self.target * (12.0 * self.dim + self.feed_forward());
        of_targets + self.input * 3.0 * self.dim
    }

    fn feed_forward(&self) -> f64 {
        (self.inner + 1.0) * self.hidden
    }
}

/// Mean vocabulary of the targets, every token of every modality equally likely.
fn vocabulary(config: &ModelConfig) -> f64 {
    let targets = config.targets().unwrap_or_default();
    let sum =
        |of: fn(&Modality) -> usize| -> f64 { targets.iter().map(|id| of(id.info()) as f64).sum() };
    let tokens = sum(Modality::num_tokens);
    sum(|modality| modality.num_tokens() * modality.vocabulary) / tokens.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// d = 4, hidden 10 (gated: int(2/3 × int(4 × 4)) = 10), 1 + 1 blocks.
    fn small_config() -> ModelConfig {
        let mut config = aion_model::Preset::Tiny.config();
        (config.dim, config.num_heads) = (4, 1);
        (config.encoder_depth, config.decoder_depth) = (1, 1);
        config.domains_out = vec!["tok_z".to_owned()];
        config
    }

    /// n = 3, m = 2, V = 1025.
    fn small() -> Work {
        let budgets = MaskConfig {
            input_budget: 3,
            target_budget: 2,
            ..MaskConfig::default()
        };
        Work::new(&small_config(), &budgets)
    }

    #[test]
    fn operations_by_hand() {
        let work = small();
        // 2·3·(4·16 + 3·4·10) + 4·3·3·4 = 6·184 + 144
        assert_eq!(work.encoder(), 1248.0);
        // 2·2·(6·16 + 120) + 2·3·2·16 + 4·2·(2 + 3)·4 = 864 + 192 + 160
        assert_eq!(work.decoder(), 1216.0);
        // 2·3·16
        assert_eq!(work.context(), 96.0);
        assert_eq!(work.heads(), 16_400.0);
        assert_eq!(work.training(false), 3.0 * 18_960.0);
        assert_eq!(work.training(true), 3.0 * 18_960.0 + 1248.0 + 1216.0);
    }

    #[test]
    fn an_object_is_counted_by_its_own_tokens() {
        let id = |key| ModalityId::from_key(key).expect("a known key");
        let shown = VisibleTokens::from([(id("tok_xp_bp"), Visible::all(&[1, 2, 3]))]);
        let hidden = [("tok_z", 1), ("tok_ebv", 1)];
        let hidden = hidden.map(|(key, count)| (id(key), Visible::all(&vec![0; count])));
        let work = Work::of_object(&small_config(), &shown, &hidden.into());
        assert_eq!(work.heads(), 2.0 * 4.0 * (1025.0 + 1024.0));
        assert_eq!(work.encoder(), small().encoder());
        assert_eq!(work.decoder(), small().decoder());
    }

    #[test]
    fn activations_by_hand() {
        let work = small();
        // 3·(8·4 + 3·10); 2·(12·4 + 30) + 3·3·4
        assert_eq!(work.encoder_block(), 186.0);
        assert_eq!(work.decoder_block(), 192.0);
        let logits = 2.0 * 1025.0 * 6.0;
        assert_eq!(work.activations(false), 2.0 * (186.0 + 192.0) + logits);
        assert_eq!(
            work.activations(true),
            2.0 * (3.0 * 4.0 + 2.0 * 4.0 + 192.0) + logits
        );
    }
}
