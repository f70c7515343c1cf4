//! What a training run shows on stderr: a live view on a terminal, a line a report elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use aion_train::data::token_index::TokenCounts;
use aion_train::{Event, Progress};
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Losses in a line of the live view.
const IN_A_LINE: usize = 4;

/// The view.
pub(super) struct Display {
    view: MultiProgress,
    bar: ProgressBar,
    losses: ProgressBar,
    lines: bool,
}

impl Display {
    pub(super) fn new(steps: u64) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let target = if lines {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let view = MultiProgress::with_draw_target(target);
        let line = |template| {
            let bar = ProgressBar::new(steps);
            // A template that does not parse leaves the plain bar.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            view.add(bar)
        };
        Display {
            losses: line("{msg}"),
            bar: line("{wide_bar} {pos}/{len} {msg}"),
            view: view.clone(),
            lines,
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::Resumed { step: 0 } => {
                self.say("no checkpoint yet: begins anew".to_owned());
            }
            Event::Resumed { step } => self.say(format!("resumed after step {step}")),
            Event::Data {
                survey,
                tokens,
                examples,
            } => {
                let text = format!(
                    "{examples} examples a round; survey objects: {} used, {} held out, {} refused",
                    survey.used,
                    survey.held_out,
                    survey.refused.total()
                );
                self.say(text);
                for set in tokens {
                    self.say(tokens_line(set));
                }
                for reason in survey.refused.list() {
                    self.say(reason.line());
                }
            }
            Event::Prepared { done, total } => {
                self.bar.set_length(*total);
                self.bar.set_position(*done);
                self.bar.set_message("preparing");
            }
            Event::Step(progress) if self.lines => {
                let losses = losses(progress).join(", ");
                let (step, steps) = (progress.step, progress.steps);
                self.say(format!(
                    "step {step}/{steps}: {losses}; {}",
                    speed(progress)
                ));
            }
            Event::Step(progress) => {
                self.bar.set_length(progress.steps);
                self.bar.set_position(progress.step);
                self.bar.set_message(speed(progress));
                let losses = losses(progress);
                let lines: Vec<String> = losses
                    .chunks(IN_A_LINE)
                    .map(|losses| losses.iter().map(|loss| format!("{loss:<26}")).collect())
                    .collect();
                self.losses.set_message(lines.join("\n"));
            }
        }
    }

    fn say(&self, text: String) {
        if self.lines {
            eprintln!("{text}");
        } else {
            // Fails when the terminal has gone; there is nobody to tell then.
            let _ = self.view.println(&text);
        }
    }

    pub(super) fn finish(&self) {
        self.losses.finish_and_clear();
        self.bar.finish_and_clear();
    }
}

/// The loss, then its terms: of a model, cross-entropy of each modality.
fn losses(progress: &Progress) -> Vec<String> {
    let mut losses: Vec<(&String, &f64)> = progress.losses.iter().collect();
    losses.sort_by_key(|(name, _)| *name != "loss");
    losses
        .into_iter()
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect()
}

fn speed(progress: &Progress) -> String {
    let rate = if progress.tokens_per_second > 0.0 {
        format!("{:.0} tokens/s", progress.tokens_per_second)
    } else {
        format!("{:.1} examples/s", progress.examples_per_second)
    };
    let share = |share: f64| format!("; {:.0} % of peak FLOP/s", 100.0 * share);
    let share = progress.utilisation.map(share);
    let memory = progress.peak_mb.map(|mb| format!("; {mb:.0} MB"));
    let skipped = match progress.skipped {
        0 => String::new(),
        count => format!("; {count} steps skipped, not finite"),
    };
    let left = Duration::try_from_secs_f64(progress.eta_seconds).unwrap_or_default();
    format!(
        "rate {:.2e}; {rate}{}{}; {} left{skipped}",
        progress.learning_rate,
        share.unwrap_or_default(),
        memory.unwrap_or_default(),
        HumanDuration(left)
    )
}

/// One set of tokens.
fn tokens_line(set: &TokenCounts) -> String {
    let mut line = format!(
        "tokens of {}: {} to train, {} to validate, {} to test",
        set.paths.join(", "),
        set.train,
        set.validation,
        set.test
    );
    if set.without_position > 0 {
        line += &format!("; {} placed by identifier", set.without_position);
    }
    if set.unsigned > 0 {
        line += &format!(
            "; {} of {} files do not say which codecs made them",
            set.unsigned, set.files
        );
    }
    line
}
