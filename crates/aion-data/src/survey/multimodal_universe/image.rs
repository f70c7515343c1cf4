//! Images: planes with band names, inverse variance, and a mask that is true where pixels are good.

use super::Cells;
use super::names::{Columns, plain};
use crate::band::{self, BANDS};
use crate::error::{Problem, Result};
use crate::format::table::Cell;
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::Image;
use crate::read_options::ReadOptions;
use crate::survey::cutout::SCALE_TOLERANCE;
use crate::survey::universe_columns::{image as fields, pixel_scale};
use crate::survey::{hsc, legacy_survey};

const STRUCT: &str = "image";
/// The flux in version 1.
const ARRAY: &str = "array";
/// The surveys with images: what begins their bands' names, and the bands' letters.
const SURVEYS: [(Survey, &str, &str); 2] = [
    (Survey::LegacySurvey, "DES-", legacy_survey::BANDS),
    (Survey::Hsc, "HSC-", hsc::BANDS),
];

/// The columns of an image.
pub(super) struct ImageColumns {
    flux: usize,
    ivar: Option<usize>,
    mask: Option<usize>,
    band: Option<usize>,
    scale: Option<usize>,
    survey: Option<Survey>,
    any_scale: bool,
}

impl ImageColumns {
    pub(super) fn find(columns: &Columns<'_>, prefix: &str) -> Option<Self> {
        let field = |field| columns.field(prefix, STRUCT, field);
        Some(ImageColumns {
            flux: field(ARRAY).or_else(|| field(fields::FLUX))?,
            ivar: field(fields::IVAR),
            mask: field(fields::MASK),
            band: field(fields::BAND),
            scale: field(fields::SCALE),
            survey: columns.survey(prefix),
            any_scale: false,
        })
    }

    /// The same, of the survey asked for where the columns' names do not say which.
    pub(super) fn with_options(self, options: &ReadOptions) -> Self {
        ImageColumns {
            survey: self.survey.or(options.survey),
            any_scale: options.any_pixel_scale,
            ..self
        }
    }

    /// The same with other numbers for columns.
    pub(super) fn moved(self, mut to: impl FnMut(usize) -> usize) -> Self {
        ImageColumns {
            flux: to(self.flux),
            ivar: self.ivar.map(&mut to),
            mask: self.mask.map(&mut to),
            band: self.band.map(&mut to),
            scale: self.scale.map(&mut to),
            ..self
        }
    }

    /// The image of a row, and the modality that its bands make it.
    pub(super) fn read(&self, row: &mut Cells<'_>) -> Result<Option<(ModalityId, Image)>> {
        let Some((shape, flux)) = row.array(self.flux)? else {
            return Ok(None);
        };
        let &[planes, height, width] = shape.as_slice() else {
            let problem = Problem::Shape {
                found: format!("{shape:?}"),
                expected: "(bands, height, width)".into(),
            };
            return Err(row.refuse(self.flux, problem));
        };
        let bands = self.bands(row, planes)?;
        let id = self.modality(row, &bands)?;
        self.check_scale(row, id)?;
        let ivar = match self.ivar {
            Some(column) => self.ivar(row, column, &shape)?,
            None => None,
        };
        let image = Image {
            bands,
            height,
            width,
            flux,
            ivar,
        };
        Ok(Some((id, image)))
    }

    /// The inverse variance, 0 where the mask says that a pixel is bad.
    fn ivar(
        &self,
        row: &mut Cells<'_>,
        column: usize,
        shape: &[usize],
    ) -> Result<Option<Vec<f32>>> {
        let Some((found, mut ivar)) = row.array(column)? else {
            return Ok(None);
        };
        if found != shape {
            return Err(row.refuse(column, unlike(&found, shape)));
        }
        let Some(column) = self.mask else {
            return Ok(Some(ivar));
        };
        let Some((found, mask)) = row.array(column)? else {
            return Ok(Some(ivar));
        };
        let one_for_all = shape.ends_with(&found);
        let single = matches!(found.as_slice(), [1, plane @ ..] if shape.ends_with(plane));
        if mask.is_empty() || !(found == shape || one_for_all || single) {
            return Err(row.refuse(column, unlike(&found, shape)));
        }
        for (ivar, good) in ivar.iter_mut().zip(mask.iter().cycle()) {
            if *good != 1.0 {
                *ivar = 0.0;
            }
        }
        Ok(Some(ivar))
    }

    /// Refuses images of another pixel scale than the survey's: flux a pixel would mean something else.
    fn check_scale(&self, row: &mut Cells<'_>, id: ModalityId) -> Result<()> {
        let native = pixel_scale(id.info().survey).filter(|_| !self.any_scale);
        let (Some(native), Some(column)) = (native, self.scale) else {
            return Ok(());
        };
        let scales = row.list(column)?.unwrap_or_default();
        let off = |scale: &&f32| (f64::from(**scale / native) - 1.0).abs() > SCALE_TOLERANCE;
        let Some(other) = scales.iter().find(off) else {
            return Ok(());
        };
        let what = format!("{other} arcsec a pixel, expected {native}, or --any-pixel-scale");
        Err(row.refuse(column, Problem::Values(what)))
    }

    fn bands(&self, row: &mut Cells<'_>, planes: usize) -> Result<Vec<String>> {
        let names = match self.band.map(|column| row.take(column)) {
            Some(Cell::Words(words)) => words,
            Some(Cell::Text(word)) => vec![word],
            _ => {
                let known = SURVEYS
                    .iter()
                    .find(|(survey, ..)| Some(*survey) == self.survey);
                let letters = known.map(|(_, _, letters)| *letters);
                // Fewer planes than the survey has bands could be any of them.
                let letters = letters.filter(|letters| letters.len() == planes);
                let Some(letters) = letters else {
                    let what = format!("band names of {planes} planes");
                    return Err(row.refuse(self.flux, Problem::Missing(what)));
                };
                letters.chars().map(String::from).collect()
            }
        };
        if names.len() != planes {
            let what = format!(
                "{} bands ({}) for {planes} planes",
                names.len(),
                names.join(", ")
            );
            let column = self.band.unwrap_or(self.flux);
            return Err(row.refuse(column, Problem::Mismatch(what)));
        }
        let full = |name: &String| {
            let name = plain(name).to_ascii_uppercase();
            let known = SURVEYS
                .iter()
                .find(|(survey, ..)| Some(*survey) == self.survey);
            match known {
                Some((_, prefix, _)) if name.len() == 1 => format!("{prefix}{name}"),
                _ => name,
            }
        };
        Ok(names.iter().map(full).collect())
    }

    /// The survey of the bands, of which all must be.
    fn modality(&self, row: &Cells<'_>, bands: &[String]) -> Result<ModalityId> {
        let column = self.band.unwrap_or(self.flux);
        let mut modality = None;
        for name in bands {
            let of_band = SURVEYS
                .iter()
                .find(|(_, prefix, _)| name.starts_with(prefix));
            let known = of_band.filter(|_| band::channel(&BANDS, name).is_some());
            let Some((survey, ..)) = known else {
                let (band, known) = (name.clone(), band::known_bands(&BANDS));
                return Err(row.refuse(column, Problem::UnknownBand { band, known }));
            };
            if *modality.get_or_insert(*survey) != *survey {
                let what = format!("bands of two surveys: {}", bands.join(", "));
                return Err(row.refuse(column, Problem::Mismatch(what)));
            }
        }
        modality
            .and_then(|survey| ModalityId::of_kind(Kind::Image, survey))
            .ok_or_else(|| row.refuse(column, Problem::Missing("band names".into())))
    }
}

fn unlike(found: &[usize], flux: &[usize]) -> Problem {
    Problem::Shape {
        found: format!("{found:?}"),
        expected: format!("{flux:?}, as the flux"),
    }
}
