//! Runs a run file and prints its reports: `cargo run --release --example train -- RUN.toml`.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use aion_train::{Event, RunConfig, run};
use burn::tensor::Device;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: train RUN.toml [--resume]")?;
    let resume = arguments.next().is_some_and(|flag| flag == "--resume");
    let config = RunConfig::read(Path::new(&path))?;
    let mut report = |event: &Event| match event {
        Event::Step(at) => println!(
            "{}/{} {:?} norm {:.2} {:.1}/s eta {:.0} s",
            at.step, at.steps, at.losses, at.gradient_norm, at.examples_per_second, at.eta_seconds
        ),
        other => println!("{other:?}"),
    };
    let stop = AtomicBool::new(false);
    let summary = run(&config, &Device::flex(), resume, &mut report, &stop)?;
    println!("{summary:#?}");
    Ok(())
}
