//! Mutual neighbours against a brute-force search, on random and on adversarial skies.

use aion_data::crossmatch::{Matches, mutual_neighbours};
use aion_data::sky::{ARCSEC, UnitVector, separation, unit_vector};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// All pairs compared: of equally near rows the first.
fn brute_force(left: &[UnitVector], right: &[UnitVector], radius: f64) -> Vec<(u32, u32)> {
    let nearest = |from: &UnitVector, among: &[UnitVector]| -> Option<usize> {
        let chord = |to: &UnitVector| -> f64 {
            let parts = from.iter().zip(to).map(|(a, b)| (a - b) * (a - b));
            parts.sum()
        };
        let candidates = among.iter().enumerate();
        let finite = candidates.filter(|(_, to)| to.iter().all(|part| part.is_finite()));
        finite
            .min_by(|(i, a), (j, b)| chord(a).total_cmp(&chord(b)).then(i.cmp(j)))
            .map(|(index, _)| index)
    };
    let mut pairs = Vec::new();
    for (row, from) in left.iter().enumerate() {
        if from.iter().any(|part| part.is_nan()) {
            continue;
        }
        let Some(target) = nearest(from, right) else {
            continue;
        };
        if separation(*from, right[target]) <= radius && nearest(&right[target], left) == Some(row)
        {
            pairs.push((row as u32, target as u32));
        }
    }
    pairs
}

fn rows(matches: &Matches) -> Vec<(u32, u32)> {
    let pairs = matches.pairs.iter();
    pairs.map(|pair| (pair.left, pair.right)).collect()
}

#[track_caller]
fn check(left: &[UnitVector], right: &[UnitVector], arcsec: f64) -> Matches {
    let radius = arcsec / ARCSEC;
    let found = mutual_neighbours(left, right, radius).expect("matches");
    assert_eq!(rows(&found), brute_force(left, right, radius));
    for pair in &found.pairs {
        let apart = separation(left[pair.left as usize], right[pair.right as usize]);
        assert_eq!(pair.separation, apart);
    }
    let swapped = mutual_neighbours(right, left, radius).expect("matches");
    let mut swapped: Vec<(u32, u32)> = rows(&swapped).into_iter().map(|(a, b)| (b, a)).collect();
    swapped.sort_unstable();
    assert_eq!(
        rows(&found),
        swapped,
        "exchanging the sides exchanges the pairs"
    );
    found
}

/// Positions around a point, as far as `spread` degrees away, over the pole if need be.
fn around(
    random: &mut ChaCha8Rng,
    (ra, dec): (f64, f64),
    spread: f64,
    count: usize,
) -> Vec<UnitVector> {
    let center = unit_vector(ra, dec);
    let scatter = spread.to_radians();
    let mut point = || {
        let moved = center.map(|part| part + scatter * (random.random::<f64>() - 0.5));
        let length = moved.iter().map(|part| part * part).sum::<f64>().sqrt();
        moved.map(|part| part / length)
    };
    (0..count).map(|_| point()).collect()
}

#[test]
fn random_skies() {
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut sky = |count: usize| -> Vec<UnitVector> {
            let point = |_| {
                unit_vector(
                    random.random_range(0.0..360.0),
                    random.random_range(-90.0..90.0),
                )
            };
            (0..count).map(point).collect()
        };
        let (left, right) = (sky(300), sky(200));
        check(&left, &right, 3600.0 * 5.0);
        check(&left, &right, 648_000.0);
    }
}

#[test]
fn crowded_poles_and_seams() {
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(100 + seed);
        for center in [
            (0.0, 90.0),
            (10.0, -90.0),
            (0.0, 0.0),
            (359.9999, 60.0),
            (180.0, 0.0),
        ] {
            let left = around(&mut random, center, 0.01, 150);
            let mut right = around(&mut random, center, 0.01, 150);
            right.extend(&left[..20]);
            let found = check(&left, &right, 5.0);
            assert!(found.pairs.len() > 20);
        }
    }
}

#[test]
fn pairs_across_seam_and_pole_are_found() {
    let pairs = [
        ((359.99999, 10.0), (0.00001, 10.0)),
        ((0.0, 89.99999), (180.0, 89.99999)),
        ((90.0, -90.0), (270.0, -89.99999)),
        ((-0.00001, 0.0), (360.0, 0.0)),
    ];
    let left: Vec<UnitVector> = pairs.map(|(a, _)| unit_vector(a.0, a.1)).to_vec();
    let right: Vec<UnitVector> = pairs.map(|(_, b)| unit_vector(b.0, b.1)).to_vec();
    let found = check(&left, &right, 0.1);
    assert_eq!(rows(&found), [(0, 0), (1, 1), (2, 2), (3, 3)]);
    assert!((found.pairs[0].separation * ARCSEC - 0.0709).abs() < 1e-4);
}

#[test]
fn grids_with_equal_distances() {
    // Every point of one grid is equally far from several of the other.
    let grid = |offset: f64, step: f64| -> Vec<UnitVector> {
        let points = (0..144).map(|i| (f64::from(i % 12), f64::from(i / 12)));
        let point = |(x, y): (f64, f64)| unit_vector(x * step + offset, (y - 6.0) * step + offset);
        points.map(point).collect()
    };
    check(&grid(0.0, 0.001), &grid(0.0005, 0.001), 10.0);
    check(&grid(0.0, 0.001), &grid(0.0, 0.001), 10.0);
    check(&grid(0.0, 10.0), &grid(5.0, 10.0), 648_000.0);
    let axes = [
        [1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [0.0, 0.0, 1.0],
        [-1.0, 0.0, 0.0],
    ];
    check(&axes, &[[0.0, -1.0, 0.0], [0.0, 0.0, -1.0]], 648_000.0);
}

#[test]
fn the_first_of_coincident_rows_counts() {
    let here = unit_vector(10.0, 20.0);
    let found = check(&[here, here, here], &[here, here], 1.0);
    assert_eq!(rows(&found), [(0, 0)]);
    assert!(found.pairs[0].ambiguous);
    assert_eq!(found.pairs[0].separation, 0.0);
    let zeros = [[1.0, 0.0, 0.0], [1.0, -0.0, 0.0]];
    assert_eq!(rows(&check(&zeros, &zeros, 1.0)), [(0, 0)]);
}

#[test]
fn many_coincident_rows_take_no_time() {
    // A fill value in every row must not make each row a neighbour of each.
    let here = vec![unit_vector(0.0, 0.0); 200_000];
    let found = mutual_neighbours(&here, &here, 1.0 / ARCSEC).expect("matches");
    assert_eq!(rows(&found), [(0, 0)]);
}

#[test]
fn only_mutual_neighbours_match() {
    let at = |arcsec: f64| unit_vector(50.0, 30.0 + arcsec / 3600.0);
    // The second row on the left is nearest to the right one; the first has no one else.
    let found = check(&[at(0.0), at(0.6)], &[at(0.8)], 1.0);
    assert_eq!(rows(&found), [(1, 0)]);
    assert_eq!(found.not_mutual, 1);
    assert!(found.pairs[0].ambiguous);
    let alone = check(&[at(0.0)], &[at(0.8)], 1.0);
    assert!(!alone.pairs[0].ambiguous);
}

#[test]
fn the_radius_is_the_limit() {
    let at = |arcsec: f64| unit_vector(50.0, arcsec / 3600.0);
    assert_eq!(check(&[at(0.0)], &[at(0.999_999)], 1.0).pairs.len(), 1);
    assert_eq!(check(&[at(0.0)], &[at(1.000_001)], 1.0).pairs.len(), 0);
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 4.0] {
        assert!(mutual_neighbours(&[at(0.0)], &[at(0.0)], wrong).is_err());
    }
}

#[test]
fn empty_sides_and_single_rows() {
    let here = unit_vector(1.0, 2.0);
    let nowhere = [f64::NAN; 3];
    assert!(check(&[], &[], 1.0).pairs.is_empty());
    assert!(check(&[here], &[], 1.0).pairs.is_empty());
    assert!(check(&[], &[here], 1.0).pairs.is_empty());
    assert!(check(&[nowhere], &[nowhere, here], 1.0).pairs.is_empty());
    assert_eq!(rows(&check(&[nowhere, here], &[here], 1.0)), [(1, 0)]);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let left = around(&mut random, (0.0, 89.999), 0.01, 400);
    let right = around(&mut random, (0.0, 89.999), 0.01, 400);
    let radius = 3.0 / ARCSEC;
    let found = mutual_neighbours(&left, &right, radius).expect("matches");
    let mut order: Vec<u32> = (0..right.len() as u32).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.random_range(0..=i));
    }
    let shuffled: Vec<UnitVector> = order.iter().map(|&row| right[row as usize]).collect();
    let again = mutual_neighbours(&left, &shuffled, radius).expect("matches");
    let named = |pair: (u32, u32)| (pair.0, order[pair.1 as usize]);
    let again: Vec<(u32, u32)> = rows(&again).into_iter().map(named).collect();
    assert_eq!(rows(&found), again);
}
