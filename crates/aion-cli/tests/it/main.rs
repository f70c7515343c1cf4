//! The `aion` binary from outside: agreement with the reference, bad input, and what its outputs hold.

mod bad_input;
mod commands;
mod composition;
mod demo;
mod inspect;
mod parity;
mod parity_cases;
mod run;
mod tensors;
