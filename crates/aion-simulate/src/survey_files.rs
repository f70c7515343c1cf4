//! The simulated sky as surveys publish theirs: a HATS catalogue of Parquet files for each survey, in
//! the columns of the Multimodal Universe, and one of the truth.
//!
//! The sky is made partition by partition, so memory does not grow with it. A partition's truth is
//! written after everything else of it: where that file is, the partition is complete.

use std::collections::BTreeMap;
use std::path::Path;

use aion_data::hats::{self, Cell};
use aion_data::observation_table::{Layout, ObservationTable, Row};
use aion_data::sky::{coarser, healpix29};
use aion_data::survey::sdss;
use aion_data::survey::universe_columns::{DESI_CLASS, DESI_WARNING};
use aion_data::{DataError, Kind, ModalityId, Object, Place, Problem, Result, Survey, reader};
use rayon::prelude::*;

use super::region::{Partition, Region};
use super::sighting::{self, Sighting};
use super::{Coverage, Simulated, Sky};

/// Name of the catalogue of true properties, and prefix of columns that link it to the surveys'.
pub const TRUTH: &str = "truth";

/// Year of a position, motions in mas/yr.
const EPOCH: [&str; 1] = ["ref_epoch"];
const MOTION: [&str; 3] = ["ref_epoch", "pmra", "pmdec"];
/// Text in the truth table beside the surveys' identifiers.
const CLASS: &str = "class";
/// Numbers of the truth table; see [`truth_numbers`].
const TRUTH_NUMBERS: [&str; 17] = [
    "redshift",
    "magnitude_r",
    "ebv",
    "half_light_radius",
    "sersic_index",
    "axis_ratio",
    "position_angle",
    "log_mass",
    "log_sfr",
    "age",
    "metallicity",
    "attenuation",
    "teff",
    "logg",
    "parallax",
    "pmra",
    "pmdec",
];

/// Bytes of a partition's measurements in memory, and the bounds of its number of objects.
const BYTES_A_PARTITION: u64 = 192 << 20;
const OBJECTS_A_PARTITION: std::ops::RangeInclusive<u64> = 100..=32_768;

/// What is to be simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Seed of everything.
    pub seed: u64,
    /// Number of objects.
    pub objects: u64,
    /// Square degrees that they are spread over; as many as suit them where none is given.
    pub area: Option<f64>,
    /// Surveys that look.
    pub surveys: Vec<Survey>,
    /// Whether every survey measures every object, even where a real one would not.
    pub everything: bool,
    /// Whether there are images and segmentation maps.
    pub images: bool,
    /// Objects a partition at most, as far as cells are that fine; less where memory asks for it.
    pub max_rows: Option<u64>,
}

/// A simulated sky ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct SurveyFiles {
    settings: Settings,
    sky: Sky,
    region: Region,
    partitions: Vec<Partition>,
    metadata: BTreeMap<String, String>,
}

/// A survey's rows of a partition, by cell of order 29.
type Rows = Vec<(i64, Row)>;

impl SurveyFiles {
    /// Plans the partitions. The metadata goes into every file.
    pub fn new(settings: Settings, metadata: BTreeMap<String, String>) -> SurveyFiles {
        let surveys = settings.surveys.iter().copied().map(Coverage::of);
        let limit = surveys.fold(Coverage::NONE, |all, one| all | one);
        let sky = Sky::new(settings.seed)
            .limited_to(limit)
            .with_images(settings.images);
        let sky = if settings.everything {
            sky.with_everything()
        } else {
            sky
        };
        let region = Region::new(settings.seed, settings.objects, settings.area);
        let fitting = BYTES_A_PARTITION / bytes_an_object(&settings);
        let (least, most) = OBJECTS_A_PARTITION.into_inner();
        let fitting = fitting.clamp(least, most);
        let rows = settings.max_rows.map_or(fitting, |rows| rows.min(fitting));
        SurveyFiles {
            partitions: region.partitions(rows),
            settings,
            sky,
            region,
            metadata,
        }
    }

    /// Number of partitions.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Whether there is nothing to simulate.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The region that is simulated.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Number of objects of a partition.
    pub fn objects(&self, partition: usize) -> usize {
        self.partitions
            .get(partition)
            .map_or(0, |partition| partition.objects.clone().count())
    }

    /// Whether `folder` holds all of a partition.
    pub fn has(&self, folder: &Path, partition: usize) -> bool {
        self.partitions
            .get(partition)
            .is_some_and(|partition| folder.join(TRUTH).join(partition.cell.path()).is_file())
    }

    /// Simulates a partition and writes its files below `folder`; those that are there are replaced.
    ///
    /// # Errors
    /// [`Problem::Io`](aion_data::Problem::Io), with the file named.
    pub fn write(&self, folder: &Path, partition: usize) -> Result<()> {
        let Some(partition) = self.partitions.get(partition) else {
            return Ok(());
        };
        let visitors = self.region.visitors(partition.cell);
        let indices: Vec<u64> = partition.objects.clone().chain(visitors).collect();
        let seen: Vec<Seen> = indices
            .par_iter()
            .map(|index| self.see(*index, partition))
            .collect();
        let mut truth = Rows::new();
        let mut measured: BTreeMap<Survey, Rows> = BTreeMap::new();
        for seen in seen {
            truth.extend(seen.truth);
            for (survey, cell, row) in seen.measured {
                measured.entry(survey).or_default().push((cell, row));
            }
        }
        measured.into_par_iter().try_for_each(|(survey, rows)| {
            self.write_rows(&folder.join(survey.name()), partition.cell, survey, rows)
        })?;
        self.write_rows(&folder.join(TRUTH), partition.cell, Survey::Any, truth)
    }

    fn write_rows(
        &self,
        catalogue: &Path,
        cell: Cell,
        survey: Survey,
        mut rows: Rows,
    ) -> Result<()> {
        rows.sort_by(|a, b| (a.0, &a.1.object.id).cmp(&(b.0, &b.1.object.id)));
        let path = hats::make_partition(catalogue, cell)?;
        let mut table = ObservationTable::create(&path, self.layout(survey), &self.metadata)?;
        for (_, row) in rows {
            table.push(row)?;
        }
        table.finish()
    }

    /// Completes the catalogues of a folder that has all partitions.
    ///
    /// # Errors
    /// [`Problem::Io`](aion_data::Problem::Io).
    pub fn finish(&self, folder: &Path) -> Result<BTreeMap<String, u64>> {
        let mut rows = BTreeMap::new();
        let surveys = self.settings.surveys.iter().copied();
        for survey in surveys.chain([Survey::Any]) {
            let name = match survey {
                Survey::Any => TRUTH,
                survey => survey.name(),
            };
            let catalogue = folder.join(name);
            let mut partitions = BTreeMap::new();
            for Partition { cell, .. } in &self.partitions {
                let path = catalogue.join(cell.path());
                if path.is_file() {
                    partitions.insert(*cell, count_rows(&path)?);
                }
            }
            let mut more = self.metadata.clone();
            more.insert("simulated".to_owned(), "true".to_owned());
            let title = format!("Simulated sky (not observations): {name}");
            more.insert("obs_title".to_owned(), title);
            let fields = self.layout(survey).fields();
            let called = format!("simulated_{name}");
            hats::complete(&catalogue, &called, fields, &partitions, &more)?;
            rows.insert(name.to_owned(), partitions.values().sum());
        }
        Ok(rows)
    }

    /// The columns of a survey's catalogue, or those of the truth.
    fn layout(&self, survey: Survey) -> Layout {
        let spectroscopic = matches!(survey, Survey::Sdss | Survey::Desi);
        let wanted = |id: &ModalityId| {
            let info = id.info();
            match info.kind {
                _ if info.survey == Survey::Any => spectroscopic,
                Kind::Image | Kind::ScalarField => self.settings.images,
                _ => true,
            }
        };
        let layout = Layout::new(survey, ModalityId::all().filter(wanted)).simulated();
        match survey {
            Survey::Any => {
                let links = self.settings.surveys.iter().map(|survey| link(*survey));
                let text = [CLASS.to_owned()].into_iter().chain(links);
                layout.with_flags(text).with_numbers(&TRUTH_NUMBERS)
            }
            Survey::Gaia => layout.with_numbers(&MOTION),
            _ => layout
                .with_flags(pipeline_flags(survey).map(|(_, column)| column))
                .with_numbers(&EPOCH),
        }
    }

    /// Makes an object and finds out what of it belongs to a partition.
    fn see(&self, index: u64, partition: &Partition) -> Seen {
        let seed = self.settings.seed;
        let simulated = self.sky.object(index);
        let motion = sighting::motion(seed, index, &simulated.truth);
        let truth = partition.objects.contains(&index);
        let truth = truth.then(|| self.truth_row(index, &simulated, motion));
        let Simulated {
            object,
            truth: true_values,
        } = simulated;
        let mut measured = Vec::new();
        for (survey, part) in by_survey(object) {
            let sighting = sighting::sight(&self.region, seed, index, survey, motion);
            let Some(cell) = healpix29(sighting.ra, sighting.dec) else {
                continue;
            };
            if coarser(cell, partition.cell.order) as u64 != partition.cell.pixel {
                continue;
            }
            let mut numbers = vec![sighting.epoch];
            if survey == Survey::Gaia {
                let motion = sighting::measured(motion, seed, index, &true_values);
                numbers.extend([motion.ra, motion.dec]);
            }
            let Sighting { ra, dec, .. } = sighting;
            let object = Object {
                id: survey_id(seed, index, survey),
                ra: Some(ra),
                dec: Some(dec),
                ..part
            };
            measured.push((survey, cell, Row { object, numbers }));
        }
        Seen { truth, measured }
    }

    fn truth_row(&self, index: u64, simulated: &Simulated, motion: sighting::Motion) -> (i64, Row) {
        let Simulated { object, truth } = simulated;
        let (ra, dec) = self.region.position(index);
        let mut row = Object {
            ra: Some(ra),
            dec: Some(dec),
            simulated: true,
            ..Object::named(&object.id)
        };
        let class = truth.class.name().to_owned();
        row.flags.insert(CLASS.to_owned(), class);
        for survey in &self.settings.surveys {
            let measured = |id: &ModalityId| id.info().survey == *survey;
            if object.measurements.keys().any(measured) {
                let id = survey_id(self.settings.seed, index, *survey);
                row.flags.insert(link(*survey), id);
            }
        }
        let numbers = [
            Some(truth.redshift),
            Some(truth.magnitude_r),
            Some(truth.ebv),
            Some(truth.half_light_radius),
            truth.sersic_index,
            truth.axis_ratio,
            truth.position_angle,
            truth.log_mass,
            truth.log_sfr,
            truth.age,
            truth.metallicity,
            truth.attenuation,
            truth.teff,
            truth.logg,
            Some(truth.parallax),
            Some(motion.ra),
            Some(motion.dec),
        ];
        let numbers = numbers.map(|number| number.unwrap_or(f64::NAN));
        let row = Row {
            object: row,
            numbers: numbers.to_vec(),
        };
        (healpix29(ra, dec).unwrap_or_default(), row)
    }
}

fn count_rows(path: &Path) -> Result<u64> {
    let unreadable = || {
        let problem = Problem::Container {
            format: "Parquet",
            reason: "its footer does not say how many rows it has".to_owned(),
        };
        DataError::new(Place::file(path), problem)
    };
    reader::num_objects(path).ok_or_else(unreadable)
}

/// What of an object belongs to a partition.
struct Seen {
    truth: Option<(i64, Row)>,
    measured: Vec<(Survey, i64, Row)>,
}

/// The parts of an object that the surveys measured; what belongs to no survey goes to the spectra.
fn by_survey(object: Object) -> BTreeMap<Survey, Object> {
    let mut parts: BTreeMap<Survey, Object> = BTreeMap::new();
    let mut common = BTreeMap::new();
    for (id, measurement) in object.measurements {
        let survey = id.info().survey;
        if survey == Survey::Any {
            common.insert(id, measurement);
            continue;
        }
        let part = parts.entry(survey).or_default();
        part.simulated = object.simulated;
        part.measurements.insert(id, measurement);
    }
    for survey in [Survey::Sdss, Survey::Desi] {
        if let Some(part) = parts.get_mut(&survey) {
            part.measurements.extend(common.clone());
            for (flag, column) in pipeline_flags(survey) {
                let value = object.flags.get(flag).cloned();
                part.flags
                    .extend(value.map(|value| (column.to_owned(), value)));
            }
        }
    }
    parts
}

/// Flags of simulated objects with the columns in which a spectroscopic survey publishes them.
fn pipeline_flags(survey: Survey) -> impl Iterator<Item = (&'static str, &'static str)> {
    let columns = match survey {
        Survey::Sdss => Some([sdss::CLASS, sdss::REDSHIFT_WARNING]),
        Survey::Desi => Some([DESI_CLASS, DESI_WARNING]),
        _ => None,
    };
    let flags = [sdss::CLASS, sdss::REDSHIFT_WARNING];
    columns
        .into_iter()
        .flat_map(move |columns| flags.into_iter().zip(columns))
}

/// Column of the truth table that holds a survey's identifier.
fn link(survey: Survey) -> String {
    format!("{}_id", survey.name())
}

/// A survey's own identifier of an object: another one in every survey, unique within it.
fn survey_id(seed: u64, index: u64, survey: Survey) -> String {
    // Each step can be undone, so different objects have different numbers.
    let mut number = index.wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    number ^= (Coverage::of(survey).place() + 1) << 56;
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^= number >> 31;
    format!("sim-{}-{number:016x}", survey.name())
}

/// About how many bytes an object's measurements take while its partition is made.
fn bytes_an_object(settings: &Settings) -> u64 {
    let pixels = |bands: u64| bands * 96 * 96 * 8;
    let of = |survey: &Survey| match survey {
        Survey::LegacySurvey if settings.images => pixels(4) + 96 * 96 * 4,
        Survey::Hsc if settings.images => pixels(5),
        Survey::Sdss => 50_000,
        Survey::Desi => 101_000,
        _ => 1500,
    };
    let all: u64 = settings.surveys.iter().map(of).sum();
    // Surveys share the objects.
    let all = if settings.everything { all } else { all / 2 };
    2000 + all
}
