//! Columns in memory (Arrow arrays) as cells: numbers, text, truth values, lists of them, and lists
//! of lists, which are arrays.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array as _, ArrayRef, ListArray};
use arrow_schema::{DataType, Field};

use crate::format::table::{Array, Cell};

/// The cells of the field at `path` within a column: within its structs, or within each item of
/// its lists of structs. Where a struct is null, so is what lies in it.
///
/// Errors, in words: no such field, a type that is not read.
pub(super) fn cells_at(column: &ArrayRef, path: &[String]) -> Result<Vec<Cell>, String> {
    let Some((name, rest)) = path.split_first() else {
        let not_read = || format!("columns of type {} are not read", column.data_type());
        return cells(column).ok_or_else(not_read);
    };
    if let Some(parent) = column.as_struct_opt() {
        let field = parent.column_by_name(name).ok_or("no such field")?;
        let mut found = cells_at(field, rest)?;
        for (row, cell) in found.iter_mut().enumerate() {
            if parent.is_null(row) {
                *cell = Cell::Missing;
            }
        }
        return Ok(found);
    }
    cells_at(&field_of_items(column, name).ok_or("no such field")?, rest)
}

/// A list of structs as a list of one field of theirs.
fn field_of_items(column: &ArrayRef, name: &str) -> Option<ArrayRef> {
    let list = column.as_list_opt::<i32>()?;
    let values = list.values().as_struct_opt()?.column_by_name(name)?.clone();
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let list = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned());
    Some(Arc::new(list.ok()?))
}

/// The cells of a column; `None` for a type that is not read.
pub(crate) fn cells(column: &ArrayRef) -> Option<Vec<Cell>> {
    let rows = 0..column.len();
    Some(match column.data_type() {
        DataType::Null => vec![Cell::Missing; column.len()],
        DataType::Int8 => integers::<Int8Type>(column),
        DataType::Int16 => integers::<Int16Type>(column),
        DataType::Int32 => integers::<Int32Type>(column),
        DataType::Int64 => integers::<Int64Type>(column),
        DataType::UInt8 => integers::<UInt8Type>(column),
        DataType::UInt16 => integers::<UInt16Type>(column),
        DataType::UInt32 => integers::<UInt32Type>(column),
        DataType::UInt64 => integers::<UInt64Type>(column),
        DataType::Float16 => reals::<Float16Type>(column),
        DataType::Float32 => reals::<Float32Type>(column),
        DataType::Float64 => reals::<Float64Type>(column),
        DataType::Boolean => present(column.as_boolean().iter(), Cell::Flag),
        DataType::Utf8 => present(column.as_string::<i32>().iter(), Cell::from_text),
        DataType::Binary => present(column.as_binary::<i32>().iter(), from_bytes),
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let row = |row| match lists.is_null(row) {
                true => Some(Cell::Missing),
                false => list_cell(&lists.value(row)),
            };
            rows.map(row).collect::<Option<_>>()?
        }
        _ => return None,
    })
}

fn present<T>(values: impl Iterator<Item = Option<T>>, cell: impl Fn(T) -> Cell) -> Vec<Cell> {
    values
        .map(|value| value.map_or(Cell::Missing, &cell))
        .collect()
}

fn integers<T: ArrowPrimitiveType>(column: &ArrayRef) -> Vec<Cell>
where
    T::Native: Into<i128>,
{
    let values = column.as_primitive::<T>().iter();
    present(values, |value| Cell::Integer(value.into()))
}

fn reals<T: ArrowPrimitiveType>(column: &ArrayRef) -> Vec<Cell>
where
    T::Native: Into<f64>,
{
    let values = column.as_primitive::<T>().iter();
    present(values, |value| Cell::from_number(value.into()))
}

/// Text is often stored without saying that it is.
fn from_bytes(bytes: &[u8]) -> Cell {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cell::from_text(text),
        Err(_) => Cell::Bytes(bytes.to_vec()),
    }
}

/// The cell of one list.
fn list_cell(items: &ArrayRef) -> Option<Cell> {
    match items.data_type() {
        DataType::Utf8 => {
            let words = items.as_string::<i32>().iter();
            let words = words.map(|word| word.unwrap_or_default().to_owned());
            Some(Cell::Words(words.collect()))
        }
        DataType::List(_) => {
            let mut array = Array {
                shape: Vec::new(),
                values: Vec::new(),
            };
            flatten(items, 0, &mut array)?;
            Some(Cell::Array(array))
        }
        _ => {
            let mut numbers = Vec::with_capacity(items.len());
            add_numbers(items, |number| numbers.push(number))?;
            Some(Cell::List(numbers))
        }
    }
}

/// Adds the values of lists within lists. The first list of each depth gives the axis; that others
/// are as long shows when the values are counted.
fn flatten(items: &ArrayRef, depth: usize, array: &mut Array) -> Option<()> {
    if array.shape.len() == depth {
        array.shape.push(items.len());
    }
    let DataType::List(_) = items.data_type() else {
        return add_numbers(items, |number| array.values.push(number as f32));
    };
    let lists = items.as_list::<i32>();
    for row in (0..lists.len()).filter(|&row| lists.is_valid(row)) {
        flatten(&lists.value(row), depth + 1, array)?;
    }
    Some(())
}

/// Calls `add` with each number, NaN where one is missing.
fn add_numbers(items: &ArrayRef, mut add: impl FnMut(f64)) -> Option<()> {
    fn each<T: ArrowPrimitiveType>(items: &ArrayRef, mut add: impl FnMut(T::Native)) -> bool {
        let values = items.as_primitive::<T>();
        let whole = values.null_count() == 0;
        if whole {
            values.values().iter().for_each(|&value| add(value));
        }
        whole
    }
    let quick = match items.data_type() {
        DataType::Float32 => each::<Float32Type>(items, |value| add(value.into())),
        DataType::Float64 => each::<Float64Type>(items, &mut add),
        _ => false,
    };
    if quick {
        return Some(());
    }
    for cell in cells(items)? {
        add(match cell {
            Cell::Flag(value) => f64::from(u8::from(value)),
            other => other.number().ok()?.unwrap_or(f64::NAN),
        });
    }
    Some(())
}
