#!/usr/bin/env python3
"""`aion` beside PyTorch eager with the reference, polymathic-aion, on the same shapes and the same machine.

For every (name, batch) a process of `aion bench` and a process of torch alternate, so that whatever else the machine
does falls on both; the ratio of their medians is what counts. See bench/README.md.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import chart
import work

# This process must not import torch: a child's peak memory starts at what its parent held when it forked.
HERE = Path(__file__).resolve().parent
REPEATS = 1  # timed calls in one torch process, after one that is not
FLOORS = HERE / "floors.json"
BATCHES = {
    "image-encode": [1, 8],
    "image-decode": [1, 8],
    "spectrum-encode": [1, 8],
    "spectrum-decode": [1, 8],
    "encode": [1, 4, 16],
    "encode-ragged": [32],
    "predict-spectrum": [1],
    "startup": [1],
    "train-transformer": [4],
    "train-image-codec": [4],
    "train-spectrum-codec": [4],
}


class Skip(Exception):
    """One side could not do the operation; the text says which and why."""


@dataclass
class Child:
    """A process that ended: what it printed, its wall time and its peak resident memory."""

    stdout: str
    seconds: float
    peak_mb: float


@dataclass
class Side:
    """What one side measured for a (name, batch), one entry a run."""

    tokens: int = 0
    seconds: list = field(default_factory=list)
    peak_mb: list = field(default_factory=list)

    def add(self, tokens, seconds, peak_mb):
        self.tokens = tokens
        self.seconds.append(seconds)
        self.peak_mb.append(peak_mb)

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def deviation(self):
        """Standard error of the median, roughly, as a fraction of it: from the middle half of the runs."""
        if len(self.seconds) < 4:
            return self.spread
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 1.35 / len(self.seconds) ** 0.5 / self.median

    @property
    def spread(self):
        """Half the range over the runs, as a fraction of the median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / self.median


def run_child(who, command):
    """Runs a command to its end. Raises `Skip` with the last line of its stderr when it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        try:
            child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err)
        except OSError as error:
            raise Skip(f"{who}: {error}") from error
        try:
            # wait4 gives this child's own peak; RUSAGE_CHILDREN would give the largest of all so far.
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if child.returncode is None:
                child.kill()
                child.wait()
        seconds = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            lines = err.read().decode(errors="replace").strip().splitlines()
            raise Skip(f"{who}: exit code {child.returncode}: {lines[-1] if lines else 'nothing on stderr'}")
        unit = 1 if sys.platform == "darwin" else 1024
        return Child(out.read().decode(errors="replace"), seconds, usage.ru_maxrss * unit / 1e6)


def time_ours(args, name, batch):
    command = [args.aion, "bench", "--only", name, "--batch", batch, "--threads", args.threads, "--json"]
    child = run_child("aion", command)
    try:
        [row] = [row for row in json.loads(child.stdout) if (row["name"], row["batch"]) == (name, batch)]
        return row["tokens"], row["seconds"], child.peak_mb
    except (ValueError, KeyError, TypeError) as error:
        raise Skip(f"aion: `bench --json` gave no single row {name} of batch {batch} ({error})") from error


def time_torch(args, name, batch):
    command = [sys.executable, HERE / "compare.py", "--threads", args.threads, "--torch-child", name, batch, REPEATS]
    child = run_child("torch", command)
    row = json.loads(child.stdout)
    return row["tokens"], row["seconds"], child.peak_mb


def startup_files(cache):
    """The random Base checkpoint and the tokens to embed, made on first use: (model folder, tokens file)."""
    folder = cache / "startup"
    if not folder.exists():
        print("writing a random Base checkpoint (1.3 GB) under", folder, file=sys.stderr)
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=cache))
        try:
            run_child("torch", [sys.executable, HERE / "torch_side.py", partial])
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder / "model", folder / "tokens.safetensors"


def time_startup(who, command, output):
    """Wall time of a whole process, from exec to the embedding on disk, checked to be there."""
    output.unlink(missing_ok=True)
    child = run_child(who, command)
    try:
        shape = safetensors_shape(output, "embedding")
    except (OSError, ValueError, KeyError) as error:
        raise Skip(f"{who}: no embedding in {output.name} ({error!r})") from error
    return shape[1], child.seconds, child.peak_mb


def safetensors_shape(path, name):
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length))[name]["shape"]


def startup_timers(args, scratch):
    """The two start-up processes, each run once untimed: file cache warm, bytecode compiled."""
    model, tokens = startup_files(args.cache)
    ours, torch = scratch / "ours.safetensors", scratch / "torch.safetensors"
    embed = [args.aion, "embed", "--model", model, "--input", tokens, "--output", ours, "--threads", args.threads]
    script = [sys.executable, HERE / "torch_startup.py", model, tokens, torch, args.threads]
    timers = [lambda: time_startup("aion", embed, ours), lambda: time_startup("torch", script, torch)]
    for timer in timers:
        timer()
    return timers


def compare(args, name, batch, scratch):
    """Alternates the two sides `args.runs` times. Returns (ours, torch)."""
    if name == "startup":
        timers = startup_timers(args, scratch)
    else:
        timers = [lambda: time_ours(args, name, batch), lambda: time_torch(args, name, batch)]
    sides = [Side(), Side()]
    for run in range(args.runs):
        for side, timer in zip(sides, timers):
            side.add(*timer())
        ours, torch = sides
        if ours.tokens != torch.tokens:
            raise Skip(f"different work: aion counts {ours.tokens} tokens an object, torch {torch.tokens}")
        pair = f"ours {ours.seconds[-1]:.4f} s, torch {torch.seconds[-1]:.4f} s"
        print(f"{name} x{batch} run {run + 1}/{args.runs}: {pair}", file=sys.stderr)
    return sides


def json_row(name, batch, ours, torch):
    return {
        "name": name,
        "batch": batch,
        "tokens": ours.tokens,
        "ours_s": ours.median,
        "torch_s": torch.median,
        "speedup": torch.median / ours.median,
        "ours_mb": max(ours.peak_mb),
        "torch_mb": max(torch.peak_mb),
        "ours_spread": ours.spread,
        "torch_spread": torch.spread,
        "noise": ours.deviation + torch.deviation,
        "gflops": work.operations(name, batch) / ours.median / 1e9,
    }


HEADINGS = [
    "name",
    "batch",
    "tokens",
    "ours s",
    "torch s",
    "speedup",
    "target",
    "GFLOP/s",
    "of product",
    "ours MB",
    "torch MB",
    "memory ratio",
]


def table_cells(row, ours, torch, floors, peak):
    floor = floors.get(f"{row['name']} x{row['batch']}", {})
    return [
        row["name"],
        str(row["batch"]),
        str(row["tokens"]),
        f"{row['ours_s']:.4g} ±{ours.spread:.0%}",
        f"{row['torch_s']:.4g} ±{torch.spread:.0%}",
        f"{row['speedup']:.2f}",
        f"{floor['target']:.2f}" if floor else "",
        f"{row['gflops']:.0f}" if row["gflops"] else "",
        f"{row['gflops'] / peak:.0%}" if row["gflops"] and peak else "",
        f"{row['ours_mb']:.0f}",
        f"{row['torch_mb']:.0f}",
        f"{row['ours_mb'] / row['torch_mb']:.2f}",
    ]


def markdown_table(cells):
    """A Markdown table whose columns also line up on a terminal."""
    lines = [HEADINGS, *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def cpu_model_and_flags():
    """The processor's name and which of the vector extensions that matter here it has."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine(), "vector extensions unknown"
    first = text.split("\n\n")[0].splitlines()
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)}
    present = entries.get("flags", "").split()
    wanted = [flag for flag in ["avx2", "fma", "avx512f", "avx512_bf16", "amx_tile"] if flag in present]
    return entries.get("model name", platform.machine()), " ".join(wanted) or "no avx2"


# Asked of a child, since importing torch here would be counted as every later child's memory.
VERSIONS = """
import importlib.metadata, torch
print(f"torch {torch.__version__}, polymathic-aion {importlib.metadata.version('polymathic-aion')}")
"""


def header(args):
    """Machine, versions and load: what a reader needs to judge the table."""
    torch = run_child("torch", [sys.executable, "-c", VERSIONS]).stdout.strip()
    ours = run_child("aion", [args.aion, "--version"]).stdout.strip()
    model, flags = cpu_model_and_flags()
    return [
        f"{datetime.date.today()}: {ours}; {torch}; Python {platform.python_version()}",
        f"{model} ({flags}), {os.cpu_count()} CPUs, {args.threads} threads each side, "
        f"load {os.getloadavg()[0]:.1f} at the start",
        f"float32, median ± half the range of {args.runs} alternating runs; peak resident memory of the whole process",
    ]


def machine(args):
    """What the machine reaches in our large product (GFLOP/s) and in copying memory (GB/s); none where not known."""
    rates = {}
    for name in ["matrix-product", "stream"]:
        child = run_child("aion", [args.aion, "bench", "--only", name, "--threads", args.threads, "--json"])
        [row] = json.loads(child.stdout)
        rates[name] = row["rate"]
    return rates["matrix-product"], rates["stream"]


def run_all(args, floors, peak):
    """Measures everything asked for. Returns the rows, their table and the reasons of skipped rows."""
    rows, cells, skipped = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.only or BATCHES:
            for batch in BATCHES[name]:
                try:
                    ours, torch = compare(args, name, batch, Path(scratch))
                except Skip as reason:
                    skipped.append(f"skipped {name} x{batch}: {reason}")
                    print(skipped[-1], file=sys.stderr)
                    continue
                rows.append(json_row(name, batch, ours, torch))
                cells.append(table_cells(rows[-1], ours, torch, floors, peak))
    return rows, markdown_table(cells), skipped


def names(text):
    chosen = text.split(",")
    unknown = [name for name in chosen if name not in BATCHES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; known are {', '.join(BATCHES)}")
    return chosen


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--aion", type=Path, default=HERE.parent / "target/release/aion", help="our binary")
    parser.add_argument("--only", type=names, metavar="NAME,...", help="default: all of them")
    parser.add_argument("--runs", type=positive, default=7, help="processes of each side a row (default 7)")
    parser.add_argument("--threads", type=positive, default=os.cpu_count(), help="of both sides (default: CPUs)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/aion-bench", help="start-up checkpoint")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write header and table")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw speedups and memory (needs matplotlib)")
    child = ("NAME", "BATCH", "REPEATS")
    parser.add_argument("--torch-child", nargs=3, metavar=child, help="time torch alone and print its row")
    return parser.parse_args()


def torch_child(name, batch, repeats, threads):
    import torch_side

    print(json.dumps(torch_side.measure(name, int(batch), int(repeats), threads)))


def main():
    args = parse_arguments()
    if args.torch_child:
        torch_child(*args.torch_child, args.threads)
        return 0
    try:
        head = header(args)
    except Skip as reason:
        print(f"cannot compare: {reason}", file=sys.stderr)
        return 2
    floors = json.loads(FLOORS.read_text())
    product, stream = machine(args)
    head.append(f"our product of 2048³ reaches {product:.0f} GFLOP/s, a copy {stream:.1f} GB/s; GFLOP/s as written")
    rows, table, skipped = run_all(args, floors, product)
    report = "\n".join([*(f"- {line}" for line in head), "", table, "", *(f"- {line}" for line in skipped)]).rstrip()
    print(report)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    if args.markdown:
        args.markdown.write_text(report + "\n")
    if args.chart:
        chart.draw(rows, floors, args.chart)
    fallen = [text for row in rows for text in below_floor(row, floors)]
    for text in fallen:
        print(text, file=sys.stderr)
    if fallen:
        return 1
    # What was asked for by name and could not be measured has not passed any floor.
    return 2 if not rows or (args.only and skipped) else 0


def below_floor(row, floors):
    """Says where a row is below what was once reached, by more than the noise of this run."""
    key = f"{row['name']} x{row['batch']}"
    floor = floors.get(key)
    if floor is None:
        return
    least = floor["speedup"] * (1 - 2 * row["noise"])
    if row["speedup"] < least:
        yield f"{key}: speedup {row['speedup']:.2f}, floor {floor['speedup']:.2f} ({least:.2f} with this run's noise)"
    ratio = row["ours_mb"] / row["torch_mb"]
    if ratio > floor["memory"]:
        yield f"{key}: {ratio:.2f} of torch's memory, floor {floor['memory']:.2f}"


if __name__ == "__main__":
    sys.exit(main())
