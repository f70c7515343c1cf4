//! DESI spectra: `coadd-*.fits` (one row a target), `spectra-*.fits` (one row an exposure), and
//! merged spectra in NumPy archives.
//!
//! One object is one target. The rows of a target that was exposed several times are added up with
//! the cameras ([`super::desi_arms`]), without the rejection of cosmic rays and the renormalisation
//! that DESI's own coadds have. Redshifts come from `redrock-*.fits` beside the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::fits_table::{cells_of_row, whole_numbers};
use crate::format::npz::NpzFile;
use crate::format::table::Column;
use crate::modality::{ModalityId, Survey};
use crate::observation::{Measurement, Object, Spectrum};
use crate::read_options::{Objects, ReadOptions};
use crate::survey::catalogue::Plan;
use crate::survey::columns;
use crate::survey::desi_arms::{self, Arms};
use crate::survey::redshifts::{RedshiftLayout, Redshifts, beside};
use crate::survey::spectra;

/// The table about the targets, one row a spectrum.
const FIBERMAP: &str = "FIBERMAP";
const TARGET: &str = "TARGETID";
/// Status of the fibre in one exposure, or in all of a coadd, best first.
const STATUS: [&str; 2] = ["FIBERSTATUS", "COADD_FIBERSTATUS"];
/// What the fibre was put on.
const OBJECT_TYPE: &str = "OBJTYPE";
/// Its value for sky.
const SKY: &str = "SKY";
/// Its value for targets, the only ones whose photometry is theirs.
const IS_TARGET: &str = "TGT";
/// Columns that travel as flags beside those of any table.
const FLAGS: [&str; 2] = ["COADD_NUMEXP", "PHOTSYS"];
/// The flag with the number of rows that were added up, where there are several.
const EXPOSURES: &str = "exposures";

/// Redshifts by redrock.
static REDROCK: RedshiftLayout = RedshiftLayout {
    prefix: "redrock-",
    key: TARGET,
    redshift: "Z",
    warning: "ZWARN",
    flags: &["Z", "ZWARN", "SPECTYPE", "SUBTYPE", "DELTACHI2"],
};

/// Beginnings of the names of files with spectra, best first.
const SPECTRA: [&str; 2] = ["coadd-", "spectra-"];
/// Beginnings of the names of tables about the same targets.
const ABOUT: [&str; 4] = ["redrock-", "emline-", "qso_mgii-", "qso_qn-"];

/// Whether a file holds spectra by arm.
pub fn recognises(file: &FitsFile) -> bool {
    desi_arms::recognises(file)
}

/// The objects of a file with spectra by arm. One whose fibre measured nothing is an error.
///
/// Errors: arms that do not belong together ([`Arms::find`]), a FIBERMAP of another length or
/// without TARGETID, redshifts of other targets.
pub fn read(file: FitsFile, options: &ReadOptions) -> Result<Objects> {
    let mut spectra = Spectra::open(file, options)?;
    let range = options.range();
    let end = range.end.min(spectra.targets.len() as u64);
    let numbers = range.start.min(end) as usize..end as usize;
    Ok(Box::new(numbers.map(move |number| spectra.object(number))))
}

/// The number of targets of a file with spectra by arm.
///
/// Errors: as for [`read`].
pub fn num_objects(file: FitsFile) -> Result<u64> {
    let spectra = Spectra::open(file, &ReadOptions::default())?;
    Ok(spectra.targets.len() as u64)
}

/// The files beside `path` that are about the same targets: read together with it, or less well
/// suited. None when it holds no spectra by arm.
pub fn files_replaced_by(path: &Path) -> Vec<PathBuf> {
    let place = SPECTRA.iter().position(|prefix| begins(path, prefix));
    let Some((place, prefix)) = place.and_then(|at| Some((at, *SPECTRA.get(at)?))) else {
        return Vec::new();
    };
    let others = SPECTRA.iter().skip(place + 1).chain(&ABOUT);
    let found = others.filter_map(|other| beside(path, prefix, other));
    let found: Vec<PathBuf> = found.collect();
    // Opened only where it matters.
    let is_desi = !found.is_empty() && FitsFile::open(path).is_ok_and(|file| recognises(&file));
    if is_desi { found } else { Vec::new() }
}

fn begins(path: &Path, prefix: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(prefix))
}

/// An open file: memory holds a few numbers a row, and one spectrum.
struct Spectra {
    file: FitsFile,
    arms: Arms,
    modality: ModalityId,
    targets: Targets,
    about: Option<About>,
    redshifts: Option<Redshifts>,
}

/// What the rows of a file are spectra of.
enum Targets {
    /// Every row of something unnamed.
    Rows(usize),
    /// Targets in order of their first row.
    Named(Vec<Target>),
}

/// One target: the rows that are its spectra, with the status of the fibre.
#[derive(Clone)]
struct Target {
    id: Option<i64>,
    rows: Vec<(usize, i64)>,
}

impl Targets {
    fn len(&self) -> usize {
        match self {
            Targets::Rows(count) => *count,
            Targets::Named(targets) => targets.len(),
        }
    }

    fn get(&self, number: usize) -> Option<Target> {
        match self {
            Targets::Rows(count) => (number < *count).then(|| Target {
                id: None,
                rows: vec![(number, 0)],
            }),
            Targets::Named(targets) => targets.get(number).cloned(),
        }
    }
}

impl Spectra {
    fn open(mut file: FitsFile, options: &ReadOptions) -> Result<Self> {
        let modality = spectra::modality(file.path(), options.survey, Survey::Desi)?;
        let arms = Arms::find(&mut file, options)?;
        let about = About::find(&file)?;
        let targets = match &about {
            Some(about) => targets(&mut file, about.hdu, arms.rows)?,
            None => Targets::Rows(arms.rows),
        };
        let redshifts = open_redshifts(file.path(), &targets)?;
        Ok(Spectra {
            file,
            arms,
            modality,
            targets,
            about,
            redshifts,
        })
    }

    fn object(&mut self, number: usize) -> Result<Object> {
        let Some(Target { id, rows }) = self.targets.get(number) else {
            return Err(DataError::new(self.file.place(0), Problem::Empty));
        };
        let first = rows.first().map_or(0, |&(row, _)| row);
        let name = id.map_or_else(|| (first + 1).to_string(), |id| id.to_string());
        let mut read = || {
            let mut object = match &self.about {
                Some(about) => about.object(&mut self.file, first)?,
                None => Object::default(),
            };
            object.id.clone_from(&name);
            if rows.len() > 1 {
                object
                    .flags
                    .insert(EXPOSURES.into(), rows.len().to_string());
            }
            let sky = object.flags.get(OBJECT_TYPE).is_some_and(|of| of == SKY);
            if let (Some(redshifts), Some(id)) = (&mut self.redshifts, id) {
                redshifts.add_to(&mut object, id, sky)?;
            }
            let spectrum = self.arms.coadd(&mut self.file, &rows)?;
            spectra::insert(&mut object, self.modality, spectrum);
            Ok(object)
        };
        read().map_err(|error: DataError| error.in_object(&name))
    }
}

/// The targets of the FIBERMAP in HDU `hdu`, with their rows.
fn targets(file: &mut FitsFile, hdu: usize, rows: usize) -> Result<Targets> {
    let Some(ids) = whole_numbers(file, hdu, TARGET)? else {
        let place = file.place_in(hdu, TARGET);
        return Err(DataError::new(place, Problem::Missing("column".into())));
    };
    if ids.len() != rows {
        let what = format!("{} rows, but there are {rows} spectra", ids.len());
        return Err(DataError::new(file.place(hdu), Problem::Mismatch(what)));
    }
    let mut statuses = None;
    for name in STATUS {
        if statuses.is_none() {
            statuses = whole_numbers(file, hdu, name)?;
        }
    }
    let statuses = statuses.unwrap_or_else(|| vec![0; rows]);
    let mut numbers: BTreeMap<i64, usize> = BTreeMap::new();
    let mut targets: Vec<Target> = Vec::new();
    for (row, (id, status)) in ids.into_iter().zip(statuses).enumerate() {
        let number = *numbers.entry(id).or_insert(targets.len());
        match targets.get_mut(number) {
            Some(target) => target.rows.push((row, status)),
            None => targets.push(Target {
                id: Some(id),
                rows: vec![(row, status)],
            }),
        }
    }
    Ok(Targets::Named(targets))
}

/// The redshifts beside a file, if there are any; all its targets must be among them.
fn open_redshifts(path: &Path, targets: &Targets) -> Result<Option<Redshifts>> {
    let mut beside = SPECTRA
        .iter()
        .filter_map(|from| beside(path, from, REDROCK.prefix));
    let Some(found) = beside.next() else {
        return Ok(None);
    };
    let redshifts = Redshifts::open(&found, &REDROCK)?;
    let Targets::Named(targets) = targets else {
        let what = format!("{FIBERMAP}, by which {} is joined", found.display());
        return Err(DataError::new(Place::file(path), Problem::Missing(what)));
    };
    redshifts.expect_all(targets.iter().filter_map(|target| target.id), path)?;
    Ok(Some(redshifts))
}

/// The FIBERMAP, and what is read of it.
struct About {
    hdu: usize,
    plan: Plan,
    wanted: Vec<Option<usize>>,
    has_type: bool,
    has_flux: bool,
}

impl About {
    fn find(file: &FitsFile) -> Result<Option<Self>> {
        let named = |&hdu: &usize| file.name(hdu) == FIBERMAP && file.is_table(hdu);
        let Some(hdu) = (0..file.len()).find(named) else {
            return Ok(None);
        };
        let columns = file.columns(hdu);
        let has = |name: &str| position(&columns, name).is_some();
        let mut layout = columns::layout(&columns, Some(Survey::LegacySurvey));
        layout
            .fields
            .retain(|field| field.id.info().survey == Survey::LegacySurvey);
        layout.id = position(&columns, TARGET).into_iter().collect();
        let flags = FLAGS.iter().filter_map(|name| position(&columns, name));
        layout.flags.extend(flags.collect::<Vec<usize>>());
        let has_flux = layout.fields.iter().any(|field| !field.observed.is_empty());
        let plan = Plan::new(file.path(), &columns, &layout)?;
        Ok(Some(About {
            hdu,
            wanted: plan.wanted.iter().copied().map(Some).collect(),
            plan,
            has_type: has(OBJECT_TYPE),
            has_flux,
        }))
    }

    /// Position, flags and photometry of a row.
    fn object(&self, file: &mut FitsFile, row: usize) -> Result<Object> {
        let cells = cells_of_row(file, self.hdu, row, &self.wanted)?;
        let mut object = self.plan.object(row + 1, cells)?;
        let of_type = object.flags.get(OBJECT_TYPE).map(String::as_str);
        let flux_measured = object.measurements.keys().any(is_flux);
        if self.has_type && of_type != Some(IS_TARGET) {
            object.measurements.clear();
        } else if self.has_flux && !flux_measured {
            // The row of a target without photometry is zero throughout.
            let is_zero = |of: &Measurement| matches!(of, Measurement::Scalar(0.0));
            object
                .measurements
                .retain(|_, measurement| !is_zero(measurement));
        }
        Ok(object)
    }
}

fn is_flux(id: &ModalityId) -> bool {
    id.info().codec.starts_with("FLUX_")
}

fn position(columns: &[Column], name: &str) -> Option<usize> {
    columns
        .iter()
        .position(|column| column.name.eq_ignore_ascii_case(name))
}

/// Arrays of a merged spectrum; a mask may stand beside them.
const ARRAYS: [&str; 3] = ["flux", "ivar", "wavelength"];

/// Whether a NumPy archive holds one merged spectrum.
pub fn recognises_arrays(file: &NpzFile) -> bool {
    ARRAYS
        .iter()
        .all(|name| file.shape(name).is_some_and(|shape| shape.len() == 1))
}

/// Reads a merged spectrum: `flux`, `ivar` and `wavelength`, with `mask` (true = bad), `object_id`
/// and `z_true` where they are there. The redshift stays a flag, because nothing says how far it is
/// to be trusted.
///
/// Errors: wavelengths off DESI's grid when the caller names no survey, arrays of other lengths or
/// types.
pub fn read_arrays(path: &Path, mut file: NpzFile, options: &ReadOptions) -> Result<Object> {
    let wrong = |field: &str, problem| DataError::new(Place::file(path).with_field(field), problem);
    let modality = spectra::modality(path, options.survey, Survey::Desi)?;
    let mut numbers = |name: &str| -> Result<Option<Vec<f32>>> {
        let Some(array) = file.array(name)? else {
            return Ok(None);
        };
        let values = array.numbers();
        values
            .map(Some)
            .map_err(|reason| wrong(name, Problem::Values(reason)))
    };
    let missing = |name: &str| wrong(name, Problem::Missing("array".into()));
    let flux = numbers("flux")?.ok_or_else(|| missing("flux"))?;
    let ivar = numbers("ivar")?.ok_or_else(|| missing("ivar"))?;
    let wavelength = numbers("wavelength")?.ok_or_else(|| missing("wavelength"))?;
    let flagged = numbers("mask")?;
    if options.survey.is_none()
        && let Err(wavelength) = desi_arms::range_of(&wavelength)
    {
        let what = format!(
            "a spectrum with a pixel at {wavelength} Angstrom, which is not DESI's grid; expected \
             --survey desi or sdss"
        );
        return Err(wrong("wavelength", Problem::Unrecognised(what)));
    }
    let bad = |ivar: &f32| f64::from(*ivar) <= spectra::LEAST_IVAR;
    let mut mask: Vec<bool> = ivar.iter().map(bad).collect();
    if let Some(flagged) = flagged {
        if flagged.len() != mask.len() {
            let problem = Problem::Shape {
                found: format!("({})", flagged.len()),
                expected: format!("({})", mask.len()),
            };
            return Err(wrong("mask", problem));
        }
        mask.iter_mut()
            .zip(flagged)
            .for_each(|(mask, flag)| *mask |= flag != 0.0);
    }
    let mut text = |name: &str| -> Result<Option<String>> {
        let array = file.array(name)?;
        Ok(array.and_then(|array| array.cells.first()?.label()))
    };
    let id = text("object_id")?.unwrap_or_else(|| super::cutout::stem(path));
    let mut object = Object::named(id);
    if let Some(redshift) = text("z_true")? {
        object.flags.insert("z_true".into(), redshift);
    }
    let spectrum = Spectrum {
        flux,
        ivar,
        wavelength,
        mask,
    };
    spectra::insert(&mut object, modality, spectrum);
    Ok(object)
}
