//! Cells of tables as Arrow columns, and Arrow columns of one meaning brought to one type.
//!
//! Parquet files keep their own types. Other containers give [`Cell`]s, whose type is found batch by
//! batch and widened where batches differ: nothing, whole numbers, real numbers, text, true or false;
//! lists of single precision where that loses nothing, else of double precision; arrays as lists of
//! lists. Text that spells a number as a computer would becomes one; `007` stays text. What does not
//! go together (texts and lists) is refused.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, Float32Builder, Float64Builder, ListBuilder, StringBuilder, make_builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, NullArray, StringArray,
    UInt64Array, new_null_array,
};
use arrow_schema::{DataType, Field};

use crate::format::table::Cell;

/// What a column of cells can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Nothing,
    /// Whole numbers that are not negative and fit into either type.
    Small,
    Signed,
    Unsigned,
    Real,
    Text,
    Singles,
    Doubles,
    Flag,
    Words,
    Bytes,
    /// Of so many axes.
    Array(usize),
    /// Cells that one column cannot hold.
    Mixed,
}

impl Shape {
    fn of(cell: &Cell) -> Shape {
        match cell {
            Cell::Missing => Shape::Nothing,
            Cell::Integer(value) => Shape::of_whole(*value),
            Cell::Number(_) => Shape::Real,
            Cell::Flag(_) => Shape::Flag,
            Cell::Words(_) => Shape::Words,
            Cell::Bytes(_) => Shape::Bytes,
            Cell::Array(array) => Shape::Array(array.shape.len()),
            Cell::Text(text) => match text.parse::<i128>() {
                Ok(value) if value.to_string() == *text => Shape::of_whole(value),
                Ok(_) => Shape::Text,
                Err(_) if text.parse::<f64>().is_ok() => Shape::Real,
                Err(_) => Shape::Text,
            },
            Cell::List(values) => {
                let single = |value: &f64| value.is_nan() || f64::from(*value as f32) == *value;
                match values.iter().all(single) {
                    true => Shape::Singles,
                    false => Shape::Doubles,
                }
            }
        }
    }

    fn of_whole(value: i128) -> Shape {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(_), Ok(_)) => Shape::Small,
            (Ok(_), Err(_)) => Shape::Signed,
            (Err(_), Ok(_)) => Shape::Unsigned,
            (Err(_), Err(_)) => Shape::Text,
        }
    }

    fn with(self, other: Shape) -> Shape {
        use Shape::*;
        match (self, other) {
            (a, b) if a == b => a,
            (Nothing, shape) | (shape, Nothing) => shape,
            (Small, shape @ (Signed | Unsigned)) | (shape @ (Signed | Unsigned), Small) => shape,
            (Real, Small | Signed | Unsigned) | (Small | Signed | Unsigned, Real) => Real,
            (Singles, Doubles) | (Doubles, Singles) => Doubles,
            (Singles | Doubles, Small | Signed | Unsigned | Real) => Doubles,
            (Small | Signed | Unsigned | Real, Singles | Doubles) => Doubles,
            (a, b) if a.is_single() && b.is_single() => Text,
            _ => Mixed,
        }
    }

    /// Whether a cell holds one value that text can stand for.
    fn is_single(self) -> bool {
        use Shape::*;
        matches!(self, Small | Signed | Unsigned | Real | Text | Flag)
    }
}

/// Cells of one column as an array; none of cells that do not go together.
pub(super) fn array<'a>(cells: impl Iterator<Item = &'a Cell> + Clone) -> Option<ArrayRef> {
    let shape = cells
        .clone()
        .fold(Shape::Nothing, |shape, cell| shape.with(Shape::of(cell)));
    Some(match shape {
        Shape::Mixed => return None,
        Shape::Nothing => Arc::new(NullArray::new(cells.count())),
        Shape::Small | Shape::Signed => Arc::new(
            cells
                .map(|cell| whole(cell)?.try_into().ok())
                .collect::<Int64Array>(),
        ),
        Shape::Unsigned => Arc::new(
            cells
                .map(|cell| whole(cell)?.try_into().ok())
                .collect::<UInt64Array>(),
        ),
        Shape::Real => Arc::new(
            cells
                .map(|cell| cell.number().ok()?)
                .collect::<Float64Array>(),
        ),
        Shape::Text => Arc::new(cells.map(Cell::label).collect::<StringArray>()),
        Shape::Flag => Arc::new(
            cells
                .map(|cell| match cell {
                    Cell::Flag(value) => Some(*value),
                    _ => None,
                })
                .collect::<BooleanArray>(),
        ),
        Shape::Bytes => Arc::new(
            cells
                .map(|cell| match cell {
                    Cell::Bytes(bytes) => Some(bytes.as_slice()),
                    _ => None,
                })
                .collect::<BinaryArray>(),
        ),
        Shape::Words => {
            let mut list = ListBuilder::new(StringBuilder::new());
            for cell in cells {
                match cell {
                    Cell::Words(words) => list.append_value(words.iter().map(Some)),
                    _ => list.append_null(),
                }
            }
            Arc::new(list.finish())
        }
        Shape::Array(axes) => arrays(cells, axes),
        Shape::Singles => {
            let mut list = ListBuilder::new(Float32Builder::new());
            for cell in cells {
                let values = cell.list().ok().flatten();
                list.append_option(values.map(|v| v.into_iter().map(|v| Some(v as f32))));
            }
            Arc::new(list.finish())
        }
        Shape::Doubles => {
            let mut list = ListBuilder::new(Float64Builder::new());
            for cell in cells {
                let values = cell.list().ok().flatten();
                list.append_option(values.map(|v| v.into_iter().map(Some)));
            }
            Arc::new(list.finish())
        }
    })
}

/// Arrays of the same number of axes as lists of lists.
fn arrays<'a>(cells: impl Iterator<Item = &'a Cell>, axes: usize) -> ArrayRef {
    let list = |of, _| DataType::new_list(of, true);
    let of = (0..axes).fold(DataType::Float32, list);
    let mut builder = make_builder(&of, 0);
    for cell in cells {
        let list = builder.as_any_mut().downcast_mut::<Lists>();
        match (list, cell) {
            (Some(list), Cell::Array(array)) => {
                put(list.values(), &array.shape, &array.values);
                list.append(true);
            }
            (Some(list), _) => list.append(false),
            (None, _) => {}
        }
    }
    builder.finish()
}

type Lists = ListBuilder<Box<dyn ArrayBuilder>>;

/// Adds the parts of an array along its first axis.
fn put(builder: &mut Box<dyn ArrayBuilder>, shape: &[usize], values: &[f32]) {
    if let Some(numbers) = builder.as_any_mut().downcast_mut::<Float32Builder>() {
        numbers.append_slice(values);
    } else if let Some(list) = builder.as_any_mut().downcast_mut::<Lists>()
        && let Some((axis, rest)) = shape.split_first()
    {
        for part in values.chunks((values.len() / axis.max(&1)).max(1)) {
            put(list.values(), rest, part);
            list.append(true);
        }
    }
}

fn whole(cell: &Cell) -> Option<i128> {
    match cell {
        Cell::Integer(value) => Some(*value),
        Cell::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// The type that holds the values of both; none where there is no such type.
pub(super) fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Float64, Int64, Null, UInt64, Utf8};
    let is_plain = |of: &DataType| matches!(of, Int64 | UInt64 | Float64 | Utf8);
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (Null, other) | (other, Null) => Some(other.clone()),
        (Float64, Int64 | UInt64) | (Int64 | UInt64, Float64) => Some(Float64),
        (a, b) if is_plain(a) && is_plain(b) => Some(Utf8),
        (DataType::List(x), DataType::List(y)) => {
            let floats = |of: &Field| of.data_type().is_floating();
            let doubles = || DataType::new_list(Float64, true);
            (floats(x) && floats(y)).then(doubles)
        }
        _ => None,
    }
}

/// An array at the type that [`wider`] gave; none where the values do not fit.
pub(super) fn widened(array: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    use DataType::{Float64, Int64, Null, UInt64, Utf8};
    let from = array.data_type();
    Some(match (from, to) {
        (from, to) if from == to => array.clone(),
        (Null, to) => new_null_array(to, array.len()),
        (Int64, Float64) => {
            let values = array.as_primitive::<Int64Type>().iter();
            Arc::new(values.map(|v| Some(v? as f64)).collect::<Float64Array>())
        }
        (UInt64, Float64) => {
            let values = array.as_primitive::<UInt64Type>().iter();
            Arc::new(values.map(|v| Some(v? as f64)).collect::<Float64Array>())
        }
        (Int64, Utf8) => texts(array.as_primitive::<Int64Type>().iter()),
        (UInt64, Utf8) => texts(array.as_primitive::<UInt64Type>().iter()),
        (Float64, Utf8) => texts(array.as_primitive::<Float64Type>().iter()),
        (DataType::List(item), DataType::List(_)) if item.data_type() == &DataType::Float32 => {
            let mut list = ListBuilder::new(Float64Builder::new());
            for values in array.as_list::<i32>().iter() {
                let numbers = |values: ArrayRef| -> Vec<Option<f64>> {
                    let singles = values.as_primitive::<Float32Type>().iter();
                    singles.map(|v| v.map(f64::from)).collect()
                };
                list.append_option(values.map(numbers));
            }
            Arc::new(list.finish())
        }
        _ => return None,
    })
}

fn texts<T: ToString>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(
        values
            .map(|value| Some(value?.to_string()))
            .collect::<StringArray>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cells: &[Cell]) -> DataType {
        array(cells.iter()).expect("a column").data_type().clone()
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    #[test]
    fn identifiers_stay_exact() {
        let big = Cell::Integer(i128::from(u64::MAX));
        assert_eq!(of(&[Cell::Integer(1), big.clone()]), DataType::UInt64);
        assert_eq!(of(&[Cell::Integer(-1), big]), DataType::Utf8);
        assert_eq!(
            of(&[text("9007199254740993"), Cell::Missing]),
            DataType::Int64
        );
        assert_eq!(of(&[text("007"), text("8")]), DataType::Utf8);
        assert_eq!(of(&[text("1.5"), text("2")]), DataType::Float64);
        assert_eq!(of(&[Cell::Missing]), DataType::Null);
        let kept = array([text("007"), Cell::Missing].iter()).expect("a column");
        assert_eq!(kept.as_string::<i32>().value(0), "007");
        assert!(kept.is_null(1));
    }

    #[test]
    fn lists_are_as_precise_as_they_need() {
        let single = Cell::List(vec![0.5, f64::NAN]);
        let double = Cell::List(vec![0.1]);
        let column = |cells: &[Cell]| array(cells.iter()).expect("a column");
        let singles = column(&[single.clone(), Cell::Missing]);
        let both = column(&[single.clone(), double]);
        assert!(
            array([single, text("x")].iter()).is_none(),
            "nothing is lost in silence"
        );
        assert_eq!(
            singles.data_type(),
            &DataType::new_list(DataType::Float32, true)
        );
        assert_eq!(
            both.data_type(),
            &DataType::new_list(DataType::Float64, true)
        );
        let to = wider(singles.data_type(), both.data_type()).expect("a type");
        let wide = widened(&singles, &to).expect("fits");
        assert_eq!(wide.data_type(), &to);
        assert!(wide.is_null(1));
    }

    #[test]
    fn arrays_are_lists_of_lists() {
        let cell = Cell::Array(crate::format::table::Array {
            shape: vec![2, 3],
            values: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        });
        let arrays = array([cell, Cell::Missing].iter()).expect("a column");
        let rows = arrays.as_list::<i32>();
        assert!(rows.is_null(1));
        let row = rows.value(0);
        let second = row.as_list::<i32>().value(1);
        assert_eq!(
            second.as_primitive::<Float32Type>().values(),
            &[3.0, 4.0, 5.0]
        );
        let words = array([Cell::Words(vec!["g".into()])].iter()).expect("a column");
        let list = words.as_list::<i32>().value(0);
        assert_eq!(list.as_string::<i32>().value(0), "g");
        assert_eq!(of(&[Cell::Flag(true), Cell::Missing]), DataType::Boolean);
        assert_eq!(of(&[Cell::Bytes(vec![0xff])]), DataType::Binary);
    }

    #[test]
    fn types_that_contradict_are_not_brought_together() {
        use DataType::*;
        assert_eq!(wider(&Int32, &Int64), None);
        assert_eq!(wider(&Null, &Int32), Some(Int32));
        assert_eq!(wider(&Int64, &Utf8), Some(Utf8));
        assert_eq!(wider(&DataType::new_list(Utf8, true), &Utf8), None);
    }
}
