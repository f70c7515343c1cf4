//! Where objects lie on the sky: counts by HEALPix cell.

use std::collections::BTreeMap;

use aion_data::sky::{coarser, healpix29};
use serde_json::{Value, json};

use crate::report::sky_map::merged;

/// Order of the cells that are counted: 13.7 arcmin wide, at most 786,432 of them.
pub const FINE: u8 = 8;
/// Order of the cells that are reported: 3.7 degrees wide, the cells of the Multimodal Universe's
/// folders.
pub const COARSE: u8 = 4;

/// Counts of objects by nested cell of order [`FINE`].
#[derive(Debug, Default)]
pub struct SkyCounts {
    cells: BTreeMap<i64, u64>,
}

impl SkyCounts {
    /// Counts an object, where its position is one.
    pub fn add(&mut self, (ra, dec): (f64, f64)) {
        if let Some(cell) = healpix29(ra, dec) {
            *self.cells.entry(coarser(cell, FINE)).or_default() += 1;
        }
    }

    /// Objects by cell, or none where no object has a position.
    pub fn cells(&self) -> Option<&BTreeMap<i64, u64>> {
        Some(&self.cells).filter(|cells| !cells.is_empty())
    }

    /// One line for humans; none where no object has a position.
    pub fn line(&self) -> Option<String> {
        let cells = self.coarse();
        let most = cells.values().max()?;
        let all = 12 << (2 * COARSE);
        let percent = 100.0 * cells.len() as f64 / f64::from(all);
        Some(format!(
            "sky: {} of {all} HEALPix cells of order {COARSE} ({percent:.2} %), at most {most} objects in one",
            cells.len()
        ))
    }

    /// The counts for machines: nested cells of order [`COARSE`].
    pub fn json(&self) -> Value {
        let cells: Vec<[u64; 2]> = self
            .coarse()
            .into_iter()
            .map(|(cell, count)| [cell.unsigned_abs(), count])
            .collect();
        json!({"healpix_order": COARSE, "nested": true, "cells": cells})
    }

    fn coarse(&self) -> BTreeMap<i64, u64> {
        merged(&self.cells, FINE, COARSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_by_cell() {
        let mut sky = SkyCounts::default();
        assert_eq!(sky.line(), None);
        for position in [(10.0, 20.0), (10.001, 20.0), (-350.0, 20.0), (10.0, 91.0)] {
            sky.add(position);
        }
        sky.add((200.0, -89.0));
        let line = sky.line().expect("positions");
        assert!(
            line.contains("2 of 3072") && line.contains("at most 3"),
            "{line}"
        );
        let cells = sky.json();
        assert_eq!(cells["cells"].as_array().map(Vec::len), Some(2));
    }
}
