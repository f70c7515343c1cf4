//! The loop on a small module of its own, and the real tasks end to end at toy size.

mod ladder;
mod line;
mod optimizer;
mod pipeline;
mod restart;
