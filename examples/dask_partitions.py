#!/usr/bin/env python3
"""Tokens of a survey by Dask workers, each running the same binary; then the result as one Dask or LSDB table.

    python examples/dask_partitions.py --aion target/release/aion --model models/aion-tiny \\
        --input survey/ --output tokens --workers 4 [--hats]

Every task is `aion tokenize ... --claim` on the same output: workers take shards from each other's queue
through files, so tasks may be restarted, or run anywhere that sees the folder. For a cluster, give
the address of its scheduler. Needs dask[distributed]; with --hats the result is opened by lsdb.
"""

import argparse
import json
import pathlib
import subprocess

from dask.distributed import Client, LocalCluster


def work(command):
    """One worker's part: everything that is left when it starts."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)["objects"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aion", default="aion")
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True, nargs="+")
    parser.add_argument("--output", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows-per-shard", default="16384")
    parser.add_argument("--scheduler", help="address of a running scheduler")
    parser.add_argument("--hats", action="store_true")
    args = parser.parse_args()
    command = [args.aion, "tokenize", "--model", args.model, "--input", *args.input]
    command += ["--output", args.output, "--rows-per-shard", args.rows_per_shard]
    command += ["--claim", "--threads", "1", "--json"] + ["--hats"] * args.hats
    cluster = args.scheduler or LocalCluster(
        n_workers=args.workers, threads_per_worker=1, dashboard_address=None
    )
    with Client(cluster) as client:
        tasks = [client.submit(work, command, key=f"worker-{i}") for i in range(args.workers)]
        print("objects:", max(client.gather(tasks)))
        if args.hats:
            import lsdb

            catalogue = lsdb.open_catalog(args.output)
            print("LSDB:", len(catalogue), "rows in", catalogue.npartitions, "partitions")
        else:
            import dask.dataframe

            files = sorted(str(path) for path in pathlib.Path(args.output).glob("*.parquet"))
            table = dask.dataframe.read_parquet(files)
            print("Dask:", len(table), "rows in", table.npartitions, "partitions")
            print("columns:", ", ".join(table.columns))


if __name__ == "__main__":
    main()
