#!/usr/bin/env python3
"""How time and memory grow with tokens, batch and threads: `aion bench --only encode` (Base), measured and drawn.

Fails when a step costs more than theory allows: of the layers, whose work grows with the number of tokens, and of
attention, whose work grows with its square; memory may grow with the tokens. See bench/README.md.
"""

import argparse
import json
import math
import os
import statistics
import sys
from pathlib import Path

from processes import Skip, run_child
from work import encode

TOKENS = [64, 128, 256, 512, 1024, 2048, 4096]
BATCHES = [1, 2, 4, 8, 16, 32, 64]
BATCH_TOKENS = 150
ALLOWED = 1.35  # times the cost that theory gives a step; what is left is the machine's noise


def measure(args, tokens, batch, threads):
    """Best of the runs: {tokens, batch, threads, seconds, peak_mb}."""
    flags = ["--tokens", tokens, "--batch", batch, "--threads", threads, "--json"]
    best = None
    for _ in range(args.runs):
        child = run_child("aion", [args.aion, "bench", "--only", "encode", *flags])
        [row] = json.loads(child.stdout)
        if best is None or row["seconds"] < best["seconds"]:
            best = {"tokens": tokens, "batch": batch, "threads": threads, "seconds": row["seconds"]}
        best["peak_mb"] = max(best.get("peak_mb", 0), child.peak_mb)
    print(f"{tokens} tokens, batch {batch}, {threads} threads: {best['seconds']:.4f} s, {best['peak_mb']:.0f} MB")
    return best


def too_steep(rows, key, work):
    """Steps between neighbours that cost more time than the work grows by, or more memory than objects and tokens."""
    for before, after in zip(rows, rows[1:]):
        step = f"{key} {before[key]} to {after[key]}"
        theory = work(after) / work(before)
        found = after["seconds"] / before["seconds"]
        if found > ALLOWED * theory:
            yield f"{step}: {found:.2f} times the time, {theory:.2f} times the work"
        held = after["tokens"] * after["batch"] / before["tokens"] / before["batch"]
        found = after["peak_mb"] / before["peak_mb"]
        if found > ALLOWED * held:
            yield f"{step}: {found:.2f} times the memory, {held:.2f} times the tokens"


def exponent(rows, key, value):
    """The power of `key` that `value` grows with: the slope of the straight line through the logarithms."""
    slope, _ = statistics.linear_regression(*([math.log(row[name]) for row in rows] for name in (key, value)))
    return slope


def report_exponents(series):
    for key, rows, _ in series:
        if len(rows) > 1:
            time, memory = exponent(rows, key, "seconds"), exponent(rows, key, "peak_mb")
            print(f"{key}: time grows as its power {time:.2f}, memory as {memory:.2f}")


def draw(series, path):
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "aion"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(series), figsize=(4 * len(series), 3.4))
    for axes, (key, rows, theory) in zip(panels, series):
        draw_panel(axes, key, rows, theory)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def draw_panel(axes, key, rows, theory):
    places = [row[key] for row in rows]
    axes.plot(places, [row["seconds"] for row in rows], "o-", color="#2a6f97", label="time, s")
    first = rows[0]["seconds"] / theory(rows[0])
    axes.plot(places, [first * theory(row) for row in rows], ":", color="#222222", label="work, from the first")
    axes.plot(places, [row["peak_mb"] / 1e3 for row in rows], "s-", color="#c1666b", markersize=4, label="memory, GB")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(places, [str(place) for place in places])
    axes.set_xlabel(key)
    axes.grid(color="#e6e8ea")
    axes.legend(frameon=False, fontsize=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = Path(__file__).resolve().parent
    parser.add_argument("--aion", type=Path, default=here.parent / "target/release/aion", help="our binary")
    parser.add_argument("--runs", type=int, default=2, help="processes a point, of which the best counts (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the points")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw them (needs matplotlib)")
    args = parser.parse_args()
    cpus = os.cpu_count()
    threads = sorted({1 << power for power in range(cpus.bit_length())} & set(range(1, cpus + 1)) | {cpus})
    try:
        by_tokens = [measure(args, tokens, 1, cpus) for tokens in TOKENS]
        by_batch = [measure(args, BATCH_TOKENS, batch, cpus) for batch in BATCHES]
        by_threads = [measure(args, 855, 1, count) for count in threads]
    except Skip as reason:
        print(f"cannot measure: {reason}", file=sys.stderr)
        return 2
    series = [
        ("tokens", by_tokens, lambda row: encode(row["tokens"]).operations),
        ("batch", by_batch, lambda row: row["batch"]),
        ("threads", by_threads, lambda row: 1 / row["threads"]),
    ]
    report_exponents(series)
    if args.json:
        args.json.write_text(json.dumps(by_tokens + by_batch + by_threads, indent=1) + "\n")
    if args.chart:
        draw(series, args.chart)
    steep = [text for key, rows, work in series for text in too_steep(rows, key, work)]
    for text in steep:
        print(text, file=sys.stderr)
    return 1 if steep else 0


if __name__ == "__main__":
    sys.exit(main())
