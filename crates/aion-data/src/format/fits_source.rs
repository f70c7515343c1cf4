//! Where the bytes of a FITS file come from, and whether all of them are there.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use fits_well::io::BLOCK_SIZE;
use flate2::read::MultiGzDecoder;

use crate::error::{DataError, Place, Result};
use crate::format::fits::container;

/// Bytes that a gzipped file inflates to in memory; more goes to a temporary file, which has no
/// name and vanishes with the process.
const MOST_IN_MEMORY: usize = 32 << 20;

/// A seekable source of bytes.
pub trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// Opens a file, or what a gzipped file holds.
pub(super) fn open_source(path: &Path) -> io::Result<Box<dyn Source>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    file.rewind()?;
    if magic != [0x1f, 0x8b] {
        return Ok(Box::new(file));
    }
    let mut inflated = tempfile::spooled_tempfile(MOST_IN_MEMORY);
    io::copy(
        &mut MultiGzDecoder::new(BufReader::new(file)),
        &mut inflated,
    )?;
    inflated.rewind()?;
    Ok(Box::new(inflated))
}

/// Walks the file by its headers and the data lengths they declare; every data unit must end
/// inside the file, padding included, and no further header may begin after the last.
pub(super) fn check_end(path: &Path, source: &mut Box<dyn Source>, data: &[u64]) -> Result<()> {
    let io = |error: io::Error| DataError::new(Place::file(path), error.into());
    let length = source.seek(SeekFrom::End(0)).map_err(io)?;
    let mut offset = 0u64;
    for &padded in data {
        offset = end_of_header(source, offset).map_err(io)?;
        offset = offset.saturating_add(padded);
        if offset > length {
            let reason = format!("truncated: {length} bytes, expected at least {offset}");
            return Err(container(path, reason));
        }
    }
    if offset >= length {
        return Ok(());
    }
    source.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut next = Vec::new();
    source.take(8).read_to_end(&mut next).map_err(io)?;
    if b"XTENSION".starts_with(&next) {
        return Err(container(path, "truncated inside a header".into()));
    }
    Ok(())
}

/// Where the data after the header at `offset` begins.
fn end_of_header(source: &mut Box<dyn Source>, mut offset: u64) -> io::Result<u64> {
    const CARD: usize = 80;
    let mut block = vec![0u8; BLOCK_SIZE];
    source.seek(SeekFrom::Start(offset))?;
    loop {
        source.read_exact(&mut block)?;
        offset += BLOCK_SIZE as u64;
        let is_end = |card: &[u8]| card.starts_with(b"END ") && card.trim_ascii() == b"END";
        if block.chunks_exact(CARD).any(is_end) {
            return Ok(offset);
        }
    }
}
