//! What shipped code must not do: panic, be unsafe without need, act behind the caller's back.

use super::Violation;
use crate::source::{Source, has_word};
use crate::tree::{File, Tree};

/// The one crate that may print, exit and read the environment.
const APP: &str = "aion-cli";
/// Where HTTP is spoken, each with its one client.
const NETWORK: [(&str, &str); 2] = [
    ("crates/aion-fetch/src/", "ureq"),
    ("crates/aion-cli/src/model_source.rs", "hf_hub"),
];
/// Crates and modules that reach other machines.
const CLIENTS: [&str; 6] = ["ureq", "hf_hub", "reqwest", "hyper", "curl", "std::net"];
/// The one crate with unsafe kernels.
const KERNELS: &str = "aion-kernel";
/// The program's allocator.
const ALLOCATOR: &str = "crates/aion-cli/src/allocator";
const PANICS: [&str; 5] = [
    ".unwrap()",
    ".expect(",
    "panic!(",
    "todo!(",
    "unimplemented!(",
];
const MACROS: [&str; 4] = ["print!", "println!", "eprint!", "eprintln!"];
const EFFECTS: [&str; 6] = [
    "std::env",
    "env::var",
    "env::args",
    "process::exit",
    "io::stdout",
    "io::stderr",
];
/// How many lines a SAFETY comment may stand above the `unsafe` it explains.
const REASON_LINES: usize = 8;

pub fn check(tree: &Tree, found: &mut Vec<Violation>) {
    for (file, source) in tree.sources().filter(|(file, _)| file.is_shipped()) {
        check_panics(file, source, found);
        check_unsafe(file, source, found);
        check_network(file, source, found);
        if file.krate() != Some(APP) {
            check_effects(file, source, found);
        }
    }
}

fn check_panics(file: &File, source: &Source, found: &mut Vec<Violation>) {
    for (line, code) in source.shipped_lines() {
        for call in PANICS.iter().filter(|call| code.contains(**call)) {
            let message = format!("`{call}` outside tests: return a typed error");
            found.push(Violation::new(&file.path, line, "panic", message));
        }
    }
}

fn check_unsafe(file: &File, source: &Source, found: &mut Vec<Violation>) {
    let text: Vec<&str> = file.text.lines().collect();
    for (line, code) in source.lines().filter(|(_, code)| has_word(code, "unsafe")) {
        let maps = code.contains("Mmap") || code.contains("mmap");
        let allocator = file.path.starts_with(ALLOCATOR);
        if file.krate() != Some(KERNELS) && !maps && !allocator {
            let message = format!("unsafe belongs in {KERNELS}, maps a file, or is in {ALLOCATOR}");
            found.push(Violation::new(&file.path, line, "unsafe", message));
        }
        let above = &text[line.saturating_sub(REASON_LINES + 1)..line];
        if !above
            .iter()
            .any(|line| line.to_lowercase().contains("safety"))
        {
            let message = "say in a `// SAFETY:` comment above why this holds";
            found.push(Violation::new(&file.path, line, "unsafe", message));
        }
    }
}

fn check_network(file: &File, source: &Source, found: &mut Vec<Violation>) {
    for (line, code) in source.shipped_lines() {
        for client in CLIENTS.iter().filter(|client| has_word(code, client)) {
            let here =
                |(place, allowed): &(&str, &str)| file.path.starts_with(place) && allowed == client;
            if !NETWORK.iter().any(here) {
                let message = format!("`{client}`: only aion-fetch and model_source.rs use HTTP");
                found.push(Violation::new(&file.path, line, "network", message));
            }
        }
    }
}

fn check_effects(file: &File, source: &Source, found: &mut Vec<Violation>) {
    for (line, code) in source.shipped_lines() {
        let macros = MACROS.iter().filter(|name| {
            let bare = name.trim_end_matches('!');
            code.contains(**name) && has_word(code, bare)
        });
        let paths = EFFECTS.iter().filter(|path| has_word(code, path));
        for effect in macros.chain(paths) {
            let message = format!("`{effect}` in a library: leave it to {APP}");
            found.push(Violation::new(&file.path, line, "side-effect", message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    #[test]
    fn panics_are_for_tests() {
        let text = "fn f() { x.unwrap() }\n#[cfg(test)]\nmod tests { fn g() { x.unwrap(); panic!(\"\") } }\n\
                    fn h() { x.unwrap_or(0) } // .unwrap()\n";
        assert_eq!(
            found(check, &[("crates/aion-cli/src/a.rs", text)]),
            ["crates/aion-cli/src/a.rs:1: panic"]
        );
        assert!(found(check, &[("crates/aion-cli/tests/it/a.rs", text)]).is_empty());
    }

    #[test]
    fn unsafe_needs_its_place_and_its_reason() {
        let bare = "fn f() { unsafe { g() } }\n";
        let reasoned = "// SAFETY: g has no condition.\nfn f() { unsafe { g() } }\n";
        let maps = "// SAFETY: nobody writes to the file.\nlet m = unsafe { Mmap::map(&file) };\n";
        assert_eq!(
            found(
                check,
                &[
                    ("crates/aion-data/src/a.rs", reasoned),
                    ("crates/aion-data/src/b.rs", maps),
                    ("crates/aion-kernel/src/a.rs", bare),
                    ("crates/aion-kernel/src/b.rs", reasoned),
                ]
            ),
            [
                "crates/aion-data/src/a.rs:2: unsafe",
                "crates/aion-kernel/src/a.rs:1: unsafe"
            ]
        );
    }

    #[test]
    fn libraries_act_only_through_their_arguments() {
        let text = "fn f() { println!(\"x\"); }\nuse std::env;\nconst V: &str = env!(\"CARGO_PKG_VERSION\");\n\
                    fn fingerprint() { std::process::exit(1) }\n";
        assert_eq!(
            found(check, &[("crates/aion-data/src/a.rs", text)]),
            [
                "crates/aion-data/src/a.rs:1: side-effect",
                "crates/aion-data/src/a.rs:2: side-effect",
                "crates/aion-data/src/a.rs:4: side-effect",
            ]
        );
        assert!(found(check, &[("crates/aion-cli/src/a.rs", text)]).is_empty());
    }

    #[test]
    fn the_network_has_two_doors() {
        let fetches = "use ureq::Agent;\n";
        let asks_hub = "use hf_hub::Cache;\n";
        assert_eq!(
            found(
                check,
                &[
                    ("crates/aion-cli/src/a.rs", "use std::net::TcpStream;\n"),
                    ("crates/aion-cli/src/b.rs", fetches),
                    ("crates/aion-cli/src/model_source.rs", asks_hub),
                    ("crates/aion-data/src/a.rs", asks_hub),
                    ("crates/aion-fetch/src/client.rs", fetches),
                    ("crates/aion-fetch/src/hub.rs", asks_hub),
                ]
            ),
            [
                "crates/aion-cli/src/a.rs:1: network",
                "crates/aion-cli/src/b.rs:1: network",
                "crates/aion-data/src/a.rs:1: network",
                "crates/aion-fetch/src/hub.rs:1: network",
            ]
        );
        let tests = (
            "crates/aion-fetch/tests/fetch/server.rs",
            "use std::net::TcpStream;\n",
        );
        assert!(found(check, &[tests]).is_empty());
    }
}
