//! Base with random weights, to measure what hardly depends on their values:
//! `cargo run --release -p aion-model --example random_checkpoint -- FOLDER` (1.3 GB).

use std::path::Path;

use aion_model::{Checkpoint, Preset};
use burn::tensor::Device;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("expected a folder")?;
    let new = Checkpoint::seeded(&Preset::Base.config(), 0, &Device::flex())?;
    new.transformer
        .save(&new.names, Path::new(&folder), false)?;
    Ok(())
}
