//! DESI spectra by way of NOIRLab's SPARCL, which has them with the three cameras coadded to one
//! grid: `find` says which spectra there are, `spectras` has their pixels as JSON. They are written
//! as observations in safetensors, since no file of the survey holds a single coadded spectrum.

use std::collections::BTreeMap;

use aion_data::tensor_files::write_observations;
use aion_data::{Kind, Measurement, ModalityId, Object, Spectrum, Survey};
use serde_json::{Value, json};

use super::{Context, Found};
use crate::check::read_back;
use crate::client::Question;
use crate::error::FetchError;
use crate::target::{Sought, Target, separation};
use crate::url::with_query;

/// SPARCL's name of a spectrum.
const SPECTRUM_ID: &str = "sparcl_id";
/// Most spectra looked at around a position.
const MOST: &str = "100";
/// Inverse variances up to this are no measurement.
const LEAST_IVAR: f32 = 1e-6;

/// Fetches `NAME.safetensors`.
///
/// # Errors
/// See [`FetchError`]; [`FetchError::Absent`] where there is no such spectrum.
pub fn fetch(target: &Target, context: &Context) -> Result<Found, FetchError> {
    let candidates = match &target.sought {
        Sought::Position { ra, dec } => around((*ra, *dec), context)?,
        Sought::Identifier(identifier) => {
            let id: i64 = identifier.parse().map_err(|_| {
                FetchError::Target(format!(
                    "`{identifier}` is no DESI TARGETID, which is a whole number"
                ))
            })?;
            find(vec![json!(["specid", id])], context)?
        }
    };
    // Where a target was observed in several programs, SPARCL marks the best spectrum.
    let best = candidates.into_iter().min_by(|a, b| {
        let rank = |c: &Candidate| (!c.primary, c.separation);
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let Some(best) = best else {
        return Err(context.absent(target, "DESI spectrum"));
    };
    let record = retrieve(&best.id, context)?;
    let object = object(&record)?;
    let release = &context.services.desi.release;
    let source = format!("{release} by way of SPARCL, {} {}", SPECTRUM_ID, best.id);
    let metadata = BTreeMap::from([("source".to_owned(), source)]);
    let file = format!("{}.safetensors", target.name);
    let path = context.staging.path(&file);
    write_observations(&path, &[object], &metadata)?;
    let object = read_back(&path, Survey::Desi, None)?;
    Ok(Found {
        files: vec![file],
        object: object.id,
    })
}

/// A spectrum that may be meant.
struct Candidate {
    id: String,
    primary: bool,
    separation: f64,
}

/// Spectra within the radius of a position. SPARCL knows ranges only: a box is asked for, in two
/// parts where it crosses 0 degrees.
fn around(position: (f64, f64), context: &Context) -> Result<Vec<Candidate>, FetchError> {
    let (ra, dec) = position;
    let half = context.radius / 3600.0;
    let (low, high) = ((dec - half).max(-90.0), (dec + half).min(90.0));
    let widest = low.abs().max(high.abs());
    let wide = half / widest.to_radians().cos().max(1e-9);
    let ranges = match (ra - wide, ra + wide) {
        _ if wide >= 180.0 => vec![(0.0, 360.0)],
        (left, right) if left < 0.0 => vec![(left + 360.0, 360.0), (0.0, right)],
        (left, right) if right > 360.0 => vec![(left, 360.0), (0.0, right - 360.0)],
        range => vec![range],
    };
    let mut found = Vec::new();
    for (left, right) in ranges {
        let search = vec![json!(["ra", left, right]), json!(["dec", low, high])];
        found.extend(find_near(search, Some(position), context)?);
    }
    found.retain(|candidate| candidate.separation <= context.radius);
    Ok(found)
}

fn find(search: Vec<Value>, context: &Context) -> Result<Vec<Candidate>, FetchError> {
    find_near(search, None, context)
}

fn find_near(
    mut search: Vec<Value>,
    position: Option<(f64, f64)>,
    context: &Context,
) -> Result<Vec<Candidate>, FetchError> {
    let service = &context.services.desi;
    search.push(json!(["data_release", service.release]));
    let outfields = [SPECTRUM_ID, "ra", "dec", "specprimary"];
    let post = json!({ "outfields": outfields, "search": search });
    let question = Question {
        post: Some(post.to_string()),
        ..Question::get(with_query(&service.find, &[("limit", MOST)]))
    };
    let records = records(context.ask(&question)?.json()?)?;
    let candidates = records.iter().map(|record| {
        let number = |name: &str| record.get(name).and_then(Value::as_f64);
        let id = record.get(SPECTRUM_ID).and_then(Value::as_str);
        let (Some(id), Some(ra), Some(dec)) = (id, number("ra"), number("dec")) else {
            return Err(unexpected("a record without sparcl_id, ra or dec"));
        };
        let primary = record.get("specprimary");
        Ok(Candidate {
            id: id.to_owned(),
            primary: primary.is_some_and(|value| *value == json!(true) || *value == json!(1)),
            separation: position.map_or(0.0, |position| separation(position, (ra, dec))),
        })
    });
    candidates.collect()
}

fn retrieve(id: &str, context: &Context) -> Result<Value, FetchError> {
    let service = &context.services.desi;
    let fields = "sparcl_id,specid,ra,dec,flux,ivar,mask,wavelength,redshift,redshift_warning,\
                  spectype";
    let parameters = [
        ("include", fields),
        ("format", "json"),
        ("dataset_list", service.release.as_str()),
    ];
    let question = Question {
        post: Some(json!([id]).to_string()),
        ..Question::get(with_query(&service.retrieve, &parameters))
    };
    let mut records = records(context.ask(&question)?.json()?)?;
    match (records.pop(), records.is_empty()) {
        (Some(record), true) => Ok(record),
        _ => Err(unexpected("not one record for one spectrum")),
    }
}

/// The records of an answer: a header, then one object a spectrum.
fn records(answer: Value) -> Result<Vec<Value>, FetchError> {
    match answer {
        Value::Array(mut parts) if parts.first().is_some_and(Value::is_object) => {
            Ok(parts.split_off(1))
        }
        _ => Err(unexpected("no list with a header")),
    }
}

fn unexpected(what: &str) -> FetchError {
    FetchError::Unexpected(format!("asked SPARCL for spectra: {what}"))
}

/// The object of a record: the spectrum, the redshift where the pipeline trusts it, its flags.
fn object(record: &Value) -> Result<Object, FetchError> {
    let field = |name: &str| record.get(name).filter(|value| !value.is_null());
    let numbers = |name: &str| -> Result<Vec<f64>, FetchError> {
        let values = field(name).and_then(Value::as_array);
        let values = values.ok_or_else(|| unexpected(&format!("no array {name}")))?;
        let number = |value: &Value| match value {
            Value::Null => Some(f64::NAN),
            value => value.as_f64(),
        };
        let values: Option<Vec<f64>> = values.iter().map(number).collect();
        values.ok_or_else(|| unexpected(&format!("{name} holds something else than numbers")))
    };
    let Some(id) = field("specid").and_then(Value::as_i64) else {
        return Err(unexpected("no whole number specid"));
    };
    let mut object = Object::named(id.to_string());
    object.ra = field("ra").and_then(Value::as_f64);
    object.dec = field("dec").and_then(Value::as_f64);
    let narrow = |values: Vec<f64>| -> Vec<f32> { values.iter().map(|&v| v as f32).collect() };
    let ivar = narrow(numbers("ivar")?);
    let mask = numbers("mask")?;
    let spectrum = Spectrum {
        flux: narrow(numbers("flux")?),
        wavelength: narrow(numbers("wavelength")?),
        mask: mask
            .iter()
            .zip(&ivar)
            .map(|(&mask, &ivar)| mask != 0.0 || ivar <= LEAST_IVAR)
            .collect(),
        ivar,
    };
    if let Some(modality) = ModalityId::of_kind(Kind::Spectrum, Survey::Desi) {
        let measurement = Measurement::Spectrum(spectrum);
        object.measurements.insert(modality, measurement);
    }
    let warning = field("redshift_warning").and_then(Value::as_i64);
    let redshift = field("redshift").and_then(Value::as_f64);
    let modality = ModalityId::from_codec("Z", Survey::Any);
    if let (Some(modality), Some(redshift), Some(0)) = (modality, redshift, warning) {
        let measurement = Measurement::Scalar(redshift as f32);
        object.measurements.insert(modality, measurement);
    }
    let labels = [
        ("ZWARN", warning.map(|warning| warning.to_string())),
        ("Z", redshift.map(|redshift| redshift.to_string())),
        (
            "SPECTYPE",
            field("spectype").and_then(Value::as_str).map(str::to_owned),
        ),
    ];
    for (name, label) in labels {
        if let Some(label) = label {
            object.flags.insert(name.to_owned(), label);
        }
    }
    Ok(object)
}
