//! Work over many objects in shards, each done exactly once, by any number of processes.
//!
//! An output directory holds the shards, named by number, and `manifest.json` once all are there:
//! what was read, with what, and what came of it. What the work needs meanwhile lies in its folder
//! `.aion`:
//!
//! | file | what |
//! |---|---|
//! | `plan.json` | [`Plan`]: inputs, options, and which rows make each shard; written once |
//! | `done/00000.json` | [`ShardReport`]: that shard 0 is complete, and what it holds |
//! | `claims/00000.0` | a worker is at shard 0; the number after the point counts workers that died at it |
//! | `log/*.log` | what each worker did and when; the only files that differ between two runs |
//!
//! Every file appears whole, by a link or a rename. A shard is its rows, its options and nothing else,
//! so a run that was interrupted at any moment and taken up again leaves the same bytes as one that was
//! not, and two processes that did the same shard by mistake would leave the same file.

mod claim;
mod fingerprint;
mod folder;
mod manifest;
mod plan;
mod worker;

pub use claim::{Claim, Claimed, Claims};
pub use fingerprint::{Fingerprint, sha256};
pub use folder::{Start, WorkFolder};
pub use manifest::{Manifest, ShardFile, ShardReport, Skipped};
pub use plan::{Input, Part, Plan, Task};
pub use worker::Worker;
