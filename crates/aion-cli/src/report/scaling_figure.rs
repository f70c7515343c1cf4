//! Loss over model size for each size of data, with the law that was fitted.

use std::ops::Range;

use aion_train::scaling::law::Law;
use aion_train::scaling::{Analysis, Check, Outcome, Study};
use anyhow::Result;
use plotters::prelude::*;

use crate::report::chart::{self, Axes, BLUE, Chart, INK, RED, TEAL, VIOLET};

const SIZE: (u32, u32) = (760, 440);
const COLOURS: [RGBColor; 4] = [BLUE, TEAL, RED, VIOLET];
/// Points of a curve.
const CURVE: u32 = 60;

/// Dots are results, lines the law of all; a bar is what the smaller models predict of the largest.
/// `None` with fewer than two models or results.
///
/// # Errors
/// The chart cannot be drawn.
pub fn scaling(study: &Study, analysis: Option<&Analysis>) -> Result<Option<String>> {
    let outcomes = &study.outcomes;
    let sizes = outcomes.iter().map(|o| decades(o.parameters));
    let losses = outcomes.iter().map(|o| o.held_out.loss);
    let checks = analysis.map_or(&[][..], |analysis| &analysis.checks);
    let bars = checks
        .iter()
        .flat_map(|c| [c.predicted.low, c.predicted.high]);
    let spans = (
        chart::span(sizes, 0.0, 0.06),
        chart::span(losses.chain(bars), 0.0, 0.06),
    );
    let (Some(x), Some(y)) = spans else {
        return Ok(None);
    };
    let axes = Axes {
        x,
        y,
        x_label: "parameters but for embeddings and heads, log10",
        y_label: "held-out loss, nats a token",
        y_ticks: 8,
    };
    let title = match (study.simulated, analysis.is_some()) {
        (true, true) => "Simulated objects. Bars: the largest, predicted from the smaller",
        (true, false) => "Simulated objects",
        (false, true) => "Bars: the largest model, predicted from the smaller",
        (false, false) => "",
    };
    let groups = groups(study);
    let names: Vec<String> = groups
        .iter()
        .map(|(objects, _)| format!("{objects} objects"))
        .collect();
    let colours = || COLOURS.into_iter().cycle();
    let legend: Vec<(&str, RGBColor)> = names.iter().map(String::as_str).zip(colours()).collect();
    let svg = chart::draw(SIZE, title, &legend, |area| {
        let mut chart = chart::axes(area, &axes)?;
        for ((_, outcomes), colour) in groups.iter().zip(colours()) {
            if let Some(analysis) = analysis {
                curve(
                    &mut chart,
                    &analysis.law,
                    tokens(outcomes),
                    (&axes.x, colour),
                )?;
            }
            let dots = outcomes.iter().map(|outcome| {
                let place = (decades(outcome.parameters), outcome.held_out.loss);
                Circle::new(place, 4, colour.filled())
            });
            chart.draw_series(dots)?;
        }
        bars_of(&mut chart, checks)
    })?;
    Ok(Some(svg))
}

/// Results by the size of their training set.
fn groups(study: &Study) -> Vec<(u64, Vec<&Outcome>)> {
    let mut sizes: Vec<u64> = study.outcomes.iter().map(|o| o.objects).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let of = |objects: u64| {
        let all = study.outcomes.iter();
        (objects, all.filter(|o| o.objects == objects).collect())
    };
    sizes.into_iter().map(of).collect()
}

fn tokens(outcomes: &[&Outcome]) -> f64 {
    outcomes
        .first()
        .map_or(1.0, |outcome| outcome.tokens as f64)
}

fn decades(parameters: u64) -> f64 {
    (parameters.max(1) as f64).log10()
}

fn curve(
    chart: &mut Chart,
    law: &Law,
    tokens: f64,
    (x, colour): (&Range<f64>, RGBColor),
) -> Result<()> {
    let step = (x.end - x.start) / f64::from(CURVE);
    let places = (0..=CURVE).map(|place| x.start + step * f64::from(place));
    let line = places.map(|x| (x, law.loss(10_f64.powf(x), tokens)));
    chart.draw_series(LineSeries::new(line, colour.mix(0.7).stroke_width(2)))?;
    Ok(())
}

/// Predicted intervals, a little to the right of what was measured, with a tick at the best guess.
fn bars_of(chart: &mut Chart, checks: &[Check]) -> Result<()> {
    let lines = checks.iter().flat_map(|check| {
        let (x, predicted) = (decades(check.parameters) + 0.03, check.predicted);
        let bar = vec![(x, predicted.low), (x, predicted.high)];
        let tick = vec![(x - 0.012, predicted.value), (x + 0.012, predicted.value)];
        [bar, tick].map(|line| PathElement::new(line, INK.stroke_width(2)))
    });
    chart.draw_series(lines)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::scaling_sample::study;

    #[test]
    fn a_dot_a_result_a_line_a_training_set_a_bar_a_prediction() {
        let study = study();
        let analysis = Analysis::of(&study).expect("a fit");
        let svg = scaling(&study, Some(&analysis))
            .expect("drawn")
            .expect("a figure");
        assert_eq!(svg.matches("<circle").count(), 15);
        let dots_only = scaling(&study, None).expect("drawn").expect("a figure");
        let lines = |svg: &str| svg.matches("<polyline").count();
        assert_eq!(lines(&svg), lines(&dots_only) + 3 + 2 * 3);
        assert!(svg.contains("Simulated objects") && svg.contains("100 objects"));
    }
}
