//! The `aion` command.
fn main() {}
