//! Files that this crate writes and reads: round trips, one test an error, damage of any kind.

mod atomic;
mod damage;
mod observation_tables;
mod observations;
mod reference;
mod sample;
mod tables;
mod token_rows;
