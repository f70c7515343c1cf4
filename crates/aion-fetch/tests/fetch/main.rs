//! Fetching from a server on the loopback that answers as the surveys' services do.

mod answers;
mod resume;
mod samples;
mod server;
mod services;
mod trouble;
mod work;
