//! The binary rows of a VOTable: base64 in the text of a STREAM element, decoded as it is read.

use std::io::BufRead;

use super::{Document, LONGEST_PIECE, damaged};
use crate::error::Result;
use quick_xml::events::Event;

/// The largest array of one cell, bytes.
const LARGEST_CELL: usize = 256 << 20;

/// Decoded bytes, in order.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    decoded: Vec<u8>,
    start: usize,
    decoder: Decoder,
    /// Whether the text has ended.
    ended: bool,
    /// Bytes handed on so far.
    used: u64,
}

impl Bytes {
    /// Bytes taken and skipped so far.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Whether no byte is left.
    pub fn at_end(&mut self, document: &mut Document) -> Result<bool> {
        while self.available() == 0 && !self.ended {
            self.refill(document)?;
        }
        Ok(self.available() == 0)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, document: &mut Document, count: usize) -> Result<&[u8]> {
        if count > LARGEST_CELL {
            return Err(damaged(&document.path, format!("a cell of {count} bytes")));
        }
        while self.available() < count {
            self.refill(document)?;
        }
        let start = self.start;
        self.start += count;
        self.used += count as u64;
        Ok(self.decoded.get(start..start + count).unwrap_or_default())
    }

    /// Passes over the next `count` bytes.
    pub fn skip(&mut self, document: &mut Document, mut count: usize) -> Result<()> {
        self.used = self.used.saturating_add(count as u64);
        while self.available() < count {
            count -= self.available();
            self.start = self.decoded.len();
            self.refill(document)?;
        }
        self.start += count;
        Ok(())
    }

    fn available(&self) -> usize {
        self.decoded.len() - self.start
    }

    /// Decodes some more of the text; an error when there is none.
    fn refill(&mut self, document: &mut Document) -> Result<()> {
        if self.ended {
            return Err(damaged(&document.path, "its binary rows end in the middle"));
        }
        self.decoded.drain(..self.start);
        self.start = 0;
        document.reader.get_mut().left = LONGEST_PIECE;
        let mut stream = document.reader.stream();
        let read = stream.fill_buf();
        let text = read.map_err(|error| damaged(&document.path, error.to_string()))?;
        let end = text.iter().position(|&byte| byte == b'<');
        let (text, count) = match end {
            Some(end) => (&text[..end], end),
            None => (text, text.len()),
        };
        let decoded = self.decoder.decode(text, &mut self.decoded);
        stream.consume(count);
        decoded.map_err(|byte| {
            let reason = format!("byte {byte:#04x} is not base64");
            damaged(&document.path, reason)
        })?;
        if end.is_none() && count == 0 {
            return Err(document.truncated());
        }
        if end.is_some() {
            self.ended = true;
            self.decoder.finish(&mut self.decoded);
            return expect_end(document);
        }
        Ok(())
    }
}

/// Passes over the text of the STREAM element just opened.
pub(super) fn skip(document: &mut Document) -> Result<()> {
    loop {
        document.reader.get_mut().left = LONGEST_PIECE;
        let mut stream = document.reader.stream();
        let read = stream.fill_buf();
        let text = read.map_err(|error| damaged(&document.path, error.to_string()))?;
        let end = text.iter().position(|&byte| byte == b'<');
        let count = end.unwrap_or(text.len());
        stream.consume(count);
        match end {
            Some(_) => return expect_end(document),
            None if count == 0 => return Err(document.truncated()),
            None => {}
        }
    }
}

fn expect_end(document: &mut Document) -> Result<()> {
    match document.event()? {
        Event::End(_) => Ok(()),
        _ => Err(damaged(
            &document.path,
            "its binary rows hold other elements",
        )),
    }
}

/// Base64 (RFC 4648) decoded piece by piece, blanks ignored.
#[derive(Debug, Default)]
struct Decoder {
    bits: u32,
    digits: u8,
}

/// Marks in [`VALUES`] beside the 64 digits.
const BLANK: u8 = 64;
const PADDING: u8 = 65;
const WRONG: u8 = 66;

/// The value of each byte.
static VALUES: [u8; 256] = {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [WRONG; 256];
    let mut value = 0;
    while value < digits.len() {
        values[digits[value] as usize] = value as u8;
        value += 1;
    }
    values[b' ' as usize] = BLANK;
    values[b'\t' as usize] = BLANK;
    values[b'\r' as usize] = BLANK;
    values[b'\n' as usize] = BLANK;
    values[b'=' as usize] = PADDING;
    values
};

impl Decoder {
    /// Appends what `text` stands for to `out`; the error is a byte that stands for nothing.
    fn decode(&mut self, text: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), u8> {
        out.reserve(text.len() / 4 * 3 + 3);
        for &byte in text {
            match VALUES[usize::from(byte)] {
                BLANK => {}
                PADDING => self.finish(out),
                WRONG => return Err(byte),
                value => {
                    self.bits = self.bits << 6 | u32::from(value);
                    self.digits += 1;
                    if self.digits == 4 {
                        let [_, a, b, c] = self.bits.to_be_bytes();
                        out.extend_from_slice(&[a, b, c]);
                        (self.bits, self.digits) = (0, 0);
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends the bytes of an incomplete group.
    fn finish(&mut self, out: &mut Vec<u8>) {
        match self.digits {
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&[(self.bits >> 10) as u8, (self.bits >> 2) as u8]),
            _ => {}
        }
        (self.bits, self.digits) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(pieces: &[&str]) -> std::result::Result<Vec<u8>, u8> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in pieces {
            decoder.decode(piece.as_bytes(), &mut out)?;
        }
        decoder.finish(&mut out);
        Ok(out)
    }

    #[test]
    fn groups_may_be_cut_anywhere() {
        assert_eq!(
            decoded(&["TW", "Fu\n  ", "TWE", "="]),
            Ok(b"ManMa".to_vec())
        );
        assert_eq!(decoded(&["TQ=", "="]), Ok(b"M".to_vec()));
        assert_eq!(decoded(&["TQ"]), Ok(b"M".to_vec()));
        assert_eq!(decoded(&["////"]), Ok(vec![255; 3]));
        assert_eq!(decoded(&["TW-u"]), Err(b'-'));
    }
}
