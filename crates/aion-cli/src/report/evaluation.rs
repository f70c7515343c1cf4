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

fn cross_entropy(sample: &SampleReport) -> String {
    let origin = origin(sample.simulated);
    let nats = |row: &CrossEntropy| {
        let columns = [
            row.unigram,
            row.numbers,
            row.without_spectra,
            row.without_images,
        ];
        columns.map(|column| format!("{:.2}", column.nats))
    };
    let row = |row: &CrossEntropy, gains: &[Without]| {
        let mut cells = vec![format!("`{}`", row.modality)];
        cells.extend([row.objects, row.tokens].map(|count| count.to_string()));
        cells.extend(nats(row));
        cells.push(format!("{:.2}", row.all));
        cells.extend(gains.iter().map(gain));
        cells
    };
    let all = table(
        &format!("Cross-entropy on {} {origin} objects", sample.objects),
        "Nats a token. Each modality is asked for alone, from the columns' inputs; gains are what the last \
         column has over the others, ± the standard error over objects.",
        &[
            "modality",
            "objects",
            "tokens",
            "unigram",
            "numbers",
            "+ images",
            "+ spectra",
            "all",
            "over unigram",
            "over numbers",
        ],
        sample
            .cross_entropy
            .iter()
            .map(|r| row(r, &[r.unigram, r.numbers])),
    );
    if sample.ablation.is_empty() {
        return all;
    }
    let complete = table(
        &format!("Ablation on {origin} objects that have numbers, an image and a spectrum"),
        "As above; the gains are what images add where all else is shown, and what spectra add.",
        &[
            "modality",
            "objects",
            "tokens",
            "unigram",
            "numbers",
            "+ images",
            "+ spectra",
            "all",
            "by images",
            "by spectra",
        ],
        sample
            .ablation
            .iter()
            .map(|r| row(r, &[r.without_images, r.without_spectra])),
    );
    all + &complete
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
