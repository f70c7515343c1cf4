//! What no text in the repository may hold: marks of unfinished work, paths of one machine.

use super::Violation;
use crate::source::has_word;
use crate::tree::Tree;

/// This file has to name what it looks for.
const ITSELF: &str = "xtask/src/rules/prose.rs";
const UNFINISHED: [&str; 3] = ["TODO", "FIXME", "XXX"];
const MACHINE_FOLDERS: [&str; 4] = ["/home/", "/root/", "/work/", "/Users/"];

pub fn check(tree: &Tree, found: &mut Vec<Violation>) {
    for file in tree.files.iter().filter(|file| file.path != ITSELF) {
        for (index, line) in file.text.lines().enumerate() {
            for mark in UNFINISHED.iter().filter(|mark| has_word(line, mark)) {
                let message = format!("`{mark}`: finish it or open an issue");
                found.push(Violation::new(&file.path, index + 1, "unfinished", message));
            }
            for folder in MACHINE_FOLDERS
                .iter()
                .filter(|folder| starts_a_path(line, folder))
            {
                let message = format!("`{folder}` is somebody's machine");
                found.push(Violation::new(
                    &file.path,
                    index + 1,
                    "machine-path",
                    message,
                ));
            }
        }
    }
}

/// Whether `folder` begins an absolute path in `line`, rather than lying inside a longer one.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| {
            !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '>' | '/'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    #[test]
    fn unfinished_work_is_found_in_any_text() {
        let files = [
            ("README.md", "Later: TODO\n"),
            ("bench/x.py", "# todos = 1\n# FIXME\n"),
        ];
        assert_eq!(
            found(check, &files),
            ["README.md:1: unfinished", "bench/x.py:2: unfinished"]
        );
    }

    #[test]
    fn absolute_paths_of_machines_are_found() {
        let text = "see /home/me/data\nsee ../work/data and https://a.org/work/data\n";
        assert_eq!(
            found(check, &[("README.md", text)]),
            ["README.md:1: machine-path"]
        );
    }
}
