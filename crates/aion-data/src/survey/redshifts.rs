//! Redshifts that a pipeline keeps in a file of its own beside the spectra, joined by the
//! identifier of target or fibre, whatever the order of rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::fits_table::{named_cells, whole_numbers};
use crate::observation::Object;
use crate::survey::spectra;

/// How a pipeline's table of redshifts is laid out.
#[derive(Debug)]
pub struct RedshiftLayout {
    /// The beginning of its file's name, where that of the spectra's file has another.
    pub prefix: &'static str,
    /// The column that identifies what was observed.
    pub key: &'static str,
    /// The column with the redshift.
    pub redshift: &'static str,
    /// The column that is 0 where the redshift is trusted.
    pub warning: &'static str,
    /// All columns that travel as flags, the two above included.
    pub flags: &'static [&'static str],
}

/// An open table of redshifts.
pub struct Redshifts {
    layout: &'static RedshiftLayout,
    file: FitsFile,
    hdu: usize,
    rows: BTreeMap<i64, usize>,
}

/// The file beside `path` whose name begins with `to` instead of `from`, gzipped or not.
pub fn beside(path: &Path, from: &str, to: &str) -> Option<PathBuf> {
    let rest = path.file_name()?.to_str()?.strip_prefix(from)?;
    let plain = rest.strip_suffix(".gz").unwrap_or(rest);
    let names = [format!("{to}{plain}"), format!("{to}{plain}.gz")];
    let mut paths = names.iter().map(|name| path.with_file_name(name));
    paths.find(|path| path.is_file())
}

impl Redshifts {
    /// Opens the table in the file at `path`.
    ///
    /// Errors: a damaged file, no table with the columns of the layout, an identifier that occurs
    /// twice.
    pub fn open(path: &Path, layout: &'static RedshiftLayout) -> Result<Self> {
        let mut file = FitsFile::open(path)?;
        let needed = [layout.key, layout.redshift, layout.warning];
        let has = |file: &FitsFile, hdu: usize| {
            let columns = file.columns(hdu);
            let named = |name: &&str| columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
            needed.iter().all(named)
        };
        let Some(hdu) = (0..file.len()).find(|&hdu| has(&file, hdu)) else {
            let what = format!("table with columns {}", needed.join(", "));
            return Err(DataError::new(file.place(0), Problem::Missing(what)));
        };
        let keys = whole_numbers(&mut file, hdu, layout.key)?.unwrap_or_default();
        let mut rows = BTreeMap::new();
        for (row, &key) in keys.iter().enumerate() {
            if rows.insert(key, row).is_some() {
                let place = file.place_in(hdu, layout.key);
                let what = format!("{key} has more than one redshift");
                return Err(DataError::new(place, Problem::Mismatch(what)));
            }
        }
        Ok(Redshifts {
            layout,
            file,
            hdu,
            rows,
        })
    }

    /// Checks that the table belongs to the spectra of these keys.
    ///
    /// Errors: a key that it lacks.
    pub fn expect_all(&self, mut keys: impl Iterator<Item = i64>, spectra: &Path) -> Result<()> {
        let Some(key) = keys.find(|key| !self.rows.contains_key(key)) else {
            return Ok(());
        };
        let place = self.file.place_in(self.hdu, self.layout.key);
        let what = format!(
            "{key} of {} is not here: the redshifts belong to other spectra; correct or remove them",
            spectra.display()
        );
        Err(DataError::new(place, Problem::Mismatch(what)))
    }

    /// Adds what the pipeline found for `key` to an object: all as flags, and the redshift as a
    /// measurement where it has no warning and `sky` is false.
    ///
    /// Errors: damaged data.
    pub fn add_to(&mut self, object: &mut Object, key: i64, sky: bool) -> Result<()> {
        let Some(&row) = self.rows.get(&key) else {
            return Ok(());
        };
        let layout = self.layout;
        let cells = named_cells(&mut self.file, self.hdu, row, layout.flags)?;
        let mut redshift = None;
        let mut warning = None;
        for (&name, cell) in layout.flags.iter().zip(&cells) {
            if let Some(label) = cell.label() {
                object.flags.insert(name.to_owned(), label);
            }
            let number = || cell.number().ok().flatten();
            if name == layout.redshift {
                redshift = number();
            } else if name == layout.warning {
                warning = number();
            }
        }
        if let Some(redshift) = redshift
            && warning == Some(0.0)
            && !sky
        {
            spectra::insert_redshift(object, redshift);
        }
        Ok(())
    }
}
