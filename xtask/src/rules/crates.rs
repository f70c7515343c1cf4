//! Which crate may depend on which, and where versions are written.

use super::Violation;
use crate::manifest::dependencies;
use crate::tree::Tree;

/// Our crates from the bottom up with the crates of ours that each may use.
const EDGES: &[(&str, &[&str])] = &[
    ("aion-data", &[]),
    ("aion-kernel", &[]),
    ("aion-codec", &["aion-data", "aion-kernel"]),
    ("aion-model", &["aion-data", "aion-kernel", "aion-codec"]),
    ("aion-simulate", &["aion-data"]),
    ("aion-fetch", &["aion-data"]),
    (
        "aion-train",
        &[
            "aion-data",
            "aion-simulate",
            "aion-kernel",
            "aion-codec",
            "aion-model",
        ],
    ),
    (
        "aion-cli",
        &[
            "aion-data",
            "aion-kernel",
            "aion-codec",
            "aion-model",
            "aion-train",
            "aion-simulate",
            "aion-fetch",
        ],
    ),
];

pub fn check(tree: &Tree, found: &mut Vec<Violation>) {
    for file in &tree.files {
        let Some(krate) = file.krate() else { continue };
        if file.path != format!("crates/{krate}/Cargo.toml") {
            continue;
        }
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == krate) else {
            let message = format!("`{krate}` has no row in xtask/src/rules/crates.rs");
            found.push(Violation::new(&file.path, 1, "crate-edge", message));
            continue;
        };
        for dependency in dependencies(&file.text) {
            let mut report = |rule, message: String| {
                found.push(Violation::new(&file.path, dependency.line, rule, message));
            };
            let name = dependency.name.as_str();
            if name.starts_with("aion-") && !allowed.contains(&name) {
                let allowed = match allowed {
                    [] => "none of ours".to_owned(),
                    names => names.join(", "),
                };
                report(
                    "crate-edge",
                    format!("{krate} may use {allowed}; not {name}"),
                );
            }
            if krate == "aion-data" && name.starts_with("burn") {
                report(
                    "no-burn",
                    format!("aion-data holds plain arrays; {name} is a tensor library"),
                );
            }
            if !dependency.from_workspace {
                let message =
                    format!("write `{name}.workspace = true` and the version in the root");
                report("version", message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    #[test]
    fn edges_point_down_and_versions_stay_in_the_root() {
        let manifest =
            "[dependencies]\naion-model.workspace = true\nburn.workspace = true\nx = \"1\"\n";
        assert_eq!(
            found(check, &[("crates/aion-data/Cargo.toml", manifest)]),
            [
                "crates/aion-data/Cargo.toml:2: crate-edge",
                "crates/aion-data/Cargo.toml:3: no-burn",
                "crates/aion-data/Cargo.toml:4: version",
            ]
        );
        assert_eq!(
            found(check, &[("crates/aion-train/Cargo.toml", manifest)]),
            ["crates/aion-train/Cargo.toml:4: version"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_reported() {
        assert_eq!(
            found(check, &[("crates/aion-new/Cargo.toml", "")]),
            ["crates/aion-new/Cargo.toml:1: crate-edge"]
        );
    }
}
