//! The house rules, one file a subject.

use std::fmt;

use crate::tree::Tree;

mod crates;
pub mod documents;
mod knowledge;
mod layout;
mod prose;
mod safety;

/// Every rule's name with what it asks for.
pub const RULES: &[(&str, &str)] = &[
    (
        "crate-edge",
        "crates depend only downwards: data, kernel < codec < model < train < cli",
    ),
    ("no-burn", "aion-data depends on no tensor library"),
    ("version", "versions stand only in the root Cargo.toml"),
    ("module-doc", "every Rust file opens with `//!`"),
    ("file-length", "no source file is longer than 800 lines"),
    (
        "fn-length",
        "no function is longer than 100 lines, tests included",
    ),
    (
        "name",
        "no file or folder is called utils, common, base, ...",
    ),
    (
        "modality-list",
        "only aion-data/src/modality.rs lists modalities",
    ),
    (
        "survey-column",
        "only aion-data/src/survey/ and, for answers, aion-fetch/src/service/ name survey columns",
    ),
    ("panic", "no unwrap, expect, panic!, todo! outside tests"),
    (
        "unsafe",
        "unsafe only in aion-kernel, for memory maps and the allocator, each with a SAFETY comment",
    ),
    (
        "side-effect",
        "libraries never print, exit or read the environment",
    ),
    (
        "network",
        "only aion-fetch and aion-cli/src/model_source.rs use HTTP, each through its one client",
    ),
    ("unfinished", "no marks of unfinished work"),
    ("machine-path", "no path of somebody's machine"),
    (
        "size",
        "fixtures stay within 20 MB, models/aion-tiny within 48 MB",
    ),
    ("readme-table", "tables in README.md agree with the code"),
    ("link", "files that the documents link to exist"),
];

/// One broken rule.
#[derive(Debug, PartialEq)]
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub rule: &'static str,
    pub message: String,
}

impl Violation {
    fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Violation {
        Violation {
            path: path.to_owned(),
            line,
            rule,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            path,
            line,
            rule,
            message,
        } = self;
        write!(f, "{path}:{line}: {rule}: {message}")
    }
}

/// Every violation in the tree, in order of path and line.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for rule in [
        crates::check,
        layout::check,
        knowledge::check,
        safety::check,
        prose::check,
        documents::check,
    ] {
        rule(tree, &mut found);
    }
    found.sort_by(|a, b| (&a.path, a.line, a.rule).cmp(&(&b.path, b.line, b.rule)));
    found
}

/// What `rule` finds in these files, as `path:line: rule`.
#[cfg(test)]
fn found(rule: fn(&Tree, &mut Vec<Violation>), files: &[(&str, &str)]) -> Vec<String> {
    let files = files
        .iter()
        .map(|(path, text)| crate::tree::File::new(path, text));
    let mut violations = Vec::new();
    rule(&Tree::new(files.collect()), &mut violations);
    let known = |v: &Violation| RULES.iter().any(|(name, _)| *name == v.rule);
    assert!(
        violations.iter().all(known),
        "a rule that RULES does not list"
    );
    violations
        .iter()
        .map(|v| format!("{}:{}: {}", v.path, v.line, v.rule))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_as_compilers_write() {
        let violation = Violation::new("a.rs", 3, "panic", "`.unwrap()` outside tests");
        assert_eq!(
            violation.to_string(),
            "a.rs:3: panic: `.unwrap()` outside tests"
        );
    }
}
