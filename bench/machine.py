"""The machine and the versions compared: what a reader needs to judge the table."""

import datetime
import json
import os
import platform
import sys
from pathlib import Path

from processes import run_child

# Asked of a child, since importing torch here would be counted as every later child's memory.
VERSIONS = """
import importlib.metadata, torch
print(f"torch {torch.__version__}, polymathic-aion {importlib.metadata.version('polymathic-aion')}")
"""


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


def header(args):
    """Lines on machine, versions and load."""
    torch = run_child("torch", [sys.executable, "-c", VERSIONS]).stdout.strip()
    ours = run_child("aion", [args.aion, "--version"]).stdout.strip()
    model, flags = cpu_model_and_flags()
    return [
        f"{datetime.date.today()}: {ours}; {torch}; Python {platform.python_version()}",
        f"{model} ({flags}), {os.cpu_count()} CPUs, {args.threads} threads each side, "
        f"load {os.getloadavg()[0]:.1f} at the start",
        f"float32, median ± half the range of {args.runs} alternating runs; peak resident memory of the whole process",
    ]


def rates(args):
    """What the machine reaches in our large product (GFLOP/s), in copying memory (GB/s), in coding numbers (M/s)."""
    found = {}
    for name in ["matrix-product", "stream", "scalar-encode"]:
        child = run_child("aion", [args.aion, "bench", "--only", name, "--threads", args.threads, "--json"])
        [row] = json.loads(child.stdout)
        found[name] = row["rate"]
    return found
