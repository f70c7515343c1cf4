//! The lines of a `Cargo.toml` that name dependencies.

/// One dependency of a crate.
#[derive(Debug, PartialEq)]
pub struct Dependency {
    pub line: usize,
    pub name: String,
    /// Whether version and path are left to the workspace.
    pub from_workspace: bool,
}

/// The dependencies, for building, testing and running alike.
pub fn dependencies(text: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut section = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            if let Some(name) = own_table(&section) {
                found.push(Dependency {
                    line: index + 1,
                    name: name.to_owned(),
                    from_workspace: false,
                });
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim(), value.trim());
            if own_table(&section).is_some() {
                if let Some(last) = found.last_mut() {
                    last.from_workspace |= key == "workspace" && value == "true";
                }
            } else if section.ends_with("dependencies") {
                found.push(Dependency {
                    line: index + 1,
                    name: key.split('.').next().unwrap_or(key).to_owned(),
                    from_workspace: is_from_workspace(key, value),
                });
            }
        }
    }
    found
}

/// `name` when a section is `[dependencies.name]`.
fn own_table(section: &str) -> Option<&str> {
    let (kind, name) = section.rsplit_once('.')?;
    kind.ends_with("dependencies").then_some(name)
}

fn is_from_workspace(key: &str, value: &str) -> bool {
    let inherited = value.replace(' ', "").contains("workspace=true");
    (key.ends_with(".workspace") && value == "true") || inherited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_dependency_is_read() {
        let text = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = \"1\" # why\n\
                    c = { workspace = true, features = [\"d\"] }\n\
                    [dev-dependencies.e]\nworkspace = true\n[lints]\nworkspace = true\n";
        let found: Vec<_> = dependencies(text)
            .into_iter()
            .map(|d| (d.line, d.name, d.from_workspace))
            .collect();
        let expected = [
            (4, "a", true),
            (5, "b", false),
            (6, "c", true),
            (7, "e", true),
        ];
        assert!(
            found
                .iter()
                .map(|(l, n, w)| (*l, n.as_str(), *w))
                .eq(expected)
        );
    }
}
