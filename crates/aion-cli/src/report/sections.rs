//! What goes into the page's sections: which figures, and in which order.

use anyhow::Result;

use crate::report::figures::Figure;
use crate::report::html::escape;
use crate::report::names;
use crate::report::study::Study;

/// Objects whose figures stand in a section; the cards have them all.
const SHOWN: usize = 4;

/// Figures in a group of this style; nothing of no figures.
///
/// # Errors
/// A picture cannot be encoded.
pub fn group<'a>(figures: impl Iterator<Item = &'a Figure>, style: &str) -> Result<String> {
    let mut html = String::new();
    for figure in figures {
        html += &figure.html()?;
    }
    Ok(match html.is_empty() {
        true => html,
        false => format!("<div class=\"{style}\">{html}</div>\n"),
    })
}

/// The figures of a few objects, of as many kinds of objects as there are: first the first of each
/// combination of class and surveys, then the others.
///
/// # Errors
/// A picture cannot be encoded.
pub fn some(figures: &[Figure], style: &str, studies: &[Study]) -> Result<String> {
    let kind = |figure: &Figure| {
        let object = figure
            .object
            .and_then(|place| studies.get(place))
            .map(|study| &study.object);
        object.map(|object| {
            let class = object
                .flags
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("class"));
            (
                class.map(|(_, class)| class.clone()),
                names::surveys(object),
            )
        })
    };
    let mut seen = Vec::new();
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for figure in figures {
        let kind = kind(figure);
        if seen.contains(&kind) {
            others.push(figure);
        } else {
            seen.push(kind);
            first.push(figure);
        }
    }
    group(first.into_iter().chain(others).take(SHOWN), style)
}

/// Posteriors that were asked for in most steps come first.
pub fn informative(figures: &[Figure], studies: &[Study]) -> Vec<Figure> {
    let steps = |figure: &Figure| {
        let study = figure.object.and_then(|place| studies.get(place));
        study.map_or(0, |study| study.redshift.stages.len())
    };
    let most = figures.iter().map(steps).max().unwrap_or_default();
    figures
        .iter()
        .filter(|figure| steps(figure) == most)
        .cloned()
        .collect()
}

/// Lines as a list; nothing of no lines.
pub fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items
        .iter()
        .map(|item| format!("<li>{}</li>", escape(item)))
        .collect();
    format!("<ul>{items}</ul>\n")
}
