//! How a command fails: one line on stderr, and an exit code that tells bad input from the rest.

use std::fmt;
use std::io;
use std::panic::PanicHookInfo;
use std::sync::Mutex;

use aion_codec::CodecError;
use aion_data::{DataError, Problem};
use aion_kernel::WeightsError;
use aion_model::{ConfigError, ModelError};
use aion_train::TrainError;

use crate::interrupt::Interrupted;

/// Exit code of bad input and bad usage.
pub const BAD_INPUT: u8 = 2;
/// Exit code of everything else: a full disk, a lost connection, a bug.
pub const OTHER: u8 = 1;

/// Exit code of a training run that a signal stopped and `--resume` goes on with: EX_TEMPFAIL of
/// sysexits.h, "try again later".
pub const STOPPED: u8 = 75;

/// A training run was stopped by a signal, and saved.
#[derive(Debug)]
pub struct Stopped(pub String);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stopped {}

/// Arguments that cannot be meant.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error about the arguments.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// The exit code of an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return interrupted.exit_code();
    }
    if error.is::<Stopped>() {
        return STOPPED;
    }
    // A file that is not there is bad input; one that cannot be read or written is not.
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let bad_input = error.chain().any(|cause| {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return absent(io);
        }
        if let Some(error) = cause.downcast_ref::<DataError>() {
            return match &error.problem {
                Problem::Io(io) => absent(io),
                _ => true,
            };
        }
        if let Some(error) = cause.downcast_ref::<TrainError>() {
            return blames_input(error);
        }
        if let Some(error) = cause.downcast_ref::<WeightsError>() {
            return is_bad_file(error);
        }
        cause.is::<Usage>()
            || cause.is::<CodecError>()
            || cause.is::<ModelError>()
            || cause.is::<ConfigError>()
    });
    if bad_input { BAD_INPUT } else { OTHER }
}

/// Whether a training run failed for what it was given.
fn blames_input(error: &TrainError) -> bool {
    match error {
        TrainError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        TrainError::Weights(error) => is_bad_file(error),
        TrainError::Diverged { .. } | TrainError::Scaling(_) => false,
        _ => true,
    }
}

/// Whether weights are not what they should be, rather than impossible to read or write.
fn is_bad_file(error: &WeightsError) -> bool {
    match error {
        WeightsError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => true,
    }
}

/// An error and its causes in one line, each cause once.
pub fn message(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ")
}

/// Whether the reader of our output has gone, which is no failure.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// What the latest panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// A panic hook that keeps the message and prints nothing.
pub fn note_panic(info: &PanicHookInfo<'_>) {
    if let Ok(mut text) = PANIC.lock() {
        *text = info.to_string();
    }
}

/// The error of a panic that nothing caught.
pub fn panicked() -> anyhow::Error {
    let text = PANIC.lock().map(|text| text.clone()).unwrap_or_default();
    anyhow::anyhow!("a bug in aion, please report it: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once_and_in_one_line() {
        let io = io::Error::new(io::ErrorKind::NotFound, "no such\n  file");
        let inner = anyhow::Error::new(io).context("a.fits: no such\n  file");
        let error = inner.context("reading");
        assert_eq!(message(&error), "reading: a.fits: no such file");
        assert_eq!(exit_code(&error), BAD_INPUT);
        assert_eq!(exit_code(&anyhow::anyhow!("disk full")), OTHER);
        assert_eq!(exit_code(&usage("--batch 0")), BAD_INPUT);
    }
}
