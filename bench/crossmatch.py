"""`aion crossmatch` against astropy: the same mutual pairs, the same separations, and how long it takes.

    python bench/crossmatch.py [--rows 1000000] [--aion target/release/aion] [--json FILE]

Makes two catalogues as Parquet (object_id, ra, dec) over the whole sky, seeded. Half of the rows of
one are those of the other displaced by up to 0.5 arcsec; poles and 0/360 degrees are crowded with
pairs. The program is timed as a whole: start, reading, matching, writing all pairs.
Mutual pairs come from two calls of astropy's match_to_catalog_sky. Needs numpy, astropy, pyarrow.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.coordinates import SkyCoord

ARCSEC = np.pi / 180 / 3600


def displaced(random, ra, dec, most):
    """Positions up to `most` arcsec away, in any direction, over the poles too."""
    ra, dec = np.radians(ra), np.radians(dec)
    here = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], -1)
    side = np.cross(here, random.normal(size=here.shape))
    side /= np.linalg.norm(side, axis=-1, keepdims=True)
    angle = most * ARCSEC * np.sqrt(random.random(len(ra)))[:, None]
    there = np.cos(angle) * here + np.sin(angle) * side
    ra = np.degrees(np.arctan2(there[:, 1], there[:, 0])) % 360
    return ra, np.degrees(np.arctan2(there[:, 2], np.hypot(there[:, 0], there[:, 1])))


def catalogues(random, rows):
    def sky(count):
        return random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))

    ra, dec = sky(rows)
    special = min(rows // 20, 5000)
    dec[:special] = 90 - np.abs(random.normal(0, 2e-3, special))
    dec[special : 2 * special] = -90 + np.abs(random.normal(0, 2e-3, special))
    ra[2 * special : 3 * special] = random.normal(0, 1e-4, special) % 360
    half = rows // 2
    ra_far, dec_far = sky(rows - half)
    ra_near, dec_near = displaced(random, ra[:half], dec[:half], 0.5)
    order = random.permutation(rows)
    right = np.concatenate([ra_near, ra_far])[order], np.concatenate([dec_near, dec_far])[order]
    return (ra, dec), right


def write(path, prefix, ra, dec):
    ids = pa.array([f"{prefix}{i}" for i in range(len(ra))])
    pq.write_table(pa.table({"object_id": ids, "ra": ra, "dec": dec}), path)


def expected(left, right, radius):
    left, right = (SkyCoord(*side, unit="deg") for side in (left, right))
    there, apart, _ = left.match_to_catalog_sky(right)
    back, _, _ = right.match_to_catalog_sky(left)
    rows = np.arange(len(left))
    mutual = (back[there] == rows) & (apart <= radius * u.arcsec)
    return rows[mutual], there[mutual], apart[mutual].arcsec


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--radius", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--aion", default="target/release/aion")
    parser.add_argument("--json")
    args = parser.parse_args()
    left, right = catalogues(np.random.default_rng(args.seed), args.rows)
    with tempfile.TemporaryDirectory() as folder:
        a, b, out = (Path(folder) / name for name in ("a.parquet", "b.parquet", "pairs.parquet"))
        write(a, "a", *left)
        write(b, "b", *right)
        command = [args.aion, "crossmatch", a, b, "--radius", str(args.radius), "--output", out]
        seconds = []
        for _ in range(args.repeats):
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        found = pq.read_table(out).to_pandas()
    start = time.perf_counter()
    rows, partners, apart = expected(left, right, args.radius)
    astropy_s = time.perf_counter() - start

    number = lambda column: found[column].str[1:].astype(int).to_numpy()
    order = np.argsort(number("left_object_id"))
    same = np.array_equal(number("left_object_id")[order], rows)
    same = same and np.array_equal(number("right_object_id")[order], partners)
    worst = np.abs(found["separation_arcsec"].to_numpy()[order] - apart).max() if same else np.nan
    cells = found["_healpix_29"].to_numpy()
    result = {
        "rows": args.rows, "pairs": len(found), "pairs_astropy": len(rows), "same_pairs": bool(same),
        "largest_difference_arcsec": float(worst), "sorted": bool((np.diff(cells) >= 0).all()),
        "seconds": [round(s, 2) for s in seconds], "peak_mb": round(peak),
        "astropy_seconds_matching_only": round(astropy_s, 2),
        "cores": os.cpu_count(), "load": [round(x, 1) for x in os.getloadavg()],
    }
    print(json.dumps(result, indent=2))
    if args.json:
        Path(args.json).write_text(json.dumps(result) + "\n")
    sys.exit(0 if same and worst < 1e-6 and result["sorted"] else "the pairs differ")


if __name__ == "__main__":
    main()
