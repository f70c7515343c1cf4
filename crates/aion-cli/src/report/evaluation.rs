//! The report on a trained model as Markdown.

use aion_train::codec_report::ModalityReport;
use aion_train::model_report::statistics::LEVELS;
use aion_train::model_report::{CrossEntropy, ModelReport, RedshiftReport, SampleReport, Without};

use crate::report::names::origin;
use crate::report::summary::decimals;

/// All tables of the report.
pub fn markdown(report: &ModelReport) -> String {
    let mut text = format!("# {} on held-out objects\n", report.model.display());
    for sample in &report.samples {
        text += &cross_entropy(sample);
    }
    text += &redshifts(&report.redshifts);
    for sample in &report.samples {
        text += &reconstruction(sample);
    }
    text
}

/// A table with its title and a sentence about it.
fn table(
    title: &str,
    about: &str,
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(heads.len()));
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: String = rows.map(|cells| line(&cells)).collect();
    format!("\n## {title}\n\n{about}\n\n{}{rule}{rows}", line(&heads))
}

/// Of all objects, with what the whole has over less; then of those that have everything, with what
/// images and spectra add to the rest.
fn cross_entropy(sample: &SampleReport) -> String {
    let origin = origin(sample.simulated);
    let all = cross_entropy_table(
        &format!("Cross-entropy on {} {origin} objects", sample.objects),
        "Nats a token. Each modality is asked for alone, from the columns' inputs; gains are what the last \
         column has over the others, ± the standard error over objects.",
        ["over unigram", "over numbers"],
        &sample.cross_entropy,
        |row| [row.unigram, row.numbers],
    );
    if sample.ablation.is_empty() {
        return all;
    }
    let complete = cross_entropy_table(
        &format!("Ablation on {origin} objects that have numbers, an image and a spectrum"),
        "As above; the gains are what images add where all else is shown, and what spectra add.",
        ["by images", "by spectra"],
        &sample.ablation,
        |row| [row.without_images, row.without_spectra],
    );
    all + &complete
}

fn cross_entropy_table(
    title: &str,
    about: &str,
    gains: [&str; 2],
    rows: &[CrossEntropy],
    gains_of: fn(&CrossEntropy) -> [Without; 2],
) -> String {
    let columns = ["unigram", "numbers", "+ images", "+ spectra", "all"];
    let mut heads = vec!["modality", "objects", "tokens"];
    heads.extend(columns.into_iter().chain(gains));
    let cells = |row: &CrossEntropy| {
        let less = [
            row.unigram,
            row.numbers,
            row.without_spectra,
            row.without_images,
        ];
        let mut cells = vec![format!("`{}`", row.modality)];
        cells.extend([row.objects, row.tokens].map(|count| count.to_string()));
        let nats = less.iter().map(|less| less.nats).chain([row.all]);
        cells.extend(nats.map(|nats| format!("{nats:.2}")));
        cells.extend(gains_of(row).iter().map(gain));
        cells
    };
    table(title, about, &heads, rows.iter().map(cells))
}

fn gain(without: &Without) -> String {
    format!("{:+.2} ± {:.2}", without.loss, without.error)
}

fn redshifts(reports: &[RedshiftReport]) -> String {
    let row = |report: &RedshiftReport| {
        let quality = &report.quality;
        let mut cells = vec![
            format!("{} {}", origin(report.simulated), report.survey),
            report.inputs.to_owned(),
            quality.objects.to_string(),
            decimals(quality.r2, 3),
            format!("{:+.4}", quality.bias),
            format!("{:.4}", quality.sigma_nmad),
            format!("{:.3}", quality.outliers),
        ];
        cells.extend(quality.coverage.map(|share| format!("{share:.2}")));
        cells
    };
    let levels = LEVELS.map(|level| format!("{:.0} %", 100.0 * level));
    let mut heads = vec![
        "galaxies", "inputs", "objects", "R²", "bias", "σ_NMAD", "outliers",
    ];
    heads.extend(levels.iter().map(String::as_str));
    table(
        "Redshifts",
        "R² of the means, the rest of the medians; outliers are off by more than 0.15 (1 + z). The last \
         columns say how often the central intervals of a level hold the true redshift.",
        &heads,
        reports.iter().map(row),
    )
}

fn reconstruction(sample: &SampleReport) -> String {
    let rows = sample
        .reconstruction
        .iter()
        .flat_map(|report: &ModalityReport| {
            report.fidelity.iter().map(|row| {
                vec![
                    format!("`{}`", report.modality),
                    report.measurements.to_string(),
                    row.band.clone(),
                    decimals(row.chi2, 3),
                    decimals(row.r2, 4),
                    format!("{} of {}", report.codebook.used, report.codebook.codes),
                    format!("{:.0}", report.codebook.perplexity),
                ]
            })
        });
    table(
        &format!(
            "Reconstruction of {} measurements",
            origin(sample.simulated)
        ),
        "χ² a pixel in units of the noise, where it is known; R² weighted by the inverse variance.",
        &[
            "modality",
            "measurements",
            "band",
            "χ²",
            "R²",
            "codes used",
            "perplexity",
        ],
        rows,
    )
}
