//! Real objects from the public services of the surveys, as files that `aion-data` reads.
//!
//! [`fetch`] asks one survey's services for [`Target`]s and leaves, in `OUTPUT/<survey>/`, one file
//! (HSC: one a band) an object, named after the target, and `OUTPUT/manifest.jsonl`, which says of
//! each target what was asked, what came, and how the survey wants to be acknowledged. A file is
//! in place only after the reader of `aion-data` has read it; what a run has already settled is not
//! asked for again.
//!
//! This is the only crate that speaks HTTP. It is polite: few connections and a pause between
//! requests to a host, retries with growing pauses, `Retry-After` honoured, time-outs, a size
//! limit, and a user agent that names the program. End points, releases and limits are in
//! [`Services`], which starts from the built-in `services.toml`. Nothing is read from the
//! environment: credentials and proxy come from the caller.

mod answer;
mod check;
mod client;
mod date;
mod error;
mod gate;
mod manifest;
mod retry;
mod run;
mod service;
mod services;
mod staging;
mod target;
mod url;

pub use client::{Access, Credentials};
pub use error::FetchError;
pub use run::{Options, Outcome, Status, fetch};
pub use service::takes_identifiers;
pub use services::Services;
pub use target::{Sought, Target};
