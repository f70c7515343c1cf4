#!/usr/bin/env python3
"""Embeddings of a survey by Ray tasks, each running the same binary on its share of the shards.

    python examples/ray_partitions.py --aion target/release/aion --model models/aion-tiny \\
        --input survey/ --output embeddings --tasks 4

Every task is `aion embed ... --shard I/N`; Ray starts a task again when its machine is lost, and the output
goes on where it was. The last command completes the manifest, whoever ended last. On a cluster, the
folders have to be shared; add num_gpus=1 to the task and --device cuda to the command for GPUs.
"""

import argparse
import pathlib
import subprocess

import ray


@ray.remote(max_retries=3, retry_exceptions=True)
def share(command, task, tasks):
    """One share of the shards."""
    done = subprocess.run(
        [*command, "--shard", f"{task}/{tasks}"], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return task


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aion", default="aion")
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True, nargs="+")
    parser.add_argument("--output", required=True)
    parser.add_argument("--tasks", type=int, default=2)
    parser.add_argument("--rows-per-shard", default="16384")
    args = parser.parse_args()
    absolute = lambda path: str(pathlib.Path(path).resolve())
    command = [absolute(args.aion) if "/" in args.aion else args.aion, "embed"]
    command += ["--model", absolute(args.model), "--input", *map(absolute, args.input)]
    command += ["--output", absolute(args.output), "--rows-per-shard", args.rows_per_shard]
    command += ["--pool", "mean", "--threads", "1"]
    ray.init(include_dashboard=False)
    shares = [share.remote(command, task, args.tasks) for task in range(1, args.tasks + 1)]
    ray.get(shares)
    # Two that ended at the same moment may each have seen the other at work.
    subprocess.run([*command, "--resume"], check=True)
    table = ray.data.read_parquet(absolute(args.output), file_extensions=["parquet"])
    print("Ray:", table.count(), "rows;", ", ".join(table.schema().names))


if __name__ == "__main__":
    main()
