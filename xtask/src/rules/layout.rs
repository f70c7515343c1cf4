//! How files look: name, length, opening words, size of what is not text.

use super::Violation;
use crate::tree::{File, Tree};

const MAX_FILE_LINES: usize = 800;
const MAX_FN_LINES: usize = 100;
/// Names that say nothing about what a file holds.
const EMPTY_NAMES: [&str; 12] = [
    "base", "common", "core", "helper", "helpers", "manager", "misc", "new", "util", "utils", "v2",
    "shared",
];
/// Folders with the most bytes that they may hold in all.
const MAX_BYTES: [(&str, u64); 2] = [("fixtures/", 20_000_000), ("models/aion-tiny/", 48_000_000)];

pub fn check(tree: &Tree, found: &mut Vec<Violation>) {
    for file in &tree.files {
        if matches!(file.extension(), "rs" | "py" | "sh") {
            check_name(file, found);
            check_length(file, found);
        }
    }
    for (file, source) in tree.sources() {
        if !file.text.starts_with("//! ") {
            let message = "open with `//!` and what lives here";
            found.push(Violation::new(&file.path, 1, "module-doc", message));
        }
        for function in source.functions() {
            let (first, last) = function.lines;
            let length = last - first + 1;
            if length > MAX_FN_LINES {
                let message = format!(
                    "`{}` has {length} lines, at most {MAX_FN_LINES}",
                    function.name
                );
                found.push(Violation::new(&file.path, first, "fn-length", message));
            }
        }
    }
    for (folder, most) in MAX_BYTES {
        let inside = tree
            .files
            .iter()
            .filter(|file| file.path.starts_with(folder));
        let bytes: u64 = inside.map(|file| file.bytes).sum();
        if bytes > most {
            let message = format!("{bytes} bytes, at most {most}");
            found.push(Violation::new(folder, 0, "size", message));
        }
    }
}

fn check_name(file: &File, found: &mut Vec<Violation>) {
    let mut parts = file.path.split('/').map(|part| {
        let stem = part.split_once('.').map_or(part, |(stem, _)| stem);
        stem.to_lowercase()
    });
    if let Some(name) = parts.find(|stem| EMPTY_NAMES.contains(&stem.as_str())) {
        let message = format!("`{name}` says nothing: name what it holds");
        found.push(Violation::new(&file.path, 1, "name", message));
    }
}

fn check_length(file: &File, found: &mut Vec<Violation>) {
    let lines = file.text.lines().count();
    if lines > MAX_FILE_LINES {
        let message = format!("{lines} lines, at most {MAX_FILE_LINES}");
        found.push(Violation::new(
            &file.path,
            MAX_FILE_LINES + 1,
            "file-length",
            message,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    #[test]
    fn names_that_say_nothing_are_refused() {
        let found = found(
            check,
            &[
                ("bench/common.py", ""),
                ("crates/a/src/utils/sky.rs", "//! Sky.\n"),
                ("crates/a/src/newton.rs", "//! Roots.\n"),
            ],
        );
        assert_eq!(
            found,
            [
                "bench/common.py:1: name",
                "crates/a/src/utils/sky.rs:1: name"
            ]
        );
    }

    #[test]
    fn files_open_with_their_doc() {
        let files = [
            ("crates/a/src/a.rs", "//! Yes.\n"),
            ("crates/a/src/b.rs", "use x;\n//! No.\n"),
        ];
        assert_eq!(found(check, &files), ["crates/a/src/b.rs:1: module-doc"]);
    }

    #[test]
    fn long_files_and_functions_are_refused() {
        let lines = |count: usize| "    f();\n".repeat(count);
        let text = format!(
            "//! Long.\nfn fits() {{\n{}}}\nfn long() {{\n{}}}\n",
            lines(98),
            lines(99)
        );
        assert_eq!(
            found(check, &[("crates/a/src/a.rs", &text)]),
            ["crates/a/src/a.rs:102: fn-length"]
        );
        let text = format!("//! Long.\n{}", "\n".repeat(800));
        assert_eq!(
            found(check, &[("crates/a/src/a.rs", &text)]),
            ["crates/a/src/a.rs:801: file-length"]
        );
    }
}
