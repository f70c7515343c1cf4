//! What an object must satisfy before anything is made of it, whatever file it came from.
//!
//! Single bad values (NaN, negative or infinite pixels, fluxes, inverse variances) are not errors:
//! the codecs handle them. An object that carries no information, or whose parts disagree, is one.

use std::collections::BTreeSet;

use crate::band::{self, Band};
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::{Kind, ModalityId};
use crate::observation::{Image, Measurement, Object, ScalarField, Source, Spectrum};
use crate::read_options::ReadOptions;
use crate::sky::{check_dec, check_ra};

/// Pixels per side that the image and segmentation codecs work on; larger images are cropped.
pub const MIN_PIXELS: usize = 96;

/// Checks one object: its position, and each measurement against its modality.
///
/// Errors name the object and the field (`tok_image/flux`): no measurement at all; a measurement
/// of another kind than its modality's; an image or map below [`MIN_PIXELS`] per side (images are
/// let through when `options.pad` asks for padding); missing, repeated or unknown bands; lengths
/// that disagree; NaN everywhere; a spectrum without a positive inverse variance or with
/// wavelengths that are not finite, positive and increasing; a coefficient vector of another
/// length; a catalogue position outside the frame; a map outside [0, 1].
pub fn check(object: &Object, options: &ReadOptions) -> Result<()> {
    let checked = check_position(object).and_then(|()| {
        if object.measurements.is_empty() {
            let what = "measurement: every recognised field is empty";
            return Err(DataError::new(
                Place::default(),
                Problem::Missing(what.into()),
            ));
        }
        object
            .measurements
            .iter()
            .try_for_each(|(&id, measurement)| check_measurement(id, measurement, options))
    });
    checked.map_err(|error| error.in_object(&object.id))
}

/// The image in the middle of a square of zeros of `side` pixels, or wider where it already is.
/// Inverse variances are padded with 0, no information. An image whose arrays disagree with its
/// shape is returned as it is, for [`check`] to refuse.
pub fn pad_to(image: Image, side: usize) -> Image {
    let (height, width) = (image.height, image.width);
    let pixels = height.checked_mul(width);
    let planes = pixels.and_then(|pixels| pixels.checked_mul(image.bands.len()));
    let ragged = planes != Some(image.flux.len())
        || image
            .ivar
            .as_ref()
            .is_some_and(|ivar| planes != Some(ivar.len()));
    if ragged || planes == Some(0) || (height >= side && width >= side) {
        return image;
    }
    let (tall, wide) = (height.max(side), width.max(side));
    let (top, left) = ((tall - height) / 2, (wide - width) / 2);
    let pad = |values: &[f32]| -> Vec<f32> {
        let mut padded = vec![0.0; image.bands.len() * tall * wide];
        for (row, pixels) in values.chunks_exact(width).enumerate() {
            let (plane, y) = (row / height, row % height);
            let start = (plane * tall + top + y) * wide + left;
            padded[start..start + width].copy_from_slice(pixels);
        }
        padded
    };
    Image {
        flux: pad(&image.flux),
        ivar: image.ivar.as_deref().map(pad),
        bands: image.bands,
        height: tall,
        width: wide,
    }
}

fn fail<T>(field: impl Into<String>, problem: Problem) -> Result<T> {
    Err(DataError::new(Place::field(field), problem))
}

fn check_position(object: &Object) -> Result<()> {
    let wrong = |field| move |problem| DataError::new(Place::field(field), problem);
    object.ra.map_or(Ok(()), check_ra).map_err(wrong("ra"))?;
    object.dec.map_or(Ok(()), check_dec).map_err(wrong("dec"))
}

fn check_measurement(
    id: ModalityId,
    measurement: &Measurement,
    options: &ReadOptions,
) -> Result<()> {
    let key = id.key();
    match (id.info().kind, measurement) {
        (Kind::Image, Measurement::Image(image)) => {
            check_image((key, band::of_codec(id.info())), image, options.pad)
        }
        (Kind::Spectrum, Measurement::Spectrum(spectrum)) => check_spectrum(key, spectrum),
        (Kind::Scalar, Measurement::Scalar(value)) if value.is_nan() => {
            fail(key, Problem::Values("the value is NaN".into()))
        }
        (Kind::Scalar, Measurement::Scalar(_)) => Ok(()),
        (Kind::Coefficients, Measurement::Coefficients(values)) => {
            let field = format!("{key}/value");
            expect_length(&field, values.len(), id.info().num_tokens())?;
            expect_information(&field, values)
        }
        (Kind::Catalog, Measurement::Catalog(sources)) => check_catalog(key, sources),
        (Kind::ScalarField, Measurement::ScalarField(map)) => check_map(key, map),
        (kind, _) => fail(
            key,
            Problem::Mismatch(format!("not the kind of measurement expected: {kind:?}")),
        ),
    }
}

fn check_image((key, known): (&str, &[Band]), image: &Image, padded: bool) -> Result<()> {
    let bands = format!("{key}/bands");
    if image.bands.is_empty() {
        return fail(bands, Problem::Missing("band list".into()));
    }
    let mut seen = BTreeSet::new();
    for name in &image.bands {
        if band::channel(known, name).is_none() {
            let problem = Problem::UnknownBand {
                band: name.clone(),
                known: band::known_bands(known),
            };
            return fail(bands, problem);
        }
        if !seen.insert(name.to_ascii_uppercase()) {
            let what = format!("band {name} appears more than once");
            return fail(bands, Problem::Mismatch(what));
        }
    }
    let flux = format!("{key}/flux");
    let planes = (image.height, image.width);
    expect_planes(&flux, image.flux.len(), image.bands.len(), planes)?;
    if let Some(ivar) = &image.ivar {
        expect_planes(
            &format!("{key}/ivar"),
            ivar.len(),
            image.bands.len(),
            planes,
        )?;
    }
    if !padded {
        expect_side(&flux, planes, "at least 96 x 96 pixels, or --pad")?;
    }
    expect_information(&flux, &image.flux)
}

fn check_spectrum(key: &str, spectrum: &Spectrum) -> Result<()> {
    let count = spectrum.flux.len();
    let field = |name: &str| format!("{key}/{name}");
    if count == 0 {
        return fail(field("flux"), Problem::Missing("pixels".into()));
    }
    expect_length(&field("ivar"), spectrum.ivar.len(), count)?;
    expect_length(&field("mask"), spectrum.mask.len(), count)?;
    expect_length(&field("wavelength"), spectrum.wavelength.len(), count)?;
    expect_information(&field("flux"), &spectrum.flux)?;
    if !spectrum.ivar.iter().any(|&ivar| ivar > 0.0) {
        let what = "the inverse variance is nowhere positive";
        return fail(field("ivar"), Problem::Values(what.into()));
    }
    let wavelength = &spectrum.wavelength;
    if let Some(bad) = wavelength
        .iter()
        .find(|&&value| !value.is_finite() || value <= 0.0)
    {
        let what = format!("wavelength {bad} is not a positive number of Angstrom");
        return fail(field("wavelength"), Problem::Values(what));
    }
    if let Some(index) = (1..count).find(|&i| wavelength[i] <= wavelength[i - 1]) {
        let (before, here) = (wavelength[index - 1], wavelength[index]);
        let what =
            format!("wavelengths do not increase: {before} then {here} Angstrom at pixel {index}");
        return fail(field("wavelength"), Problem::Values(what));
    }
    Ok(())
}

fn check_catalog(key: &str, sources: &[Source]) -> Result<()> {
    let frame = 0..MIN_PIXELS as i32;
    for source in sources {
        for (name, position) in [("X", source.x), ("Y", source.y)] {
            if !frame.contains(&position) {
                let what = format!("position {position} is outside the frame, 0 to 95");
                return fail(format!("{key}/{name}"), Problem::Values(what));
            }
        }
    }
    Ok(())
}

fn check_map(key: &str, map: &ScalarField) -> Result<()> {
    let field = format!("{key}/field");
    let shape = (map.height, map.width);
    expect_planes(&field, map.field.len(), 1, shape)?;
    expect_side(&field, shape, "at least 96 x 96 pixels")?;
    expect_information(&field, &map.field)?;
    match map.field.iter().find(|value| !(0.0..=1.0).contains(*value)) {
        Some(bad) if !bad.is_nan() => {
            fail(field, Problem::Values(format!("{bad} is outside 0 to 1")))
        }
        _ => Ok(()),
    }
}

fn expect_length(field: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let problem = Problem::Shape {
        found: format!("({found})"),
        expected: format!("({expected})"),
    };
    fail(field, problem)
}

fn expect_planes(
    field: &str,
    found: usize,
    bands: usize,
    (height, width): (usize, usize),
) -> Result<()> {
    let expected = bands
        .checked_mul(height)
        .and_then(|pixels| pixels.checked_mul(width));
    if expected == Some(found) {
        return Ok(());
    }
    let problem = Problem::Shape {
        found: format!("{found} values"),
        expected: format!("({bands}, {height}, {width})"),
    };
    fail(field, problem)
}

fn expect_side(field: &str, (height, width): (usize, usize), expected: &str) -> Result<()> {
    if height >= MIN_PIXELS && width >= MIN_PIXELS {
        return Ok(());
    }
    let problem = Problem::Shape {
        found: format!("{height} x {width} pixels"),
        expected: expected.into(),
    };
    fail(field, problem)
}

fn expect_information(field: &str, values: &[f32]) -> Result<()> {
    if values.iter().any(|value| value.is_finite()) {
        return Ok(());
    }
    fail(
        field,
        Problem::Values("no finite value: NaN everywhere".into()),
    )
}
