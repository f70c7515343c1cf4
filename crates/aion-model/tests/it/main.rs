//! The transformer against the reference's cases, and against itself.

mod agreement;
mod batch;
mod case;
mod files;
mod narrow;
mod sequence;
mod training;
