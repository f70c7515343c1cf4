//! Files of tokens as a training set: orders, parts, and everything that can be wrong with a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aion_data::TokenRow;
use aion_data::token_files::TokenMetadata;
use aion_train::TrainError;
use aion_train::data::fingerprint::{Codecs, Fingerprints};
use aion_train::data::token_data::{TokenData, index};
use aion_train::data::token_index::TokenIndex;
use aion_train::data::token_shards::TokenShards;
use aion_train::data::{DataConfig, Part, SplitConfig};
use aion_train::masking::MaskConfig;

use crate::shards::{half, id, row, source, write, write_column, write_signed};

fn read(files: &[PathBuf], split: &SplitConfig, block: u64) -> Result<TokenIndex, TrainError> {
    let mut fingerprints = Fingerprints::new(Codecs::Beside("/nowhere".into()));
    TokenIndex::read(files.to_vec(), split, block, &mut fingerprints)
}

/// Three files of 150 objects in all, every tenth without a position.
fn files(folder: &Path) -> Vec<PathBuf> {
    let rows = |range: std::ops::Range<u16>| -> Vec<TokenRow> {
        range.map(|number| row(number, number % 10 > 0)).collect()
    };
    vec![
        write(&folder.join("a.parquet"), &rows(0..50)),
        write(&folder.join("b.safetensors"), &rows(50..120)),
        write(&folder.join("c.parquet"), &rows(120..150)),
    ]
}

fn round(shards: &TokenShards, number: u64) -> Vec<u16> {
    let places = number * shards.len()..(number + 1) * shards.len();
    let z = id("tok_z");
    let object = |place| shards.get(place).expect("an object")[&z][0];
    places.map(object).collect()
}

#[test]
fn every_object_of_a_part_comes_once_a_round() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(folder.path());
    let mut all = BTreeSet::new();
    let index = read(&files, &half(), 3).expect("an index");
    for part in Part::ALL {
        let shards = TokenShards::new(&index, part, &MaskConfig::default(), 5);
        let first = round(&shards, 0);
        let objects: BTreeSet<u16> = first.iter().copied().collect();
        assert_eq!(objects.len(), first.len(), "{part:?}");
        assert!(
            first.len() > 10 && !first.is_sorted(),
            "{part:?}: {first:?}"
        );
        let second = round(&shards, 1);
        assert_eq!(second.iter().copied().collect::<BTreeSet<_>>(), objects);
        assert_ne!(second, first);
        assert!(objects.is_disjoint(&all));
        all.extend(objects);
    }
    assert_eq!(all, (0..150).collect());
    let counts = index.counts(&[]);
    assert_eq!(counts.train + counts.validation + counts.test, 150);
    assert_eq!(
        (counts.without_position, counts.files, counts.unsigned),
        (15, 3, 3)
    );
}

#[test]
fn a_place_names_its_object_whatever_was_asked_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(folder.path());
    let index = read(&files, &SplitConfig::default(), 2).expect("an index");
    let shards = || TokenShards::new(&index, Part::Train, &MaskConfig::default(), 5);
    let straight = shards();
    let order: Vec<u16> = [round(&straight, 0), round(&straight, 1)].concat();
    // From the middle, as a resumed run; and back.
    let resumed = shards();
    for place in [170, 171, 172, 3, 280, 0] {
        let object = resumed.get(place).expect("an object");
        assert_eq!(object[&id("tok_z")][0], order[place as usize]);
    }
    let other = TokenShards::new(&index, Part::Train, &MaskConfig::default(), 6);
    assert_ne!(round(&other, 0), order[..other.len() as usize]);
}

#[test]
fn objects_that_teach_nothing_are_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rows: Vec<TokenRow> = (0..40).map(|number| row(number, false)).collect();
    for row in rows.iter_mut().take(10) {
        row.tokens.retain(|key, _| *key == id("tok_z"));
    }
    let mixed = write(&folder.path().join("mixed.parquet"), &rows);
    let index = read(&[mixed], &SplitConfig::default(), 64).expect("an index");
    let shards = TokenShards::new(&index, Part::Train, &MaskConfig::default(), 1);
    let found = round(&shards, 0);
    assert_eq!(found.len() as u64, index.count(Part::Train));
    assert!(found.iter().all(|number| *number >= 10), "{found:?}");
    let bare = write(&folder.path().join("bare.parquet"), &rows[..10]);
    let index = read(&[bare], &SplitConfig::default(), 64).expect("an index");
    let shards = TokenShards::new(&index, Part::Train, &MaskConfig::default(), 1);
    let error = shards.get(0).expect_err("nothing to learn").to_string();
    assert!(error.contains("bare.parquet"), "{error}");
}

/// The error, which has to hold these words.
fn refused(outcome: Result<TokenIndex, TrainError>, words: &[&str]) {
    let error = outcome.expect_err("refused").to_string();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn bad_files_are_refused_before_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let one = |path: PathBuf| read(&[path], &SplitConfig::default(), 8);
    refused(one(at("absent.parquet")), &["absent.parquet"]);
    let empty = write_column(&at("empty.parquet"), "tok_z", &[]);
    refused(one(empty), &["empty.parquet", "no objects"]);
    let foreign = write_column(&at("foreign.parquet"), "tok_z", &[vec![3], vec![5000]]);
    refused(one(foreign), &["foreign.parquet", "tok_z", "5000", "1025"]);
    let unknown = write_column(&at("unknown.parquet"), "tok_sound", &[vec![3]]);
    refused(one(unknown), &["unknown.parquet", "tok_sound"]);
    std::fs::write(at("text.parquet"), "no Parquet").expect("written");
    refused(one(at("text.parquet")), &["text.parquet"]);
    let good = write(&at("good.parquet"), &[row(1, true), row(2, true)]);
    let bytes = std::fs::read(&good).expect("read");
    std::fs::write(at("cut.parquet"), &bytes[..bytes.len() / 2]).expect("written");
    refused(one(at("cut.parquet")), &["cut.parquet"]);
}

#[test]
fn damage_inside_a_file_is_an_error_when_it_is_met() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<TokenRow> = (0..300).map(|number| row(number, true)).collect();
    let path = write(&folder.path().join("a.parquet"), &rows);
    let good = std::fs::read(&path).expect("read");
    let mut errors = 0;
    for start in (0..good.len() - 64).step_by(good.len() / 40) {
        let mut bytes = good.clone();
        bytes[start..start + 48].fill(0xa5);
        std::fs::write(&path, bytes).expect("written");
        let Ok(index) = read(std::slice::from_ref(&path), &SplitConfig::default(), 64) else {
            errors += 1;
            continue;
        };
        let shards = TokenShards::new(&index, Part::Train, &MaskConfig::default(), 1);
        for place in 0..2 {
            if let Err(error) = shards.get(place) {
                assert!(error.to_string().contains("a.parquet"), "{error}");
                errors += 1;
            }
        }
    }
    assert!(errors > 10, "{errors}");
    // Statistics say nothing of a catalogue, whose padding hides its tokens.
    let foreign = write_column(
        &folder.path().join("c.parquet"),
        "catalog",
        &[vec![4000; 5]],
    );
    let index = read(&[foreign], &SplitConfig::default(), 8).expect("an index");
    let shards = TokenShards::new(&index, Part::Train, &MaskConfig::default(), 1);
    let error = shards.get(0).expect_err("foreign").to_string();
    assert!(
        error.contains("catalog") && error.contains("4000"),
        "{error}"
    );
}

#[test]
fn a_file_that_changes_meanwhile_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<TokenRow> = (0..30).map(|number| row(number, true)).collect();
    let path = write(&folder.path().join("a.parquet"), &rows);
    let index = read(std::slice::from_ref(&path), &half(), 64).expect("an index");
    write(&path, &rows[..20]);
    let shards = TokenShards::new(&index, Part::Train, &MaskConfig::default(), 1);
    let error = shards.get(0).expect_err("changed").to_string();
    assert!(
        error.contains("a.parquet") && error.contains("changed"),
        "{error}"
    );
}

#[test]
fn tokens_of_other_codecs_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let signed = |name: &str, digest: &str| {
        let entry = format!("{{\"codecs/Z/model.safetensors\": \"{digest}\"}}");
        let metadata = TokenMetadata::from([("aion.sha256".to_owned(), entry)]);
        write_signed(&folder.path().join(name), &[row(1, true)], &metadata)
    };
    let (a, b) = (signed("a.parquet", "12"), signed("b.parquet", "34"));
    let config = DataConfig {
        tokens: vec![source(&a, 1.0), source(&b, 1.0)],
        ..DataConfig::default()
    };
    let beside = Codecs::Beside(folder.path().join("model"));
    let error = index(&config, beside).expect_err("two codecs").to_string();
    assert!(
        error.contains("b.parquet") && error.contains("codecs/Z"),
        "{error}"
    );
}

#[test]
fn sets_are_mixed_by_weight() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = |range: std::ops::Range<u16>| -> Vec<TokenRow> {
        range.map(|number| row(number, false)).collect()
    };
    let a = write(&folder.path().join("a.parquet"), &rows(0..20));
    let b = write(&folder.path().join("b.parquet"), &rows(500..900));
    let config = DataConfig {
        tokens: vec![source(&a, 3.0), source(&b, 1.0)],
        buffer: 64,
        ..DataConfig::default()
    };
    let indexes = index(&config, Codecs::Beside("/nowhere".into())).expect("indexes");
    let mask = MaskConfig::default();
    let data = TokenData::new(&config, (None, &indexes), &mask, 2).expect("data");
    let number = |sample| data.training.get(sample).expect("an object")[&id("tok_z")][0];
    let small = (0..4096).filter(|sample| number(*sample) < 20).count();
    assert_eq!(small, 3072);
    let keys: Vec<&str> = data.modalities.iter().map(|id| id.key()).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
}
