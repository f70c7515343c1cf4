//! A trained codec on held-out measurements: its table, and pictures of what it makes of some.

use std::path::{Path, PathBuf};

use aion_data::{Measurement, ModalityId};
use aion_train::codec_report::{Example, ModalityReport};
use anyhow::{Context, Result};

use crate::report::chart::RED;
use crate::report::figures::Drawing;
use crate::report::file;
use crate::report::names;
use crate::report::picture::Picture;
use crate::report::spectrum_figure::{Overlay, compared};
use crate::report::stretch::{colours, residual};
use crate::report::summary::decimals;
use crate::report::terminal::shortened;

/// Prints the report, as JSON or as tables, and draws its figures into the run's folder.
///
/// # Errors
/// A figure cannot be drawn or written.
pub fn show(reports: &[ModalityReport], output: &Path, json: bool) -> Result<()> {
    let files = draw(reports, output)?;
    if json {
        println!("{}", serde_json::to_string_pretty(reports)?);
        return Ok(());
    }
    print(reports);
    for file in files {
        println!("drew {}", file.display());
    }
    Ok(())
}

/// Prints the tables of reports.
pub fn print(reports: &[ModalityReport]) {
    for report in reports {
        let codes = &report.codebook;
        let auc = report.mask_auc.map_or_else(String::new, |auc| {
            format!("; mask AUC {}", decimals(Some(auc), 3))
        });
        println!(
            "\n{}: {} held-out measurements ({} simulated); {} of {} codes used, perplexity {:.0}{auc}",
            report.modality,
            report.measurements,
            report.simulated,
            codes.used,
            codes.codes,
            codes.perplexity
        );
        println!(
            "{:8} {:>9} {:>9} {:>9} {:>9}   {:>8} {:>8} {:>8}",
            "band", "χ²/pixel", "NLL/pixel", "MSE", "R²", "Δmag", "scatter", "R²(mag)"
        );
        for row in &report.fidelity {
            let flux = report.photometry.iter().find(|flux| flux.band == row.band);
            let flux = flux.or_else(|| report.photometry.first().filter(|_| row.band == "flux"));
            println!(
                "{:8} {:>9} {:>9} {:>9.2e} {:>9}   {:>8} {:>8} {:>8}",
                row.band,
                decimals(row.chi2, 3),
                decimals(row.nll, 3),
                row.mse,
                decimals(row.r2, 4),
                decimals(flux.map(|flux| flux.bias_mag), 3),
                decimals(flux.map(|flux| flux.scatter_mag), 3),
                decimals(flux.and_then(|flux| flux.r2), 3)
            );
        }
    }
}

/// Draws the examples into `figures` of the run's folder, and gives the files.
///
/// # Errors
/// A figure cannot be drawn or written.
pub fn draw(reports: &[ModalityReport], output: &Path) -> Result<Vec<PathBuf>> {
    let folder = output.join("figures");
    let mut files = Vec::new();
    for report in reports {
        for (place, example) in report.examples.iter().enumerate() {
            let Some(drawing) = drawing(report, example)? else {
                continue;
            };
            let (extension, bytes) = drawing.file()?;
            let path = folder.join(format!("{}-{place}.{extension}", report.modality));
            std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            file::write(&path, &bytes)?;
            files.push(path);
        }
    }
    Ok(files)
}

/// Observed, reconstructed, residual.
fn drawing(report: &ModalityReport, example: &Example) -> Result<Option<Drawing>> {
    Ok(match (&example.observed, &example.restored) {
        (Measurement::Image(observed), Measurement::Image(restored)) => {
            let panels = [
                colours(observed),
                colours(restored),
                residual(observed, restored),
            ];
            let panels: Option<Vec<Picture>> = panels.into_iter().collect();
            panels.map(|panels| {
                let panels: Vec<&Picture> = panels.iter().collect();
                Drawing::Picture(Picture::strip(&panels))
            })
        }
        (Measurement::Spectrum(observed), Measurement::Spectrum(restored)) => {
            let modality = ModalityId::from_key(&report.modality).map(names::modality);
            let title = format!(
                "{}  {}",
                modality.unwrap_or_default(),
                shortened(&example.object, 44)
            );
            let overlay = Overlay {
                spectrum: restored,
                name: "reconstructed",
                colour: RED,
            };
            compared(&title, observed, &overlay, None)?.map(Drawing::Svg)
        }
        (Measurement::ScalarField(observed), Measurement::ScalarField(restored)) => {
            let (height, width) = (restored.height, restored.width);
            let before =
                crate::report::picture::centre(&observed.field, observed.height, observed.width);
            let difference = before.iter().zip(&restored.field);
            let difference: Vec<f32> = difference.map(|(a, b)| 0.5 + 0.5 * (a - b)).collect();
            let panels = [&before, &restored.field, &difference].map(|field| {
                let grey = field.iter().map(|x| [(x.clamp(0.0, 1.0) * 255.0) as u8; 3]);
                Picture::new(width, height, grey.collect())
            });
            Some(Drawing::Picture(Picture::strip(&panels.each_ref())))
        }
        _ => None,
    })
}
