//! Losses, gradients and optimiser steps against PyTorch, on the training cases of `fixtures/` or
//! of the folder that `AION_FIXTURES` names. With `--nocapture` the tests print tables.

mod case;
mod codecs;
mod measure;
mod transformer;

use crate::case::{Case, cases};

/// A case on the implementation that its kind names.
fn measure(case: &Case) -> measure::Agreement {
    match case.about.kind.as_str() {
        "transformer" => transformer::measure(case),
        "image" => codecs::image(case),
        "field" => codecs::field(case),
        "spectrum" => codecs::spectrum(case),
        other => panic!("{}: unknown kind {other}", case.name),
    }
}

#[test]
fn losses_gradients_and_steps_agree() {
    let cases = cases();
    assert!(cases.len() > 9, "only {} training cases", cases.len());
    println!("{}", measure::HEADER);
    let found: Vec<_> = cases.iter().map(measure).collect();
    found.iter().for_each(|agreement| println!("{agreement}"));
    for agreement in &found {
        agreement.check();
    }
}
