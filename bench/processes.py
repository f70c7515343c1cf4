"""Processes that are timed, and what was measured of them."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

# The process that starts children must not import torch: a child's peak memory starts at what its parent held when
# it forked.


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
