#!/usr/bin/env python3
"""A HATS catalogue, its tokens as a second one, and both joined by LSDB.

    python examples/hats_join.py --aion target/release/aion --model models/aion-tiny [--parent CATALOGUE]

Without --parent, a simulated catalogue is imported by LSDB first. `aion tokenize --hats` keeps the parent's
partitions; both catalogues are then opened by `lsdb`, joined by object id, and cross-matched by
position, and every object has to find itself. Needs lsdb.
"""

import argparse
import pathlib
import subprocess
import tempfile

import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa


def simulated(folder, rows):
    random = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "object_id": [f"sim-{i}" for i in range(rows)],
            "ra": random.uniform(0, 360, rows),
            "dec": np.degrees(np.arcsin(random.uniform(-1, 1, rows))),
            "phot_g_mean_flux": 10 ** random.uniform(2, 5, rows),
            "parallax": random.normal(1, 1, rows),
        }
    )
    path = folder / "parent"
    catalogue = lsdb.from_dataframe(
        table, ra_column="ra", dec_column="dec", catalog_name="parent", partition_rows=1000
    )
    catalogue.write_catalog(path, catalog_name="parent")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aion", default="aion")
    parser.add_argument("--model", required=True)
    parser.add_argument("--parent", help="a HATS catalogue with a column object_id")
    parser.add_argument("--rows", type=int, default=5000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        parent_path = args.parent or simulated(folder, args.rows)
        child_path = folder / "tokens"
        command = [args.aion, "tokenize", "--model", args.model, "--input", parent_path]
        command += ["--output", child_path, "--hats"]
        subprocess.run([str(word) for word in command], check=True)

        parent, child = lsdb.open_catalog(parent_path), lsdb.open_catalog(child_path)
        pixels = [catalogue.get_healpix_pixels() for catalogue in (parent, child)]
        print("partitions of the parent:", len(pixels[0]), "of the tokens:", len(pixels[1]))
        assert set(pixels[0]) == set(pixels[1]), "the partitions differ"
        text = pd.ArrowDtype(pa.string())
        if parent.dtypes["object_id"] != text:
            # Identifiers of tokens are text; the parent's may be numbers, or text of another type.
            parent = parent.map_partitions(
                lambda part: part.assign(object_id=part["object_id"].astype(text))
            )
        rows = len(child.compute())
        joined = parent.join(
            child, left_on="object_id", right_on="object_id", suffixes=("", "_tokens")
        ).compute()
        print("joined by object_id:", len(joined), "of", rows)
        assert len(joined) == rows
        assert np.allclose(joined["ra"], joined["ra_tokens"], atol=0, rtol=0)
        matched = parent.crossmatch(
            child, radius_arcsec=0.01, suffixes=("", "_tokens"), require_right_margin=False
        ).compute()
        print("matched by position:", len(matched))
        same = matched["object_id"].astype(str) == matched["object_id_tokens"].astype(str)
        assert len(matched) == rows and same.all()
        print(joined.filter(regex="^(object_id|tok_)").head(3).to_string())


if __name__ == "__main__":
    main()
