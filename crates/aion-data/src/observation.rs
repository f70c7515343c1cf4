//! What one object on the sky gives: measurements by modality, each present or not.
//!
//! Arrays are flat `Vec<f32>` with their shape beside them, row-major, last axis fastest, so that
//! this crate needs no tensor library.

use std::collections::BTreeMap;

use crate::modality::ModalityId;

/// The padding value of catalogue fields in files; never a measurement.
pub const CATALOG_PADDING: f32 = 9999.0;

/// An image in several bands.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Band names such as `DES-G`, one a plane of `flux`, upper case.
    pub bands: Vec<String>,
    /// Pixels along y.
    pub height: usize,
    /// Pixels along x.
    pub width: usize,
    /// `(bands, height, width)`, in the modality's unit.
    pub flux: Vec<f32>,
    /// Inverse variance of `flux`, same shape, where the survey gives it.
    pub ivar: Option<Vec<f32>>,
}

/// A one-dimensional spectrum. All arrays have the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Flux density, 1e-17 erg/s/cm2/Angstrom.
    pub flux: Vec<f32>,
    /// Inverse variance of the flux; 0 where there is no valid pixel.
    pub ivar: Vec<f32>,
    /// Vacuum wavelength in the observer's frame, Angstrom, increasing.
    pub wavelength: Vec<f32>,
    /// True where the pixel is bad.
    pub mask: Vec<bool>,
}

/// One source of a catalogue around the object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// Column in the 96-pixel frame, 0 to 95.
    pub x: i32,
    /// Row in the 96-pixel frame, 0 to 95.
    pub y: i32,
    /// Ellipticity component 1.
    pub shape_e1: f32,
    /// Ellipticity component 2.
    pub shape_e2: f32,
    /// Half-light radius, arcsec.
    pub shape_r: f32,
}

/// A map with values in [0, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct ScalarField {
    /// Pixels along y.
    pub height: usize,
    /// Pixels along x.
    pub width: usize,
    /// `(height, width)`.
    pub field: Vec<f32>,
}

/// One measurement, shaped as its modality's [`crate::Kind`] says.
#[derive(Debug, Clone, PartialEq)]
pub enum Measurement {
    /// See [`Image`].
    Image(Image),
    /// See [`Spectrum`].
    Spectrum(Spectrum),
    /// One number in the modality's unit.
    Scalar(f32),
    /// A fixed-length vector.
    Coefficients(Vec<f32>),
    /// Sources, nearest to the centre first; padding is left out.
    Catalog(Vec<Source>),
    /// See [`ScalarField`].
    ScalarField(ScalarField),
}

/// One object: its name, its position if known, and whatever was measured of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    /// The survey's identifier, as text.
    pub id: String,
    /// Right ascension (ICRS), degrees.
    pub ra: Option<f64>,
    /// Declination (ICRS), degrees.
    pub dec: Option<f64>,
    /// Measurements by modality.
    pub measurements: BTreeMap<ModalityId, Measurement>,
    /// Survey flags and labels carried to the output unchanged (`ZWARNING`, `CLASS`).
    pub flags: BTreeMap<String, String>,
    /// Whether the object comes from the simulator.
    pub simulated: bool,
}

impl Object {
    /// An object with no measurements.
    pub fn named(id: impl Into<String>) -> Self {
        Object {
            id: id.into(),
            ..Object::default()
        }
    }

    /// The measurement of `modality`, if there is one.
    pub fn get(&self, modality: ModalityId) -> Option<&Measurement> {
        self.measurements.get(&modality)
    }

    /// The scalar measured as `modality`, if it is there and is a scalar.
    pub fn scalar(&self, modality: ModalityId) -> Option<f32> {
        match self.get(modality) {
            Some(Measurement::Scalar(value)) => Some(*value),
            _ => None,
        }
    }
}
