//! Spectra: flux, inverse variance and wavelength, and a mask that is true where pixels are bad.

use super::names::Columns;
use super::{Cells, DESI_WARNING, SDSS_WARNING};
use crate::error::{Problem, Result};
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::Spectrum;
use crate::survey::spectra::LEAST_IVAR;
use crate::survey::universe_columns::spectrum as fields;

const STRUCT: &str = "spectrum";
/// Pixels of DESI, Angstrom, and of SDSS, in log10 of the wavelength.
const DESI_STEP: f64 = 0.8;
const SDSS_STEP: f64 = 1e-4;
/// How far a step may be from that, as a part of it.
const STEP_TOLERANCE: f64 = 0.01;
/// A column of LAMOST, whose pixels are as SDSS's.
const LAMOST: &str = "obsid";

/// The columns of a spectrum.
pub(super) struct SpectrumColumns {
    flux: usize,
    ivar: Option<usize>,
    wavelength: Option<usize>,
    mask: Option<usize>,
    survey: Option<Survey>,
    /// Whether the pixels alone may tell the survey.
    by_pixels: bool,
}

impl SpectrumColumns {
    pub(super) fn find(columns: &Columns<'_>, prefix: &str) -> Option<Self> {
        let field = |field| columns.field(prefix, STRUCT, field);
        let marked = |(mark, survey)| columns.at(prefix, mark).map(|_| survey);
        let marks = [(SDSS_WARNING, Survey::Sdss), (DESI_WARNING, Survey::Desi)];
        Some(SpectrumColumns {
            flux: field(fields::FLUX)?,
            ivar: field(fields::IVAR),
            wavelength: field(fields::WAVELENGTH),
            mask: field(fields::MASK),
            survey: columns
                .survey(prefix)
                .or_else(|| marks.into_iter().find_map(marked)),
            by_pixels: columns.at(prefix, LAMOST).is_none(),
        })
    }

    /// The same, of this survey whatever the columns say.
    pub(super) fn with_survey(self, survey: Option<Survey>) -> Self {
        let survey = survey.or(self.survey);
        SpectrumColumns { survey, ..self }
    }

    /// The same with other numbers for columns.
    pub(super) fn moved(self, mut to: impl FnMut(usize) -> usize) -> Self {
        SpectrumColumns {
            flux: to(self.flux),
            ivar: self.ivar.map(&mut to),
            wavelength: self.wavelength.map(&mut to),
            mask: self.mask.map(&mut to),
            ..self
        }
    }

    /// The spectrum of a row, and the modality that its survey makes it.
    pub(super) fn read(&self, row: &mut Cells<'_>) -> Result<Option<(ModalityId, Spectrum)>> {
        let Some(flux) = row.list(self.flux)? else {
            return Ok(None);
        };
        let mut beside = |column: Option<usize>, name: &str| -> Result<Vec<f32>> {
            let missing = || Problem::Missing(format!("{name} of the spectrum"));
            let column = column.ok_or_else(|| row.refuse(self.flux, missing()))?;
            let values = row.list(column)?;
            let values = values.ok_or_else(|| row.refuse(column, missing()))?;
            row.expect_length(column, values.len(), flux.len())?;
            Ok(values)
        };
        let wavelength = beside(self.wavelength, fields::WAVELENGTH)?;
        let ivar = beside(self.ivar, fields::IVAR)?;
        let mask: Vec<bool> = match self.mask {
            Some(_) => {
                let mask = beside(self.mask, fields::MASK)?;
                mask.iter().map(|&bad| bad != 0.0).collect()
            }
            None => ivar
                .iter()
                .map(|&ivar| f64::from(ivar) <= LEAST_IVAR)
                .collect(),
        };
        let mut spectrum = Spectrum {
            flux,
            ivar,
            wavelength,
            mask,
        };
        cut_padding(&mut spectrum);
        Ok(Some((self.modality(row, &spectrum)?, spectrum)))
    }

    fn modality(&self, row: &Cells<'_>, spectrum: &Spectrum) -> Result<ModalityId> {
        let by_pixels = || survey_of_pixels(&spectrum.wavelength).filter(|_| self.by_pixels);
        let survey = self.survey.or_else(by_pixels);
        let found = survey.and_then(|survey| ModalityId::of_kind(Kind::Spectrum, survey));
        found.ok_or_else(|| {
            let what = match survey {
                Some(survey) => format!("a spectrum, but {survey} has no spectra"),
                None => {
                    "a spectrum of an unknown survey; expected SDSS (a column ZWARNING) or DESI \
                         (ZWARN), or --survey"
                        .to_owned()
                }
            };
            row.refuse(self.flux, Problem::Unrecognised(what))
        })
    }
}

/// Cuts off the pixels without a wavelength that make spectra of a file equally long.
fn cut_padding(spectrum: &mut Spectrum) {
    let last = spectrum.wavelength.iter().rposition(|&value| value > 0.0);
    let count = last.map_or(0, |last| last + 1);
    spectrum.flux.truncate(count);
    spectrum.ivar.truncate(count);
    spectrum.wavelength.truncate(count);
    spectrum.mask.truncate(count);
}

/// The survey whose pixels these are: equal steps of 0.8 Angstrom, or of 1e-4 in log10.
fn survey_of_pixels(wavelength: &[f32]) -> Option<Survey> {
    let steps_are = |step: f64, scale: fn(f64) -> f64| {
        let at = |index: usize| wavelength.get(index).map(|&value| scale(f64::from(value)));
        let last = wavelength.len().checked_sub(1).filter(|last| *last > 1)?;
        let halves = [(0, last / 2), (last / 2, last)];
        let near = halves.map(|(from, to)| {
            let found = (at(to)? - at(from)?) / (to - from) as f64;
            Some((found - step).abs() < STEP_TOLERANCE * step)
        });
        (near == [Some(true), Some(true)]).then_some(())
    };
    let desi = steps_are(DESI_STEP, |value| value).map(|()| Survey::Desi);
    desi.or_else(|| steps_are(SDSS_STEP, f64::log10).map(|()| Survey::Sdss))
}
