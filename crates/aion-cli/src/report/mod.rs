//! What `aion demo` shows: the bundled objects, their study, and its table, figures and page.
//!
//! [`study`] asks the model everything; the other modules only show the answers: [`terminal`] as a
//! table, `chart`, `picture` and the modules named after a figure as SVG and PNG, [`page`] as a
//! self-contained HTML file, [`summary`] as JSON, and [`folder`] puts them on disk whole or not
//! at all. [`sky_map`] is drawn for `aion inspect`,
//! [`separation_figure`] for `aion crossmatch`, [`scaling_figure`] for `aion scaling`, [`codec`] for
//! `aion train codec`, [`evaluation`] for `aion evaluate`.

pub mod agreement;
pub mod bundled;
pub mod card;
pub mod chart;
pub mod codec;
pub mod dot_chart;
pub mod evaluation;
pub mod evaluation_figures;
pub mod figures;
pub mod file;
pub mod folder;
pub mod html;
pub mod mask_figure;
pub mod model_card;
pub mod names;
pub mod neighbours;
pub mod object_figures;
pub mod online;
pub mod page;
pub mod picture;
pub mod posterior_figure;
pub mod questions;
pub mod sample_figures;
pub mod scaling_figure;
#[cfg(test)]
pub mod scaling_sample;
pub mod scatter_figure;
pub mod sections;
pub mod separation_figure;
pub mod sky_map;
pub mod spectral_lines;
pub mod spectrum_figure;
pub mod stretch;
pub mod study;
pub mod summary;
pub mod terminal;
