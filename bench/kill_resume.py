#!/usr/bin/env python3
"""Kill a sharded run at random moments, resume it, and compare every byte with an undisturbed run.

    python bench/kill_resume.py [--aion target/release/aion] [--model models/aion-tiny] [--kills 20]

Makes a simulated table (pyarrow and numpy are needed), tokenises it once undisturbed, then again while the
process is killed with SIGKILL as often as asked, and once more by two workers at a time, one of which is
killed. Prints the SHA-256 of each output (its files but the logs) and fails where they differ.
"""

import argparse
import hashlib
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def simulated_table(path, rows, seed):
    random = np.random.default_rng(seed)
    columns = {
        "source_id": np.arange(rows) + seed * 10**9,
        "ra": random.uniform(0, 360, rows),
        "dec": np.degrees(np.arcsin(random.uniform(-1, 1, rows))),
        "phot_g_mean_flux": 10 ** random.uniform(2, 5, rows),
        "parallax": random.normal(1, 1, rows),
    }
    table = pa.table(columns)
    for key in ("bp_coefficients", "rp_coefficients"):
        values = random.normal(0, 50, (rows, 55)) / np.arange(1, 56)
        table = table.append_column(key, pa.array(list(values.astype(np.float32))))
    pq.write_table(table, path, row_group_size=5000)


def digest(output):
    """SHA-256 over names and contents of all files but the logs."""
    whole = hashlib.sha256()
    count = 0
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output)
        if path.is_file() and name.parts[:2] != (".aion", "log"):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            whole.update(f"{name} {content}\n".encode())
            count += 1
    return whole.hexdigest(), count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aion", default="target/release/aion")
    parser.add_argument("--model", default="models/aion-tiny")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rows-per-shard", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hats", action="store_true", help="make a HATS catalogue")
    args = parser.parse_args()
    random.seed(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        survey = folder / "survey"
        survey.mkdir()
        for part in range(2):
            simulated_table(survey / f"part{part}.parquet", args.rows // 2, part + 1)

        def start(output, *more):
            command = [args.aion, "tokenize", "--model", args.model, "--input", survey]
            command += ["--output", output, "--rows-per-shard", args.rows_per_shard, *more]
            command += ["--hats", "--hats-max-rows", "5000"] if args.hats else []
            command = [str(word) for word in command]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def finish(process):
            _, errors = process.communicate()
            if process.returncode != 0:
                sys.exit(f"exit code {process.returncode}: {errors.decode()}")

        began = time.time()
        finish(start(folder / "undisturbed"))
        took = time.time() - began
        expected, count = digest(folder / "undisturbed")
        print(f"undisturbed: {took:.2f} s, {count} files, sha256 {expected}")

        output = folder / "killed"
        kills = finished = 0
        while kills < args.kills:
            process = start(output, "--resume")
            time.sleep(random.uniform(0, 1.5 * took / args.kills + 0.05))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
            else:
                # It was through before its time came: once more from the start.
                finish(process)
                finished += 1
                found, _ = digest(output)
                if found != expected:
                    sys.exit(f"differs after {kills} kills: {found}")
                output = folder / f"killed{finished}"
        finish(start(output, "--resume"))
        killed, _ = digest(output)
        print(f"killed {kills} times and resumed ({finished + 1} outputs): sha256 {killed}")

        output = folder / "shared"
        first, second = start(output, "--claim"), start(output, "--claim")
        time.sleep(took / 4)
        first.send_signal(signal.SIGKILL)
        first.wait()
        finish(second)
        shared, _ = digest(output)
        print(f"two workers, one of them killed: sha256 {shared}")
        if {killed, shared} != {expected}:
            sys.exit("the outputs differ")
        print("all the same")


if __name__ == "__main__":
    main()
