//! Figures of one object: image, spectrum, spectrum from other modalities, redshift posterior.

use aion_data::{Kind, Measurement, ModalityId};
use anyhow::Result;
use plotters::style::RGBColor;

use crate::report::chart::{BLUE, RED};
use crate::report::figures::{Drawing, Figure};
use crate::report::html::{escape, origin_mark};
use crate::report::names::{self, is_catalogue_number};
use crate::report::picture::Picture;
use crate::report::posterior_figure;
use crate::report::spectrum_figure::{Overlay, compared};
use crate::report::stretch::{colour_names, colours, residual};
use crate::report::study::{Answer, Study};
use crate::report::summary::decimals;
use crate::report::terminal::shortened;

/// An object's name in a chart, which says what is simulated.
fn shown(study: &Study) -> String {
    let id = shortened(&study.object.id, 44);
    if study.object.simulated {
        format!("{id} (simulated)")
    } else {
        id
    }
}

/// A figure about one object.
pub fn of_object(
    place: usize,
    study: &Study,
    what: &str,
    caption: String,
    drawing: Drawing,
) -> Figure {
    let object = &study.object;
    let mark = origin_mark(object.simulated);
    let (origin, stem) = (
        names::origin(object.simulated),
        names::file_stem(&object.id),
    );
    Figure {
        object: Some(place),
        name: format!("{place:03}-{origin}-{stem}-{what}"),
        caption: format!("<b>{}</b> {mark} {caption}", escape(&object.id)),
        drawing,
    }
}

/// Images, reconstructions and residuals.
pub fn images(place: usize, study: &Study) -> Vec<Figure> {
    let draw = |(id, restored): (&ModalityId, &Measurement)| {
        let (Some(Measurement::Image(observed)), Measurement::Image(restored)) =
            (study.object.get(*id), restored)
        else {
            return None;
        };
        let panels = [
            colours(observed)?,
            colours(restored)?,
            residual(observed, restored)?,
        ];
        let strip = Picture::strip(&panels.each_ref());
        let r2 = study.agreement.get(id).and_then(|found| found.r2);
        let r2 = r2.map_or_else(String::new, |r2| {
            format!("; R² = {}", decimals(Some(r2), 3))
        });
        let caption = format!(
            "{}: observed, reconstructed, residual (red: too little, blue: too much; ±6 σ of the \
             sky). Colours: {}{r2}",
            names::modality(*id),
            escape(&colour_names(observed)),
        );
        Some(of_object(
            place,
            study,
            id.key(),
            caption,
            Drawing::Picture(strip),
        ))
    };
    study.restored.iter().filter_map(draw).collect()
}

/// An observed spectrum under another one of the same object.
fn over_spectrum(
    place: usize,
    study: &Study,
    (id, other): (ModalityId, &Measurement),
    overlay: (&str, RGBColor),
    file: &str,
) -> Result<Option<Figure>> {
    let (Some(Measurement::Spectrum(observed)), Measurement::Spectrum(other)) =
        (study.object.get(id), other)
    else {
        return Ok(None);
    };
    let (name, colour) = overlay;
    let overlay = Overlay {
        spectrum: other,
        name,
        colour,
    };
    let title = format!("{}  {}", names::modality(id), shown(study));
    let redshift = study.redshift.truth;
    let Some(svg) = compared(&title, observed, &overlay, redshift)? else {
        return Ok(None);
    };
    let lines = redshift.map_or_else(String::new, |z| {
        format!("; lines marked at z = {}", decimals(Some(z), 4))
    });
    let caption = format!("{}, {name}{lines}", names::modality(id));
    Ok(Some(of_object(
        place,
        study,
        file,
        caption,
        Drawing::Svg(svg),
    )))
}

/// Spectra and their reconstructions.
///
/// # Errors
/// A chart cannot be drawn.
pub fn spectra(place: usize, study: &Study) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (&id, restored) in &study.restored {
        let look = ("reconstructed from 273 tokens", RED);
        figures.extend(over_spectrum(place, study, (id, restored), look, id.key())?);
    }
    Ok(figures)
}

/// Spectra and what the model expects of them from images and numbers.
///
/// # Errors
/// A chart cannot be drawn.
pub fn predicted_spectra(place: usize, study: &Study) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let has_image = study.tokens.keys().any(|id| id.info().kind == Kind::Image);
    let numbers = study.tokens.keys().any(|id| is_catalogue_number(*id));
    let from = match (has_image, numbers) {
        (true, true) => "predicted from image and photometry",
        (true, false) => "predicted from the image",
        _ => "predicted from photometry",
    };
    for (&id, answer) in &study.withheld {
        if let Answer::Measured(found) = answer {
            let file = format!("{}-predicted", id.key());
            figures.extend(over_spectrum(
                place,
                study,
                (id, found),
                (from, BLUE),
                &file,
            )?);
        }
    }
    Ok(figures)
}

/// The redshift posterior, if there is one.
///
/// # Errors
/// The chart cannot be drawn.
pub fn posterior(place: usize, study: &Study) -> Result<Option<Figure>> {
    let drawn = posterior_figure::posterior(&shown(study), &study.redshift)?;
    let caption = "redshift posterior".to_owned();
    Ok(drawn.map(|svg| of_object(place, study, "redshift", caption, Drawing::Svg(svg))))
}
