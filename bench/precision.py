#!/usr/bin/env python3
"""What weights in fewer bits change: answers, memory and time of `--weights f16`, `bf16` and `int8` beside `f32`.

Answers are compared on the SDSS spectra of a folder, tokenised once: embeddings, redshifts from spectra, and spectra
from redshifts. Memory and time are those of `aion bench --model` in alternating runs. See bench/README.md.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from processes import Skip, run_child

HERE = Path(__file__).resolve().parent
FORMATS = ["f32", "f16", "bf16", "int8"]
TOKENS = "tokens.safetensors"
REDSHIFT, SPECTRUM = "tok_z", "tok_spectrum_sdss"
TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64}


def tensors(path):
    """The numbers of a safetensors file, by name."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    arrays = {}
    for name, info in header.items():
        if info.get("dtype") in TYPES:
            start, end = info["data_offsets"]
            arrays[name] = np.frombuffer(data[start:end], TYPES[info["dtype"]]).reshape(info["shape"])
    return arrays


def ask(args, scratch, verb, weights, *options):
    """What a command says about the tokens."""
    output = scratch / "answer.safetensors"
    files = ["--model", args.model, "--input", scratch / TOKENS, "--output", output]
    run_child("aion", [args.aion, verb, *files, "--weights", weights, "--threads", args.threads, *options])
    return tensors(output)


def answers(args, scratch, weights):
    """Mean states of each object, redshifts from spectra, and logits of spectra from redshifts where there are some."""
    embedding = ask(args, scratch, "embed", weights, "--pool", "mean")["embedding"]
    redshift = ask(args, scratch, "predict", weights, "--target", REDSHIFT, "--without", REDSHIFT)
    hidden = ["--target", SPECTRUM, "--without", SPECTRUM, "--logits", "--on-error", "skip"]
    return embedding, redshift, ask(args, scratch, "predict", weights, *hidden)[SPECTRUM]


def accuracy(args, scratch):
    """Answers of each format beside those of f32."""
    files = ["--model", args.codecs, "--input", *args.spectra, "--output", scratch / TOKENS]
    run_child("aion", [args.aion, "tokenize", *files, "--on-error", "skip", "--threads", args.threads])
    truth = tensors(scratch / TOKENS)
    exact = answers(args, scratch, "f32")
    for weights in FORMATS:
        found = exact if weights == "f32" else answers(args, scratch, weights)
        yield {"weights": weights} | compare(found, exact, truth)


def compare(found, exact, truth):
    """How far answers are from the exact ones, and from the tokens that were hidden."""
    (states, redshift, spectrum), (exact_states, exact_redshift, exact_spectrum) = found, exact
    norms = np.linalg.norm(exact_states, axis=1)
    off = np.linalg.norm(states - exact_states, axis=1) / norms
    cosine = (states.astype(float) * exact_states).sum(1) / norms / np.linalg.norm(states, axis=1)
    name = f"{REDSHIFT}/mean"
    known = truth[REDSHIFT][:, 0] >= 0
    bins = redshift[f"{REDSHIFT}/probabilities"][known][:, None]
    changed = spectrum.argmax(-1) != exact_spectrum.argmax(-1)
    return {
        "embedding off": float(np.sqrt((off**2).mean())),
        "1 - least cosine": float(1 - cosine.min()),
        "mean z off": float(np.abs(redshift[name] - exact_redshift[name]).mean()),
        "z, nats": cross_entropy(np.log(bins), truth[REDSHIFT][known]),
        "likeliest spectrum tokens changed": float(changed.mean()),
        "spectrum, nats": cross_entropy(log_softmax(spectrum), truth[SPECTRUM][known]),
    }


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def cross_entropy(log_probabilities, tokens):
    """Nats a token, `(objects, tokens)`."""
    return float(-np.take_along_axis(log_probabilities, tokens[..., None], -1).mean())


def cost(args, operation):
    """Median seconds of a call, and peak memory, of each format in alternating processes."""
    seconds, peaks = {weights: [] for weights in FORMATS}, {}
    for _ in range(args.runs):
        for weights in FORMATS:
            flags = ["--model", args.model, "--only", operation, "--threads", args.threads, "--json"]
            child = run_child("aion", [args.aion, "bench", *flags, "--weights", weights])
            seconds[weights].append(json.loads(child.stdout)[0]["seconds"])
            peaks[weights] = max(peaks.get(weights, 0), child.peak_mb)
    for weights in FORMATS:
        yield {
            "weights": weights,
            "operation": operation,
            "seconds": statistics.median(seconds[weights]),
            "peak_mb": peaks[weights],
        }


def show(rows):
    """Prints rows as a table."""
    for place, row in enumerate(rows):
        if place == 0:
            print("| " + " | ".join(row) + " |")
            print("|---" * len(row) + "|")
        cells = (f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row.values())
        print("| " + " | ".join(cells) + " |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--aion", type=Path, default=HERE.parent / "target/release/aion", help="our binary")
    parser.add_argument("--codecs", type=Path, default=HERE.parent / "models/aion-tiny", help="whose codecs tokenise")
    parser.add_argument("--spectra", type=Path, nargs="+", help="SDSS files to compare answers on")
    parser.add_argument("--cost", nargs="*", default=[], metavar="OPERATION", help="operations of aion bench to time")
    parser.add_argument("--runs", type=int, default=3, help="processes of each format that are timed (default 3)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    try:
        if args.spectra:
            with tempfile.TemporaryDirectory() as scratch:
                show(accuracy(args, Path(scratch)))
        for operation in args.cost:
            show(cost(args, operation))
    except Skip as reason:
        print(f"cannot measure: {reason}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
