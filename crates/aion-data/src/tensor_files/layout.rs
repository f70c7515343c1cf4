//! Fields of each kind of measurement in a tensor file, `<token key>/<field>`.

use crate::modality::Kind;

/// What the numbers of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// Real numbers; whole numbers are read as such.
    Real,
    /// Yes or no.
    Flag,
    /// A count.
    Count,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub name: &'static str,
    pub number: Number,
    pub required: bool,
    /// One number an object, beside arrays that share a shape.
    pub single: bool,
}

const fn real(name: &'static str, required: bool) -> Field {
    Field {
        name,
        number: Number::Real,
        required,
        single: false,
    }
}

/// Whether the row measures anything; without the field every row does.
pub(super) const PRESENT: &str = "present";
/// Number of pixels of a spectrum; without the field all of them.
pub(super) const LENGTH: &str = "length";
/// Bad pixels of a spectrum.
pub(super) const MASK: &str = "mask";
/// Fields of a catalogue, in the order in which a source is spelled.
pub(super) const CATALOG_FIELDS: [&str; 5] = ["X", "Y", "SHAPE_E1", "SHAPE_E2", "SHAPE_R"];

const PRESENT_FIELD: Field = Field {
    name: PRESENT,
    number: Number::Flag,
    required: false,
    single: true,
};

static IMAGE: [Field; 3] = [real("flux", true), real("ivar", false), PRESENT_FIELD];
static SPECTRUM: [Field; 6] = [
    real("flux", true),
    real("ivar", true),
    real("wavelength", true),
    Field {
        name: MASK,
        number: Number::Flag,
        required: false,
        single: false,
    },
    Field {
        name: LENGTH,
        number: Number::Count,
        required: false,
        single: true,
    },
    PRESENT_FIELD,
];
static SCALAR: [Field; 2] = [real("value", true), PRESENT_FIELD];
static CATALOG: [Field; 6] = [
    real(CATALOG_FIELDS[0], true),
    real(CATALOG_FIELDS[1], true),
    real(CATALOG_FIELDS[2], true),
    real(CATALOG_FIELDS[3], true),
    real(CATALOG_FIELDS[4], true),
    PRESENT_FIELD,
];
static SCALAR_FIELD: [Field; 2] = [real("field", true), PRESENT_FIELD];

/// Fields of a kind; the first is required and gives the shape.
pub(super) fn fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Image => &IMAGE,
        Kind::Spectrum => &SPECTRUM,
        Kind::Scalar | Kind::Coefficients => &SCALAR,
        Kind::Catalog => &CATALOG,
        Kind::ScalarField => &SCALAR_FIELD,
    }
}

/// Whether `shape`, objects first, suits a measurement of `width` numbers (coefficients only).
pub(super) fn fits(kind: Kind, width: usize, shape: &[usize]) -> bool {
    // Rows without numbers would let a header of a few bytes claim any number of objects.
    if shape.iter().skip(1).any(|axis| *axis == 0) {
        return false;
    }
    match kind {
        Kind::Image => shape.len() == 4,
        Kind::Spectrum | Kind::Catalog => shape.len() == 2,
        Kind::Scalar => matches!(shape, [_] | [_, 1]),
        Kind::Coefficients => matches!(shape, [_, found] if *found == width),
        Kind::ScalarField => matches!(shape, [_, _, _] | [_, 1, _, _]),
    }
}

/// The shape that [`fits`] asks for, in words.
pub(super) fn expected(kind: Kind, width: usize) -> String {
    match kind {
        Kind::Image => "(objects, bands, height, width)".to_owned(),
        Kind::Spectrum => "(objects, pixels)".to_owned(),
        Kind::Catalog => "(objects, sources)".to_owned(),
        Kind::Scalar => "(objects, 1)".to_owned(),
        Kind::Coefficients => format!("(objects, {width})"),
        Kind::ScalarField => "(objects, height, width)".to_owned(),
    }
}
