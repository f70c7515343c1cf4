//! `report.html`: one file that needs no other and no network.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::ranges::Ranges;
use crate::report::agreement::median;
use crate::report::card::card;
use crate::report::figures::Figures;
use crate::report::html::{escape, from_markdown, origin_mark, table};
use crate::report::sections::{group, informative, list, some};
use crate::report::study::Study;
use crate::report::summary::{Row, decimals, interval, percent};
use crate::report::terminal::shortened;

const STYLE: &str = include_str!("page.css");

/// Everything that the page shows.
pub struct Page<'a> {
    /// The studies.
    pub studies: &'a [Study],
    /// Their rows.
    pub rows: &'a [Row],
    /// Their figures.
    pub figures: &'a Figures,
    /// The model's card, in Markdown, if there is one.
    pub model_card: Option<&'a str>,
    /// How the report came about.
    pub provenance: &'a BTreeMap<String, String>,
    /// Objects that were left out, with the reason.
    pub left_out: &'a [String],
}

impl Page<'_> {
    /// The page.
    ///
    /// # Errors
    /// A picture cannot be encoded.
    pub fn html(&self) -> Result<String> {
        let figures = self.figures;
        let mut body = self.head();
        let mut contents = String::new();
        let mut add = |id: &str, title: &str, about: &str, content: String| {
            if content.is_empty() {
                return;
            }
            contents += &format!("<a href=\"#{id}\">{title}</a>");
            body += &format!(
                "<section id=\"{id}\"><h2>{title}</h2><p>{about}</p>\n{content}</section>\n"
            );
        };
        add("objects", "Objects", OBJECTS, self.objects());
        add(
            "images",
            "Images",
            IMAGES,
            some(&figures.images, "strips", self.studies)?,
        );
        add(
            "spectra",
            "Spectra",
            SPECTRA,
            some(&figures.spectra, "", self.studies)?,
        );
        add(
            "predicted",
            "Spectra from images",
            PREDICTED,
            some(&figures.predicted, "", self.studies)?,
        );
        let posteriors = informative(&figures.posteriors, self.studies);
        add(
            "redshifts",
            "Redshifts",
            REDSHIFTS,
            some(&posteriors, "pair", self.studies)?,
        );
        add(
            "scatter",
            "Predicted and true",
            SCATTER,
            group(figures.scatters.iter(), "pair")?,
        );
        add(
            "neighbours",
            "Neighbours",
            NEIGHBOURS,
            group(figures.neighbours.iter(), "strips")?,
        );
        add("ranges", "Range report", RANGES, self.ranges());
        add("cards", "Object by object", CARDS, self.cards()?);
        add("left-out", "Left out", LEFT_OUT, list(self.left_out));
        add("model", "Model and provenance", "", self.model());
        let body = body.replacen("<!--contents-->", &format!("<nav>{contents}</nav>"), 1);
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>aion demo</title><style>{STYLE}</style></head><body>\n{body}</main></body></html>\n"
        ))
    }

    fn head(&self) -> String {
        let simulated = self.rows.iter().filter(|row| row.simulated).count();
        let real = self.rows.len() - simulated;
        let counts = match (real, simulated) {
            (_, 0) => format!("{real}"),
            (0, _) => format!("{simulated}"),
            _ => format!("{real} + {simulated}"),
        };
        let kinds = match (real, simulated) {
            (_, 0) => "real objects",
            (0, _) => "simulated objects",
            _ => "real + simulated objects",
        };
        let tokens: usize = self.rows.iter().map(|row| row.num_tokens).sum();
        let of =
            |value: fn(&Row) -> Option<f64>| median(self.rows.iter().filter_map(value).collect());
        let tiles = [
            (counts, kinds),
            (tokens.to_string(), "tokens"),
            (decimals(of(|row| row.image_r2), 3), "image R², median"),
            (
                decimals(of(|row| row.spectrum_chi2), 2),
                "spectrum χ² a pixel, median",
            ),
            (
                percent(of(|row| row.numbers_error)),
                "error of reconstructed numbers, median",
            ),
            (decimals(of(redshift_error), 3), "|Δz| / (1 + z), median"),
        ];
        let tile = |(value, name): &(String, &str)| {
            format!("<div class=\"tile\"><b>{value}</b><span>{name}</span></div>")
        };
        let known = |(value, _): &&(String, &str)| value != "–";
        let tiles: String = tiles.iter().filter(known).map(tile).collect();
        let note = if simulated > 0 {
            format!(
                "Objects marked {} are drawn by a simulator; nothing about them was ever observed.",
                origin_mark(true)
            )
        } else {
            String::new()
        };
        format!(
            "<header><h1>What the model makes of {} objects</h1>\
             <p>Every measurement becomes tokens; from an object's tokens the model reconstructs, embeds \
             and predicts what was not measured. {note}</p></header>\n<!--contents-->\n\
             <main><div class=\"tiles\">{tiles}</div>\n",
            self.rows.len()
        )
    }

    fn objects(&self) -> String {
        let cells = |(place, row): (usize, &Row)| {
            let near = row
                .nearest
                .first()
                .map_or_else(|| "–".to_owned(), |near| link(near.place, &near.object));
            vec![
                link(place, &row.object),
                origin_mark(row.simulated).to_owned(),
                escape(&row.survey),
                escape(&row.measured_shortly),
                row.num_tokens.to_string(),
                decimals(row.image_r2, 3),
                decimals(row.spectrum_chi2, 2),
                percent(row.numbers_error),
                interval(row.redshift),
                decimals(row.redshift_true, 4),
                near,
            ]
        };
        let rows: Vec<Vec<String>> = self.rows.iter().enumerate().map(cells).collect();
        let headings = [
            "object",
            "",
            "survey",
            "measured",
            "tokens",
            "img R²",
            "spec χ²",
            "numbers",
            "z (16–84 %)",
            "z true",
            "nearest",
        ];
        table(&headings, &rows)
    }

    /// Values that the codecs cannot express, by modality.
    fn ranges(&self) -> String {
        let mut ranges = Ranges::new(false);
        for study in self.studies {
            ranges.add(Path::new(""), &study.object.id, &study.ranges);
        }
        let Some(rows) = ranges.table() else {
            return String::new();
        };
        let mut rows = rows.into_iter();
        let headings = rows.next().unwrap_or_default();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let escaped = |row: Vec<String>| row.iter().map(|cell| escape(cell)).collect();
        table(&headings, &rows.map(escaped).collect::<Vec<Vec<String>>>())
    }

    fn cards(&self) -> Result<String> {
        let mut html = String::new();
        for (place, (study, row)) in self.studies.iter().zip(self.rows).enumerate() {
            html += &card(place, study, row, self.figures)?;
        }
        Ok(html)
    }

    fn model(&self) -> String {
        let row = |(name, value): (&String, &String)| {
            let name = name.trim_start_matches("aion.");
            vec![escape(name), format!("<code>{}</code>", escape(value))]
        };
        let rows: Vec<Vec<String>> = self.provenance.iter().map(row).collect();
        let provenance = table(&["", ""], &rows);
        let card = self.model_card.map_or_else(
            || "<p>No model card lies beside this checkpoint.</p>\n".to_owned(),
            |card| {
                format!(
                    "<details><summary>Model card</summary>{}</details>\n",
                    from_markdown(card)
                )
            },
        );
        format!("{card}{provenance}")
    }
}

/// A link to an object's card, by its name as far as there is room.
fn link(place: usize, object: &str) -> String {
    let short = escape(&shortened(object, 25));
    format!(
        "<a href=\"#object-{place}\" title=\"{}\">{short}</a>",
        escape(object)
    )
}

/// |Δz| / (1 + z) of the predicted median.
pub fn redshift_error(row: &Row) -> Option<f64> {
    let (truth, [median, _, _]) = (row.redshift_true?, row.redshift?);
    Some((median - truth).abs() / (1.0 + truth))
}

const OBJECTS: &str = "R² is the share of an image's variance that its reconstruction keeps, χ² the mean \
    squared residual of a spectrum in units of its noise, “numbers” the median relative error of \
    the reconstructed catalogue numbers. Measured: img image, spec spectrum, XP Gaia coefficients, seg segmentation map, cat catalogue \
    of neighbours, and how many single numbers. The redshift is predicted from everything but the redshift.";
const IMAGES: &str = "Each image is reconstructed from its 576 tokens alone.";
const SPECTRA: &str = "Each spectrum is reconstructed from its 273 tokens alone. Below, the residual in \
    units of the noise. Curves are averaged to the width of the figure.";
const PREDICTED: &str = "What the model expects of a spectrum that it has not seen, from the object's image \
    and photometry, beside the one that was observed.";
const REDSHIFTS: &str = "The redshift posterior as the model is shown photometry, then the image, then the \
    spectrum. A model that has learnt enough contracts around the true value.";
const SCATTER: &str = "Each quantity is predicted without it.";
const NEIGHBOURS: &str = "By the cosine of the angle between mean-pooled embeddings of all tokens.";
const RANGES: &str = "Values that a codec cannot express, and replaces by the nearest that it can: clipped \
    pixels, wavelengths off the grid, numbers beyond a codebook.";
const CARDS: &str = "Everything about each object, with what was not measured predicted.";
const LEFT_OUT: &str = "These objects could not be used.";
