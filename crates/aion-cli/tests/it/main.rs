//! The `aion` binary from outside: agreement with the reference, bad input, and what its outputs hold.

mod bad_input;
mod bands;
mod commands;
mod composition;
mod crossmatch;
mod cutout;
mod demo;
mod evaluate;
mod fetch;
mod inspect;
mod multimodal_universe;
mod parity;
mod parity_cases;
mod plan;
mod recompute;
mod run;
mod scale;
mod scaling;
#[path = "../../../aion-fetch/tests/fetch/server.rs"]
mod server;
mod simulate;
#[path = "../../../aion-fetch/tests/fetch/answers.rs"]
mod survey_answers;
mod tensors;
mod token_sets;
mod train;
