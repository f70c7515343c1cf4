//! Proper motions against astropy's `apply_space_motion` (`fixtures/surveys/make_crossmatch.py`).

use aion_data::crossmatch::Motion;
use aion_data::sky::{ARCSEC, separation, unit_vector};

#[test]
fn motions_agree_with_astropy() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/surveys/crossmatch/motions.csv"
    );
    let mut reader = csv::Reader::from_path(path).expect("the fixture");
    let mut count = 0;
    for record in reader.deserialize::<[f64; 8]>() {
        let [ra, dec, pmra, pmdec, epoch, to, ra_then, dec_then] = record.expect("numbers");
        let motion = Motion { pmra, pmdec, epoch };
        let moved = motion.direction(ra, dec, to);
        let apart = separation(moved, unit_vector(ra_then, dec_then)) * ARCSEC;
        assert!(apart < 1e-6, "{ra} {dec}: {apart} arcsec off");
        let stays = separation(motion.direction(ra, dec, epoch), unit_vector(ra, dec));
        assert!(stays * ARCSEC < 1e-9);
        count += 1;
    }
    assert_eq!(count, 60);
}
