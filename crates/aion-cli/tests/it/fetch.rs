//! `aion fetch` and `aion demo --online`, against a server on the loopback.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::run::Scratch;
use crate::server::{Asked, Reply, Server};
use crate::survey_answers as answers;

/// A services file that points every service at the server, and does not wait.
fn services(scratch: &Scratch, address: &str) -> PathBuf {
    let path = scratch.path("services.toml");
    let text = format!(
        "[politeness]\ninterval_s = 0.0\nbackoff_s = 0.001\nattempts = 2\n\
         [legacy]\ncutout = \"{address}/cutout\"\n\
         [hsc]\ncutout = \"{address}/das\"\n\
         [sdss]\nquery = \"{address}/sql\"\n\
         spectrum = \"{address}/sas/dr17/{{plate}}/{{mjd}}/{{fiber}}\"\n\
         [desi]\nfind = \"{address}/find/\"\nretrieve = \"{address}/spectras/\"\n\
         [gaia]\ntap = \"{address}/tap\"\ndatalink = \"{address}/data\"\n"
    );
    fs::write(&path, text).expect("written");
    path
}

/// The position that a cutout is asked for.
fn asked_position(asked: &Asked) -> (f64, f64) {
    let number = |name: &str| asked.parameter(name).parse().expect("a number");
    (number("ra"), number("dec"))
}

/// The position in a query's text, behind `before`.
fn position_in(query: &str, before: &str) -> (f64, f64) {
    let (_, rest) = query.split_once(before).expect("a position");
    let mut numbers = rest
        .split([',', ')'])
        .map(|text| text.trim().parse().expect("a number"));
    (numbers.next().expect("ra"), numbers.next().expect("dec"))
}

/// A sky with an image, a spectrum and a Gaia source with coefficients everywhere.
fn sky(asked: &Asked, _: usize) -> Reply {
    const SOURCE: u64 = 3_900_000_000_000_000_001;
    match asked.path.as_str() {
        "/cutout" => Reply::ok(answers::legacy(asked_position(asked), 0.5)),
        "/sql" => {
            let (ra, dec) = position_in(asked.parameter("cmd"), "fGetNearestSpecObjEq(");
            let (plate, mjd) = ((ra * 20.0) as i32, 40_000 + ((dec + 90.0) * 100.0) as i32);
            Reply::ok(answers::skyserver(&format!(
                "{plate},{mjd},1,26,{ra},{dec}\n"
            )))
        }
        "/tap" => {
            let position = position_in(asked.parameter("QUERY"), "CIRCLE(");
            Reply::ok(answers::gaia_source(SOURCE, position, "true"))
        }
        "/data" => Reply::ok(answers::gaia_xp(SOURCE)),
        path => {
            let mut parts = path
                .split('/')
                .skip(3)
                .map(|part| part.parse().expect("a number"));
            let (plate, mjd): (i32, i32) =
                (parts.next().expect("plate"), parts.next().expect("mjd"));
            // The spectrum says where it was taken, which the number of the plate only rounds.
            Reply::ok(answers::sdss((plate, mjd, 1), nearest(plate, mjd)))
        }
    }
}

/// The listed object that these numbers were made of.
fn nearest(plate: i32, mjd: i32) -> (f64, f64) {
    let list = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../demo/online.csv"
    ));
    let list = list.expect("the list");
    let positions = list.lines().skip(2).map(|line| {
        let mut cells = line
            .split(',')
            .skip(1)
            .map(|cell| cell.parse::<f64>().expect("a number"));
        (cells.next().expect("ra"), cells.next().expect("dec"))
    });
    let made = |(ra, dec): &(f64, f64)| {
        (ra * 20.0) as i32 == plate && 40_000 + ((dec + 90.0) * 100.0) as i32 == mjd
    };
    let mut positions = positions.filter(made);
    positions.next().expect("a listed position")
}

#[test]
fn cutouts_are_fetched_kept_and_read() {
    let scratch = Scratch::new();
    let server = Server::start(sky);
    let services = services(&scratch, server.address()).display().to_string();
    let output = scratch.path("sky").display().to_string();
    let arguments = [
        "fetch",
        "legacy",
        "--ra",
        "10.5",
        "--dec",
        "-5.25",
        "--output",
        &output,
        "--services",
        &services,
        "--json",
    ];
    let outcome = scratch.aion(arguments);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let said: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(said["fetched"], 1);
    assert_eq!(said["objects"][0]["name"], "ra10.500000_dec-5.250000");
    assert!(
        said["acknowledgement"]
            .as_str()
            .is_some_and(|text| text.contains("Legacy"))
    );
    let again = scratch.aion(arguments);
    let said: serde_json::Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert_eq!((again.code, &said["kept"]), (0, &serde_json::json!(1)));
    assert_eq!(server.asked().len(), 1);
    let files = format!("{output}/legacy");
    assert_eq!(scratch.aion(["inspect", &files]).code, 0);
}

#[test]
fn what_cannot_be_fetched_is_listed_and_fails() {
    let scratch = Scratch::new();
    let server = Server::start(|asked, before| match asked.parameter("ra") {
        "2" => Reply::status(404, "nothing here"),
        _ => sky(asked, before),
    });
    let services = services(&scratch, server.address()).display().to_string();
    let output = scratch.path("sky").display().to_string();
    let table = scratch.path("positions.csv");
    fs::write(&table, "object_id,ra,dec\na,1,0\nb,2,0\nc,3,0\n").expect("written");
    let table = table.display().to_string();
    let mut arguments = vec![
        "fetch",
        "legacy",
        "--table",
        &table,
        "--output",
        &output,
        "--services",
        &services,
    ];
    let outcome = scratch.aion(&arguments);
    assert_eq!(outcome.code, 1);
    for part in ["failed: b: ", "404", "nothing here", "1 of 3"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    assert!(scratch.path("sky/legacy/c.fits").is_file());
    arguments.extend(["--on-error", "skip"]);
    let outcome = scratch.aion(&arguments);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("2 kept") && outcome.stdout.contains("1 failed"));
}

#[test]
fn a_killed_fetch_is_taken_up_where_it_was() {
    let scratch = Scratch::new();
    let server = Server::start(|asked, before| match before {
        // The third answer takes longer than the command lives.
        2 => sky(asked, before).after(Duration::from_secs(60)),
        _ => sky(asked, before),
    });
    let services = services(&scratch, server.address()).display().to_string();
    let output = scratch.path("sky").display().to_string();
    let table = scratch.path("positions.csv");
    fs::write(&table, "object_id,ra,dec\na,1,0\nb,2,0\nc,3,0\nd,4,0\n").expect("written");
    let table = table.display().to_string();
    let arguments = [
        "fetch",
        "legacy",
        "--table",
        &table,
        "--output",
        &output,
        "--services",
        &services,
        "--jobs",
        "1",
    ];
    let mut running = Command::new(env!("CARGO_BIN_EXE_aion"))
        .args(arguments)
        .spawn()
        .expect("the binary runs");
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.asked().len() < 3 {
        assert!(Instant::now() < deadline, "the command does not ask");
        thread::sleep(Duration::from_millis(5));
    }
    running.kill().expect("killed");
    running.wait().expect("ended");
    assert!(!scratch.path("sky/legacy/c.fits").exists());

    let outcome = scratch.aion(arguments);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(
        outcome.stdout.contains("2 fetched, 2 kept"),
        "{}",
        outcome.stdout
    );
    let asked = server.asked();
    let asked: Vec<&str> = asked.iter().map(|asked| asked.parameter("ra")).collect();
    assert_eq!(asked, ["1", "2", "3", "3", "4"]);
}

#[test]
fn what_cannot_be_meant_is_refused_before_asking() {
    let scratch = Scratch::new();
    let output = scratch.path("sky").display().to_string();
    for (arguments, part) in [
        (vec!["legacy"], "--table"),
        (vec!["legacy", "--ra", "1"], "--dec"),
        (vec!["legacy", "--ra", "1", "--dec", "95"], "95"),
        (vec!["legacy", "--id", "7"], "position"),
        (vec!["sdss", "--id", "x;drop"], "identifier"),
        (vec!["gaia", "--id", "1", "--ra", "1", "--dec", "1"], "--id"),
        (
            vec!["gaia", "--ra", "1", "--dec", "1", "--radius", "-1"],
            "-1",
        ),
        (vec!["vla", "--ra", "1", "--dec", "1"], "vla"),
        (vec!["hsc", "--ra", "1", "--dec", "1"], "AION_HSC_USER"),
    ] {
        let mut all = vec!["fetch"];
        all.extend(&arguments);
        all.extend(["--output", &output]);
        let outcome = scratch.aion(&all);
        assert_eq!(outcome.code, 2, "{arguments:?}: {}", outcome.stderr);
        assert!(
            outcome.stderr.contains(part),
            "{arguments:?}: {}",
            outcome.stderr
        );
    }
    assert!(!scratch.path("sky").exists());
}

#[test]
fn the_demo_goes_online() {
    let scratch = Scratch::new();
    let server = Server::start(sky);
    let services = services(&scratch, server.address()).display().to_string();
    let report = scratch.path("report").display().to_string();
    let arguments = [
        "demo",
        "--online",
        "--services",
        &services,
        "--output",
        &report,
        "--json",
    ];
    let outcome = scratch.aion(arguments);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let said: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let objects = said["objects"].as_array().expect("objects");
    assert_eq!(objects.len(), 10);
    assert!(outcome.stdout.contains("3C_273"));
    let page = fs::read_to_string(scratch.path("report/report.html")).expect("a report");
    assert!(page.contains("Einstein Cross"));
    // 10 images, 10 spectra with their look-ups, 10 sources with their coefficients; and once only.
    assert_eq!(server.asked().len(), 50);
    assert_eq!(scratch.aion(arguments).code, 0);
    assert_eq!(server.asked().len(), 50);
}

#[test]
fn without_a_network_the_demo_says_so() {
    let scratch = Scratch::new();
    let services = services(&scratch, "http://127.0.0.1:9")
        .display()
        .to_string();
    let report = scratch.path("report").display().to_string();
    let arguments = [
        "demo",
        "--online",
        "--services",
        &services,
        "--output",
        &report,
    ];
    let outcome = scratch.aion(arguments);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("nothing could be fetched"),
        "{}",
        outcome.stderr
    );
}
