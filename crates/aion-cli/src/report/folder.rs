//! The output folder: whole or not at all, and never in place of what is not ours.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};

use crate::failure::usage;

/// The file by which a folder is known as the demo's.
pub const MARKER: &str = "demo.json";
/// What the marker contains.
pub const MADE_BY: &str = "aion demo";
/// Everything that the demo puts into its folder.
const CONTENTS: [&str; 3] = [MARKER, "report.html", "figures"];

/// A folder in the making, beside its final place. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct Folder {
    target: PathBuf,
    partial: PathBuf,
}

impl Folder {
    /// Starts a folder that will be at `target`.
    ///
    /// # Errors
    /// `target` is there and is not an earlier demo's, or nothing can be written beside it.
    pub fn start(target: &Path) -> Result<Folder> {
        check_replaceable(target)?;
        let name = target
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name =
            name.ok_or_else(|| usage(format!("--output {}: no folder name", target.display())))?;
        let partial = target.with_file_name(format!(".{name}.{}.partial", process::id()));
        let made = fs::create_dir_all(partial.join("figures"));
        made.with_context(|| format!("{}: cannot be written", target.display()))?;
        Ok(Folder {
            target: target.to_owned(),
            partial,
        })
    }

    /// Writes one file.
    ///
    /// # Errors
    /// The disk is full, or the like.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.partial.join(name);
        fs::write(&path, bytes).with_context(|| path.display().to_string())
    }

    /// Puts the folder in its place, where an earlier demo's goes.
    ///
    /// # Errors
    /// The folder cannot be renamed; or the place was taken by something else meanwhile.
    pub fn finish(self) -> Result<()> {
        check_replaceable(&self.target)?;
        let place = || self.target.display().to_string();
        let old = self.partial.with_extension("old");
        let replaced = self.target.exists();
        if replaced {
            fs::rename(&self.target, &old).with_context(place)?;
        }
        if let Err(error) = fs::rename(&self.partial, &self.target) {
            if replaced {
                fs::rename(&old, &self.target).with_context(place)?;
            }
            return Err(error).with_context(place);
        }
        if replaced {
            fs::remove_dir_all(&old).with_context(place)?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After `finish` it is not there any more; else there is nobody to tell.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Only an empty folder or one that holds a demo and nothing else may be replaced.
fn check_replaceable(target: &Path) -> Result<()> {
    let refuse = |what: &str| {
        let path = target.display();
        Err(usage(format!(
            "--output {path}: {what}; choose another place or move it away"
        )))
    };
    let entries = match fs::read_dir(target) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return refuse("exists and is not a folder");
        }
        Err(error) => return Err(error).with_context(|| target.display().to_string()),
    };
    let mut empty = true;
    for entry in entries {
        let name = entry?.file_name();
        empty = false;
        if !CONTENTS.iter().any(|known| name == *known) {
            let what = format!("holds `{}`, which is not a demo's", name.to_string_lossy());
            return refuse(&what);
        }
    }
    if empty {
        return Ok(());
    }
    let marked = fs::read_to_string(target.join(MARKER)).is_ok_and(|text| text.contains(MADE_BY));
    if marked {
        Ok(())
    } else {
        refuse("was not made by `aion demo`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(target: &Path, text: &str) -> Result<()> {
        let folder = Folder::start(target)?;
        folder.write(MARKER, format!("{MADE_BY} {text}").as_bytes())?;
        folder.write("figures/a.svg", b"<svg/>")?;
        folder.finish()
    }

    #[test]
    fn an_earlier_demo_is_replaced_and_nothing_else() {
        let place = tempfile::tempdir().expect("a folder");
        let target = place.path().join("out");
        make(&target, "one").expect("made");
        make(&target, "two").expect("replaced");
        let text = fs::read_to_string(target.join(MARKER)).expect("the marker");
        assert!(text.ends_with("two"));
        fs::write(target.join("mine.txt"), "precious").expect("written");
        assert!(make(&target, "three").is_err());
        assert!(target.join("mine.txt").exists());
        assert_eq!(fs::read_dir(place.path()).expect("listed").count(), 1);
    }

    #[test]
    fn unfinished_folders_leave_nothing() {
        let place = tempfile::tempdir().expect("a folder");
        drop(Folder::start(&place.path().join("out")).expect("started"));
        assert_eq!(fs::read_dir(place.path()).expect("listed").count(), 0);
        fs::write(place.path().join("file"), "x").expect("written");
        assert!(Folder::start(&place.path().join("file")).is_err());
    }
}
