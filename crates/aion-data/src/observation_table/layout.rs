//! Which columns a table of observations has, and the rows' cells in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray, StructArray};
use arrow_array::{BooleanArray, Float32Array, Float64Array};
use arrow_schema::{DataType, Field, Fields};

use super::columns;
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::Object;
use crate::sky::healpix29;
use crate::survey::universe_columns::{self as names, place};
use crate::tensor_files::check_arrays;

/// A row: an object, and the layout's numbers that are no modalities.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The object.
    pub object: Object,
    /// Values of [`Layout::with_numbers`], in that order; NaN becomes null.
    pub numbers: Vec<f64>,
}

impl From<Object> for Row {
    fn from(object: Object) -> Self {
        Row {
            object,
            numbers: Vec::new(),
        }
    }
}

/// The columns of a table, settled before its first row.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    survey: Survey,
    prefix: String,
    columns: Vec<Column>,
    numbers: usize,
    simulated: bool,
}

/// A column after identity and position.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    content: Content,
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    Number(Number),
    /// Named numbers in a struct.
    Group(Vec<(String, Number)>),
    /// Anything but a number; coefficients are several modalities, one after the other.
    Arrays(Kind, Vec<ModalityId>),
    Flag(String),
    Simulated,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Modality(ModalityId),
    /// An index into the row's numbers.
    Other(usize),
}

impl Layout {
    /// The columns for these modalities as far as they are the survey's or no survey's.
    pub fn new(survey: Survey, modalities: impl IntoIterator<Item = ModalityId>) -> Layout {
        let mut layout = Layout {
            survey,
            prefix: String::new(),
            columns: Vec::new(),
            numbers: 0,
            simulated: false,
        };
        let wanted: BTreeSet<ModalityId> = modalities.into_iter().collect();
        for id in wanted {
            if [survey, Survey::Any].contains(&id.info().survey) {
                layout.add_modality(id);
            }
        }
        layout
    }

    /// The columns that these objects need: what the survey measured of any, their flags, and
    /// whether they are simulated.
    pub fn of(survey: Survey, objects: &[Object]) -> Layout {
        let modalities = objects.iter().flat_map(|object| object.measurements.keys());
        let flags = objects.iter().flat_map(|object| object.flags.keys());
        let flags: BTreeSet<&String> = flags.collect();
        let layout = Layout::new(survey, modalities.copied()).with_flags(flags);
        if objects.iter().any(|object| object.simulated) {
            layout.simulated()
        } else {
            layout
        }
    }

    /// The same with columns of text for these flags. A flag that is named as a number's column is the
    /// value that a survey publishes but does not trust: it stands in that column where the
    /// measurement is absent, as the survey publishes it.
    pub fn with_flags(mut self, flags: impl IntoIterator<Item = impl Into<String>>) -> Layout {
        for flag in flags {
            let name: String = flag.into();
            if !self.columns.iter().any(|column| column.name == name) {
                let content = Content::Flag(name.clone());
                self.columns.push(Column { name, content });
            }
        }
        self
    }

    /// The same with further columns of numbers (proper motions, an epoch), whose values come with
    /// the rows.
    pub fn with_numbers(mut self, numbers: &[&str]) -> Layout {
        for name in numbers {
            self.add_number((name, None), Number::Other(self.numbers));
            self.numbers += 1;
        }
        self
    }

    /// The same with a column that is true for simulated objects.
    pub fn simulated(mut self) -> Layout {
        if !self.simulated {
            self.simulated = true;
            self.columns.push(Column {
                name: names::SIMULATED.to_owned(),
                content: Content::Simulated,
            });
        }
        self
    }

    /// The same with `prefix` before the name of each column, identity and position included.
    pub fn with_prefix(self, prefix: impl Into<String>) -> Layout {
        Layout {
            prefix: prefix.into(),
            ..self
        }
    }

    /// The survey whose measurements these are.
    pub fn survey(&self) -> Survey {
        self.survey
    }

    /// Whether the table marks simulated objects.
    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    fn add_modality(&mut self, id: ModalityId) {
        let Some((column, field)) = place(id) else {
            return;
        };
        let kind = id.info().kind;
        if kind == Kind::Scalar {
            self.add_number((column, field), Number::Modality(id));
            return;
        }
        if self.columns.iter().any(|known| known.name == column) {
            return;
        }
        // Coefficients of one arm stand where those of both would.
        let all = ModalityId::all().filter(|other| {
            *other == id
                || kind == Kind::Coefficients
                    && (other.info().kind, other.info().survey) == (kind, self.survey)
        });
        self.columns.push(Column {
            name: column.to_owned(),
            content: Content::Arrays(kind, all.collect()),
        });
    }

    fn add_number(&mut self, (column, field): (&str, Option<&str>), number: Number) {
        let Some(field) = field else {
            self.columns.push(Column {
                name: column.to_owned(),
                content: Content::Number(number),
            });
            return;
        };
        let field = (field.to_owned(), number);
        if let Some(Column {
            content: Content::Group(fields),
            ..
        }) = self.columns.iter_mut().find(|known| known.name == column)
        {
            fields.push(field);
            return;
        }
        self.columns.push(Column {
            name: column.to_owned(),
            content: Content::Group(vec![field]),
        });
    }

    /// Refuses a row whose arrays contradict each other or that lacks numbers.
    pub(crate) fn check(&self, row: &Row) -> Result<()> {
        if row.numbers.len() != self.numbers {
            let problem = format!(
                "the row has {} numbers beside its modalities, expected {}",
                row.numbers.len(),
                self.numbers
            );
            return Err(DataError::new(Place::default(), Problem::Mismatch(problem)));
        }
        let measurements = row.object.measurements.iter();
        measurements
            .into_iter()
            .try_for_each(|(id, measurement)| check_arrays(*id, measurement))
    }

    /// The columns as a schema has them, identity and position first.
    pub fn fields(&self) -> Vec<Field> {
        let named = |name: &str, kind: DataType, nullable: bool| {
            Field::new(format!("{}{name}", self.prefix), kind, nullable)
        };
        let mut fields = vec![
            named(names::OBJECT_ID, DataType::Utf8, false),
            named(names::RA, DataType::Float64, true),
            named(names::DEC, DataType::Float64, true),
            named(names::HEALPIX, DataType::Int64, true),
        ];
        let column = |column: &Column| named(&column.name, column.content.data_type(), true);
        fields.extend(self.columns.iter().map(column));
        fields
    }

    /// The cells of rows that [`ObservationTable::push`](super::ObservationTable::push) would take,
    /// in the order of [`Layout::fields`].
    pub fn arrays(&self, rows: &[&Row]) -> Vec<ArrayRef> {
        let objects: Vec<&Object> = rows.iter().map(|row| &row.object).collect();
        let ids = objects.iter().map(|object| Some(object.id.as_str()));
        let cells = objects
            .iter()
            .map(|object| healpix29(object.ra?, object.dec?));
        let ra: Float64Array = objects.iter().map(|object| object.ra).collect();
        let dec: Float64Array = objects.iter().map(|object| object.dec).collect();
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(ids.collect::<StringArray>()),
            Arc::new(ra),
            Arc::new(dec),
            Arc::new(cells.collect::<Int64Array>()),
        ];
        let columns = self.columns.iter();
        arrays.extend(columns.map(|column| column.content.array(&column.name, rows, &objects)));
        arrays
    }
}

impl Content {
    fn data_type(&self) -> DataType {
        match self {
            Content::Number(number) => number.data_type(),
            Content::Group(fields) => DataType::Struct(group_fields(fields)),
            Content::Arrays(kind, _) => columns::data_type(*kind),
            Content::Flag(_) => DataType::Utf8,
            Content::Simulated => DataType::Boolean,
        }
    }

    fn array(&self, name: &str, rows: &[&Row], objects: &[&Object]) -> ArrayRef {
        match self {
            Content::Number(number) => number.array(name, rows),
            Content::Group(fields) => {
                let arrays = fields.iter().map(|(name, number)| number.array(name, rows));
                Arc::new(StructArray::new(
                    group_fields(fields),
                    arrays.collect(),
                    None,
                ))
            }
            Content::Arrays(kind, modalities) => columns::array(*kind, modalities, objects),
            Content::Flag(flag) => {
                let values = objects.iter().map(|object| object.flags.get(flag));
                Arc::new(values.collect::<StringArray>())
            }
            Content::Simulated => {
                let values = objects.iter().map(|object| Some(object.simulated));
                Arc::new(values.collect::<BooleanArray>())
            }
        }
    }
}

fn group_fields(fields: &[(String, Number)]) -> Fields {
    fields
        .iter()
        .map(|(name, number)| Field::new(name, number.data_type(), true))
        .collect()
}

impl Number {
    fn data_type(self) -> DataType {
        match self {
            Number::Modality(_) => DataType::Float32,
            Number::Other(_) => DataType::Float64,
        }
    }

    fn array(self, name: &str, rows: &[&Row]) -> ArrayRef {
        match self {
            Number::Modality(id) => {
                let values = rows.iter().map(|row| scalar(&row.object, id, name));
                Arc::new(values.collect::<Float32Array>())
            }
            Number::Other(index) => {
                let values = rows.iter().map(|row| row.numbers.get(index).copied());
                let values = values.map(|value| value.filter(|value| !value.is_nan()));
                Arc::new(values.collect::<Float64Array>())
            }
        }
    }
}

/// The measurement, or the value that the survey does not trust, which readers keep as a flag.
fn scalar(object: &Object, id: ModalityId, column: &str) -> Option<f32> {
    let untrusted = || object.flags.get(column)?.parse().ok();
    object.scalar(id).or_else(untrusted)
}
