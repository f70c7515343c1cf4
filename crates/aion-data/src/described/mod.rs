//! Surveys that the published table lacks, as a checkpoint describes them.
//!
//! A described survey takes images in bands of its own. Its description travels in `aion.toml`, beside the
//! `config.json` of the checkpoint that was extended to it; reading it makes the survey's modality known to
//! this process under its token key. Rows are only added, and a name means one description, so no
//! [`ModalityId`] ever changes its meaning.

mod description;

pub use description::{BandDescription, OPTICAL, Optics, SurveyDescription};

use std::fs;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use serde::{Deserialize, Serialize};

use crate::atomic::write_atomically;
use crate::band::Band;
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::{MODALITIES, Modality, ModalityId, Survey};

/// File of a checkpoint that describes what the published layout cannot.
pub const DESCRIPTION_FILE: &str = "aion.toml";

/// A description in the tables of this process.
#[derive(Debug)]
struct Described {
    description: SurveyDescription,
    id: ModalityId,
    bands: Vec<Band>,
}

static DESCRIBED: RwLock<Vec<&'static Described>> = RwLock::new(Vec::new());

/// `aion.toml`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DescriptionFile {
    #[serde(default, rename = "survey")]
    surveys: Vec<SurveyDescription>,
}

/// Makes the surveys that the checkpoint in `folder` describes known to this process, and gives the
/// modalities of their images; none where it has no `aion.toml`, as a published one.
///
/// # Errors
/// The file cannot be read, is not TOML, has an unknown key or an impossible value, or another checkpoint
/// described a survey of the same name otherwise.
pub fn read(folder: &Path) -> Result<Vec<ModalityId>> {
    let path = folder.join(DESCRIPTION_FILE);
    let surveys = read_file(&path)?.surveys;
    let ids = surveys.iter().map(SurveyDescription::register);
    let ids: Result<Vec<ModalityId>> = ids.collect();
    ids.map_err(|error| error.in_file(&path))
}

fn read_file(path: &Path) -> Result<DescriptionFile> {
    let fail = |problem| DataError::new(Place::file(path), problem);
    if !path.exists() {
        return Ok(DescriptionFile::default());
    }
    let text = fs::read_to_string(path).map_err(|error| fail(error.into()))?;
    toml::from_str(&text).map_err(|error| {
        fail(Problem::Container {
            format: "TOML",
            reason: error.to_string(),
        })
    })
}

/// Adds the surveys of described modalities to what `folder` describes; other modalities, and surveys that
/// it already describes, change nothing.
///
/// # Errors
/// The file that is there cannot be read, or the new one not written.
pub fn add(folder: &Path, ids: &[ModalityId]) -> Result<()> {
    let path = folder.join(DESCRIPTION_FILE);
    let mut file = read_file(&path)?;
    let before = file.surveys.len();
    let described = ids.iter().filter_map(|id| description(*id));
    for survey in described {
        if !file.surveys.contains(survey) {
            file.surveys.push(survey.clone());
        }
    }
    if file.surveys.len() == before {
        return Ok(());
    }
    let text = toml::to_string(&file).map_err(|error| {
        let problem = Problem::Values(error.to_string());
        DataError::new(Place::file(&path), problem)
    })?;
    write_atomically(&path, |out| {
        std::io::Write::write_all(out, text.as_bytes())
            .map_err(|error| DataError::new(Place::default(), error.into()))
    })
}

/// The description of a modality's survey; none for published ones.
pub fn description(id: ModalityId) -> Option<&'static SurveyDescription> {
    row(id.info().survey).map(|row| &row.description)
}

/// The bands of a described survey, in channel order.
pub(crate) fn bands(survey: Survey) -> Option<&'static [Band]> {
    row(survey).map(|row| row.bands.as_slice())
}

/// The bands of every described survey.
pub(crate) fn all_bands() -> Vec<&'static [Band]> {
    rows().iter().map(|row| row.bands.as_slice()).collect()
}

/// The modalities that descriptions added to the table, in registry order.
pub(crate) fn modalities() -> Vec<ModalityId> {
    rows().iter().map(|row| row.id).collect()
}

fn row(survey: Survey) -> Option<&'static Described> {
    let Survey::Described(name) = survey else {
        return None;
    };
    rows()
        .iter()
        .find(|row| row.description.name == name)
        .copied()
}

fn rows() -> RwLockReadGuard<'static, Vec<&'static Described>> {
    DESCRIBED.read().unwrap_or_else(PoisonError::into_inner)
}

impl SurveyDescription {
    /// Makes the survey known to this process and gives the modality of its images; the same each time.
    ///
    /// # Errors
    /// A value is impossible, the name already means something else, or no more surveys fit.
    pub fn register(&self) -> Result<ModalityId> {
        let like = self.check()?;
        let mut rows = DESCRIBED.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.iter().find(|row| row.description.name == self.name) {
            if row.description != *self {
                let problem = "is described otherwise by another checkpoint in use".to_owned();
                return Err(self.wrong("name", Problem::Mismatch(problem)));
            }
            return Ok(row.id);
        }
        let Some(place) = u8::try_from(rows.len()).ok().filter(|place| *place < MOST) else {
            let problem = format!("is one survey too many, expected at most {MOST}");
            return Err(self.wrong("name", Problem::Values(problem)));
        };
        let row: &'static Described = Box::leak(Box::new(self.row(place, like)));
        rows.push(row);
        Ok(row.id)
    }

    /// Its row of the tables. What it points to lives as long as the process, as the rows do.
    fn row(&self, place: u8, like: ModalityId) -> Described {
        let name = leak(self.name.clone());
        let modality = Modality {
            key: leak(format!("tok_image_{name}")),
            codec: leak(format!("image_{name}")),
            survey: Survey::Described(name),
            unit: "flux at each band's zeropoint",
            ..like.info().clone()
        };
        let band = |band: &BandDescription| Band {
            name: leak(band.name.clone()),
            clamp: band.clip as f32,
            zeropoint: band.zeropoint as f32,
        };
        Described {
            description: self.clone(),
            id: ModalityId::described(place, Box::leak(Box::new(modality))),
            bands: self.bands.iter().map(band).collect(),
        }
    }
}

/// Surveys that ids have room for beside the published modalities.
const MOST: u8 = u8::MAX - MODALITIES.len() as u8;

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[survey]]
        name = "sketch"
        like = "legacy"
        pixel_scale = 0.2
        [[survey.band]]
        name = "SKETCH-G"
        zeropoint = 27.0
        clip = 400.0
        like = "DES-G"
        optics = { edges = [4000.0, 5500.0], seeing = 0.7, depth = 25.0, electrons = 1e5 }
    "#;

    fn described(text: &str) -> (tempfile::TempDir, Result<Vec<ModalityId>>) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(DESCRIPTION_FILE), text).expect("written");
        let found = read(folder.path());
        (folder, found)
    }

    #[test]
    fn a_description_is_a_row_that_stays_and_travels() {
        let (_folder, found) = described(TEXT);
        let id = found.expect("valid")[0];
        assert_eq!(ModalityId::from_key("tok_image_sketch"), Some(id));
        assert_eq!(id.info().codec, "image_sketch");
        assert_eq!((id.info().num_tokens(), id.info().vocabulary), (576, 4375));
        assert_eq!(bands(id.info().survey).map(<[Band]>::len), Some(1));
        let copy = tempfile::tempdir().expect("a folder");
        assert!(read(copy.path()).expect("a published layout").is_empty());
        add(copy.path(), &[id]).expect("written");
        add(copy.path(), &[id]).expect("nothing to do");
        assert_eq!(read(copy.path()).expect("the same"), [id]);
    }

    #[test]
    fn wrong_descriptions_name_the_field() {
        described(TEXT).1.expect("valid");
        for (word, from, to) in [
            ("pixel_scal", "pixel_scale", "pixel_scal"),
            ("survey.hsc.name", "\"sketch\"", "\"hsc\""),
            ("expected lower-case", "\"sketch\"", "\"Sketch\""),
            ("legacy or hsc", "like = \"legacy\"", "like = \"sdss\""),
            ("band.DES-G.name", "SKETCH-G", "DES-G"),
            ("known: HSC-G", "like = \"DES-G\"", "like = \"DES-U\""),
            ("SKETCH-G.clip", "clip = 400.0", "clip = -1.0"),
            ("SKETCH-G.optics.edges", "4000.0", "2000.0"),
            // The same name with another meaning.
            ("described otherwise", "0.2", "0.3"),
        ] {
            let error = described(&TEXT.replace(from, to)).1.expect_err(word);
            let text = error.to_string();
            assert!(
                text.contains(word) && text.contains(DESCRIPTION_FILE),
                "{text}"
            );
        }
    }
}
