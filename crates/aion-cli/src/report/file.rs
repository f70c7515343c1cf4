//! Files of reports: whole or not at all.

use std::path::Path;

use aion_kernel::tensor_file::replace_file;
use anyhow::{Context, Result};

/// Writes a file, or leaves what was there before.
///
/// # Errors
/// The folder is not there, the disk is full, or the like.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let written = replace_file(path, content.as_ref());
    written.with_context(|| format!("{}: cannot be written", path.display()))
}
