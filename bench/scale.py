#!/usr/bin/env python3
"""Objects a second and peak memory of `aion tokenize`, for 1,000 to 1,000,000 simulated objects.

    python bench/scale.py [--aion target/release/aion] [--model models/aion-tiny] [--runs 5] [--json FILE]

Makes tables of simulated numbers (Legacy Survey photometry; Gaia fluxes, parallax and XP coefficients) and
tokenises them as a whole process: start, reading, codecs, writing. Rates are of whole processes,
start included. Needs numpy and pyarrow.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SIZES = (1_000, 100_000, 1_000_000)


def position(random, rows):
    return {
        "object_id": np.arange(rows),
        "ra": random.uniform(0, 360, rows),
        "dec": np.degrees(np.arcsin(random.uniform(-1, 1, rows))),
    }


def photometry(random, rows):
    """Legacy Survey scalars, simulated."""
    columns = position(random, rows)
    for band in ("G", "R", "I", "Z", "W1", "W2", "W3", "W4"):
        columns[f"FLUX_{band}"] = 10 ** random.normal(1, 0.7, rows)
    columns["EBV"] = random.uniform(0.005, 0.2, rows)
    columns["SHAPE_R"] = 10 ** random.normal(0, 0.3, rows)
    columns["SHAPE_E1"], columns["SHAPE_E2"] = random.normal(0, 0.2, (2, rows))
    return pa.table({name: values for name, values in columns.items()})


def gaia(random, rows):
    """Gaia scalars and XP coefficients, simulated."""
    columns = position(random, rows)
    for band in ("g", "bp", "rp"):
        columns[f"phot_{band}_mean_flux"] = 10 ** random.uniform(2, 5, rows)
    columns["parallax"] = random.normal(1, 1, rows)
    table = pa.table(columns)
    for key in ("bp_coefficients", "rp_coefficients"):
        values = random.normal(0, 50, (rows, 55)) / np.arange(1, 56)
        table = table.append_column(key, pa.array(list(values.astype(np.float32))))
    return table


def peak_of(pid, program):
    """Peak kilobytes so far of a process, 0 while it is not yet (or no longer) the program."""
    try:
        if pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name != program:
            return 0
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return max(map(int, found), default=0)


def timed(command):
    """Seconds and peak megabytes of a process. The peak is read from /proc while it runs, since what
    wait4 reports counts this script's own memory, from which the process was forked."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_of(process.pid, pathlib.Path(command[0]).name))
        time.sleep(0.002)
    seconds = time.perf_counter() - started
    if process.wait():
        sys.exit(f"{' '.join(command)}: {process.stderr.read().decode()}")
    return seconds, peak / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aion", default="target/release/aion")
    parser.add_argument("--model", default="models/aion-tiny")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json")
    args = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    print("| what | objects | seconds | objects a second | peak MB |\n|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, make in (("scalars (12 columns)", photometry), ("XP and scalars (114 numbers)", gaia)):
            for objects in SIZES:
                table = make(np.random.default_rng(objects), objects)
                path = folder / f"{make.__name__}{objects}.parquet"
                pq.write_table(table, path, row_group_size=16384)
                output = folder / "tokens.parquet"
                command = [args.aion, "tokenize", "--model", args.model, "--input", str(path)]
                command += ["--output", str(output)]
                runs = [timed(command) for _ in range(args.runs)]
                seconds = statistics.median(run[0] for run in runs)
                peak = max(run[1] for run in runs)
                row = {"what": name, "objects": objects, "seconds": seconds, "peak_mb": peak}
                rows.append(row)
                print(f"| {name} | {objects} | {seconds:.3f} | {objects / seconds:,.0f} | {peak:.0f} |")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
