"""The harder opponents: torch.compile of the same operations, and ONNX Runtime on the networks alone.

Each peer is a process of its own, as the two sides are. As a script:
`peers.py compiled NAME BATCH THREADS` and `peers.py onnx FILE THREADS` take turns and print a row;
`peers.py export NAME BATCH FILE` writes the graph that the latter runs.
"""

import json
import statistics
import sys
from pathlib import Path

from processes import Skip, run_child, take_turns

HERE = Path(__file__).resolve().parent
PEERS = ["compiled", "onnx"]
TITLES = {"compiled": "torch.compile", "onnx": "ONNX Runtime"}
NOT_INFERENCE = "a training step is not among the inference rows"
WHOLE_PROCESS = "the whole process is timed, which would count compiling or exporting"


def commands(args, name, batch):
    """A command for each peer that can do the row, and the reasons of the others: (commands, reasons), by peer."""
    reason = {"startup": WHOLE_PROCESS}.get(name) or (NOT_INFERENCE if name.startswith("train-") else None)
    if reason:
        return {}, dict.fromkeys(PEERS, reason)
    child = [sys.executable, HERE / "peers.py"]
    made, reasons = {"compiled": [*child, "compiled", name, batch, args.threads]}, {}
    try:
        made["onnx"] = [*child, "onnx", graph_file(args.cache, name, batch), args.threads]
    except Skip as failure:
        reasons["onnx"] = str(failure)
    return made, reasons


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


def run_compiled(name, batch, threads):
    import torch_side

    return torch_side.measure(name, batch, threads, compiled=True)


def run_onnx(path, threads):
    """Times a graph on random inputs, without torch in the process."""
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = numpy.random.default_rng(20)
    inputs = {entry.name: random_input(random, entry) for entry in session.get_inputs()}
    seconds = take_turns(lambda: session.run(None, inputs))
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
