//! Results that follow a law exactly, for tests of what shows them.

use aion_train::config::ModelSize;
use aion_train::scaling::law::Law;
use aion_train::scaling::{HeldOut, Outcome, Study};

/// Five models on three training sets of 100, 400 and 1600 objects of 50 tokens.
pub fn study() -> Study {
    let law = Law {
        e: 2.0,
        a: 40.0,
        alpha: 0.3,
        b: 20.0,
        beta: 0.35,
    };
    let mut outcomes = Vec::new();
    for dim in [64, 96, 128, 192, 256_usize] {
        for objects in [100, 400, 1600] {
            outcomes.push(outcome(&law, dim, objects));
        }
    }
    Study {
        simulated: true,
        draws: 40,
        seed: 1,
        rungs: 15,
        outcomes,
    }
}

fn outcome(law: &Law, dim: usize, objects: u64) -> Outcome {
    let (parameters, tokens) = (80 * (dim * dim) as u64, 50 * objects);
    let loss = law.loss(parameters as f64, tokens as f64);
    Outcome {
        name: format!("{dim}x3+3-{objects}"),
        size: ModelSize {
            dim,
            encoder_depth: 3,
            decoder_depth: 3,
            heads: 4,
        },
        parameters,
        embeddings: 1000 * dim as u64,
        objects,
        tokens,
        examples: 3200,
        training_loss: Some(loss - 0.1),
        held_out: HeldOut {
            loss,
            means: [("validation/tok_z".to_owned(), loss)].into(),
        },
        seconds: 1.0,
    }
}
