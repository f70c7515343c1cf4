//! Where the bytes of a FITS file come from, and whether all of them are there.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use fits_well::io::{BLOCK_SIZE, CARD_SIZE};
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
/// inside the file, padding included, and no further header may begin after the last. Returns where
/// the cards begin that spell a compression the old way.
pub(super) fn check_end(
    path: &Path,
    source: &mut Box<dyn Source>,
    data: &[u64],
) -> Result<Vec<u64>> {
    let io = |error: io::Error| DataError::new(Place::file(path), error.into());
    let length = source.seek(SeekFrom::End(0)).map_err(io)?;
    let mut offset = 0u64;
    let mut cards = Vec::new();
    for &padded in data {
        offset = end_of_header(source, offset, &mut cards).map_err(io)?;
        offset = offset.saturating_add(padded);
        if offset > length {
            let reason = format!("truncated: {length} bytes, expected at least {offset}");
            return Err(container(path, reason));
        }
    }
    if offset >= length {
        return Ok(cards);
    }
    source.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut next = Vec::new();
    source.take(8).read_to_end(&mut next).map_err(io)?;
    if b"XTENSION".starts_with(&next) {
        return Err(container(path, "truncated inside a header".into()));
    }
    Ok(cards)
}

/// Where the data after the header at `offset` begins.
fn end_of_header(
    source: &mut Box<dyn Source>,
    mut offset: u64,
    cards: &mut Vec<u64>,
) -> io::Result<u64> {
    let mut block = vec![0u8; BLOCK_SIZE];
    source.seek(SeekFrom::Start(offset))?;
    loop {
        source.read_exact(&mut block)?;
        let places = (offset..).step_by(CARD_SIZE);
        for (place, card) in places.zip(block.chunks_exact(CARD_SIZE)) {
            if card.starts_with(OLD_RICE) {
                cards.push(place);
            }
        }
        offset += BLOCK_SIZE as u64;
        let is_end = |card: &[u8]| card.starts_with(b"END ") && card.trim_ascii() == b"END";
        if block.chunks_exact(CARD_SIZE).any(is_end) {
            return Ok(offset);
        }
    }
}

/// The name that fpack gave to Rice compression before the standard fixed it, as the bricks of the
/// Legacy Surveys have it, and the standard's, which the parser knows.
const OLD_RICE: &[u8; 20] = b"ZCMPTYPE= 'RICE_ONE'";
const RICE: &[u8; 20] = b"ZCMPTYPE= 'RICE_1  '";

/// A file in which some cards that begin with [`OLD_RICE`] read as [`RICE`].
struct Respelled {
    source: Box<dyn Source>,
    /// Where the cards begin.
    cards: Vec<u64>,
    position: u64,
}

/// The file with the cards at these places in the standard's spelling.
pub(super) fn respelled(source: Box<dyn Source>, cards: Vec<u64>) -> Box<dyn Source> {
    if cards.is_empty() {
        return source;
    }
    Box::new(Respelled {
        source,
        cards,
        position: 0,
    })
}

impl Read for Respelled {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(bytes)?;
        for card in &self.cards {
            for (letter, place) in RICE.iter().zip(*card..) {
                let index = place.checked_sub(self.position);
                let index = index.and_then(|index| usize::try_from(index).ok());
                if let Some(byte) = index.and_then(|index| bytes.get_mut(..count)?.get_mut(index)) {
                    *byte = *letter;
                }
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Respelled {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.source.seek(to)?;
        Ok(self.position)
    }
}
