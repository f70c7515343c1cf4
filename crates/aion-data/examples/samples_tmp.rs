//! x
use aion_data::reader::{ReadOptions, read};
use std::collections::BTreeMap;
/// x
fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut options = ReadOptions::default();
    if args.first().is_some_and(|a| a == "--pad") { options.pad = true; args.remove(0); }
    if args.first().is_some_and(|a| a == "--hsc") { options.survey = Some(aion_data::Survey::Hsc); args.remove(0); }
    for path in args {
        let start = std::time::Instant::now();
        match read(path.as_ref(), &options) {
            Err(error) => println!("REFUSED {error}"),
            Ok(objects) => {
                let mut keys: BTreeMap<String, usize> = BTreeMap::new();
                let (mut good, mut bad) = (0, Vec::new());
                let mut first = None;
                for object in objects {
                    match object {
                        Ok(o) => { good += 1; for k in o.measurements.keys() { *keys.entry(k.key().into()).or_default() += 1; }
                            if first.is_none() { first = Some(format!("{} {:?} {:?} {:?}", o.id, o.ra, o.dec, o.flags)); } }
                        Err(e) => bad.push(e.to_string()),
                    }
                }
                println!("{path}: {good} good, {} bad, {:.0} ms; {keys:?} first: {first:?} {:?}", bad.len(), start.elapsed().as_secs_f64()*1e3, bad.first());
            }
        }
    }
}
