"""The harder opponents: torch.compile of the same operations, and ONNX Runtime on the networks alone.

Each peer is a process of its own, as the two sides are. As a script:
`peers.py compiled NAME BATCH REPEATS THREADS` and `peers.py onnx FILE REPEATS THREADS` time and print a row;
`peers.py export NAME BATCH FILE` writes the graph that the latter runs.
"""

import json
import statistics
import sys
import time
from pathlib import Path

from processes import Skip, run_child

HERE = Path(__file__).resolve().parent
REPEATS = 1  # timed calls in one process, after one that is not
PEERS = ["compiled", "onnx"]
TITLES = {"compiled": "torch.compile", "onnx": "ONNX Runtime"}
NOT_INFERENCE = "a training step is not among the inference rows"
WHOLE_PROCESS = "the whole process is timed, which would count compiling or exporting"


def timers(args, name, batch):
    """A timer for each peer that can do the row, and the reasons of the others: (timers, reasons), by peer."""
    reason = {"startup": WHOLE_PROCESS}.get(name) or (NOT_INFERENCE if name.startswith("train-") else None)
    if reason:
        return {}, dict.fromkeys(PEERS, reason)
    made, reasons = {"compiled": lambda: time_compiled(args, name, batch)}, {}
    try:
        graph = graph_file(args.cache, name, batch)
        made["onnx"] = lambda: time_onnx(args, graph)
    except Skip as failure:
        reasons["onnx"] = str(failure)
    return made, reasons


def time_compiled(args, name, batch):
    return time_child("compiled", [name, batch, REPEATS, args.threads])


def time_onnx(args, graph):
    return time_child("onnx", [graph, REPEATS, args.threads])


def time_child(peer, parts):
    child = run_child(TITLES[peer], [sys.executable, HERE / "peers.py", peer, *parts])
    row = json.loads(child.stdout)
    return row["tokens"], row["seconds"], child.peak_mb


def graph_file(cache, name, batch):
    """The exported graph, made on first use beside the start-up checkpoint. Raises `Skip` when it cannot be."""
    folder = cache / "onnx"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{batch}.onnx"
    if not path.exists():
        partial = path.with_suffix(".partial")
        run_child("ONNX export", [sys.executable, HERE / "peers.py", "export", name, batch, partial])
        partial.rename(path)
    return path


def run_compiled(name, batch, repeats, threads):
    import torch_side

    return torch_side.measure(name, batch, repeats, threads, compiled=True)


def run_onnx(path, repeats, threads):
    """Times a graph on random inputs, without torch in the process."""
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = numpy.random.default_rng(20)
    inputs = {entry.name: random_input(random, entry) for entry in session.get_inputs()}
    session.run(None, inputs)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        session.run(None, inputs)
        seconds.append(time.perf_counter() - start)
    return {"tokens": 0, "seconds": statistics.median(seconds)}


def random_input(random, entry):
    """Noise, or for the mask of the ragged row what it hides: objects of a fifth of the longest up to the longest."""
    if entry.type != "tensor(bool)":
        return random.standard_normal(entry.shape, dtype="float32")
    import numpy

    batch, _, longest = entry.shape
    lengths = numpy.linspace(longest // 5, longest, batch).astype(int)
    return numpy.arange(longest)[None, None] >= lengths[:, None, None]


def main():
    role, *parts = sys.argv[1:]
    if role == "export":
        import onnx_graphs

        onnx_graphs.export(parts[0], int(parts[1]), Path(parts[2]))
        return
    run = {"compiled": run_compiled, "onnx": run_onnx}[role]
    print(json.dumps(run(parts[0], *(int(part) for part in parts[1:]))))


if __name__ == "__main__":
    main()
