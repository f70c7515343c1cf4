//! Arguments of outputs in shards.

use std::str::FromStr;

use clap::Args;

/// How a directory of shards is made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Outputs in shards")]
pub struct ShardArgs {
    /// Continue an output that an earlier run began, if one did
    #[arg(long)]
    pub resume: bool,
    /// Share the work with other processes that are given the same command, on any machine
    #[arg(long)]
    pub claim: bool,
    /// Do every N-th shard from the I-th, as an array job does; the last one finishes the output
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Share>,
    /// Objects of a shard
    #[arg(long, default_value_t = 16_384, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rows_per_shard: u64,
    /// Seconds without a sign of life after which a worker on another machine counts as dead
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub claim_timeout: u64,
}

impl ShardArgs {
    /// The first option given that only directories have.
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--resume", self.resume),
            ("--claim", self.claim),
            ("--shard", self.shard.is_some()),
        ];
        given
            .into_iter()
            .find_map(|(name, given)| given.then_some(name))
    }
}

/// Outputs as HATS catalogues.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Outputs in shards")]
pub struct HatsArgs {
    /// Make the directory a HATS catalogue, for LSDB: partitions of the sky, those of the input where
    /// that is a HATS catalogue too. Every object needs a position
    #[arg(long)]
    pub hats: bool,
    /// Objects of a partition at most, where the input has no partitions
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub hats_max_rows: u64,
}

impl HatsArgs {
    /// The name of the catalogue, and objects of a partition at most, where one is asked for.
    pub fn catalogue(&self, name: &'static str) -> Option<(&'static str, u64)> {
        self.hats.then_some((name, self.hats_max_rows))
    }
}

/// A process's share of the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Place among the processes, from 1.
    index: usize,
    /// Number of processes.
    of: usize,
}

impl Share {
    /// Whether a shard is in the share.
    pub fn holds(self, shard: usize) -> bool {
        shard % self.of == self.index - 1
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Share { index, of }),
            _ => Err("expected I/N with I from 1 to N, such as 2/8".to_owned()),
        }
    }
}
