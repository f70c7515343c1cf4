//! The loop on a small module of its own: optimiser against a slow one, restarts, refusals.

mod line;
mod optimizer;
mod restart;
