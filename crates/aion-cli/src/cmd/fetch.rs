//! `aion fetch`: real objects from the surveys' public services, as files for the other commands.

use std::fs;
use std::path::{Path, PathBuf};

use aion_data::Survey;
use aion_fetch::{Access, Credentials, FetchError, Options, Outcome, Services, Status, Target};
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::args::{OnError, parse_batch, parse_survey};
use crate::failure::usage;
use crate::progress::Progress;
use crate::summary::{print_json, print_text};

/// User and password of HSC's archive.
const HSC_ACCOUNT: [&str; 2] = ["AION_HSC_USER", "AION_HSC_PASSWORD"];
/// A proxy's address, as other programs spell it, best first.
const PROXY: [&str; 3] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"];

/// Fetch real objects from a survey's public services, as files that the other commands read
///
/// Files go to DIR/SURVEY, named after the object or its position; DIR/manifest.jsonl says what was
/// asked, what came, and how the survey wants to be acknowledged. Run again, the command asks only
/// for what is not settled yet: what is there unchanged stays, what the survey does not have is not
/// asked for again, what failed is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: an image, a spectrum, Gaia's measurements, and what a table of positions asks for
  aion fetch legacy --ra 229.31003 --dec 21.58553 --output sky
  aion fetch sdss --id 0266-51630-0023 --output sky
  aion fetch gaia --ra 177.14012 --dec 1.48317 --radius 1 --output sky
  aion fetch desi --table positions.csv --output sky --on-error skip
  aion inspect sky/legacy sky/sdss sky/gaia

Identifiers: PLATE-MJD-FIBER or specObjID (sdss), TARGETID (desi), source_id (gaia). A table has
columns ra, dec (degrees) and object_id; any file that the other commands read will do. HSC's
archive wants a (free) account: set AION_HSC_USER and AION_HSC_PASSWORD. Services, releases and
limits are those of crates/aion-fetch/src/services.toml; --services FILE replaces single keys.

The exit code is 1 when something could not be fetched.")]
pub struct Args {
    /// The survey
    #[arg(value_parser = parse_survey, value_name = "legacy|hsc|sdss|desi|gaia")]
    survey: Survey,
    /// Right ascension, degrees
    #[arg(
        long,
        value_name = "DEG",
        requires = "dec",
        allow_negative_numbers = true
    )]
    ra: Option<f64>,
    /// Declination, degrees
    #[arg(
        long,
        value_name = "DEG",
        requires = "ra",
        allow_negative_numbers = true
    )]
    dec: Option<f64>,
    /// The survey's own identifiers, or files that list them one a line (@ids.txt)
    #[arg(long, num_args = 1.., value_name = "ID", conflicts_with_all = ["ra", "table"])]
    id: Vec<String>,
    /// Objects to fetch, by position
    #[arg(long, value_name = "PATH", conflicts_with = "ra")]
    table: Option<PathBuf>,
    /// How far from the position the object may be [default: 2]
    #[arg(long, value_name = "ARCSEC")]
    radius: Option<f64>,
    /// Folder for the files
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// TOML with other end points, releases or limits
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,
    /// Objects worked on at a time; a host gets fewer connections (politeness.per_host)
    #[arg(long, default_value_t = 4, value_parser = parse_batch, value_name = "N")]
    jobs: usize,
    /// What an object that cannot be fetched does: `fail` the command when all others are fetched,
    /// or be listed only (`skip`)
    #[arg(long, value_enum, default_value_t = OnError::Fail, hide_possible_values = true)]
    on_error: OnError,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Arguments that cannot be meant; objects that could not be fetched, unless they may be skipped.
pub fn run(args: Args) -> Result<()> {
    let services = services(args.services.as_deref())?;
    let targets = targets(&args)?;
    let options = Options {
        services: &services,
        output: &args.output,
        jobs: args.jobs,
        radius: args.radius,
        access: access(args.survey)?,
    };
    let progress = Progress::start("fetching", targets.len() as u64);
    let fetched = aion_fetch::fetch(args.survey, targets, &options, &|_| progress.advance(1));
    drop(progress);
    let outcomes = fetched.map_err(refused)?;
    report(&args, &services, &outcomes)?;
    let bad = |outcome: &&Outcome| !matches!(outcome.status, Status::Fetched | Status::Kept);
    let bad: Vec<&Outcome> = outcomes.iter().filter(bad).collect();
    match bad.first() {
        Some(first) if args.on_error == OnError::Fail => anyhow::bail!(
            "{} of {} could not be fetched, the first: {}: {}",
            bad.len(),
            outcomes.len(),
            first.name,
            reason(first).unwrap_or_default()
        ),
        _ => Ok(()),
    }
}

/// The services, a user's file laid over the built-in ones.
///
/// # Errors
/// The file cannot be read or meant.
pub fn services(file: Option<&Path>) -> Result<Services> {
    let Some(file) = file else {
        return Ok(Services::built_in()?);
    };
    let shown = file.display();
    let text = fs::read_to_string(file).with_context(|| shown.to_string())?;
    Services::with(&text).map_err(|error| usage(format!("{shown}: {error}")))
}

/// Credentials and proxy, from the environment.
///
/// # Errors
/// The survey's service wants an account, and there is none.
pub fn access(survey: Survey) -> Result<Access> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let credentials = match (survey, HSC_ACCOUNT.map(set)) {
        (Survey::Hsc, [Some(user), Some(password)]) => Some(Credentials { user, password }),
        (Survey::Hsc, _) => {
            let [user, password] = HSC_ACCOUNT;
            return Err(usage(format!(
                "hsc: the archive wants an account: set {user} and {password}"
            )));
        }
        _ => None,
    };
    let proxy = PROXY.into_iter().find_map(set);
    Ok(Access { credentials, proxy })
}

fn targets(args: &Args) -> Result<Vec<Target>> {
    if let Some(table) = &args.table {
        return Target::table(table).map_err(refused);
    }
    if let Some((ra, dec)) = args.ra.zip(args.dec) {
        return Ok(vec![Target::at(ra, dec).map_err(refused)?]);
    }
    let mut targets = Vec::new();
    for id in &args.id {
        let Some(list) = id.strip_prefix('@') else {
            targets.push(Target::identified(id).map_err(refused)?);
            continue;
        };
        let text = fs::read_to_string(list).with_context(|| list.to_owned())?;
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            targets.push(Target::identified(line).map_err(refused)?);
        }
    }
    if targets.is_empty() {
        return Err(usage(
            "nothing to fetch; expected --ra and --dec, --id, or --table",
        ));
    }
    Ok(targets)
}

/// What the user has to change is bad usage; the rest is not.
fn refused(error: FetchError) -> anyhow::Error {
    match error {
        FetchError::Target(_) | FetchError::Settings(_) | FetchError::Credentials(_) => {
            usage(error.to_string())
        }
        FetchError::Data(error) => error.into(),
        error => error.into(),
    }
}

/// Why an object did not come; none where it did.
pub fn reason(outcome: &Outcome) -> Option<&str> {
    match &outcome.status {
        Status::Absent(reason) | Status::Failed(reason) => Some(reason),
        Status::Fetched | Status::Kept => None,
    }
}

fn status(outcome: &Outcome) -> &'static str {
    match outcome.status {
        Status::Fetched => "fetched",
        Status::Kept => "kept",
        Status::Absent(_) => "absent",
        Status::Failed(_) => "failed",
    }
}

fn report(args: &Args, services: &Services, outcomes: &[Outcome]) -> Result<()> {
    for outcome in outcomes {
        if let Some(reason) = reason(outcome) {
            eprintln!("{}: {}: {reason}", status(outcome), outcome.name);
        }
    }
    let count = |wanted: &str| outcomes.iter().filter(|one| status(one) == wanted).count();
    let bytes: u64 = outcomes.iter().map(|outcome| outcome.bytes).sum();
    let survey = args.survey.name();
    let acknowledgement = services.acknowledgement(args.survey);
    if args.json {
        let objects: Vec<Value> = outcomes.iter().map(described).collect();
        return print_json(&json!({
            "output": args.output.display().to_string(),
            "survey": survey,
            "fetched": count("fetched"),
            "kept": count("kept"),
            "absent": count("absent"),
            "failed": count("failed"),
            "bytes": bytes,
            "acknowledgement": acknowledgement,
            "objects": objects,
        }));
    }
    print_text(&format!(
        "{}: {} fetched, {} kept, {} absent, {} failed; {:.1} MB\nAcknowledge: {acknowledgement}",
        args.output.join(survey).display(),
        count("fetched"),
        count("kept"),
        count("absent"),
        count("failed"),
        bytes as f64 / 1e6
    ))
}

fn described(outcome: &Outcome) -> Value {
    let files = outcome.files.iter().map(|file| file.display().to_string());
    json!({
        "name": outcome.name,
        "status": status(outcome),
        "reason": reason(outcome),
        "object_id": outcome.object,
        "files": files.collect::<Vec<String>>(),
        "bytes": outcome.bytes,
    })
}
