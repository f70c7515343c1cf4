//! Sets of files with one band each: `name_g.fits`, `name_r.fits`, ... or
//! `cutout-HSC-G-....fits`, `cutout-HSC-R-....fits`, ...

use std::path::{Path, PathBuf};

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The band's letter, lower case.
    pub band: char,
    /// The file.
    pub path: PathBuf,
}

/// The files that differ from `path` only in the band's letter and that exist, in the order of
/// `bands` (lower-case letters), with the name they share. `None` when the name of `path` does not
/// end in `_band` or hold `HSC-band`.
pub fn siblings(path: &Path, bands: &str) -> Option<(String, Vec<Member>)> {
    let name = path.file_name()?.to_str()?;
    let at = band_position(name, bands)?;
    let (before, rest) = (name.get(..at)?, name.get(at + 1..)?);
    let upper = name.get(at..)?.starts_with(char::is_uppercase);
    let members = bands.chars().filter_map(|band| {
        let letter = if upper {
            band.to_ascii_uppercase()
        } else {
            band
        };
        let path = path.with_file_name(format!("{before}{letter}{rest}"));
        path.is_file().then_some(Member { band, path })
    });
    let shared = format!("{before}{rest}");
    let shared = super::cutout::stem(Path::new(&shared)).replace("HSC--", "");
    Some((shared.trim_end_matches('_').to_owned(), members.collect()))
}

/// Where in a file name the band's letter stands, bytes.
fn band_position(name: &str, bands: &str) -> Option<usize> {
    let is_band = |letter: &u8| bands.contains(char::from(letter.to_ascii_lowercase()));
    let letters = name.as_bytes();
    if let Some(at) = name.find("HSC-").map(|at| at + 4)
        && letters.get(at).is_some_and(is_band)
        && letters
            .get(at + 1)
            .is_some_and(|&next| next == b'-' || next == b'.')
    {
        return Some(at);
    }
    let end = super::cutout::stem(Path::new(name)).len();
    let at = end.checked_sub(1)?;
    let separated = letters.get(at.checked_sub(1)?) == Some(&b'_');
    (separated && letters.get(at).is_some_and(is_band)).then_some(at)
}
