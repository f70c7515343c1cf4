//! Rows of tokens to FITS.

use std::collections::BTreeSet;
use std::path::Path;

use super::TokenMetadata;
use crate::error::Result;
use crate::fits_out::FitsTable;
use crate::tokens::TokenRow;

pub(super) fn write(path: &Path, rows: &[TokenRow], metadata: &TokenMetadata) -> Result<()> {
    let mut table = FitsTable::new();
    table.text(
        path,
        "object_id",
        rows.iter().map(|row| Some(row.id.as_str())),
    )?;
    table.doubles(path, ("ra", Some("deg")), rows.iter().map(|row| row.ra))?;
    table.doubles(path, ("dec", Some("deg")), rows.iter().map(|row| row.dec))?;
    let modalities = rows.iter().flat_map(|row| row.tokens.keys().copied());
    for modality in modalities.collect::<BTreeSet<_>>() {
        let tokens = |row: &'_ TokenRow| row.tokens.get(&modality).map_or(0, Vec::len);
        // A sequence is as long as the longest.
        let width = rows.iter().map(tokens).max().unwrap_or(0);
        let tokens = rows.iter().map(|row| match row.tokens.get(&modality) {
            Some(tokens) => tokens.as_slice(),
            None => &[],
        });
        table.tokens(path, modality.key(), width, tokens)?;
    }
    let flags = rows.iter().flat_map(|row| row.flags.keys());
    for flag in flags.collect::<BTreeSet<_>>() {
        let values = rows
            .iter()
            .map(|row| row.flags.get(flag).map(String::as_str));
        table.text(path, &format!("flag_{flag}"), values)?;
    }
    table.write(path, "TOKENS", metadata)
}
