//! TensorBoard's event file: TFRecord frames around a few protocol-buffer fields.
//!
//! ```text
//! frame  = length u64 · masked CRC-32C of it u32 · data · masked CRC-32C of it u32   (little-endian)
//! Event  = 1: wall_time f64 · 2: step i64 · 3: file_version string · 5: Summary · 7: SessionLog
//! Summary = 1: Value*      Value = 1: tag string · 2: simple_value f32      SessionLog = 1: status
//! ```
//! The crates that write it bring a protocol-buffer compiler or image libraries along, for what are
//! these five messages.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::TrainError;

/// `SessionLog.status` that makes TensorBoard drop later steps that an earlier file has.
const START: u64 = 1;

/// The events of one process.
#[derive(Debug)]
pub(crate) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a new file in `folder` for a run that stands at `step`.
    pub(crate) fn create(folder: &Path, step: u64) -> Result<Self, TrainError> {
        let (seconds, process) = (now() as u64, std::process::id());
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.{process}.aion"));
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file = opened.map_err(|source| TrainError::io(&path, source))?;
        let mut events = EventFile { path, file };
        let mut version = event(0);
        bytes(&mut version, 3, b"brain.Event:2");
        events.write(&version)?;
        if step > 0 {
            let mut restart = event(step);
            let mut session = Vec::new();
            integer(&mut session, 1, START);
            bytes(&mut restart, 7, &session);
            events.write(&restart)?;
        }
        Ok(events)
    }

    /// Adds the value of each name at a step; what is not finite is left out.
    pub(crate) fn scalars(
        &mut self,
        step: u64,
        scalars: &[(String, f64)],
    ) -> Result<(), TrainError> {
        let mut summary = Vec::new();
        for (name, value) in scalars.iter().filter(|(_, value)| value.is_finite()) {
            let mut entry = Vec::new();
            bytes(&mut entry, 1, name.as_bytes());
            key(&mut entry, 2, 5);
            entry.extend((*value as f32).to_le_bytes());
            bytes(&mut summary, 1, &entry);
        }
        let mut event = event(step);
        bytes(&mut event, 5, &summary);
        self.write(&event)
    }

    fn write(&mut self, data: &[u8]) -> Result<(), TrainError> {
        let written = self.file.write_all(&frame(data));
        written.map_err(|source| TrainError::io(&self.path, source))
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn event(step: u64) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, 1);
    event.extend(now().to_le_bytes());
    integer(&mut event, 2, step);
    event
}

/// A field's number and wire type.
fn key(message: &mut Vec<u8>, field: u64, wire: u64) {
    varint(message, field << 3 | wire);
}

fn integer(message: &mut Vec<u8>, field: u64, value: u64) {
    key(message, field, 0);
    varint(message, value);
}

fn bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(message, field, 2);
    varint(message, value.len() as u64);
    message.extend(value);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut frame = length.to_vec();
    frame.extend(masked_crc(&length).to_le_bytes());
    frame.extend(data);
    frame.extend(masked_crc(data).to_le_bytes());
    frame
}

fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: reports are rare and short.
fn crc32c(data: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !data
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn frames_hold_what_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut events = EventFile::create(folder.path(), 300).expect("a file");
        let scalars = [("loss".to_owned(), 0.5), ("none".to_owned(), f64::NAN)];
        events.scalars(300, &scalars).expect("written");
        let data = std::fs::read(&events.path).expect("readable");
        let (mut rest, mut messages) = (&data[..], Vec::new());
        while let Some((length, tail)) = rest.split_first_chunk::<8>() {
            let (crc, tail) = tail.split_first_chunk::<4>().expect("a checksum");
            assert_eq!(u32::from_le_bytes(*crc), masked_crc(length));
            let (message, tail) = tail.split_at(u64::from_le_bytes(*length) as usize);
            let (crc, tail) = tail.split_first_chunk::<4>().expect("a checksum");
            assert_eq!(u32::from_le_bytes(*crc), masked_crc(message));
            messages.push(message);
            rest = tail;
        }
        let [version, restart, summary] = messages[..] else {
            panic!("{} messages", messages.len());
        };
        assert!(version.ends_with(b"brain.Event:2"));
        // Step 300 as a varint, then a session log of 2 bytes: status 1.
        assert!(restart.ends_with(&[2 << 3, 0xac, 2, 7 << 3 | 2, 2, 1 << 3, 1]));
        let value = [
            &[1 << 3 | 2, 4][..],
            b"loss",
            &[2 << 3 | 5],
            &0.5f32.to_le_bytes(),
        ]
        .concat();
        assert!(summary.ends_with(&value), "{summary:?}");
    }
}
