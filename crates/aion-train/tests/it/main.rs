//! The loop on a small module of its own, and the real tasks end to end at toy size.

mod bands;
mod golden;
mod ladder;
mod leaks;
mod line;
mod optimizer;
mod pipeline;
mod pretraining;
mod restart;
mod shards;
mod tokens;
