//! A column of a VOTable: its type, and how a cell of it is read from text and from bytes.

use crate::error::{DataError, Place, Problem};
use crate::format::table::{Cell, shortened};

/// The description of a column (FIELD element).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Its name, or its identifier where it has none.
    pub name: String,
    /// Its unit, where there is one.
    pub unit: Option<String>,
    datatype: Datatype,
    shape: Shape,
    /// The number that stands for "no value".
    null: Option<f64>,
    null_integer: Option<i128>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Datatype {
    Boolean,
    Bit,
    UnsignedByte,
    Short,
    Int,
    Long,
    Char,
    UnicodeChar,
    Float,
    Double,
    FloatComplex,
    DoubleComplex,
}

use Datatype::{
    Bit, Boolean, Char, Double, DoubleComplex, Float, FloatComplex, Int, Long, Short, UnicodeChar,
    UnsignedByte,
};

/// How many items a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Dimensions written in `arraysize`; one item without any.
    dimensions: usize,
    /// Items, or those of each element along the last axis when that is variable.
    items: usize,
    /// Whether the length along the last axis is written in each cell.
    variable: bool,
}

impl Field {
    /// Reads a description from its attributes.
    ///
    /// Errors: no name, no or an unknown type, an array size that is none.
    pub fn new(attribute: impl Fn(&str) -> Option<String>) -> Result<Self, DataError> {
        let name = attribute("name").or_else(|| attribute("ID"));
        let refuse =
            |problem| DataError::new(Place::field(name.clone().unwrap_or_default()), problem);
        let Some(name) = name.clone().filter(|name| !name.is_empty()) else {
            return Err(refuse(Problem::Missing("name of a column".into())));
        };
        let written = attribute("datatype").unwrap_or_default();
        let datatype = datatype(&written).ok_or_else(|| {
            let what = format!("datatype `{}` is none of VOTable's", shortened(&written));
            refuse(Problem::Values(what))
        })?;
        let size = attribute("arraysize").unwrap_or_default();
        let shape = shape(&size).ok_or_else(|| {
            let what = format!("arraysize `{}` is not one", shortened(&size));
            refuse(Problem::Values(what))
        })?;
        Ok(Field {
            name,
            unit: attribute("unit").filter(|unit| !unit.is_empty()),
            datatype,
            shape,
            null: None,
            null_integer: None,
        })
    }

    /// Declares a value that stands for "no value".
    pub fn set_null(&mut self, null: &str) {
        self.null = null.parse().ok();
        self.null_integer = integer(null);
    }

    /// Refuses types that hold no numbers or text.
    pub fn readable(&self) -> Result<(), Problem> {
        let strings = self.is_text() && self.shape.dimensions > 1;
        let what = match self.datatype {
            Bit if !self.is_scalar() => "several bits",
            FloatComplex | DoubleComplex => "complex numbers",
            _ if strings => "arrays of text",
            _ => return Ok(()),
        };
        Err(Problem::Values(format!("columns of {what} are not read")))
    }

    fn is_text(&self) -> bool {
        matches!(self.datatype, Char | UnicodeChar)
    }

    fn is_scalar(&self) -> bool {
        !self.shape.variable && self.shape.items == 1
    }

    /// Whether each cell in binary rows begins with its length.
    pub fn is_variable(&self) -> bool {
        self.shape.variable
    }

    /// Bytes of a cell in binary rows; `length` is the one written in it, for variable columns.
    pub fn num_bytes(&self, length: usize) -> Option<usize> {
        let items = match self.shape.variable {
            true => self.shape.items.checked_mul(length)?,
            false => self.shape.items,
        };
        match self.datatype {
            Bit => Some(items.div_ceil(8)),
            other => items.checked_mul(other.num_bytes()),
        }
    }

    /// A cell of TABLEDATA. The error says what it is instead of a value of the column's type.
    pub fn read_text(&self, text: &str) -> Result<Cell, String> {
        let text = text.trim();
        if self.is_text() || text.is_empty() {
            return Ok(Cell::from_text(text));
        }
        if self.is_scalar() {
            return self.item(text);
        }
        let number = |item: &str| Ok(self.item(item)?.number()?.unwrap_or(f64::NAN));
        let numbers: Result<Vec<f64>, String> = text
            .split([' ', '\t', '\r', '\n', ','])
            .filter(|item| !item.is_empty())
            .map(number)
            .collect();
        numbers.map(Cell::List)
    }

    fn item(&self, text: &str) -> Result<Cell, String> {
        let wrong = || format!("`{}` is no {}", shortened(text), self.datatype.name());
        match self.datatype {
            Boolean | Bit => match text.to_ascii_lowercase().as_str() {
                "t" | "true" | "1" => Ok(flag(true)),
                "f" | "false" | "0" => Ok(flag(false)),
                "?" | "" => Ok(Cell::Missing),
                _ => Err(wrong()),
            },
            Float | Double => match text.parse() {
                Ok(value) => Ok(self.real(value)),
                Err(_) => match Cell::from_text(text) {
                    Cell::Missing => Ok(Cell::Missing),
                    _ => Err(wrong()),
                },
            },
            _ => match integer(text) {
                Some(value) => Ok(self.whole(value)),
                None => match Cell::from_text(text) {
                    Cell::Missing => Ok(Cell::Missing),
                    _ => Err(wrong()),
                },
            },
        }
    }

    /// A cell of BINARY or BINARY2 from all of its bytes.
    pub fn read_bytes(&self, bytes: &[u8]) -> Cell {
        match self.datatype {
            Char => {
                let end = bytes.iter().position(|&byte| byte == 0);
                let text = bytes.get(..end.unwrap_or(bytes.len()));
                Cell::from_text(&String::from_utf8_lossy(text.unwrap_or_default()))
            }
            UnicodeChar => {
                let units = bytes
                    .chunks_exact(2)
                    .map(|unit| u16::from_be_bytes(array(unit)));
                let units: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
                Cell::from_text(&String::from_utf16_lossy(&units))
            }
            _ if self.is_scalar() => self.value(bytes),
            _ => {
                let items = bytes.chunks_exact(self.datatype.num_bytes());
                let number = |item: &[u8]| self.value(item).number().ok().flatten();
                Cell::List(items.map(|item| number(item).unwrap_or(f64::NAN)).collect())
            }
        }
    }

    fn value(&self, bytes: &[u8]) -> Cell {
        match self.datatype {
            Boolean => match bytes.first() {
                Some(b'T' | b't' | b'1') => flag(true),
                Some(b'F' | b'f' | b'0') => flag(false),
                _ => Cell::Missing,
            },
            // Astropy and the standard set different bits of the byte.
            Bit => flag(bytes.first().is_some_and(|&byte| byte != 0)),
            UnsignedByte => self.whole(u8::from_be_bytes(array(bytes)).into()),
            Short => self.whole(i16::from_be_bytes(array(bytes)).into()),
            Int => self.whole(i32::from_be_bytes(array(bytes)).into()),
            Long => self.whole(i64::from_be_bytes(array(bytes)).into()),
            Float => self.real(f32::from_be_bytes(array(bytes)).into()),
            Double => self.real(f64::from_be_bytes(array(bytes))),
            Char | UnicodeChar | FloatComplex | DoubleComplex => Cell::Missing,
        }
    }

    fn whole(&self, value: i128) -> Cell {
        match self.null_integer == Some(value) {
            true => Cell::Missing,
            false => Cell::Integer(value),
        }
    }

    fn real(&self, value: f64) -> Cell {
        match self.null == Some(value) {
            true => Cell::Missing,
            false => Cell::from_number(value),
        }
    }
}

impl Datatype {
    fn num_bytes(self) -> usize {
        match self {
            Boolean | Bit | UnsignedByte | Char => 1,
            Short | UnicodeChar => 2,
            Int | Float => 4,
            Long | Double | FloatComplex => 8,
            DoubleComplex => 16,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Boolean | Bit => "truth value",
            Float | Double => "number",
            _ => "whole number",
        }
    }
}

fn datatype(name: &str) -> Option<Datatype> {
    Some(match name {
        "boolean" => Boolean,
        "bit" => Bit,
        "unsignedByte" => UnsignedByte,
        "short" => Short,
        "int" => Int,
        "long" => Long,
        "char" => Char,
        "unicodeChar" => UnicodeChar,
        "float" => Float,
        "double" => Double,
        "floatComplex" => FloatComplex,
        "doubleComplex" => DoubleComplex,
        _ => return None,
    })
}

fn shape(size: &str) -> Option<Shape> {
    if size.is_empty() {
        return Some(Shape {
            dimensions: 0,
            items: 1,
            variable: false,
        });
    }
    let variable = size.ends_with('*');
    let axes: Vec<&str> = size.split('x').collect();
    let fixed = axes.len() - usize::from(variable);
    let lengths = axes.iter().take(fixed);
    let mut items = lengths.map(|axis| axis.parse::<usize>().ok());
    let items = items.try_fold(1usize, |product, axis| product.checked_mul(axis?))?;
    let last = axes.last()?.strip_suffix('*').unwrap_or_default();
    if variable && !last.is_empty() {
        last.parse::<usize>().ok()?;
    }
    Some(Shape {
        dimensions: axes.len(),
        items,
        variable,
    })
}

fn flag(value: bool) -> Cell {
    Cell::Text(value.to_string())
}

fn integer(text: &str) -> Option<i128> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The bytes as an array, zeros where there are too few.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(datatype: &str, arraysize: &str) -> Field {
        Field::new(|name| match name {
            "name" => Some("x".into()),
            "datatype" => Some(datatype.into()),
            "arraysize" => Some(arraysize.into()),
            _ => None,
        })
        .expect("a field")
    }

    #[test]
    fn sizes_are_those_of_the_standard() {
        assert_eq!(field("double", "55").num_bytes(0), Some(440));
        assert_eq!(field("float", "2x3").num_bytes(0), Some(24));
        assert_eq!(field("char", "*").num_bytes(5), Some(5));
        assert_eq!(field("unicodeChar", "8*").num_bytes(5), Some(10));
        assert_eq!(field("float", "2x*").num_bytes(3), Some(24));
        assert_eq!(field("bit", "9").num_bytes(0), Some(2));
        assert_eq!(field("double", "*").num_bytes(usize::MAX), None);
        for wrong in ["x", "3x", "*x3", "-1", "a*"] {
            assert_eq!(shape(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn text_and_bytes_give_the_same_cells() {
        let long = field("long", "");
        let id = 5_853_498_713_190_525_696_i64;
        assert_eq!(
            long.read_text(&id.to_string()),
            Ok(long.read_bytes(&id.to_be_bytes()))
        );
        let list = field("float", "*");
        assert_eq!(list.read_text(" 1.5  -2 "), Ok(Cell::List(vec![1.5, -2.0])));
        let bytes = [1.5f32.to_be_bytes(), (-2f32).to_be_bytes()].concat();
        assert_eq!(list.read_bytes(&bytes), Cell::List(vec![1.5, -2.0]));
        assert_eq!(field("boolean", "1").read_text("T"), Ok(flag(true)));
        assert_eq!(field("boolean", "").read_bytes(b"?"), Cell::Missing);
        assert_eq!(
            field("double", "").read_text("-Inf"),
            Ok(Cell::Number(f64::NEG_INFINITY))
        );
        assert_eq!(field("double", "").read_text("NaN"), Ok(Cell::Missing));
        let mut nulled = field("short", "");
        nulled.set_null("-32768");
        assert_eq!(nulled.read_text("-32768"), Ok(Cell::Missing));
        assert_eq!(nulled.read_bytes(&[0x80, 0]), Cell::Missing);
        assert!(nulled.read_text("1.5").is_err());
    }
}
