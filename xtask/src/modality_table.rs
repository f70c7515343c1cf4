//! The table of modalities as markdown, read from the source of aion-data.
//!
//! The rows are calls `row(key, codec, kind, survey, (h, w), vocabulary, unit)` and
//! `scalar(key, codec, survey, unit)`; units may be named constants of the same file.

/// One line of the table: modalities that differ in nothing but their key.
#[derive(Debug, PartialEq)]
struct Line {
    survey: String,
    kind: String,
    tokens: usize,
    vocabulary: String,
    unit: String,
    keys: Vec<String>,
}

/// The table for the README from the text of `modality.rs`.
pub fn markdown(source: &str) -> Result<String, String> {
    let lines = lines(source)?;
    let count: usize = lines.iter().map(|line| line.keys.len()).sum();
    let mut text = format!(
        "| survey | what | token keys ({count}) | tokens | vocabulary | unit |\n|---|---|---|---|---|---|\n"
    );
    for line in &lines {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            survey_name(&line.survey),
            kind_name(&line.kind),
            line.keys.join(" "),
            line.tokens,
            line.vocabulary,
            line.unit
        );
    }
    Ok(text)
}

fn lines(source: &str) -> Result<Vec<Line>, String> {
    let shipped = source.split("#[cfg(test)]").next().unwrap_or(source);
    let mut lines: Vec<Line> = Vec::new();
    for (name, arguments) in calls(shipped) {
        let [key, codec, rest @ ..] = arguments.as_slice() else {
            return Err(format!(
                "`{name}(...)` without key and codec in the table of modalities"
            ));
        };
        let (kind, survey, grid, vocabulary, unit) = match rest {
            [kind, survey, grid, vocabulary, unit] => (*kind, survey, *grid, *vocabulary, unit),
            [survey, unit] => ("Scalar", survey, "(1, 1)", "1024", unit),
            _ => return Err(format!("a row of unknown shape for {key} ({codec})")),
        };
        let new = Line {
            survey: survey.to_string(),
            kind: kind.to_owned(),
            tokens: area(grid)?,
            vocabulary: vocabulary.to_owned(),
            unit: unit_text(shipped, unit)?,
            keys: vec![format!("`{}`", unquoted(key))],
        };
        let same = |line: &&mut Line| {
            let key = |line: &Line| (line.tokens, line.vocabulary.clone(), line.unit.clone());
            line.survey == new.survey && line.kind == new.kind && key(line) == key(&new)
        };
        match lines.iter_mut().find(same) {
            Some(line) => line.keys.extend(new.keys),
            None => lines.push(new),
        }
    }
    if lines.is_empty() {
        return Err("no rows in the table of modalities".to_owned());
    }
    Ok(lines)
}

/// The calls of `row` and `scalar` whose first argument is a string, with their arguments.
fn calls(source: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    source.lines().enumerate().filter_map(|(index, line)| {
        let name = ["row", "scalar"]
            .into_iter()
            .find(|name| line.trim_start().starts_with(&format!("{name}(")))?;
        let offset: usize = source.lines().take(index).map(|line| line.len() + 1).sum();
        let open = offset + source[offset..].find('(')?;
        let arguments = arguments(&source[open + 1..]);
        let is_row = arguments
            .first()
            .is_some_and(|first| first.starts_with('"'));
        is_row.then_some((name, arguments))
    })
}

/// Splits at the commas of the outermost level, up to the closing parenthesis.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start) = (0usize, false, 0);
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ')' | ',' if depth == 0 => {
                let argument = text[start..at].trim();
                if !argument.is_empty() {
                    found.push(argument);
                }
                start = at + 1;
                if c == ')' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

fn area(grid: &str) -> Result<usize, String> {
    let sides = grid.trim_matches(['(', ')']).split(',');
    sides
        .map(|side| side.trim().parse::<usize>())
        .product::<Result<_, _>>()
        .map_err(|_| format!("`{grid}` is not a grid of tokens"))
}

fn unquoted(literal: &str) -> &str {
    literal.trim_matches('"')
}

/// A unit's text: the literal, or the string constant it names.
fn unit_text(source: &str, unit: &str) -> Result<String, String> {
    if unit.starts_with('"') {
        return Ok(unquoted(unit).to_owned());
    }
    let declaration = format!("const {unit}: &str = ");
    let value = source
        .split_once(&declaration)
        .and_then(|(_, rest)| rest.split(';').next());
    let value = value.ok_or_else(|| format!("no constant `{unit}` beside the table"))?;
    Ok(unquoted(value).to_owned())
}

fn survey_name(survey: &str) -> &str {
    match survey {
        "LegacySurvey" => "Legacy Survey",
        "Hsc" => "HSC",
        "Sdss" => "SDSS",
        "Desi" => "DESI",
        "Any" => "any",
        other => other,
    }
}

fn kind_name(kind: &str) -> &str {
    match kind {
        "Image" => "image",
        "Spectrum" => "spectrum",
        "Scalar" => "scalar",
        "Coefficients" => "XP coefficients",
        "Catalog" => "catalogue",
        "ScalarField" => "segmentation map",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_alike_share_a_line_and_constants_are_resolved() {
        let source = "const F: &str = \"nanomaggy\";\nconst fn row(\n    key: &str,\n) {\n    row(key, codec)\n}\n\
                      [\n    row(\n        \"tok_image\",\n        \"image\",\n        Image,\n        LegacySurvey,\n\
                      (24, 24),\n        4375,\n        F,\n    ),\n    scalar(\"tok_a\", \"A\", Hsc, \"flux, (x)\"),\n\
                      scalar(\"tok_b\", \"B\", Hsc, \"flux, (x)\"),\n]\n";
        let table = markdown(source).unwrap();
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| Legacy Survey | image | `tok_image` | 576 | 4375 | nanomaggy |",
                "| HSC | scalar | `tok_a` `tok_b` | 1 | 1024 | flux, (x) |",
            ]
        );
        assert!(table.starts_with("| survey | what | token keys (3) |"));
    }

    #[test]
    fn a_row_that_cannot_be_read_is_an_error() {
        assert!(markdown("fn nothing() {}").is_err());
        assert!(markdown("scalar(\"tok_a\", \"A\", Hsc, NO_SUCH_UNIT),").is_err());
        assert!(markdown("row(\"tok_a\", \"A\", Hsc),").is_err());
    }
}
