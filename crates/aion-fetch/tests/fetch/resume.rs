//! Running again over the same folder.

use std::fs;

use aion_data::Survey;
use aion_fetch::{Status, Target};

use crate::answers;
use crate::server::{Asked, Reply};
use crate::work::{Work, services};

fn targets(count: u32) -> Vec<Target> {
    let at = |n: u32| Target::at(f64::from(n), 10.0).expect("a target");
    (0..count).map(at).collect()
}

fn there(asked: &Asked) -> Reply {
    let number = |name: &str| asked.parameter(name).parse().expect("a number");
    Reply::ok(answers::legacy((number("ra"), number("dec")), 0.5))
}

#[test]
fn what_is_there_is_not_asked_for_again() {
    let work = Work::new(|asked, _| there(asked));
    work.fetch(Survey::LegacySurvey, targets(3));
    let before = work.files();
    let outcomes = work.fetch(Survey::LegacySurvey, targets(4));
    assert_eq!(work.server.asked().len(), 4);
    assert_eq!(outcomes[0].status, Status::Kept);
    assert_eq!(outcomes[3].status, Status::Fetched);
    assert_eq!(outcomes[0].files.len(), 1);
    assert_eq!(before.len() + 1, work.files().len());
}

#[test]
fn damaged_and_lost_files_are_fetched_again() {
    let work = Work::new(|asked, _| there(asked));
    work.fetch(Survey::LegacySurvey, targets(3));
    let path = work.path("legacy/ra0.000000_dec+10.000000.fits");
    let whole = fs::read(&path).expect("a file");
    let mut bad = whole.clone();
    bad[5000] ^= 1;
    fs::write(&path, &bad).expect("written");
    fs::remove_file(work.path("legacy/ra1.000000_dec+10.000000.fits")).expect("removed");
    let outcomes = work.fetch(Survey::LegacySurvey, targets(3));
    let statuses: Vec<&Status> = outcomes.iter().map(|outcome| &outcome.status).collect();
    assert_eq!(
        statuses,
        [&Status::Fetched, &Status::Fetched, &Status::Kept]
    );
    assert_eq!(fs::read(&path).expect("a file"), whole);
}

#[test]
fn another_question_is_asked_anew_and_a_mirror_is_not() {
    let work = Work::new(|asked, _| there(asked));
    work.fetch(Survey::LegacySurvey, targets(1));
    let mirror = work.server.address().replace("127.0.0.1", "localhost");
    let work = Work {
        services: services(&mirror, ""),
        ..work
    };
    let outcome = work.fetch(Survey::LegacySurvey, targets(1)).remove(0);
    assert_eq!(outcome.status, Status::Kept);
    let other = format!(
        "[legacy]\nlayer = \"ls-dr9\"\ncutout = \"{}\"\n",
        work.server.address()
    );
    let work = Work {
        services: aion_fetch::Services::with(&other).expect("settings"),
        ..work
    };
    let outcome = work.fetch(Survey::LegacySurvey, targets(1)).remove(0);
    assert_eq!(outcome.status, Status::Fetched);
    assert_eq!(work.server.asked()[1].parameter("layer"), "ls-dr9");
}

#[test]
fn failures_are_tried_again_and_absences_are_not() {
    let work = Work::new(|_, before| match before {
        0 => Reply::status(404, "not today"),
        _ => Reply::ok(answers::legacy((0.0, 10.0), 0.0)),
    });
    let one = || work.fetch(Survey::LegacySurvey, targets(1)).remove(0);
    assert!(matches!(one().status, Status::Failed(_)));
    assert!(matches!(one().status, Status::Absent(_)));
    assert!(matches!(one().status, Status::Absent(_)));
    assert_eq!(work.server.asked().len(), 2);
}

#[test]
fn an_interrupted_run_is_taken_up() {
    // As a killed run leaves it: a line cut short, a folder of incoming files, one file in place
    // that no line tells of.
    let work = Work::new(|asked, _| there(asked));
    work.fetch(Survey::LegacySurvey, targets(2));
    let manifest = work.path("manifest.jsonl");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    fs::write(&manifest, &text[..text.len() - 40]).expect("written");
    fs::create_dir(work.path("legacy/.incoming-1-0")).expect("a folder");
    fs::write(work.path("legacy/.incoming-1-0/x.fits"), b"SIMPLE").expect("written");
    let outcomes = work.fetch(Survey::LegacySurvey, targets(3));
    let statuses: Vec<&Status> = outcomes.iter().map(|outcome| &outcome.status).collect();
    assert_eq!(
        statuses,
        [&Status::Kept, &Status::Fetched, &Status::Fetched]
    );
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let good = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert_eq!(text.lines().filter(good).count(), 3);
}

#[test]
fn tables_name_the_targets() {
    let work = Work::new(|asked, _| there(asked));
    let table = work.path("positions.csv");
    fs::write(&table, "object_id,ra,dec\na,0,10\nb c,1,10\na,0,10\n").expect("written");
    let targets = Target::table(&table).expect("targets");
    assert_eq!(targets.len(), 2);
    work.fetch(Survey::LegacySurvey, targets);
    assert!(work.path("legacy/a.fits").is_file());
    fs::write(&table, "object_id,ra,dec\na,0,10\na,1,10\n").expect("written");
    assert!(
        Target::table(&table)
            .expect_err("refused")
            .to_string()
            .contains("two positions")
    );
    fs::write(&table, "object_id,mass\na,0\n").expect("written");
    assert!(Target::table(&table).is_err());
}
