//! How much lies between two stages: some rows, or less where they are large.

use aion_data::Measurement::{self, Catalog, Coefficients, Image, ScalarField, Spectrum};
use aion_data::Object;

use crate::input::Row;

/// Rows that travel together.
const ROWS: usize = 1024;
/// Bytes of measurements that travel together.
const BYTES: usize = 8 << 20;

/// Whether a chunk of so many rows and bytes is to be sent; chunks are whole batches.
pub fn is_full(rows: usize, bytes: usize, batch: usize) -> bool {
    rows.is_multiple_of(batch) && (rows >= ROWS || bytes >= BYTES)
}

/// About how many bytes a row's measurements take.
pub fn bytes(row: &Row) -> usize {
    match row {
        Row::Observed(object) => object_bytes(object),
        Row::Tokenized(row) => 2 * aion_data::num_tokens(&row.tokens),
    }
}

/// About how many bytes an object's measurements take.
pub fn object_bytes(object: &Object) -> usize {
    object.measurements.values().map(numbers).sum::<usize>() * 4
}

fn numbers(measurement: &Measurement) -> usize {
    match measurement {
        Image(image) => image.flux.len() * 2,
        Spectrum(spectrum) => spectrum.flux.len() * 4,
        Coefficients(values) => values.len(),
        Catalog(sources) => sources.len() * 5,
        ScalarField(map) => map.field.len(),
        Measurement::Scalar(_) => 1,
    }
}
