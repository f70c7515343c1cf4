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
REDSHIFT, SPECTRUM = "tok_z", "tok_spectrum_sdss"
TYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "U16": np.uint16, "U8": np.uint8}


def tensors(path):
    """The arrays of a safetensors file, by name."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)
    arrays = {}
    for name, info in header.items():
        start, end = info["data_offsets"]
        array = np.frombuffer(data[start:end], TYPES[info["dtype"]])
        arrays[name] = array.reshape(info["shape"])
    return arrays


class Model:
    """A checkpoint, and the tokens that it is asked about."""

    def __init__(self, args, folder, scratch):
        self.args, self.folder, self.scratch = args, folder, scratch
        self.tokens = scratch / "tokens.safetensors"

    def ask(self, verb, weights, *options):
        output = self.scratch / "answer.safetensors"
        command = [verb, "--model", self.folder, "--input", self.tokens, "--output", output, "--weights", weights]
        run_child("aion", [self.args.aion, *command, *options, "--threads", self.args.threads])
        return tensors(output)

    def answers(self, weights):
        """Mean states of each object, logits of redshifts from spectra and of spectra from redshifts."""
        embedding = self.ask("embed", weights, "--pool", "mean")["embedding"]
        redshift = self.ask("predict", weights, "--target", REDSHIFT, "--without", REDSHIFT)
        spectrum = self.ask("predict", weights, "--target", SPECTRUM, "--without", SPECTRUM, "--logits")[SPECTRUM]
        return embedding, redshift, spectrum

    def table(self):
        """Answers of each format beside those of f32."""
        truth = tensors(self.tokens)
        exact = self.answers("f32")
        for weights in FORMATS:
            found = exact if weights == "f32" else self.answers(weights)
            yield {"weights": weights} | compare(found, exact, truth)


def compare(found, exact, truth):
    """How far answers are from the exact ones, and from the tokens that were hidden."""
    (states, redshift, spectrum), (exact_states, exact_redshift, exact_spectrum) = found, exact
    norms = np.linalg.norm(exact_states, axis=1)
    off = np.linalg.norm(states - exact_states, axis=1) / norms
    cosine = (states * exact_states).sum(1) / norms / np.linalg.norm(states, axis=1)
    z = redshift[f"{REDSHIFT}/mean"] - exact_redshift[f"{REDSHIFT}/mean"]
    probabilities = redshift[f"{REDSHIFT}/probabilities"].reshape(len(states), 1, -1)
    spectra = log_softmax(spectrum)
    changed = spectra.argmax(-1) != exact_spectrum.argmax(-1)
    return {
        "embedding_error": float(np.sqrt((off**2).mean())),
        "1 - cosine": float(1 - cosine.min()),
        "z_changed": float(np.abs(z).mean()),
        "z_nats": cross_entropy(np.log(probabilities), truth[REDSHIFT]),
        "spectrum_tokens_changed": float(changed.mean()),
        "spectrum_nats": cross_entropy(spectra, truth[SPECTRUM]),
    }


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def cross_entropy(log_probabilities, tokens):
    """Nats a token."""
    tokens = tokens.reshape(log_probabilities.shape[:2])[..., None].astype(int)
    return float(-np.take_along_axis(log_probabilities, tokens, -1).mean())


def cost(args, folder, operation):
    """Median seconds of a call, and peak memory, of each format in alternating processes."""
    seconds, peaks = {weights: [] for weights in FORMATS}, {}
    for _ in range(args.runs):
        for weights in FORMATS:
            flags = ["--model", folder, "--only", operation, "--weights", weights, "--threads", args.threads, "--json"]
            child = run_child("aion", [args.aion, "bench", *flags])
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
    rows = list(rows)
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        cells = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row.values())
        print("| " + " | ".join(cells) + " |")
    print()
    return rows


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
        with tempfile.TemporaryDirectory() as folder:
            model = Model(args, args.model, Path(folder))
            if args.spectra:
                command = ["tokenize", "--model", args.codecs, "--input", *args.spectra, "--output", model.tokens]
                run_child("aion", [args.aion, *command, "--on-error", "skip", "--threads", args.threads])
                show(model.table())
        for operation in args.cost:
            show(cost(args, args.model, operation))
    except Skip as reason:
        print(f"cannot measure: {reason}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
