//! Directions on the sky: unit vectors, separations, and the HEALPix cells that sort catalogues.
//!
//! Positions are right ascension and declination (ICRS) in degrees. Distances are taken between
//! unit vectors, which know neither the seam at 0/360 degrees nor the poles.

use crate::error::Problem;

/// A direction as `(x, y, z)` of length 1: x to (0, 0), y to (90, 0), z to the north pole.
pub type UnitVector = [f64; 3];

/// Arcseconds of one radian.
pub const ARCSEC: f64 = 3600.0 * 180.0 / std::f64::consts::PI;

/// The order of the cells in the HATS column `_healpix_29`.
pub const CELL_ORDER: u8 = 29;

/// Fails unless the number is a right ascension within -360 to 360 degrees.
pub fn check_ra(ra: f64) -> Result<(), Problem> {
    if (-360.0..=360.0).contains(&ra) {
        return Ok(());
    }
    let what = format!("right ascension {ra} is not an angle in degrees");
    Err(Problem::Values(what))
}

/// Fails unless the number is a declination within -90 to 90 degrees.
pub fn check_dec(dec: f64) -> Result<(), Problem> {
    if (-90.0..=90.0).contains(&dec) {
        return Ok(());
    }
    let what = format!("declination {dec} is outside -90 to 90 degrees");
    Err(Problem::Values(what))
}

/// The direction of a position, degrees.
pub fn unit_vector(ra: f64, dec: f64) -> UnitVector {
    let (sin_ra, cos_ra) = ra.to_radians().sin_cos();
    let (sin_dec, cos_dec) = dec.to_radians().sin_cos();
    [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec]
}

/// Right ascension (0 to 360) and declination of a vector of any length but 0, degrees.
pub fn position([x, y, z]: UnitVector) -> (f64, f64) {
    let ra = y.atan2(x).to_degrees().rem_euclid(360.0);
    // A tiny negative angle rounds up to the full circle.
    let ra = if ra == 360.0 { 0.0 } else { ra };
    (ra, z.atan2(x.hypot(y)).to_degrees())
}

/// The angle between two directions, radians; accurate to 1e-15 from coincident to opposite.
pub fn separation(a: UnitVector, b: UnitVector) -> f64 {
    let cross = [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ];
    dot(cross, cross).sqrt().atan2(dot(a, b))
}

/// The squared chord between two directions that are `angle` radians apart.
pub fn chord_squared(angle: f64) -> f64 {
    (2.0 * (angle / 2.0).sin()).powi(2)
}

/// The direction midway between two directions; the first where they are opposite.
pub fn midpoint(a: UnitVector, b: UnitVector) -> UnitVector {
    normalised([a[0] + b[0], a[1] + b[1], a[2] + b[2]]).unwrap_or(a)
}

/// The vector at length 1; none of a vector without direction.
pub fn normalised(vector: UnitVector) -> Option<UnitVector> {
    let length = dot(vector, vector).sqrt();
    (length.is_finite() && length > 1e-12).then(|| vector.map(|part| part / length))
}

fn dot(a: UnitVector, b: UnitVector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The nested HEALPix cell of order 29 that holds a position; none where that is no position.
pub fn healpix29(ra: f64, dec: f64) -> Option<i64> {
    check_ra(ra).and(check_dec(dec)).ok()?;
    let longitude = ra.rem_euclid(360.0).to_radians();
    let layer = cdshealpix::nested::get(CELL_ORDER);
    // The library panics beyond the poles, hence the check above.
    let cell = layer.hash_checked(longitude, dec.to_radians()).ok()?;
    i64::try_from(cell).ok()
}

/// The cell of a lower order (at most 29) that holds a cell of order 29.
pub fn coarser(cell29: i64, order: u8) -> i64 {
    cell29 >> (2 * u32::from(CELL_ORDER.saturating_sub(order)))
}

/// The corners of a nested cell: right ascension and declination, degrees, from the southern one
/// counter-clockwise as seen from inside; none of a cell that the order does not have.
pub fn cell_corners(order: u8, cell: i64) -> Option<[(f64, f64); 4]> {
    let cell = u64::try_from(cell).ok()?;
    if order > CELL_ORDER || cell >= 12 << (2 * u32::from(order)) {
        return None;
    }
    let corners = cdshealpix::nested::get(order).vertices(cell);
    Some(corners.map(|(longitude, latitude)| (longitude.to_degrees(), latitude.to_degrees())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(a: (f64, f64), b: (f64, f64)) -> f64 {
        separation(unit_vector(a.0, a.1), unit_vector(b.0, b.1)) * ARCSEC
    }

    #[test]
    fn separations_are_accurate_at_every_size() {
        for (a, b, expected) in [
            ((10.0, 0.0), (10.0, 1e-6 / 3600.0), 1e-6),
            ((359.9999, 0.0), (0.0001, 0.0), 0.72),
            ((0.0, 90.0), (123.0, 90.0), 0.0),
            ((10.0, 89.9999), (190.0, 89.9999), 0.72),
            ((0.0, 0.0), (180.0, 0.0), 648_000.0),
            ((0.0, -90.0), (77.0, 90.0), 648_000.0),
        ] {
            let found = apart(a, b);
            assert!((found - expected).abs() < 1e-9, "{a:?} {b:?}: {found}");
        }
    }

    #[test]
    fn positions_come_back() {
        for (ra, dec) in [(0.0, 0.0), (359.999_999, -89.9), (180.0, 45.0), (90.0, 0.1)] {
            let (ra_back, dec_back) = position(unit_vector(ra, dec));
            assert!((ra - ra_back).abs() < 1e-10 && (dec - dec_back).abs() < 1e-12);
        }
        assert_eq!(position([1.0, -1e-300, 0.0]), (0.0, 0.0));
        assert_eq!(position([0.0, 0.0, 1.0]).1, 90.0);
    }

    #[test]
    fn the_middle_of_the_seam_is_the_seam() {
        let middle = midpoint(unit_vector(359.0, 10.0), unit_vector(1.0, 10.0));
        let (ra, _) = position(middle);
        assert!(ra.min(360.0 - ra) < 1e-12, "{ra}");
        let north = unit_vector(0.0, 90.0);
        assert_eq!(
            midpoint(north, [0.0, 0.0, -1.0]).map(f64::is_finite),
            [true; 3]
        );
    }

    #[test]
    fn cells_agree_with_healpy() {
        // healpy.ang2pix(2**29, ra, dec, nest=True, lonlat=True)
        for (ra, dec, cell) in [
            (0.0, 0.0, HEALPY[0]),
            (180.0, 45.0, HEALPY[1]),
            (359.999, -89.9, HEALPY[2]),
            (-0.001, -89.9, HEALPY[2]),
        ] {
            assert_eq!(healpix29(ra, dec), Some(cell), "{ra} {dec}");
        }
        assert_eq!(coarser(HEALPY[1], 29), HEALPY[1]);
        assert_eq!(coarser(HEALPY[1], 0), HEALPY[1] >> 58);
    }

    const HEALPY: [i64; 3] = [1369094286720630784, 769740237742784442, 3170535242549448929];

    #[test]
    fn what_is_no_position_has_no_cell() {
        for (ra, dec) in [
            (f64::NAN, 0.0),
            (0.0, f64::NAN),
            (f64::INFINITY, 0.0),
            (0.0, 90.000_001),
            (-9999.0, -9999.0),
        ] {
            assert_eq!(healpix29(ra, dec), None);
            assert!(check_ra(ra).and(check_dec(dec)).is_err());
        }
    }
}
