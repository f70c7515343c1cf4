//! A progress bar on stderr, with an estimate of the time left; silent where stderr is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress of a command over its objects.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins; `total` is an estimate.
    pub fn start(verb: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = "{msg} {wide_bar} {pos}/{len} objects, {per_sec}, {eta} left";
        // A template that does not parse leaves the plain bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(verb);
        Progress { bar }
    }

    /// Some more objects are done.
    pub fn advance(&self, objects: usize) {
        let done = self.bar.position() + objects as u64;
        if self.bar.length().is_some_and(|length| done > length) {
            self.bar.set_length(done);
        }
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
