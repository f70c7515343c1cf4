#!/usr/bin/env python3
"""`aion` beside PyTorch eager with the reference, polymathic-aion, on the same shapes and the same machine.

For every (name, batch) a process of `aion bench` and a process of torch alternate, so that whatever else the machine
does falls on both; the ratio of their medians is what counts. See bench/README.md.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import chart
import machine
import peers
import work
from processes import Side, Skip, run_child

HERE = Path(__file__).resolve().parent
REPEATS = 1  # timed calls in one torch process, after one that is not
FLOORS = HERE / "floors.json"
SCALAR_TARGET = 20  # million numbers a second and core
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
    """Alternates the two sides, and the peers asked for, `args.runs` times. Returns (sides by name, reasons)."""
    if name == "startup":
        ours, torch = startup_timers(args, scratch)
    else:
        ours, torch = lambda: time_ours(args, name, batch), lambda: time_torch(args, name, batch)
    timers, reasons = {"ours": ours, "torch": torch}, {}
    if args.peers:
        others, reasons = peers.timers(args, name, batch)
        timers |= others
    sides = {who: Side() for who in timers}
    for run in range(args.runs):
        for who, timer in timers.items():
            if who not in reasons:
                reasons |= measure(sides[who], timer, who)
        check_tokens(sides)
        last = ", ".join(f"{who} {side.seconds[-1]:.4f} s" for who, side in sides.items() if who not in reasons)
        print(f"{name} x{batch} run {run + 1}/{args.runs}: {last}", file=sys.stderr)
    return {who: side for who, side in sides.items() if who not in reasons}, reasons


def measure(side, timer, who):
    """Adds one run. A peer that fails is left out with its reason; one of the two sides takes the row with it."""
    try:
        side.add(*timer())
    except Skip as reason:
        if who not in peers.PEERS:
            raise
        return {who: str(reason)}
    return {}


def check_tokens(sides):
    ours, torch = sides["ours"], sides["torch"]
    if ours.tokens != torch.tokens:
        raise Skip(f"different work: aion counts {ours.tokens} tokens an object, torch {torch.tokens}")


def json_row(name, batch, sides, rates):
    ours, torch = sides["ours"], sides["torch"]
    gflops = work.operations(name, batch) / ours.median / 1e9
    moved = work.least_bytes(name, batch) / ours.median / 1e9
    row = {
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
        "gflops": gflops,
        "of_peak": gflops / rates["matrix-product"],
        "least_gb_s": moved,
        "of_stream": moved / rates["stream"],
    }
    for peer in peers.PEERS:
        if peer in sides:
            side = sides[peer]
            row |= {f"{peer}_s": side.median, f"{peer}_spread": side.spread, f"{peer}_mb": max(side.peak_mb)}
    return row


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


def table_cells(row, floors, args):
    floor = floors.get(f"{row['name']} x{row['batch']}", {})
    cells = [
        row["name"],
        str(row["batch"]),
        str(row["tokens"]),
        f"{row['ours_s']:.4g} ±{row['ours_spread']:.0%}",
        f"{row['torch_s']:.4g} ±{row['torch_spread']:.0%}",
        f"{row['speedup']:.2f}",
        f"{floor['target']:.2f}" if floor else "",
        f"{row['gflops']:.0f}" if row["gflops"] else "",
        f"{row['of_peak']:.0%}" if row["gflops"] else "",
        f"{row['ours_mb']:.0f}",
        f"{row['torch_mb']:.0f}",
        f"{row['ours_mb'] / row['torch_mb']:.2f}",
    ]
    # How many times as fast as a peer we are, the peer's own seconds beside it.
    return cells + [peer_cell(row, peer) for peer in peers.PEERS if args.peers]


def peer_cell(row, peer):
    seconds = row.get(f"{peer}_s")
    return f"{seconds:.4g} s: {seconds / row['ours_s']:.2f}" if seconds else "–"


def markdown_table(cells, args):
    """A Markdown table whose columns also line up on a terminal."""
    lines = [HEADINGS + [peers.TITLES[peer] for peer in peers.PEERS if args.peers], *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def run_all(args, floors, rates):
    """Measures everything asked for. Returns the rows, their table, the reasons of skipped rows and of skipped peers."""
    rows, skipped, without = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.only or BATCHES:
            for batch in BATCHES[name]:
                try:
                    sides, reasons = compare(args, name, batch, Path(scratch))
                except Skip as reason:
                    skipped.append(f"skipped {name} x{batch}: {reason}")
                    print(skipped[-1], file=sys.stderr)
                    continue
                rows.append(json_row(name, batch, sides, rates))
                without += [f"no {peers.TITLES[who]} for {name} x{batch}: {why}" for who, why in reasons.items()]
    table = markdown_table([table_cells(row, floors, args) for row in rows], args)
    return rows, table, skipped, without


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
    parser.add_argument("--peers", action="store_true", help="beside torch.compile and ONNX Runtime, too")
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
        head = machine.header(args)
        rates = machine.rates(args)
    except Skip as reason:
        print(f"cannot compare: {reason}", file=sys.stderr)
        return 2
    floors = json.loads(FLOORS.read_text())
    product, stream, scalars = rates["matrix-product"], rates["stream"], rates["scalar-encode"]
    head.append(f"our product of 2048³ reaches {product:.0f} GFLOP/s, a copy {stream:.1f} GB/s; GFLOP/s as written")
    head.append(f"numbers are coded at {scalars:.0f} M/s a core (target {SCALAR_TARGET})")
    rows, table, skipped, without = run_all(args, floors, rates)
    notes = [f"- {line}" for line in skipped + without]
    report = "\n".join([*(f"- {line}" for line in head), "", table, "", *notes]).rstrip()
    print(report)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    if args.markdown:
        args.markdown.write_text(report + "\n")
    if args.chart:
        chart.draw(rows, floors, args.chart)
    fallen = [text for row in rows for text in below_floor(row, floors)]
    if scalars < SCALAR_TARGET:
        fallen.append(f"scalar-encode: {scalars:.1f} M values/s a core, target {SCALAR_TARGET}")
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
