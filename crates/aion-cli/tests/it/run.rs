//! Running the binary.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder for one test, with the binary at hand.
pub struct Scratch {
    folder: TempDir,
}

/// What a run of the binary said.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Scratch {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Scratch { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the binary with these arguments.
    pub fn aion<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_aion"))
            .args(arguments)
            .env("XDG_CACHE_HOME", self.folder.path().join(".cache"))
            .env("HF_HOME", self.folder.path().join(".huggingface"))
            .output()
            .expect("the binary runs");
        Outcome {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Runs `aion VERB --model M --input I --output O MORE`, on the device that `AION_DEVICE` names, if it does.
    pub fn verb(
        &self,
        verb: &str,
        (model, input, output): (&Path, &Path, &Path),
        more: &[&str],
    ) -> Outcome {
        let [model, input, output] = [model, input, output].map(|path| path.display().to_string());
        let mut arguments = vec![
            verb, "--model", &model, "--input", &input, "--output", &output,
        ];
        arguments.extend(more);
        let device = std::env::var("AION_DEVICE").unwrap_or_default();
        if !device.is_empty() {
            arguments.extend(["--device", &device]);
        }
        self.aion(arguments)
    }

    /// Names in the folder, hidden ones of the binary's caches left out.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let names = entries.map(|entry| name(entry.expect("an entry")));
        let mut names: Vec<String> = names
            .filter(|name| name != ".cache" && name != ".huggingface")
            .collect();
        names.sort();
        names
    }
}

impl Outcome {
    /// The run, which must have succeeded.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    /// The run, which must have failed on bad input, in one line that names all of `named`.
    #[track_caller]
    pub fn refused(self, named: &[&str]) -> Self {
        assert_eq!(self.code, 2, "exit code; {}{}", self.stdout, self.stderr);
        let errors = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "));
        let errors: Vec<&str> = errors.collect();
        assert_eq!(errors.len(), 1, "one error in: {}", self.stderr);
        for name in named {
            assert!(errors[0].contains(name), "`{name}` in: {}", errors[0]);
        }
        self
    }
}

/// Waits until the process is `ready` or has ended; a minute at most.
#[track_caller]
pub fn wait_until(child: &mut Child, ready: impl Fn() -> bool) {
    let started = Instant::now();
    while !ready() && child.try_wait().expect("a child").is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "not ready");
        sleep(Duration::from_millis(2));
    }
}

/// Sends the process a signal, `TERM` or `INT`.
pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.expect("kill runs").success());
}

/// The folder of reference cases: the repository's, or the one that `AION_FIXTURES` names.
pub fn fixtures() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    std::env::var_os("AION_FIXTURES").map_or(own, PathBuf::from)
}

/// A checkpoint of the reference cases.
pub fn model(name: &str) -> PathBuf {
    fixtures().join("models").join(name)
}
