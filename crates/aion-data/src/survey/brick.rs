//! The large coadds of which stamps are cut: bricks of the Legacy Surveys and patches of HSC.
//!
//! - Legacy Surveys: files `legacysurvey-<brick>-image-<band>.fits.fz`, with `-invvar-<band>` and
//!   `-maskbits` of the same brick in the same folder. The band is the file name's: headers list
//!   the bands of the brick's catalogue.
//! - HSC: files `calexp-<filter>-<tract>-<patch>.fits` with HDUs `IMAGE`, `MASK`, `VARIANCE`, the
//!   bands of a patch in any folders.
//!
//! Folders are searched with all that is in them; other files of the surveys (models, depths,
//! pictures) are passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::band::{HSC_ZEROPOINT, LEGACY_ZEROPOINT};
use crate::error::{DataError, Place, Problem, Result};
use crate::extract::{Field, Layer, Mask, Plane, Weight};
use crate::format::fits::FitsFile;
use crate::format::fits_sky::SkyMap;
use crate::modality::Survey;
use crate::survey::cutout::{self, Flags};
use crate::survey::{band_set, hsc, legacy_survey, zeropoint};

/// Folders inside folders that are looked into.
const DEPTH: usize = 16;

/// What is wanted of bricks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrickOptions {
    /// The survey whose bricks are meant, where both are there.
    pub survey: Option<Survey>,
    /// Letters of the bands; those of any brick when `None`.
    pub bands: Option<String>,
    /// Whether other pixel scales than the survey's own are read.
    pub any_pixel_scale: bool,
}

/// Bricks that can be cut, and what was wrong with the others.
#[derive(Debug)]
pub struct Bricks {
    /// The survey that they are of.
    pub survey: Survey,
    /// Each with the wanted bands that it has.
    pub fields: Vec<Field>,
    /// One error a brick that cannot be used.
    pub problems: Vec<DataError>,
}

/// What a file of a brick holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Product {
    Image(char),
    InverseVariance(char),
    MaskBits,
}

/// The files of one brick.
type Files = BTreeMap<Product, PathBuf>;

/// Finds the bricks in files and folders, and opens each to learn where it lies.
///
/// Errors: a path cannot be read; no brick; bricks of two surveys and none chosen; a band that no
/// brick has. A brick that cannot be used is listed in [`Bricks::problems`]: files that cannot be
/// read, that differ in size or place, without WCS, of another pixel scale or unit.
pub fn find(paths: &[PathBuf], options: &BrickOptions) -> Result<Bricks> {
    let mut files = Vec::new();
    for path in paths {
        search(path, DEPTH, &mut files)?;
    }
    let (survey, groups, mut problems) = group(paths, files, options.survey)?;
    let order = match survey {
        Survey::Hsc => hsc::BANDS,
        _ => legacy_survey::BANDS,
    };
    let has = |band: char| {
        let mut all = groups.values();
        all.any(|files| files.contains_key(&Product::Image(band)))
    };
    let wanted: Vec<char> = match &options.bands {
        Some(bands) => order.chars().filter(|&band| bands.contains(band)).collect(),
        None => order.chars().filter(|&band| has(band)).collect(),
    };
    let asked = options.bands.as_deref().unwrap_or_default();
    if let Some(band) = asked.chars().find(|&band| !has(band)) {
        let what = format!("the band {band}: no brick has an image in it");
        return Err(DataError::new(place(paths), Problem::Missing(what)));
    }
    let mut fields = Vec::new();
    for ((_, name), files) in groups {
        match field(survey, name.clone(), &files, &wanted, options) {
            Ok(field) => fields.push(field),
            Err(error) => problems.push(error.in_object(&name)),
        }
    }
    Ok(Bricks {
        survey,
        fields,
        problems,
    })
}

fn place(paths: &[PathBuf]) -> Place {
    paths
        .first()
        .map(|path| Place::file(path))
        .unwrap_or_default()
}

/// Adds the file, or the files of the folder and of those in it, sorted.
fn search(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |error: std::io::Error| DataError::new(Place::file(path), error.into());
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Ok(());
    };
    let mut inside = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        inside.push(entry.map_err(failed)?.path());
    }
    inside.sort();
    inside
        .iter()
        .try_for_each(|path| search(path, depth, files))
}

/// Bricks by folder and name: the north and the south of the Legacy Surveys share names.
type Groups = BTreeMap<(PathBuf, String), Files>;

/// Sorts files into bricks of one survey.
fn group(
    paths: &[PathBuf],
    files: Vec<PathBuf>,
    chosen: Option<Survey>,
) -> Result<(Survey, Groups, Vec<DataError>)> {
    let mut surveys: BTreeMap<Survey, Groups> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut doubtful = BTreeSet::new();
    for path in files {
        let Some((survey, key, product)) = parse(&path) else {
            continue;
        };
        let brick = surveys.entry(survey).or_default().entry(key.clone());
        if let Some(other) = brick.or_default().insert(product, path.clone()) {
            let what = format!(
                "{} holds the same band of the same brick; expected one of the two",
                other.display()
            );
            let place = Place::file(&path).with_object(&key.1);
            problems.push(DataError::new(place, Problem::Mismatch(what)));
            doubtful.insert((survey, key));
        }
    }
    for (survey, key) in doubtful {
        surveys.entry(survey).or_default().remove(&key);
    }
    // Weights and masks alone are no brick.
    for groups in surveys.values_mut() {
        let is_image = |product: &Product| matches!(product, Product::Image(_));
        groups.retain(|_, files| files.keys().any(is_image));
    }
    surveys.retain(|survey, groups| {
        !groups.is_empty() && chosen.is_none_or(|chosen| chosen == *survey)
    });
    if surveys.len() > 1 {
        let what = "bricks of the Legacy Surveys and patches of HSC; expected one survey, or \
                    --survey to choose it";
        return Err(DataError::new(place(paths), Problem::Mismatch(what.into())));
    }
    let Some((survey, groups)) = surveys.pop_first() else {
        let what = "no brick image; expected files legacysurvey-BRICK-image-BAND.fits.fz of the \
                    Legacy Surveys or calexp-FILTER-TRACT-PATCH.fits of HSC";
        return Err(DataError::new(
            place(paths),
            Problem::Unrecognised(what.into()),
        ));
    };
    Ok((survey, groups, problems))
}

/// The survey, the brick and the content of a file, by its name; `None` for other files.
fn parse(path: &Path) -> Option<(Survey, (PathBuf, String), Product)> {
    let name = path.file_name()?.to_str()?;
    if ![".fits", ".fits.fz", ".fits.gz"]
        .iter()
        .any(|ending| name.ends_with(ending))
    {
        return None;
    }
    let stem = cutout::stem(path);
    if let Some(rest) = stem.strip_prefix("legacysurvey-") {
        let mut parts = rest.split('-');
        let (brick, product, band) = (parts.next()?, parts.next()?, parts.next());
        let band = band.and_then(|band| Some((band.chars().next()?, band.len())));
        let product = match (product, band, parts.next()) {
            ("image", Some((band, 1)), None) => Product::Image(band),
            ("invvar", Some((band, 1)), None) => Product::InverseVariance(band),
            ("maskbits", None, None) => Product::MaskBits,
            _ => return None,
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        return Some((Survey::LegacySurvey, (folder, brick.to_owned()), product));
    }
    let rest = stem.strip_prefix("calexp-HSC-")?;
    let filter = band_set::filter_in_name(path)?;
    let band = band_set::band_of_filter(&filter, hsc::BANDS)?;
    let patch = rest.strip_prefix(&filter)?.strip_prefix('-')?;
    let key = (PathBuf::new(), patch.to_owned());
    Some((Survey::Hsc, key, Product::Image(band)))
}

/// Opens the images of a brick.
fn field(
    survey: Survey,
    name: String,
    files: &Files,
    wanted: &[char],
    options: &BrickOptions,
) -> Result<Field> {
    let mut planes = Vec::new();
    let mut missing = Vec::new();
    let mut first: Option<Grid> = None;
    for &band in wanted {
        let Some(path) = files.get(&Product::Image(band)) else {
            missing.push(band.to_string());
            continue;
        };
        let file = FitsFile::open(path)?;
        let (plane, hdu) = match survey {
            Survey::Hsc => hsc_plane(&file, band)?,
            _ => legacy_plane(&file, band, files)?,
        };
        let grid = Grid::of(&file, hdu, survey, options.any_pixel_scale)?;
        let first = match &first {
            Some(first) => {
                first.check(&grid.shape, &file, hdu)?;
                let [height, width] = first.shape;
                cutout::check_same_place(&file, hdu, first.sky.patch(height, width))?;
                first
            }
            None => first.insert(grid),
        };
        check_layers(&plane, first)?;
        planes.push(plane);
    }
    let Some(grid) = first else {
        let what = format!(
            "images in any of the bands {}",
            wanted.iter().collect::<String>()
        );
        let path = files.values().next().map(|path| Place::file(path));
        return Err(DataError::new(
            path.unwrap_or_default(),
            Problem::Missing(what),
        ));
    };
    Ok(Field {
        name,
        survey,
        planes,
        missing,
        height: grid.shape[0],
        width: grid.shape[1],
        sky: grid.sky,
        flags: grid.flags,
    })
}

/// Size and place of the pixels of a brick.
struct Grid {
    shape: [usize; 2],
    sky: SkyMap,
    flags: Flags,
}

impl Grid {
    fn of(file: &FitsFile, hdu: usize, survey: Survey, any_scale: bool) -> Result<Self> {
        let &[height, width] = file.shape(hdu).unwrap_or_default().as_slice() else {
            let problem = Problem::Shape {
                found: format!("{:?}", file.shape(hdu).unwrap_or_default()),
                expected: "(height, width)".into(),
            };
            return Err(DataError::new(file.place(hdu), problem));
        };
        let Some(sky) = file.sky_map(hdu) else {
            let what = "WCS in right ascension and declination, to find positions by";
            return Err(DataError::new(
                file.place(hdu),
                Problem::Missing(what.into()),
            ));
        };
        let native = match survey {
            Survey::Hsc => hsc::NATIVE_SCALE,
            _ => legacy_survey::NATIVE_SCALE,
        };
        Ok(Grid {
            shape: [height, width],
            sky,
            flags: cutout::grid_flags(file, hdu, native, any_scale)?,
        })
    }

    fn check(&self, shape: &[usize], file: &FitsFile, hdu: usize) -> Result<()> {
        if shape == self.shape {
            return Ok(());
        }
        let problem = Problem::Shape {
            found: format!("{shape:?}"),
            expected: format!("{:?}", self.shape),
        };
        Err(DataError::new(file.place(hdu), problem))
    }
}

/// Makes sure that weights and masks lie on the grid of the fluxes.
fn check_layers(plane: &Plane, grid: &Grid) -> Result<()> {
    let weight = plane.weight.as_ref().map(|weight| match weight {
        Weight::InverseVariance(layer) | Weight::Variance(layer) => layer,
    });
    let mask = plane.mask.as_ref().map(|mask| &mask.layer);
    for layer in weight.into_iter().chain(mask) {
        let file = FitsFile::open(&layer.path)?;
        let shape = file.shape(layer.hdu).unwrap_or_default();
        grid.check(&shape, &file, layer.hdu)?;
    }
    Ok(())
}

/// A band of a Legacy Survey brick, and the HDU of its fluxes.
fn legacy_plane(file: &FitsFile, band: char, files: &Files) -> Result<(Plane, usize)> {
    let hdu = image_of(file)?;
    let filter = file.text(hdu, "FILTER").filter(|filter| filter.len() == 1);
    if let Some(filter) = filter.filter(|filter| !filter.starts_with(band)) {
        let what = format!("the header says band {filter}, the file's name {band}");
        return Err(DataError::new(file.place(hdu), Problem::Mismatch(what)));
    }
    let layer = |product: Product| -> Result<Option<Layer>> {
        let Some(path) = files.get(&product) else {
            return Ok(None);
        };
        let hdu = image_of(&FitsFile::open(path)?)?;
        let path = path.clone();
        Ok(Some(Layer { path, hdu }))
    };
    let mask = layer(Product::MaskBits)?.map(|layer| Mask {
        layer,
        bad: Some(legacy_survey::BAD_BITS),
        carried: true,
    });
    let plane = Plane {
        band: legacy_survey::band_name(band),
        factor: zeropoint::factor(file, hdu, LEGACY_ZEROPOINT)?,
        flux: Layer {
            path: file.path().to_owned(),
            hdu,
        },
        weight: layer(Product::InverseVariance(band))?.map(Weight::InverseVariance),
        mask,
    };
    Ok((plane, hdu))
}

/// The first image of a file.
fn image_of(file: &FitsFile) -> Result<usize> {
    let mut images = (0..file.len()).filter(|&hdu| cutout::is_image(file, hdu));
    images.next().ok_or_else(|| {
        let problem = Problem::Missing("image".into());
        DataError::new(file.place(0), problem)
    })
}

/// A band of an HSC patch, and the HDU of its fluxes.
fn hsc_plane(file: &FitsFile, band: char) -> Result<(Plane, usize)> {
    let hdu = hsc::image_hdu(file);
    if let Some(stated) = hsc::one_band(file).filter(|stated| *stated != band) {
        let what = format!("the header says band {stated}, the file's name {band}");
        return Err(DataError::new(file.place(hdu), Problem::Mismatch(what)));
    }
    let layer = |hdu: usize| Layer {
        path: file.path().to_owned(),
        hdu,
    };
    let plane = Plane {
        band: hsc::band_name(band),
        factor: zeropoint::factor(file, hdu, HSC_ZEROPOINT)?,
        flux: layer(hdu),
        weight: hsc::variance_hdu(file).map(|hdu| Weight::Variance(layer(hdu))),
        mask: hsc::mask_hdu(file).map(|(hdu, bad)| Mask {
            layer: layer(hdu),
            bad,
            carried: false,
        }),
    };
    Ok((plane, hdu))
}
