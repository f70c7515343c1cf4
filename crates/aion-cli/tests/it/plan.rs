//! `aion plan` from outside.

use serde_json::Value;

use crate::run::Scratch;

fn plan(arguments: &[&str]) -> Value {
    let mut all = vec!["plan", "--json"];
    all.extend(arguments);
    let outcome = Scratch::new().aion(all).success();
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

#[test]
fn the_published_xl_run() {
    let plan = plan(&["--model", "xl", "--gpus", "288", "--price", "2"]);
    assert_eq!(plan["model"], "xlarge");
    assert_eq!(plan["fits"], true);
    let hours = plan["gpu_hours"].as_f64().expect("a number");
    assert!((hours / 24_192.0 - 1.0).abs() < 0.2, "{hours}");
    assert_eq!(plan["cost"].as_f64(), Some(2.0 * hours));
}

#[test]
fn what_does_not_fit_is_an_answer() {
    let arguments = ["--model", "xxl", "--gpus", "512", "--zero", "0"];
    assert_eq!(plan(&arguments)["fits"], false);
    let text = Scratch::new()
        .aion(["plan"].iter().chain(&arguments))
        .success();
    assert!(text.stdout.contains("DOES NOT FIT"), "{}", text.stdout);
}

#[test]
fn wrong_arguments_are_refused() {
    for (arguments, named) in [
        (["--model", "huge", "--gpus", "8"], "xxlarge"),
        (["--model", "b", "--gpus", "0"], "--gpus"),
        (["--model", "b", "--gpus", "9000"], "--gpus 9000"),
    ] {
        let outcome = Scratch::new().aion(["plan"].iter().chain(&arguments));
        assert_eq!(outcome.code, 2);
        assert!(outcome.stderr.contains(named), "{}", outcome.stderr);
    }
}
