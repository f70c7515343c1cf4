//! Who is at work, so that others can tell whether it still is.

use std::fs;
use std::process;

use serde::{Deserialize, Serialize};

/// A process on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The machine's name.
    pub host: String,
    /// What tells the machine's processes apart from those of another boot or container.
    pub space: String,
    /// Process number.
    pub pid: u32,
    /// When the process began, in the kernel's count: numbers of processes are used again.
    pub started: u64,
}

impl Worker {
    /// This process. Where the system does not tell (there is no `/proc`), only the age of a claim
    /// shows whether a worker is alive.
    pub fn this() -> Self {
        let pid = process::id();
        Worker {
            host: line("/proc/sys/kernel/hostname"),
            space: space(),
            pid,
            started: started(pid).unwrap_or(0),
        }
    }

    /// Whether the process is known to have ended: it ran here, and here it is no more.
    pub fn is_gone(&self) -> bool {
        let space = space();
        let here = !space.is_empty() && space == self.space;
        here && started(self.pid) != Some(self.started)
    }

    /// A name for files of this process.
    pub fn name(&self) -> String {
        format!("{}-{}-{}", self.machine(), self.pid, self.started)
    }

    /// Whether a [`Worker::name`] is that of a process which ran on this worker's machine, this one, and has
    /// ended.
    pub fn has_ended(&self, name: &str) -> bool {
        let mut parts = name.rsplitn(3, '-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (Some(began), Some(pid)) = (number(), number()) else {
            return false;
        };
        let here = !self.space.is_empty() && parts.next() == Some(&self.machine());
        here && u32::try_from(pid).is_ok_and(|pid| started(pid) != Some(began))
    }

    /// The machine's name in letters, digits and hyphens.
    fn machine(&self) -> String {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-';
        self.host.chars().filter(|c| known(*c)).collect()
    }
}

/// Boot and process namespace: within one, a process number means one process at a time.
fn space() -> String {
    let boot = line("/proc/sys/kernel/random/boot_id");
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    match boot.is_empty() {
        true => String::new(),
        false => format!("{boot} {}", namespace.display()),
    }
}

fn line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// When a running process began.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // A process that has ended and that its parent has not asked about yet does nothing any more.
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
