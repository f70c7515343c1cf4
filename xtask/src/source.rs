//! Rust text taken apart far enough for the rules: code without comments and literals, the
//! string literals, which lines are tests, and where functions begin and end.

use std::ops::{Range, RangeInclusive};

/// A string literal as written, without its quotes.
#[derive(Debug, PartialEq)]
pub struct Literal {
    pub line: usize,
    pub text: String,
}

/// A function with a body.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: String,
    /// First and last line.
    pub lines: (usize, usize),
}

/// One Rust file. Lines are counted from 1.
#[derive(Debug)]
pub struct Source {
    /// The text with comments and the insides of literals blanked; newlines stay.
    code: String,
    pub literals: Vec<Literal>,
    tests: Vec<TestItem>,
}

/// An item under `#[cfg(test)]`.
#[derive(Debug)]
struct TestItem {
    lines: RangeInclusive<usize>,
    /// Its name, when it is a module in a file of its own.
    module: Option<String>,
}

impl Source {
    pub fn parse(text: &str) -> Source {
        let (code, literals) = blank(text);
        let tests = test_items(&code);
        Source {
            code,
            literals,
            tests,
        }
    }

    /// Lines of code with their numbers.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// Lines of code outside tests.
    pub fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(line, _)| !self.is_test(*line))
    }

    /// Whether a line belongs to an item under `#[cfg(test)]`.
    pub fn is_test(&self, line: usize) -> bool {
        self.tests.iter().any(|item| item.lines.contains(&line))
    }

    /// Takes the whole file as a test module.
    pub fn mark_as_test(&mut self) {
        self.tests = vec![TestItem {
            lines: 1..=usize::MAX,
            module: None,
        }];
    }

    /// Names of the modules declared as `#[cfg(test)] mod name;`.
    pub fn test_modules(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().filter_map(|item| item.module.as_deref())
    }

    /// The functions with a body, in order of their first line.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for start in words(&self.code, "fn") {
            let rest = &self.code[start + 2..];
            let name: String = rest.trim_start().chars().take_while(is_name).collect();
            let end = start + item_length(&self.code[start..]);
            if !name.is_empty() && self.code[..end].ends_with('}') {
                let lines = (line_of(&self.code, start), line_of(&self.code, end - 1));
                found.push(Function { name, lines });
            }
        }
        found
    }
}

/// Whether `word` occurs in `line` with no letter, digit or underscore beside it.
pub fn has_word(line: &str, word: &str) -> bool {
    words(line, word).next().is_some()
}

fn is_name(c: &char) -> bool {
    c.is_alphanumeric() || *c == '_'
}

fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let alone = |c: Option<char>| c.is_none_or(|c| !is_name(&c));
        (alone(before) && alone(after)).then_some(at)
    })
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

fn test_items(code: &str) -> Vec<TestItem> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut found = Vec::new();
    let mut covered = 0;
    for (start, _) in code.match_indices(ATTRIBUTE) {
        if start < covered {
            continue;
        }
        let item = start + ATTRIBUTE.len();
        covered = item + item_length(&code[item..]);
        let declared = code[item..covered].trim_end().strip_suffix(';');
        let module = declared.and_then(|text| text.rsplit_once("mod "));
        found.push(TestItem {
            lines: line_of(code, start)..=line_of(code, covered.saturating_sub(1)),
            module: module.map(|(_, name)| name.trim().to_owned()),
        });
    }
    found
}

/// Length of an item: to the `;` or the closing `}` that ends it.
fn item_length(code: &str) -> usize {
    let (mut braces, mut others) = (0usize, 0usize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others = others.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && others == 0 {
                    return at + 1;
                }
            }
            b';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Blanks comments and the insides of string and character literals, and lists the strings.
fn blank(text: &str) -> (String, Vec<Literal>) {
    let bytes = text.as_bytes();
    let mut code = vec![b' '; bytes.len()];
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (end, inside) = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => (line_comment(bytes, at), None),
            b'/' if bytes[at..].starts_with(b"/*") => (block_comment(bytes, at), None),
            b'"' => string(bytes, at),
            b'r' if raw_string(bytes, at).is_some() => string(bytes, at),
            b'\'' => (character(bytes, at), None),
            byte => {
                code[at] = if byte.is_ascii() { byte } else { b' ' };
                (at + 1, None)
            }
        };
        if let Some(inside) = inside {
            code[inside.start - 1] = b'"';
            code[end - 1] = b'"';
            literals.push(Literal {
                line: line_of(text, at),
                text: text[inside].to_owned(),
            });
        }
        for (place, byte) in code[at..end].iter_mut().zip(&bytes[at..end]) {
            if *byte == b'\n' {
                *place = b'\n';
            }
        }
        at = end;
    }
    (String::from_utf8_lossy(&code).into_owned(), literals)
}

fn line_comment(bytes: &[u8], at: usize) -> usize {
    let length = bytes[at..].iter().position(|byte| *byte == b'\n');
    length.map_or(bytes.len(), |length| at + length)
}

fn block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if bytes[at..].starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The number of `#` of the raw string that starts at `at`, if one does.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let named = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let byte_string = at > 0
        && bytes[at - 1] == b'b'
        && (at < 2 || !(bytes[at - 2].is_ascii_alphanumeric() || bytes[at - 2] == b'_'));
    if named && !byte_string {
        return None;
    }
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// End of the string at `at` and the range of its inside.
fn string(bytes: &[u8], at: usize) -> (usize, Option<Range<usize>>) {
    let hashes = (bytes[at] == b'r').then(|| raw_string(bytes, at)).flatten();
    let inside = match hashes {
        Some(hashes) => at + hashes + 2,
        None => at + 1,
    };
    let mut end = inside;
    while end < bytes.len() {
        match (bytes[end], hashes) {
            (b'\\', None) => end += 1,
            (b'"', None) => return (end + 1, Some(inside..end)),
            (b'"', Some(hashes)) => {
                let closing = &bytes[end + 1..];
                if closing
                    .iter()
                    .take(hashes)
                    .filter(|byte| **byte == b'#')
                    .count()
                    == hashes
                {
                    return (end + 1 + hashes, Some(inside..end));
                }
            }
            _ => {}
        }
        end += 1;
    }
    (bytes.len(), None)
}

/// End of the character literal at `at`, or of the quote alone when it opens a lifetime.
fn character(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at + 1..];
    if rest.first() == Some(&b'\\') {
        let length = rest.iter().skip(2).position(|byte| *byte == b'\'');
        return length.map_or(bytes.len(), |length| at + length + 4);
    }
    // One character of up to four bytes, then the closing quote; otherwise a lifetime.
    let width = match rest.first() {
        Some(byte) if *byte >= 0xf0 => 4,
        Some(byte) if *byte >= 0xe0 => 3,
        Some(byte) if *byte >= 0xc0 => 2,
        _ => 1,
    };
    if rest.get(width) == Some(&b'\'') {
        at + width + 2
    } else {
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_leave_no_code() {
        let text = "let a = \"panic!()\"; // panic!()\n/* panic!( /* x */ */ let c = '\"';\n\
                    let r = r#\"un\"safe\"#; fn f<'a>(x: &'a str) {}\n";
        let source = Source::parse(text);
        assert!(!source.code.contains("panic"));
        assert!(!source.code.contains("safe"));
        assert!(source.code.contains("fn f< a>(x: & a str) {}"));
        let literals: Vec<_> = source
            .literals
            .iter()
            .map(|l| (l.line, l.text.as_str()))
            .collect();
        assert_eq!(literals, [(1, "panic!()"), (3, "un\"safe")]);
        assert_eq!(source.code.len(), text.len());
    }

    #[test]
    fn escaped_characters_and_long_strings_keep_line_numbers() {
        let source = Source::parse(
            "let q = '\\''; let n = '\\n'; let u = '\\u{1F30C}';\nlet s = \"a\\\"\nb\";\nlet t = \"c\";\n",
        );
        let literals: Vec<_> = source
            .literals
            .iter()
            .map(|l| (l.line, l.text.as_str()))
            .collect();
        assert_eq!(literals, [(2, "a\\\"\nb"), (4, "c")]);
    }

    #[test]
    fn items_under_cfg_test_are_tests() {
        let source = Source::parse(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod far;\nfn d() {}\n",
        );
        let tests: Vec<_> = (1..=9).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
        assert!(source.test_modules().eq(["far"]));
    }

    #[test]
    fn functions_span_their_bodies() {
        let source = Source::parse(
            "trait T { fn declared(&self); }\nfn long(\n    x: [u8; 2],\n) -> u8 {\n    x[0]\n}\n",
        );
        let long = Function {
            name: "long".to_owned(),
            lines: (2, 6),
        };
        assert_eq!(source.functions(), [long]);
    }

    #[test]
    fn words_stand_alone() {
        assert!(has_word("unsafe { f() }", "unsafe"));
        assert!(!has_word("#![deny(unsafe_op_in_unsafe_fn)]", "unsafe"));
    }
}
