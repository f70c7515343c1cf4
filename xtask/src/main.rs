//! House rules that a program can check, and the parts of the documents that come from code.
//!
//! `cargo xtask tidy` reads the tree as text and depends on nothing, so it builds in seconds and
//! runs before anything else in `.ci/run`. `cargo xtask docs` rewrites the generated tables.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod manifest;
mod modality_table;
mod rules;
mod source;
mod tree;

use tree::Tree;

const HELP: &str = "\
Checks of this repository that need no compiler.

Usage: cargo xtask <COMMAND>

Commands:
  tidy    check the house rules; prints `file:line: rule: message` and fails on any
  docs    rewrite the tables in README.md that come from code
  rules   list the house rules
";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let outcome = match command.as_deref() {
        None | Some("help" | "-h" | "--help") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some("tidy") => tidy(&root()),
        Some("docs") => docs(&root()),
        Some("rules") => {
            for (name, says) in rules::RULES {
                println!("{name:<16} {says}");
            }
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(format!("unknown command `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(message) => {
            println!("{message}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The repository: the folder above this crate's, where it was compiled.
fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_path_buf()
}

fn tidy(root: &Path) -> Result<String, String> {
    let tree = Tree::read(root).map_err(|error| error.to_string())?;
    let violations = rules::check(&tree);
    if violations.is_empty() {
        return Ok(format!("tidy: {} files, no violation", tree.files.len()));
    }
    let mut report = String::new();
    for violation in &violations {
        report += &format!("{violation}\n");
    }
    Err(format!("{report}tidy: {} violations", violations.len()))
}

fn docs(root: &Path) -> Result<String, String> {
    let tree = Tree::read(root).map_err(|error| error.to_string())?;
    let text = rules::documents::current_readme(&tree)?;
    let path = root.join(rules::documents::README);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("{} written", path.display()))
}
