//! Who knows what: modalities stand in one table, survey columns in one folder.

use std::collections::BTreeSet;

use super::Violation;
use crate::source::Source;
use crate::tree::Tree;

/// The table of modalities.
pub const TABLE: &str = "crates/aion-data/src/modality.rs";
/// Who knows surveys: their files, and their services' answers.
const SURVEYS: [&str; 2] = [
    "crates/aion-data/src/survey/",
    "crates/aion-fetch/src/service/",
];
/// More token keys than this in one file are a list.
const FEW_KEYS: usize = 3;
/// Columns that only one survey's files have; a small set, chosen because the names cannot mean
/// anything else.
const COLUMNS: &[&str] = &[
    "and_mask",
    "brickname",
    "fibermap",
    "fluxmag0",
    "loglam",
    "phot_g_mean_mag",
    "plug_dec",
    "plug_ra",
    "plugmap",
    "source_id",
    "target_dec",
    "target_ra",
    "targetid",
    "zwarning",
];

pub fn check(tree: &Tree, found: &mut Vec<Violation>) {
    for (file, source) in tree.sources() {
        if !file.is_shipped() || file.path == TABLE {
            continue;
        }
        check_keys(&file.path, source, found);
        if !SURVEYS.iter().any(|folder| file.path.starts_with(folder)) {
            check_columns(&file.path, source, found);
        }
    }
}

fn check_keys(path: &str, source: &Source, found: &mut Vec<Violation>) {
    let mut keys = BTreeSet::new();
    for literal in source.literals.iter().filter(|l| !source.is_test(l.line)) {
        if literal.text.starts_with("tok_")
            && keys.insert(&literal.text)
            && keys.len() == FEW_KEYS + 1
        {
            let message = format!(
                "a fourth token key, `{}`: iterate over MODALITIES",
                literal.text
            );
            found.push(Violation::new(path, literal.line, "modality-list", message));
        }
    }
}

fn check_columns(path: &str, source: &Source, found: &mut Vec<Violation>) {
    for literal in source.literals.iter().filter(|l| !source.is_test(l.line)) {
        if COLUMNS.contains(&literal.text.to_lowercase().as_str()) {
            let folder = SURVEYS[0];
            let message = format!("the column `{}` belongs in {folder}", literal.text);
            found.push(Violation::new(path, literal.line, "survey-column", message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    const KEYS: &str =
        "const K: [&str; 5] = [\n\"tok_a\", \"tok_b\", \"tok_c\", \"tok_a\",\n\"tok_d\"];\n";

    #[test]
    fn four_token_keys_are_a_list() {
        assert_eq!(
            found(check, &[("crates/aion-model/src/x.rs", KEYS)]),
            ["crates/aion-model/src/x.rs:3: modality-list"]
        );
        let tests = format!("#[cfg(test)]\nmod tests {{\n{KEYS}}}\n");
        let fine = [
            (TABLE, KEYS),
            ("crates/aion-model/tests/it/main.rs", KEYS),
            ("crates/aion-model/src/y.rs", tests.as_str()),
        ];
        assert!(found(check, &fine).is_empty());
    }

    #[test]
    fn survey_columns_stay_with_the_surveys() {
        let text = "let c = \"PLUG_RA\"; // \"PLUG_RA\"\n";
        assert_eq!(
            found(check, &[("crates/aion-data/src/reader.rs", text)]),
            ["crates/aion-data/src/reader.rs:1: survey-column"]
        );
        assert!(found(check, &[("crates/aion-data/src/survey/sdss.rs", text)]).is_empty());
        assert!(found(check, &[("crates/aion-fetch/src/service/sdss.rs", text)]).is_empty());
    }
}
