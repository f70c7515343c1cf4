//! The documents agree with the tree: generated tables are current, linked files exist.

use super::{Violation, knowledge};
use crate::modality_table;
use crate::tree::Tree;

pub const README: &str = "README.md";
const BEGIN: &str = "<!-- modalities: written by `cargo xtask docs` -->\n";
const END: &str = "<!-- end of modalities -->";
const LINKING: [&str; 3] = [README, "ARCHITECTURE.md", "CONTRIBUTING.md"];

pub fn check(tree: &Tree, found: &mut Vec<Violation>) {
    if let Some(readme) = tree.get(README) {
        match current_readme(tree) {
            Ok(text) if text == readme.text => {}
            Ok(text) => {
                let lines = readme.text.lines().zip(text.lines());
                let line = 1 + lines.take_while(|(now, then)| now == then).count();
                let message = "the table of modalities is stale: run `cargo xtask docs`";
                found.push(Violation::new(README, line, "readme-table", message));
            }
            Err(message) => found.push(Violation::new(README, 1, "readme-table", message)),
        }
    }
    for name in LINKING {
        let Some(file) = tree.get(name) else { continue };
        for (index, line) in file.text.lines().enumerate() {
            for target in links(line).filter(|target| !exists(tree, target)) {
                let message = format!("`{target}` does not exist");
                found.push(Violation::new(name, index + 1, "link", message));
            }
        }
    }
}

/// `README.md` with its generated table as the code has it now.
pub fn current_readme(tree: &Tree) -> Result<String, String> {
    let text = |path: &str| {
        let file = tree.get(path).ok_or_else(|| format!("{path} is missing"))?;
        Ok::<&str, String>(&file.text)
    };
    let readme = text(README)?;
    let (before, rest) = readme
        .split_once(BEGIN)
        .ok_or_else(|| format!("no line `{}`", BEGIN.trim_end()))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or_else(|| format!("no line `{END}`"))?;
    let table = modality_table::markdown(text(knowledge::TABLE)?)?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// Relative targets of the markdown links in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        let is_local = !target.is_empty() && !target.contains("://");
        is_local.then_some(target)
    })
}

fn exists(tree: &Tree, target: &str) -> bool {
    let folder = format!("{}/", target.trim_end_matches('/'));
    let mut files = tree.files.iter();
    files.any(|file| file.path == target || file.path.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    const CODE: &str = "scalar(\"tok_a\", \"A\", Hsc, \"mag\"),";

    #[test]
    fn a_stale_table_is_reported() {
        let table = modality_table::markdown(CODE).unwrap();
        let fresh = format!("# x\n{BEGIN}{table}{END}\n");
        let stale = fresh.replace("mag", "nanomaggy");
        assert!(found(check, &[(README, &fresh), (knowledge::TABLE, CODE)]).is_empty());
        assert_eq!(
            found(check, &[(README, &stale), (knowledge::TABLE, CODE)]),
            ["README.md:5: readme-table"]
        );
        assert_eq!(
            found(check, &[(README, "# x\n"), (knowledge::TABLE, CODE)]),
            ["README.md:1: readme-table"]
        );
    }

    #[test]
    fn links_lead_to_files() {
        let text = "[a](bench/README.md) [b](bench) [c](https://x.org) [d](gone.md#part)\n";
        assert_eq!(
            found(check, &[("ARCHITECTURE.md", text), ("bench/README.md", "")]),
            ["ARCHITECTURE.md:1: link"]
        );
    }
}
