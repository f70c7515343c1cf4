//! `aion demo`: everything that the model can do, on a few objects, with a report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use aion_codec::CodecSet;
use aion_data::{ModalityId, Object};
use aion_model::Checkpoint;
use anyhow::Result;
use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::args::{HubArgs, MachineArgs, ModelArgs, OnError, ReadingArgs, parse_batch};
use crate::cmd::fetch;
use crate::failure::usage;
use crate::input::{Accept, Row as InputRow, Rows, find_files};
use crate::model_source::{self, Model, Need};
use crate::problems::Problems;
use crate::provenance::{Provenance, Record};
use crate::report::figures::Figures;
use crate::report::folder::{Folder, MADE_BY, MARKER};
use crate::report::html::first_paragraph;
use crate::report::page::Page;
use crate::report::study::{Instruments, Study, study};
use crate::report::summary::{Row, rows};
use crate::report::{bundled, model_card, online, terminal};
use crate::summary::{print_json, print_text};

/// Where the bundled model lies in the repository.
const BUNDLED_MODEL: &str = "models/aion-tiny";

/// Study a few objects: tokenise, reconstruct, embed, predict, and write a report
///
/// Without --input, objects that come with the repository are studied: published figures of real
/// galaxies and stars, and simulated ones, marked as such, that also have images and spectra. The
/// bundled model was trained on none of them. Nothing is fetched, unless --online asks for ten
/// well-known objects as the Legacy Surveys, SDSS and Gaia have them.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  aion demo\n  aion demo --input spec-*.fits cutouts/ --output my-report"
)]
pub struct Args {
    /// Files, directories, globs or lists (@files.txt) of observations, instead of the bundled ones
    #[arg(long, num_args = 1.., value_name = "PATH")]
    input: Vec<String>,
    /// Fetch ten well-known objects from the surveys' public services, once, and study those
    #[arg(long, conflicts_with_all = ["input", "offline"])]
    online: bool,
    /// TOML with other end points for --online, as for `aion fetch`
    #[arg(long, requires = "online", value_name = "FILE")]
    services: Option<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// What a bad object does: end the command, or be listed and left out
    #[arg(long, value_enum, default_value_t = OnError::Fail)]
    on_error: OnError,
    /// Most objects to study; the rest of the input is left out
    #[arg(long, default_value = "64", value_parser = parse_batch, value_name = "N")]
    max_objects: usize,
    /// Checkpoint: a folder, or a hub id such as polymathic-ai/aion-base [default: the bundled one]
    #[arg(long, value_name = "DIR|ID")]
    model: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
    /// Folder of the report; an earlier demo's is replaced
    #[arg(long, default_value = "aion-demo", value_name = "DIR")]
    output: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// The objects to study.
struct Chosen {
    objects: Vec<Object>,
    sources: BTreeMap<String, String>,
    /// Objects of the input beyond the most that are studied.
    beyond: bool,
}

/// Runs the command.
///
/// # Errors
/// Bad input, a bad checkpoint, an output that cannot be written or is not ours to replace.
pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let folder = Folder::start(&args.output)?;
    let model = find_model(&args)?;
    let device = args.machine.start()?;
    let mut problems = Problems::new(args.on_error);
    let steps = Steps::start();
    steps.next("reading objects");
    let chosen = choose(&args, &mut problems)?;
    steps.next("opening the model");
    let transformer = Checkpoint::open(&model.folder, &device)?.transformer;
    let codecs = CodecSet::new(&model.folder, &device);
    let mut provenance = Provenance::new(&model, &args.machine);
    let mut record = Record::default();
    record.uses_transformer();
    record.uses_codecs(ModalityId::all().filter(|id| codecs.has(*id)));
    provenance.start(&record);
    let instruments = Instruments {
        codecs: &codecs,
        model: &transformer,
    };
    let studies = study(chosen.objects, &instruments, &mut problems, &|stage| {
        steps.next(stage)
    })?;
    steps.next("drawing the report");
    let rows = rows(&studies, &chosen.sources);
    let card = model_card::read(&model.folder);
    let made = Made {
        studies: &studies,
        rows: &rows,
        card: card.as_deref(),
        provenance: &provenance.metadata(&record)?,
        problems: &problems,
    };
    made.write(&folder)?;
    folder.finish()?;
    drop(steps);
    problems.print();
    if args.json {
        return print_json(&made.json());
    }
    let seconds = started.elapsed().as_secs_f64();
    made.print(&args, chosen.beyond, seconds)
}

fn find_model(args: &Args) -> Result<Model> {
    let bundled = bundled::in_repository(BUNDLED_MODEL);
    let name = match &args.model {
        Some(name) => name.clone(),
        None if bundled.is_dir() => bundled.display().to_string(),
        None => {
            let path = bundled.display();
            return Err(usage(format!(
                "no bundled model at {path}; expected --model DIR|ID"
            )));
        }
    };
    let source = ModelArgs {
        model: name,
        hub: args.hub.clone(),
    };
    let mut model =
        model_source::find(&source, &Need::transformer().and_codecs(ModalityId::all()))?;
    if args.model.is_none() {
        model.name = BUNDLED_MODEL.to_owned();
    }
    Ok(model)
}

fn choose(args: &Args, problems: &mut Problems) -> Result<Chosen> {
    if args.online {
        let services = fetch::services(args.services.as_deref())?;
        let (mut objects, sources) = online::objects(&services, &online::cache_folder())?;
        let beyond = objects.len() > args.max_objects;
        objects.truncate(args.max_objects);
        return Ok(Chosen {
            objects,
            sources,
            beyond,
        });
    }
    if args.input.is_empty() {
        let (mut objects, sources) = bundled::real()?;
        objects.extend(bundled::simulated());
        return Ok(Chosen {
            objects,
            sources,
            beyond: false,
        });
    }
    let files = find_files(&args.input)?;
    let mut objects = Vec::new();
    let mut beyond = false;
    for row in Rows::of_files(files, args.reading.options(), Accept::Observations) {
        if objects.len() == args.max_objects {
            beyond = true;
            break;
        }
        if let Some(InputRow::Observed(object)) = problems.keep(row)?.map(|located| located.row) {
            objects.push(object);
        }
    }
    Ok(Chosen {
        objects,
        sources: BTreeMap::new(),
        beyond,
    })
}

/// What there is to show.
struct Made<'a> {
    studies: &'a [Study],
    rows: &'a [Row],
    card: Option<&'a str>,
    provenance: &'a BTreeMap<String, String>,
    problems: &'a Problems,
}

impl Made<'_> {
    fn write(&self, folder: &Folder) -> Result<()> {
        let figures = Figures::draw(self.studies)?;
        for figure in figures.all() {
            figure.write(folder)?;
        }
        let page = Page {
            studies: self.studies,
            rows: self.rows,
            figures: &figures,
            model_card: self.card,
            provenance: self.provenance,
            left_out: &self.left_out(),
        };
        folder.write("report.html", page.html()?.as_bytes())?;
        let marker = serde_json::to_string_pretty(&self.json())?;
        folder.write(MARKER, marker.as_bytes())
    }

    fn left_out(&self) -> Vec<String> {
        let bad = self.problems.list().iter();
        bad.map(|bad| {
            let place = [
                bad.file.as_deref(),
                bad.object.as_deref(),
                bad.field.as_deref(),
            ];
            let place: Vec<&str> = place.into_iter().flatten().collect();
            format!("{}: {}", place.join(", "), bad.problem)
        })
        .collect()
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "made_by": MADE_BY,
            "provenance": self.provenance,
            "objects": self.rows,
            "skipped": self.problems.list(),
        })
    }

    fn print(&self, args: &Args, beyond: bool, seconds: f64) -> Result<()> {
        let width = terminal::width();
        print_text(&terminal::table(self.rows, width))?;
        let report = args.output.join("report.html");
        let mut closing = format!(
            "The report is in {} ({seconds:.0} s). z is predicted from everything but the redshift; img R² and \
             spec χ² a pixel tell how well pixels come back from their tokens, numbers how far the \
             reconstructed numbers are off; – means not measured.",
            report.display()
        );
        if beyond {
            closing += &format!(
                " Only the first {} objects were studied (--max-objects).",
                args.max_objects
            );
        }
        if let Some(card) = self.card.and_then(first_paragraph) {
            closing += &format!(" The model: {card}");
        }
        if args.model.is_none() {
            closing += " The bundled model is small, to fit into the repository: it shows how AION-1 \
                        works, not how well; --model takes the published ones.";
        }
        print_text(&terminal::wrapped(&closing, width.min(100)))
    }
}

/// The steps of the command, on stderr; silent where that is no terminal.
struct Steps {
    bar: ProgressBar,
}

/// Number of steps: reading, opening, the study's and drawing.
const NUM_STEPS: u64 = 9;

impl Steps {
    fn start() -> Self {
        let bar = ProgressBar::with_draw_target(Some(NUM_STEPS), ProgressDrawTarget::stderr());
        // A template that does not parse leaves the plain bar.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_bar} {pos}/{len} {msg:28}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Steps { bar }
    }

    fn next(&self, step: &'static str) {
        self.bar.inc(1);
        self.bar.set_message(step);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
