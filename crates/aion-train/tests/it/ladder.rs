//! A scaling study that is stopped and goes on.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aion_train::TrainError;
use aion_train::scaling::{HeldOut, Ladder, Study, StudyEvent, run_study};
use burn::tensor::Device;

fn ladder(output: &Path) -> Ladder {
    let codecs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/aion-tiny");
    let text = format!(
        r#"
[ladder]
objects = [6, 12]
held_out = 7
without = ["tok_image", "tok_image_hsc", "tok_spectrum_sdss", "tok_spectrum_desi"]
[[ladder.sizes]]
learning_rate = 2e-3
size = {{ dim = 8, encoder_depth = 1, decoder_depth = 1, heads = 1 }}
[[ladder.sizes]]
learning_rate = 1e-3
size = {{ dim = 12, encoder_depth = 1, decoder_depth = 2, heads = 1 }}
[run]
seed = 2
steps = 6
batch = 3
output = {output:?}
log_every = 2
checkpoint_every = 4
[data.simulated]
seed = 8
count = 30
[data.split]
validation = 0.0
test = 0.0
[model]
codecs = {codecs:?}
"#
    );
    text.parse().expect("a valid ladder")
}

/// Runs until `stop_at` reports have come.
fn run(ladder: &Ladder, resume: bool, stop_at: usize) -> Result<(Study, usize), TrainError> {
    let stop = AtomicBool::new(false);
    let mut reports = 0;
    let mut report = |event: &StudyEvent| {
        reports += usize::from(matches!(event, StudyEvent::Step(_)));
        stop.store(reports >= stop_at, Ordering::Relaxed);
    };
    let study = run_study(ladder, &Device::flex(), resume, &mut report, &stop)?;
    Ok((study, reports))
}

/// Without what a clock says.
fn timeless(mut study: Study) -> Study {
    for outcome in &mut study.outcomes {
        outcome.seconds = 0.0;
    }
    study
}

#[test]
fn a_stopped_study_ends_as_an_undisturbed_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let straight = ladder(&folder.path().join("straight"));
    let (straight, reports) = run(&straight, false, 1000).expect("runs");
    // Four runs of three reports.
    assert_eq!((straight.outcomes.len(), reports), (4, 12));
    let halting = ladder(&folder.path().join("halting"));
    let (halted, _) = run(&halting, false, 5).expect("runs");
    assert_eq!(halted.outcomes.len(), 1);
    let error = run(&halting, false, 1000).expect_err("refused");
    assert!(matches!(error, TrainError::Resume { .. }), "{error}");
    let (resumed, reports) = run(&halting, true, 1000).expect("resumes");
    assert_eq!(reports, 12 - 5);
    assert_eq!(timeless(resumed), timeless(straight.clone()));
    // All finished: nothing is trained.
    let (again, reports) = run(&halting, true, 1000).expect("resumes");
    assert_eq!((timeless(again), reports), (timeless(straight.clone()), 0));
    let [first, second, ..] = straight.outcomes.as_slice() else {
        panic!("four results");
    };
    assert_eq!(first.parameters, second.parameters);
    assert!(first.tokens < second.tokens);
    let asked = |held_out: &HeldOut| Vec::from_iter(held_out.means.keys().cloned());
    assert_eq!(asked(&first.held_out), asked(&second.held_out));
    assert_ne!(first.held_out.loss, second.held_out.loss);
}

#[test]
fn too_few_objects_are_named_and_another_ladder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = ladder(folder.path());
    other.ladder.objects = vec![6, 26];
    let error = run(&other, false, 1000).expect_err("30 < 26 + 7");
    assert!(error.to_string().contains("at least 33"), "{error}");
    // Nothing was trained yet, so the ladder may still change.
    let (halted, _) = run(&ladder(folder.path()), false, 1).expect("runs");
    assert_eq!(halted.outcomes.len(), 0);
    other.ladder.objects = vec![6, 13];
    let error = run(&other, true, 1000).expect_err("another study");
    assert!(
        error.to_string().contains("ladder file has changed"),
        "{error}"
    );
}
