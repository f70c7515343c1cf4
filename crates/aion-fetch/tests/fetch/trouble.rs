//! Services that are busy, slow, broken, or answer with something else.

use std::time::{Duration, Instant};

use aion_data::Survey;
use aion_fetch::{Credentials, Status, Target};

use crate::answers;
use crate::server::Reply;
use crate::work::{Work, at};

const HERE: (f64, f64) = (187.70593, 12.39112);

fn good() -> Reply {
    Reply::ok(answers::legacy(HERE, 0.5))
}

/// The reason for which the only target failed, with nothing left behind.
fn reason(work: &Work, survey: Survey) -> String {
    let outcome = work.one(survey, at(HERE.0, HERE.1));
    assert_eq!(work.files(), ["manifest.jsonl"], "nothing partial is left");
    match outcome.status {
        Status::Failed(reason) => reason,
        other => panic!("expected a failure, not {other:?}"),
    }
}

#[test]
fn passing_errors_are_tried_again() {
    for status in [429, 500, 502, 503, 504] {
        let work = Work::new(move |_, before| match before {
            0 | 1 => Reply::status(status, "busy"),
            _ => good(),
        });
        let outcome = work.one(Survey::LegacySurvey, at(HERE.0, HERE.1));
        assert_eq!(outcome.status, Status::Fetched, "{status}");
        assert_eq!(work.server.asked().len(), 3);
    }
}

#[test]
fn attempts_end() {
    let work = Work::with(|_, _| Reply::status(503, answers::PAGE), "attempts = 3");
    let reason = reason(&work, Survey::LegacySurvey);
    assert_eq!(work.server.asked().len(), 3);
    for part in ["503", "Service temporarily down", "3 times"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn final_errors_are_not_tried_again() {
    for status in [400, 404, 410] {
        let work = Work::new(move |_, _| Reply::status(status, answers::TAP_ERROR));
        let reason = reason(&work, Survey::Gaia);
        assert_eq!(work.server.asked().len(), 1);
        assert!(reason.contains(&status.to_string()), "{reason}");
        assert!(reason.contains("Cannot parse query"), "{reason}");
    }
}

#[test]
fn retry_after_is_honoured() {
    let work = Work::new(|_, before| match before {
        0 => Reply::status(429, "slow down").header("Retry-After", "1"),
        _ => good(),
    });
    let outcome = work.one(Survey::LegacySurvey, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    let asked = work.server.asked();
    assert!(asked[1].when - asked[0].when >= Duration::from_millis(950));
}

#[test]
fn a_service_that_wants_hours_is_not_waited_for() {
    let work = Work::with(
        |_, _| Reply::status(429, "").header("Retry-After", "7200"),
        "longest_wait_s = 2.0",
    );
    let start = Instant::now();
    let reason = reason(&work, Survey::LegacySurvey);
    assert!(reason.contains("7200 s"), "{reason}");
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(work.server.asked().len(), 1);
}

#[test]
fn a_slow_service_runs_into_the_time_limit() {
    let work = Work::with(
        |_, before| match before {
            0 => good().after(Duration::from_secs(20)),
            _ => good(),
        },
        "whole_s = 0.3",
    );
    let start = Instant::now();
    let outcome = work.one(Survey::LegacySurvey, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    assert!(start.elapsed() < Duration::from_secs(10));

    let work = Work::with(
        |_, _| good().after(Duration::from_secs(20)),
        "whole_s = 0.2\nattempts = 2",
    );
    let reason = reason(&work, Survey::LegacySurvey);
    assert!(reason.contains("in time"), "{reason}");
}

#[test]
fn answers_that_break_off_are_tried_again() {
    let work = Work::new(|_, before| match before {
        0 => good().cut(1000),
        _ => good(),
    });
    let outcome = work.one(Survey::LegacySurvey, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    assert_eq!(work.server.asked().len(), 2);
    let work = Work::with(|_, _| good().cut(1000), "attempts = 2");
    reason(&work, Survey::LegacySurvey);
}

#[test]
fn a_file_that_was_cut_before_it_was_sent_is_refused() {
    // In the middle of the image, and exactly behind it.
    for (part, says) in [(3, "truncated"), (2, "inverse variance")] {
        let work = Work::new(move |_, _| {
            let mut fits = answers::legacy(HERE, 0.5);
            fits.truncate(fits.len() / part);
            Reply::ok(fits)
        });
        let reason = reason(&work, Survey::LegacySurvey);
        assert!(reason.contains(says), "{reason}");
    }
    let work = Work::with(|_, _| good(), "");
    let other = format!(
        "[legacy]\nsize = 128\ncutout = \"{}\"\n",
        work.server.address()
    );
    let work = Work {
        services: aion_fetch::Services::with(&other).expect("settings"),
        ..work
    };
    let reason = reason(&work, Survey::LegacySurvey);
    assert!(reason.contains("128 x 128"), "{reason}");
}

#[test]
fn pages_with_a_good_status_are_refused() {
    let surveys = [
        Survey::LegacySurvey,
        Survey::Sdss,
        Survey::Gaia,
        Survey::Desi,
    ];
    for survey in surveys {
        let work = Work::new(|_, _| Reply::ok(answers::PAGE).header("Content-Type", "text/html"));
        let reason = reason(&work, survey);
        for part in ["HTML", "Service temporarily down"] {
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(work.server.asked().len(), 1);
    }
}

#[test]
fn other_content_than_asked_for_is_refused() {
    // A spectrum for an image, an image for a spectrum, the image of another place.
    let work = Work::new(|_, _| Reply::ok(answers::sdss((1, 2, 3), HERE)));
    assert!(reason(&work, Survey::LegacySurvey).contains("tok_spectrum_sdss"));
    let work = Work::new(|asked, _| match asked.path.as_str() {
        "/dr17/sql" => Reply::ok(answers::skyserver("1,2,3,26,1,2\n")),
        _ => good(),
    });
    assert!(reason(&work, Survey::Sdss).contains("tok_image"));
    let work = Work::new(|_, _| Reply::ok(answers::legacy((HERE.0, HERE.1 + 0.01), 0.5)));
    assert!(reason(&work, Survey::LegacySurvey).contains("36.0 arcsec"));
    // A table without the columns, and JSON without the list.
    let work = Work::new(|_, _| Reply::ok("#Table1\nobjid,ra\n1,2\n"));
    assert!(reason(&work, Survey::Sdss).contains("plate"));
    let work = Work::new(|_, _| Reply::ok("{\"status\": \"ok\"}"));
    assert!(reason(&work, Survey::Desi).contains("no list"));
    let work = Work::new(|_, _| Reply::ok(answers::TAP_ERROR));
    assert!(reason(&work, Survey::Gaia).contains("Cannot parse query"));
}

#[test]
fn answers_beyond_the_limit_are_not_taken() {
    let work = Work::with(|_, _| Reply::ok(vec![b'x'; 2 << 20]), "most_mb = 1");
    assert!(reason(&work, Survey::LegacySurvey).contains("more than 1 MB"));
    assert_eq!(work.server.asked().len(), 1);
}

#[test]
fn redirections_are_followed_without_the_password() {
    let work = Work::new(|asked, _| match asked.path.as_str() {
        "/viewer/cutout.fits" => Reply::status(302, "").header("Location", "/moved/x.fits"),
        _ => good(),
    });
    let outcome = work.one(Survey::LegacySurvey, at(HERE.0, HERE.1));
    assert_eq!(outcome.status, Status::Fetched);
    assert_eq!(work.server.asked()[1].path, "/moved/x.fits");

    let elsewhere = crate::server::Server::start(|_, _| Reply::ok(answers::hsc(HERE, "HSC-G")));
    let address = format!(
        "{}/x",
        elsewhere.address().replace("127.0.0.1", "localhost")
    );
    let mut work = Work::new(move |_, _| Reply::status(302, "").header("Location", &address));
    work.access.credentials = Some(Credentials {
        user: "me".into(),
        password: "secret".into(),
    });
    work.one(Survey::Hsc, at(HERE.0, HERE.1));
    assert!(!elsewhere.asked().is_empty());
    for asked in elsewhere.asked() {
        assert!(!asked.headers.contains_key("authorization"));
    }
}

#[test]
fn circles_of_redirections_end() {
    let work = Work::new(|_, _| Reply::status(302, "").header("Location", "/again"));
    reason(&work, Survey::LegacySurvey);
    assert!(work.server.asked().len() < 10);
}

#[test]
fn no_more_questions_at_once_than_the_limit_and_none_too_soon() {
    let mut work = Work::with(
        |asked, _| {
            let position = (
                asked.parameter("ra").parse().expect("a number"),
                asked.parameter("dec").parse().expect("a number"),
            );
            Reply::ok(answers::legacy(position, 0.5)).after(Duration::from_millis(30))
        },
        "per_host = 3",
    );
    work.jobs = 8;
    let targets = |count: u32| -> Vec<Target> {
        let at = |n: u32| Target::at(f64::from(n), 0.0).expect("a target");
        (0..count).map(at).collect()
    };
    let outcomes = work.fetch(Survey::LegacySurvey, targets(16));
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.status == Status::Fetched)
    );
    assert_eq!(outcomes[5].name, "ra5.000000_dec+0.000000");
    assert_eq!(work.server.most_at_once(), 3);

    let mut work = Work::new(|_, _| Reply::status(404, ""));
    work.services = {
        let text = format!(
            "[politeness]\ninterval_s = 0.05\n[legacy]\ncutout = \"{}\"\n",
            work.server.address()
        );
        aion_fetch::Services::with(&text).expect("settings")
    };
    work.jobs = 4;
    work.fetch(Survey::LegacySurvey, targets(6));
    let asked = work.server.asked();
    let mut times: Vec<Instant> = asked.iter().map(|asked| asked.when).collect();
    times.sort();
    assert!(times[5] - times[0] >= Duration::from_millis(240));
}

#[test]
fn a_service_that_is_away_is_not_asked_for_everything() {
    let mut work = Work::with(|_, _| Reply::status(503, ""), "attempts = 2");
    work.jobs = 1;
    let targets: Vec<Target> = (0..20)
        .map(|n| Target::at(f64::from(n), 0.0).expect("a target"))
        .collect();
    let outcomes = work.fetch(Survey::LegacySurvey, targets);
    assert_eq!(work.server.asked().len(), 6);
    assert!(matches!(&outcomes[19].status, Status::Failed(reason)
        if reason.contains("not asked") && reason.contains("503")));
}

#[test]
fn a_host_that_does_not_listen_is_said() {
    let work = Work::with(|_, _| good(), "attempts = 2");
    let services = crate::work::services("http://127.0.0.1:9", "attempts = 2");
    let work = Work { services, ..work };
    let reason = reason(&work, Survey::LegacySurvey);
    assert!(reason.contains("127.0.0.1:9"), "{reason}");
}
