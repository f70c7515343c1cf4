//! Spectra of SDSS, BOSS and eBOSS: SkyServer's SQL search says which one, the science archive
//! server has its `spec-PLATE-MJD-FIBER.fits` (the lite variant).

use aion_data::Survey;

use super::rows::Rows;
use super::{Context, Found, expect_object};
use crate::check::read_back;
use crate::client::Question;
use crate::error::FetchError;
use crate::services::Sdss;
use crate::target::{Sought, Target};
use crate::url::{encoded, with_query};

/// The columns that lead to the file.
const COLUMNS: &str = "s.plate, s.mjd, s.fiberID, s.run2d, s.ra, s.dec";
/// Fibre positions and the catalogue's differ by less, arcsec.
const TOLERANCE: f64 = 2.0;

/// Which release is asked: the part of the address that says so.
pub fn release(service: &Sdss) -> String {
    let release = |address: &str| {
        let mut parts = address.split('/');
        let named = |part: &&str| {
            let digits = part.strip_prefix("dr").unwrap_or_default();
            !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
        };
        parts.find(named).unwrap_or_default().to_owned()
    };
    format!("spectra of {}", release(&service.spectrum))
}

/// Fetches `NAME.fits`.
///
/// # Errors
/// See [`FetchError`]; [`FetchError::Absent`] where there is no such spectrum.
pub fn fetch(target: &Target, context: &Context) -> Result<Found, FetchError> {
    let service = &context.services.sdss;
    let query = query(&target.sought, context.radius)?;
    let address = with_query(&service.query, &[("format", "csv"), ("cmd", &query)]);
    let answer = context.ask(&Question::get(address))?;
    let rows = Rows::parse(answer.csv()?, &["plate", "mjd", "fiberid", "run2d"])?;
    let Some(row) = rows.rows.first() else {
        return Err(context.absent(target, "SDSS spectrum"));
    };
    let plate = format!("{:04}", rows.whole(row, "plate")?);
    let mjd = rows.whole(row, "mjd")?.to_string();
    let fiber = format!("{:04}", rows.whole(row, "fiberid")?);
    let run2d = rows.cell(row, "run2d");
    let old = service.sdss_reductions.iter().any(|known| known == run2d);
    let project = if old { "sdss" } else { "eboss" };
    let address = service
        .spectrum
        .replace("{project}", project)
        .replace("{run2d}", &encoded(run2d))
        .replace("{plate}", &plate)
        .replace("{mjd}", &mjd)
        .replace("{fiber}", &fiber);
    let fits = context.ask(&Question::get(address))?.fits()?;
    let file = format!("{}.fits", target.name);
    let path = context.staging.write(&file, &fits)?;
    let near = context.near(target, TOLERANCE);
    let object = read_back(&path, Survey::Sdss, near)?;
    expect_object(&object, &format!("{plate}-{mjd}-{fiber}"))?;
    Ok(Found {
        files: vec![file],
        object: object.id,
    })
}

/// The SQL. Positions are numbers and identifiers digits by now, so that nothing else gets in.
fn query(sought: &Sought, radius: f64) -> Result<String, FetchError> {
    match sought {
        // The function takes arcminutes.
        Sought::Position { ra, dec } => Ok(format!(
            "SELECT TOP 1 {COLUMNS} FROM dbo.fGetNearestSpecObjEq({ra}, {dec}, {}) AS n \
             JOIN SpecObjAll AS s ON s.specObjID = n.specObjID",
            radius / 60.0
        )),
        Sought::Identifier(identifier) => {
            let numbers: Option<Vec<u64>> = identifier
                .split('-')
                .map(|part| part.parse().ok())
                .collect();
            let condition = match numbers.as_deref() {
                Some(&[plate, mjd, fiber]) => {
                    format!("s.plate = {plate} AND s.mjd = {mjd} AND s.fiberID = {fiber}")
                }
                Some(&[id]) => format!("s.specObjID = {id}"),
                _ => {
                    return Err(FetchError::Target(format!(
                        "`{identifier}` is no SDSS spectrum; expected PLATE-MJD-FIBER or a specObjID"
                    )));
                }
            };
            Ok(format!(
                "SELECT TOP 1 {COLUMNS} FROM SpecObjAll AS s WHERE {condition} \
                 ORDER BY s.sciencePrimary DESC"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_become_conditions() {
        let query = |text: &str| query(&Sought::Identifier(text.into()), 1.0);
        let by_fiber = query("0266-51630-0023").expect("a query");
        assert!(by_fiber.contains("s.plate = 266 AND s.mjd = 51630 AND s.fiberID = 23"));
        assert!(
            query("299489952322840576")
                .expect("a query")
                .contains("s.specObjID = 299")
        );
        assert!(query("266-51630").is_err());
        assert!(query("x").is_err());
    }

    #[test]
    fn the_release_is_read_off_the_address() {
        let services = crate::services::Services::built_in().expect("settings");
        assert_eq!(release(&services.sdss), "spectra of dr17");
    }
}
