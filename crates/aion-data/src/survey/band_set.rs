//! Sets of files with one band each: `name_g.fits`, `name_r.fits`, ... or
//! `cutout-HSC-G-....fits`, `cutout-HSC-R2-....fits`, ...

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::cutout::stem;

/// What stands before the filter in the names of HSC files.
const HSC: &str = "HSC-";

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The band's letter, lower case.
    pub band: char,
    /// The file.
    pub path: PathBuf,
}

/// The files that differ from `path` only in the band and that exist, in the order of `bands`
/// (lower-case letters), with the name they share. `None` when the name of `path` does not end in
/// `_band` or hold `HSC-filter`.
pub fn siblings(path: &Path, bands: &str) -> Option<(String, Vec<Member>)> {
    let name = path.file_name()?.to_str()?;
    let at = filter_position(name, bands)?;
    let (own, before, rest) = (
        name.get(at.clone())?,
        name.get(..at.start)?,
        name.get(at.end..)?,
    );
    let upper = own.starts_with(char::is_uppercase);
    let is_file = |path: &PathBuf| path.is_file();
    let members = bands.chars().filter_map(|band| {
        let letter = if upper {
            band.to_ascii_uppercase()
        } else {
            band
        };
        // The camera's second r and i filters. A file is in its own set, whatever lies beside it.
        let names = [letter.to_string(), format!("{letter}2")];
        let own = names.iter().find(|name| *name == own);
        let paths = own.into_iter().chain(&names[..]);
        let mut paths = paths.map(|filter| path.with_file_name(format!("{before}{filter}{rest}")));
        Some(Member {
            band,
            path: paths.find(is_file)?,
        })
    });
    let shared = stem(Path::new(&format!("{before}{rest}"))).replace("HSC--", "");
    Some((shared.trim_end_matches('_').to_owned(), members.collect()))
}

/// The band's letter of a broad filter: `g`, `HSC-G`, `HSC-R2`, `i2`. Narrow filters (`NB0816`)
/// and others are `None`.
pub fn band_of_filter(filter: &str, bands: &str) -> Option<char> {
    let name = filter.trim_start_matches(HSC).to_ascii_lowercase();
    let mut letters = name.chars();
    let band = letters.next().filter(|&band| bands.contains(band))?;
    let second = ['r', 'i'].contains(&band) && letters.as_str() == "2";
    (second || letters.as_str().is_empty()).then_some(band)
}

/// The filter in the name of an HSC file, `I` for `cutout-HSC-I-9813-pdr3_wide.fits`.
pub fn filter_in_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.get(hsc_filter(name)?)?.to_owned())
}

/// Where in a file name the filter stands, bytes.
fn filter_position(name: &str, bands: &str) -> Option<Range<usize>> {
    if let Some(at) = hsc_filter(name)
        && band_of_filter(name.get(at.clone())?, bands).is_some()
    {
        return Some(at);
    }
    let end = stem(Path::new(name)).len();
    let at = end.checked_sub(1)?;
    let letters = name.as_bytes();
    let separated = letters.get(at.checked_sub(1)?) == Some(&b'_');
    let band = char::from(letters.get(at)?.to_ascii_lowercase());
    (separated && bands.contains(band)).then_some(at..end)
}

/// The filter after `HSC-`, which a hyphen or a dot ends.
fn hsc_filter(name: &str) -> Option<Range<usize>> {
    let start = name.find(HSC)? + HSC.len();
    let length = name.get(start..)?.find(['-', '.'])?;
    (length > 0).then_some(start..start + length)
}
