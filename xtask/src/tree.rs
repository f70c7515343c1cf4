//! The files that the rules look at.

use std::fs;
use std::io;
use std::path::Path;

use crate::source::Source;

/// Folders that are read, beside the files of the root itself.
const FOLDERS: [&str; 8] = [
    ".cargo", ".ci", "bench", "configs", "crates", "docs", "fixtures", "xtask",
];
/// Folders whose size alone matters.
const BINARY_FOLDERS: [&str; 1] = ["models"];
const SKIPPED: [&str; 4] = ["target", "__pycache__", "venv", ".venv"];
const TEXT: [&str; 9] = ["rs", "toml", "md", "py", "cff", "yml", "json", "csv", "sh"];

/// One file, named by its path from the root with `/` between the parts.
#[derive(Debug)]
pub struct File {
    pub path: String,
    pub bytes: u64,
    /// Empty for files that are not text.
    pub text: String,
    /// Present for Rust files.
    pub source: Option<Source>,
}

impl File {
    /// A text file; Rust sources are taken apart.
    pub fn new(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            bytes: text.len() as u64,
            text: text.to_owned(),
            source: path.ends_with(".rs").then(|| Source::parse(text)),
        }
    }

    /// The crate the file belongs to, when it is under `crates/`.
    pub fn krate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// Whether the file is part of what a crate ships, not of its tests.
    pub fn is_shipped(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.next() == Some("crates") && parts.nth(1) == Some("src")
    }

    pub fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, end)| end)
    }
}

/// The repository's files, in path order.
#[derive(Debug)]
pub struct Tree {
    pub files: Vec<File>,
}

impl Tree {
    /// Reads the tree under `root`; build output and virtual environments are left out.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let mut files = Vec::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            // In a second working tree `.git` is a file that says where the first one is.
            if entry.file_type()?.is_file() && entry.file_name() != ".git" {
                files.push(read_file(root, &entry.path())?);
            }
        }
        for folder in FOLDERS.iter().chain(&BINARY_FOLDERS) {
            let folder = root.join(folder);
            if folder.is_dir() {
                read_folder(root, &folder, &mut files)?;
            }
        }
        Ok(Tree::new(files))
    }

    /// A tree of these files; modules that their parents declare under `cfg(test)` are marked.
    pub fn new(mut files: Vec<File>) -> Tree {
        let tests: Vec<String> = files.iter().flat_map(test_modules).collect();
        for file in &mut files {
            if let Some(source) = &mut file.source
                && tests.iter().any(|path| file.path.starts_with(path))
            {
                source.mark_as_test();
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Tree { files }
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files with what is known of their text.
    pub fn sources(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files
            .iter()
            .filter_map(|file| Some((file, file.source.as_ref()?)))
    }
}

/// Path prefixes of the modules that `file` declares as `#[cfg(test)] mod name;`.
fn test_modules(file: &File) -> Vec<String> {
    let Some(source) = &file.source else {
        return Vec::new();
    };
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let folder = match name {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
    };
    source
        .test_modules()
        .flat_map(|module| {
            [
                format!("{folder}/{module}.rs"),
                format!("{folder}/{module}/"),
            ]
        })
        .collect()
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type()?.is_dir() {
            files.push(read_file(root, &path)?);
        } else if !SKIPPED.iter().any(|name| entry.file_name() == *name) {
            read_folder(root, &path, files)?;
        }
    }
    Ok(())
}

fn read_file(root: &Path, path: &Path) -> io::Result<File> {
    let shown = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    let shown = shown.replace('\\', "/");
    let extension = path.extension().and_then(|text| text.to_str());
    let is_text = extension.is_none_or(|extension| TEXT.contains(&extension));
    let text = if is_text {
        String::from_utf8_lossy(&fs::read(path)?).into_owned()
    } else {
        String::new()
    };
    Ok(File {
        bytes: fs::metadata(path)?.len(),
        ..File::new(&shown, &text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_modules_in_files_of_their_own_are_found() {
        let tree = Tree::new(vec![
            File::new(
                "crates/a/src/sky/mod.rs",
                "#[cfg(test)]\nmod checks;\nmod sun;\n",
            ),
            File::new("crates/a/src/sky/checks.rs", "fn f() {}\n"),
            File::new("crates/a/src/sky/sun.rs", "fn f() {}\n"),
            File::new("crates/a/src/moon.rs", "#[cfg(test)]\nmod checks;\n"),
            File::new("crates/a/src/moon/checks.rs", "fn f() {}\n"),
        ]);
        let is_test = |path: &str| {
            let source = tree.get(path).and_then(|file| file.source.as_ref());
            source.map(|source| source.is_test(1))
        };
        assert_eq!(is_test("crates/a/src/sky/checks.rs"), Some(true));
        assert_eq!(is_test("crates/a/src/sky/sun.rs"), Some(false));
        assert_eq!(is_test("crates/a/src/moon/checks.rs"), Some(true));
    }

    #[test]
    fn files_know_their_crate_and_whether_they_ship() {
        let file = |path| File::new(path, "");
        assert_eq!(
            file("crates/aion-data/src/lib.rs").krate(),
            Some("aion-data")
        );
        assert!(file("crates/aion-data/src/survey/sdss.rs").is_shipped());
        assert!(!file("crates/aion-data/tests/files/main.rs").is_shipped());
        assert!(!file("xtask/src/main.rs").is_shipped());
        assert_eq!(file("xtask/src/main.rs").krate(), None);
    }
}
