//! Objects on both sides of a split.

use aion_data::TokenRow;
use aion_train::data::SplitConfig;
use aion_train::leakage::{CheckedSet, check};

use crate::shards::{half, row, write};

/// Moved to the north, arcsec, under another name.
fn moved(mut row: TokenRow, arcsec: f64) -> TokenRow {
    row.dec = row.dec.map(|dec| dec + arcsec / 3600.0);
    row.id += "-again";
    row
}

fn set(folder: &std::path::Path, name: &str, rows: &[TokenRow]) -> CheckedSet {
    CheckedSet {
        name: name.to_owned(),
        files: vec![write(&folder.join(format!("{name}.parquet")), rows)],
        split: Some(half()),
    }
}

#[test]
fn one_rule_for_all_sets_leaks_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<TokenRow> = (0..200).map(|number| row(number, true)).collect();
    let again: Vec<TokenRow> = rows.iter().map(|row| moved(row.clone(), 0.2)).collect();
    let sets = [
        set(folder.path(), "a", &rows),
        set(folder.path(), "b", &again),
    ];
    let found = check(&sets, 1.0).expect("readable");
    assert!(found.is_none(), "{found:?}");
    let parts = &found.sets[0];
    assert_eq!(parts.train + parts.held_out, 200);
    assert!(parts.train > 60 && parts.held_out > 60, "{parts:?}");
}

#[test]
fn another_split_leaks_objects_and_cells() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<TokenRow> = (0..200).map(|number| row(number, true)).collect();
    let again: Vec<TokenRow> = rows.iter().map(|row| moved(row.clone(), 0.2)).collect();
    let mut sets = [
        set(folder.path(), "a", &rows),
        set(folder.path(), "b", &again),
    ];
    sets[1].split = Some(SplitConfig::default());
    let found = check(&sets, 1.0).expect("readable");
    // All that the first holds out, the second trains on, but for its own two per cent.
    let held = found.sets[0].held_out;
    assert!(
        found.objects > held - 10 && found.objects <= held,
        "{found:?}"
    );
    assert!(!found.cells.is_empty());
    assert_eq!(
        found.pairs,
        [("b".to_owned(), "a".to_owned(), found.objects)]
    );
    let first = &found.examples[0];
    assert_eq!(
        first.train_object,
        format!("{}-again", first.held_out_object)
    );
    let separation = first.separation_arcsec.expect("by position");
    assert!((separation - 0.2).abs() < 1e-6, "{separation}");
    let apart = check(&sets, 0.1).expect("readable");
    assert_eq!(apart.objects, 0);
    assert_eq!(apart.cells, found.cells);
}

#[test]
fn names_tell_where_positions_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<TokenRow> = (0..200).map(|number| row(number, true)).collect();
    let bare: Vec<TokenRow> = (0..200).map(|number| row(number, false)).collect();
    let sets = [
        set(folder.path(), "a", &rows),
        set(folder.path(), "b", &bare),
    ];
    let found = check(&sets, 1.0).expect("readable");
    assert!(found.objects > 50 && found.cells.is_empty(), "{found:?}");
    assert!(
        found
            .examples
            .iter()
            .all(|leak| leak.separation_arcsec.is_none())
    );
}

#[test]
fn a_whole_set_can_be_held_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<TokenRow> = (0..200).map(|number| row(number, true)).collect();
    let mut sets = [
        set(folder.path(), "a", &rows),
        set(folder.path(), "test", &rows[..50]),
    ];
    sets[1].split = None;
    let found = check(&sets, 1.0).expect("readable");
    assert_eq!(found.sets[1].held_out, 50);
    assert!((15..40).contains(&found.objects), "{}", found.objects);
}
