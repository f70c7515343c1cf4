//! `aion inspect`: what files or a checkpoint hold, what a model would be fed of it, and what is wrong.

mod checkpoint;
mod contents;
mod identity;
mod results;
mod sky;

use std::fs;
use std::path::{Path, PathBuf};

use aion_codec::CodecSet;
use aion_data::{DataError, ModalityId};
use anyhow::Context;
use burn::tensor::Device;
use serde_json::{Value, json};

use crate::args::{HubArgs, ModelArgs, ReadingArgs};
use crate::failure::usage;
use crate::input::{self, InputFile, Row};
use crate::model_source::{self, Need};
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::report::sky_map;
use crate::summary;
use contents::Contents;
use identity::Identities;
use sky::SkyCounts;

/// Show what observations, tokens or a checkpoint hold, and what is wrong with them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: a checkpoint; a folder of survey files; the same with what a model's codecs cannot express,
and a map of the sky
  aion inspect models/aion-tiny
  aion inspect spectra/ --json
  aion inspect survey/ --model models/aion-tiny --map sky.svg

Objects that would be refused are counted by reason, with the first of each. `masked` is the share of
pixels that the survey marks as bad or gives no weight. The exit code is 2 when objects are refused.")]
pub struct Args {
    /// Checkpoint folder, or files as for --input of other commands
    #[arg(required = true, value_name = "PATH")]
    path: Vec<String>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Checkpoint whose codecs the values are held against: a folder, or a hub id
    #[arg(long, value_name = "DIR|ID")]
    model: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
    /// Draw where the objects lie on the sky
    #[arg(long, value_name = "FILE.svg")]
    map: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    if let [path] = args.path.as_slice()
        && Path::new(path).join("config.json").is_file()
    {
        return checkpoint::run(Path::new(path), args.json);
    }
    let mut report = Report::new(&args)?;
    let files = input::find_files(&args.path)?;
    let progress = Progress::start("reading", input::estimate(&files));
    for file in &files {
        report.add(file, &args.reading, &progress)?;
    }
    drop(progress);
    if let Some(path) = &args.map {
        report.draw(path)?;
    }
    if args.json {
        summary::print_json(&report.json())?;
    } else {
        report.print()?;
    }
    report.verdict()
}

/// What is known of an input.
struct Report {
    files: Vec<Contents>,
    identities: Identities,
    sky: SkyCounts,
    held_against: Option<HeldAgainst>,
}

/// The codecs of a checkpoint, and what of the values they cannot express.
struct HeldAgainst {
    codecs: CodecSet,
    ranges: Ranges,
}

impl Report {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let held_against = match &args.model {
            Some(model) => {
                let model = ModelArgs {
                    model: model.clone(),
                    hub: args.hub.clone(),
                };
                let folder = model_source::find(&model, &Need::all_codecs())?.folder;
                Some(HeldAgainst {
                    codecs: CodecSet::new(&folder, &Device::flex()),
                    ranges: Ranges::new(args.json),
                })
            }
            None => None,
        };
        Ok(Report {
            files: Vec::new(),
            identities: Identities::default(),
            sky: SkyCounts::default(),
            held_against,
        })
    }

    /// Reads a file to its end.
    fn add(
        &mut self,
        file: &InputFile,
        reading: &ReadingArgs,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let (identities, sky) = (&mut self.identities, &mut self.sky);
        let held_against = &mut self.held_against;
        let contents = contents::read(file, &reading.options(), |row| {
            progress.advance(1);
            let (id, position) = match row {
                Row::Observed(object) => (&object.id, object.ra.zip(object.dec)),
                Row::Tokenized(tokens) => (&tokens.id, tokens.ra.zip(tokens.dec)),
            };
            identities.add(id);
            position.into_iter().for_each(|position| sky.add(position));
            match (held_against.as_mut(), row) {
                (Some(against), Row::Observed(object)) => against.add(&file.path, object),
                _ => Ok(Ok(())),
            }
        })?;
        self.files.push(contents);
        Ok(())
    }

    fn print(&self) -> anyhow::Result<()> {
        contents::print(&self.files)?;
        let lines = [self.sky.line(), self.identities.line()];
        for line in lines.into_iter().flatten() {
            summary::print_text(&line)?;
        }
        let Some(against) = &self.held_against else {
            return Ok(());
        };
        for modality in self.not_fed(against) {
            let line = format!("not fed: {modality}: the checkpoint has no codec for it");
            summary::print_text(&line)?;
        }
        match against.ranges.table() {
            Some(rows) => {
                summary::print_text(
                    "fed, and how much of it lies outside what the codecs express:",
                )?;
                summary::print_table(&rows)
            }
            None => Ok(()),
        }
    }

    fn json(&self) -> Value {
        let mut all = json!({
            "files": self.files,
            "objects": self.files.iter().map(Contents::objects).sum::<usize>(),
            "duplicates": self.identities.json(),
            "sky": self.sky.json(),
        });
        if let (Some(against), Some(all)) = (&self.held_against, all.as_object_mut()) {
            let not_fed: Vec<&str> = self.not_fed(against).map(ModalityId::key).collect();
            all.insert("not_fed".into(), json!(not_fed));
            all.insert("ranges".into(), json!(against.ranges.by_modality()));
            all.insert("out_of_range".into(), json!(against.ranges.by_object()));
        }
        all
    }

    /// Modalities of the input that the checkpoint has no codec for.
    fn not_fed<'a>(&'a self, against: &'a HeldAgainst) -> impl Iterator<Item = ModalityId> + 'a {
        ModalityId::all().filter(|&id| {
            let observed = |file: &Contents| file.observes(id);
            self.files.iter().any(observed) && !against.codecs.has(id)
        })
    }

    fn draw(&self, path: &Path) -> anyhow::Result<()> {
        let Some(cells) = self.sky.cells() else {
            let what = format!("{}: no object has a position to draw", path.display());
            return Err(usage(what));
        };
        let map = sky_map::draw(cells, sky::FINE, sky::COARSE)?;
        fs::write(path, map).with_context(|| path.display().to_string())
    }

    /// Fails where anything is refused.
    fn verdict(&self) -> anyhow::Result<()> {
        let total: usize = self.files.iter().map(|file| file.problems.total()).sum();
        let mut lists = self.files.iter().flat_map(|file| file.problems.list());
        match (total, lists.next()) {
            (0, _) | (_, None) => Ok(()),
            (1, Some(reason)) => Err(usage(reason.first)),
            (total, Some(reason)) => {
                let first = reason.first;
                Err(usage(format!("{total} problems, the first: {first}")))
            }
        }
    }
}

impl HeldAgainst {
    fn add(
        &mut self,
        file: &Path,
        object: &aion_data::Object,
    ) -> anyhow::Result<Result<(), DataError>> {
        let coverage = self.codecs.coverage(object)?;
        Ok(coverage.map(|report| self.ranges.add(file, &object.id, &report)))
    }
}
