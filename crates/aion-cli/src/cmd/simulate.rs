//! `aion simulate`: a simulated sky in files like the surveys'.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aion_data::{DataError, Place, Problem, Survey};
use aion_simulate::{Settings, SurveyFiles};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::args::{parse_batch, parse_survey};
use crate::failure::usage;
use crate::progress::Progress;
use crate::report::file;
use crate::summary::{counted, print_json, print_text};

/// The file that says how a sky was simulated.
const RECORD: &str = "simulation.json";
/// The file that tells a reader what lies beside it.
const README: &str = "README.md";

/// Simulate a sky: galaxies, stars and quasars as the surveys would see them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: tables and XP coefficients of 100,000 objects, then tokens of the stars
  aion simulate --objects 100000 --surveys legacy,gaia --output sky
  aion tokenize --model models/aion-tiny --input sky/gaia --output tokens.parquet

Every survey is a HATS catalogue of Parquet files in the columns of the Multimodal Universe:
DIR/legacy, DIR/hsc, DIR/sdss, DIR/desi, DIR/gaia. DIR/truth has the true properties and each
survey's identifier of the object. An object lies at slightly different places in different surveys,
stars move. The same seed, number and area give the same files, whatever the number of threads.

Nothing of this is observed, and every file says so.")]
pub struct Args {
    /// Number of objects
    #[arg(long, value_parser = parse_batch, value_name = "N")]
    objects: usize,
    /// New directory for the catalogues
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Surveys that look
    #[arg(
        long,
        value_parser = parse_survey,
        value_delimiter = ',',
        default_value = "legacy,hsc,sdss,desi,gaia",
        value_name = "SURVEY,.."
    )]
    surveys: Vec<Survey>,
    /// Every survey measures every object, even where a real one would not
    #[arg(long)]
    everything: bool,
    /// Images and segmentation maps: 0.7 MB an object that both imaging surveys see
    #[arg(long, value_enum, default_value_t = YesNo::No)]
    images: YesNo,
    /// Square degrees that the objects are spread over; by default 4000 objects share one
    #[arg(long, value_parser = parse_area, value_name = "DEG2")]
    area: Option<f64>,
    /// Objects a file at most; positions do not depend on it
    #[arg(long, value_parser = parse_batch, value_name = "N")]
    max_rows: Option<usize>,
    /// Seed of everything random
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Go on in a directory where the same command was interrupted
    #[arg(long)]
    resume: bool,
    /// Threads; all cores by default
    #[arg(long, value_parser = parse_batch, value_name = "N")]
    threads: Option<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum YesNo {
    No,
    Yes,
}

fn parse_area(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(area) if area > 0.0 && area.is_finite() => Ok(area),
        _ => Err("expected a positive number of square degrees".to_owned()),
    }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    if let Some(threads) = args.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global()?;
    }
    let surveys: BTreeSet<Survey> = args.surveys.iter().copied().collect();
    let settings = Settings {
        seed: args.seed,
        objects: args.objects as u64,
        area: args.area,
        surveys: surveys.into_iter().collect(),
        everything: args.everything,
        images: args.images == YesNo::Yes,
        max_rows: args.max_rows.map(|rows| rows as u64),
    };
    let record = record(&settings);
    open(&args.output, &record, args.resume)?;
    let files = SurveyFiles::new(settings, metadata(&record));
    let progress = Progress::start("simulating", args.objects as u64);
    for partition in 0..files.len() {
        if !files.has(&args.output, partition) {
            files.write(&args.output, partition)?;
        }
        progress.advance(files.objects(partition));
    }
    drop(progress);
    let rows = files.finish(&args.output)?;
    let area = files.region().area();
    file::write(&args.output.join(README), readme(&record, &rows, area))?;
    report(&args, &rows, area)
}

fn report(args: &Args, rows: &BTreeMap<String, u64>, area: f64) -> anyhow::Result<()> {
    if args.json {
        return print_json(&json!({
            "output": args.output.display().to_string(),
            "simulated": true,
            "objects": args.objects,
            "area_deg2": area,
            "rows": rows,
        }));
    }
    let objects = counted(args.objects, "simulated object");
    let output = args.output.display();
    print_text(&format!("{output}: {objects} on {area:.2} deg2"))?;
    for (name, rows) in rows {
        print_text(&format!("  {name:<8}{rows:>12} rows"))?;
    }
    Ok(())
}

/// What decides the content of the files.
fn record(settings: &Settings) -> Value {
    let surveys: Vec<&str> = settings.surveys.iter().map(|s| s.name()).collect();
    json!({
        "simulated": true,
        "version": env!("CARGO_PKG_VERSION"),
        "seed": settings.seed,
        "objects": settings.objects,
        "area": settings.area,
        "surveys": surveys,
        "everything": settings.everything,
        "images": settings.images,
        "max_rows": settings.max_rows,
    })
}

fn metadata(record: &Value) -> BTreeMap<String, String> {
    let note = "simulated objects, not observations (aion simulate)";
    BTreeMap::from([
        ("aion.note".to_owned(), note.to_owned()),
        ("aion.simulation".to_owned(), record.to_string()),
    ])
}

/// Makes the directory, or finds in it what is to be gone on with.
fn open(folder: &Path, record: &Value, resume: bool) -> anyhow::Result<()> {
    let failed = |error: io::Error| DataError::new(Place::file(folder), Problem::Io(error));
    let path = folder.join(RECORD);
    if !resume {
        if folder.exists() && fs::read_dir(folder).map_err(failed)?.next().is_some() {
            let error = "the output exists and is not empty; --resume goes on with it";
            return Err(usage(format!("{}: {error}", folder.display())));
        }
        fs::create_dir_all(folder).map_err(failed)?;
        return file::write(&path, format!("{record:#}\n"));
    }
    let text = fs::read_to_string(&path)
        .map_err(|error| DataError::new(Place::file(&path), Problem::Io(error)))?;
    if serde_json::from_str::<Value>(&text).ok().as_ref() != Some(record) {
        let error = "was made by other settings than these, which cannot go on with it";
        return Err(usage(format!("{}: {error}", path.display())));
    }
    remove_partial_files(folder).map_err(|error| failed(error).into())
}

/// Removes what an interrupted run left beside its complete files.
fn remove_partial_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            remove_partial_files(&entry.path())?;
        } else if name.starts_with('.') && name.ends_with(".partial") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn readme(record: &Value, rows: &BTreeMap<String, u64>, area: f64) -> String {
    let mut text = format!(
        "# A simulated sky\n\n\
         Nothing here was observed: `aion simulate` made these files, to exercise training,\n\
         calibration and scale. Identifiers begin with `sim-`, the column `simulated` is true, and\n\
         each file's metadata says so (`aion.simulated`).\n\n\
         Each folder is a HATS catalogue (`lsdb.open_catalog`), sorted by `_healpix_29`, on\n\
         {area:.2} square degrees:\n\n| catalogue | rows |\n|---|---|\n"
    );
    for (name, rows) in rows {
        text += &format!("| `{name}` | {rows} |\n");
    }
    text += "\n`truth` has what is true of every object, whether or not a survey measured it: class,\n\
             redshift, magnitude in DECam's r (AB, noiseless, with the Milky Way's dust), E(B-V),\n\
             half-light radius (arcsec), Sersic index, axis ratio, position angle (degrees), log10 of\n\
             stellar mass and star formation rate (solar units, a year), age of the stars (Gyr), log10\n\
             metallicity, attenuation in V (mag), effective temperature (K), log10 of the gravity\n\
             (cgs), parallax (mas), proper motion (mas/yr), position at 2016.0, and as `SURVEY_id` the\n\
             identifiers that the surveys gave it. Segmentation maps are in `legacy` where images are.\n\
             Gaia's coefficients are in a basis of the simulator's own: do not mix them with real ones.\n";
    text += &format!("\nMade with:\n\n```json\n{record:#}\n```\n");
    text
}
