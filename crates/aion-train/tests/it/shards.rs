//! Small files of tokens that tests make themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aion_data::parquet_file::ParquetFile;
use aion_data::token_files::{TokenMetadata, write_tokens};
use aion_data::{ModalityId, TokenRow};
use aion_train::data::{SplitConfig, TokenSource};
use arrow_array::builder::{ListBuilder, UInt16Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};

pub fn id(key: &str) -> ModalityId {
    ModalityId::from_key(key).expect("a known key")
}

/// An object in a cell of its own, or without a position; its redshift's token is its number.
pub fn row(number: u16, placed: bool) -> TokenRow {
    let mut row = TokenRow {
        id: format!("object-{number}"),
        ..TokenRow::default()
    };
    if placed {
        // Spread over the sky by the golden angle.
        row.ra = Some((f64::from(number) * 137.507_764) % 360.0);
        row.dec = Some(
            (f64::from(number) * 0.618_034 % 1.0)
                .mul_add(2.0, -1.0)
                .asin()
                .to_degrees(),
        );
    }
    row.tokens.insert(id("tok_z"), vec![number]);
    row.tokens.insert(id("tok_flux_g"), vec![number / 2]);
    row.tokens.insert(id("tok_xp_bp"), vec![number % 7; 55]);
    row
}

pub fn write(path: &Path, rows: &[TokenRow]) -> PathBuf {
    write_signed(path, rows, &TokenMetadata::new())
}

pub fn write_signed(path: &Path, rows: &[TokenRow], metadata: &TokenMetadata) -> PathBuf {
    write_tokens(path, rows, metadata).expect("written");
    path.to_owned()
}

/// A Parquet file with one column of tokens, which may be anything.
pub fn write_column(path: &Path, key: &str, rows: &[Vec<u16>]) -> PathBuf {
    let item = Arc::new(Field::new("item", DataType::UInt16, true));
    let field = Field::new(key, DataType::List(item.clone()), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let mut list = ListBuilder::new(UInt16Builder::new()).with_field(item);
    for row in rows {
        list.values().append_slice(row);
        list.append(true);
    }
    let column: ArrayRef = Arc::new(list.finish());
    let batch = RecordBatch::try_new(schema.clone(), vec![column]).expect("a batch");
    let mut file = ParquetFile::create(path, schema, &TokenMetadata::new()).expect("created");
    if !rows.is_empty() {
        file.write(&batch).expect("written");
    }
    file.finish().expect("finished");
    path.to_owned()
}

/// Most is held out, so that few objects make all parts.
pub fn half() -> SplitConfig {
    SplitConfig {
        validation: 0.2,
        test: 0.3,
        ..SplitConfig::default()
    }
}

pub fn source(path: &Path, weight: f64) -> TokenSource {
    TokenSource {
        paths: vec![path.display().to_string()],
        weight,
    }
}
