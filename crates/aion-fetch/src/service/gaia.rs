//! Gaia sources: TAP for the row of the table of sources, DataLink for its XP coefficients. Both
//! rows are joined into one CSV file, cells as they came, so that one object has all of it.

use aion_data::Survey;
use csv::{StringRecord, WriterBuilder};

use super::rows::Rows;
use super::{Context, Found, expect_object};
use crate::answer::Answer;
use crate::check::read_back;
use crate::client::Question;
use crate::error::FetchError;
use crate::target::{Sought, Target};
use crate::url::with_query;

/// Columns of the table of sources that are asked for.
const COLUMNS: [&str; 26] = [
    "source_id",
    "ra",
    "dec",
    "ref_epoch",
    "parallax",
    "parallax_error",
    "pmra",
    "pmra_error",
    "pmdec",
    "pmdec_error",
    "ruwe",
    "phot_g_mean_flux",
    "phot_g_mean_flux_error",
    "phot_bp_mean_flux",
    "phot_bp_mean_flux_error",
    "phot_rp_mean_flux",
    "phot_rp_mean_flux_error",
    "phot_g_mean_mag",
    "phot_bp_mean_mag",
    "phot_rp_mean_mag",
    "bp_rp",
    "radial_velocity",
    "radial_velocity_error",
    "ebpminrp_gspphot",
    "teff_gspphot",
    "has_xp_continuous",
];
/// Rounding of positions, arcsec.
const TOLERANCE: f64 = 0.1;

/// Fetches `NAME.csv`.
///
/// # Errors
/// See [`FetchError`]; [`FetchError::Absent`] where there is no such source.
pub fn fetch(target: &Target, context: &Context) -> Result<Found, FetchError> {
    let service = &context.services.gaia;
    let query = query(&target.sought, &service.table, context.radius)?;
    let parameters = [
        ("REQUEST", "doQuery"),
        ("LANG", "ADQL"),
        ("FORMAT", "csv"),
        ("QUERY", &query),
    ];
    let address = with_query(&service.tap, &parameters);
    let answer = context.ask(&Question::get(address))?;
    let sources = Rows::parse(answer.csv()?, &["source_id", "ra", "dec"])?;
    let Some(source) = sources.rows.first() else {
        return Err(context.absent(target, "Gaia source"));
    };
    let id = sources.whole(source, "source_id")?;
    let coefficients = match has_coefficients(sources.cell(source, "has_xp_continuous"))? {
        true => Some(coefficients(id, context)?),
        false => None,
    };
    let bytes = join((&sources, source), coefficients.as_ref())?;
    let file = format!("{}.csv", target.name);
    let path = context.staging.write(&file, &bytes)?;
    let near = context.near(target, TOLERANCE);
    let object = read_back(&path, Survey::Gaia, near)?;
    expect_object(&object, &id.to_string())?;
    Ok(Found {
        files: vec![file],
        object: object.id,
    })
}

/// The ADQL. Positions are numbers and identifiers digits by now.
fn query(sought: &Sought, table: &str, radius: f64) -> Result<String, FetchError> {
    let columns = COLUMNS.join(", ");
    match sought {
        Sought::Position { ra, dec } => {
            let (source, here) = ("POINT(ra, dec)", format!("POINT({ra}, {dec})"));
            Ok(format!(
                "SELECT TOP 1 {columns}, DISTANCE({source}, {here}) AS separation FROM {table} \
                 WHERE 1 = CONTAINS({source}, CIRCLE({ra}, {dec}, {:.9})) ORDER BY separation ASC",
                radius / 3600.0
            ))
        }
        Sought::Identifier(identifier) => match identifier.parse::<u64>() {
            Ok(id) => Ok(format!(
                "SELECT TOP 1 {columns} FROM {table} WHERE source_id = {id}"
            )),
            Err(_) => Err(FetchError::Target(format!(
                "`{identifier}` is no Gaia source_id, which is a whole number"
            ))),
        },
    }
}

/// Whether the table says that there are XP coefficients; archives spell it differently.
fn has_coefficients(cell: &str) -> Result<bool, FetchError> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Ok(true),
        "false" | "f" | "0" => Ok(false),
        other => Err(FetchError::Unexpected(format!(
            "asked for a table: has_xp_continuous is `{other}`, neither true nor false"
        ))),
    }
}

/// The row of coefficients of a source.
fn coefficients(id: u64, context: &Context) -> Result<(Rows, StringRecord), FetchError> {
    let service = &context.services.gaia;
    let parameters = [
        ("RETRIEVAL_TYPE", "XP_CONTINUOUS"),
        ("ID", &id.to_string()),
        ("RELEASE", &service.release),
        ("DATA_STRUCTURE", "RAW"),
        ("FORMAT", "csv"),
    ];
    let answer = context.ask(&Question::get(with_query(&service.datalink, &parameters)))?;
    let answer = unzipped(answer)?;
    let needed = ["source_id", "bp_coefficients", "rp_coefficients"];
    let rows = Rows::parse(answer.csv()?, &needed)?;
    let of_source = |row: &&StringRecord| rows.cell(row, "source_id") == id.to_string();
    match rows.rows.iter().find(of_source).cloned() {
        Some(row) => Ok((rows, row)),
        None => Err(FetchError::Unexpected(format!(
            "DataLink has no XP coefficients of source {id}, although the table says so"
        ))),
    }
}

/// The first CSV file of an archive; anything else as it is.
fn unzipped(answer: Answer) -> Result<Answer, FetchError> {
    if !answer.body.starts_with(b"PK") {
        return Ok(answer);
    }
    let unexpected = |what: String| FetchError::Unexpected(format!("asked for a table: {what}"));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&answer.body))
        .map_err(|error| unexpected(error.to_string()))?;
    let names = archive.file_names().flatten().map(|name| name.into_owned());
    let names: Vec<String> = names.collect();
    let Some(name) = names.iter().find(|name| name.ends_with(".csv")) else {
        return Err(unexpected("no CSV file in the archive".into()));
    };
    let file = archive
        .by_name(name)
        .map_err(|error| unexpected(error.to_string()))?;
    let mut body = Vec::new();
    // A row is 60 kB; an archive that unfolds to more than this is not one.
    std::io::Read::read_to_end(&mut std::io::Read::take(file, 64 << 20), &mut body)
        .map_err(|error| unexpected(error.to_string()))?;
    Ok(Answer {
        body,
        content_type: "text/csv".into(),
    })
}

/// One row with the columns of both; those of the second that the first has already are left out.
fn join(
    (sources, source): (&Rows, &StringRecord),
    coefficients: Option<&(Rows, StringRecord)>,
) -> Result<Vec<u8>, FetchError> {
    let mut names: Vec<&str> = sources.names.iter().map(String::as_str).collect();
    let mut cells: Vec<&str> = source.iter().collect();
    if let Some((rows, row)) = coefficients {
        for (name, cell) in rows.names.iter().zip(row) {
            if sources.column(name).is_none() {
                names.push(name);
                cells.push(cell);
            }
        }
    }
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    let written = writer
        .write_record(&names)
        .and_then(|()| writer.write_record(&cells));
    let failed = |error: String| FetchError::Unexpected(format!("a table: {error}"));
    written.map_err(|error| failed(error.to_string()))?;
    writer
        .into_inner()
        .map_err(|error| failed(error.to_string()))
}
