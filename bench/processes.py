"""Processes that are timed, and what was measured of them."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

# The process that starts children must not import torch: a child's peak memory starts at what its parent held when
# it forked.


PAUSE = 0.3  # seconds before each turn


class Skip(Exception):
    """One side could not do the operation; the text says which and why."""


@dataclass
class Child:
    """A process that ended: what it printed, its wall time and its peak resident memory."""

    stdout: str
    seconds: float
    peak_mb: float


class Player:
    """A process that calls its operation when it is told to, so that sides take turns without starting anew.

    It says that it is ready after one call that is not counted, answers each line with the seconds of a call, and when
    its input ends with a row in JSON. What fails on its side raises `Skip`.
    """

    def __init__(self, who, command):
        self.who = who
        self.errors = tempfile.TemporaryFile()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        try:
            self.child = subprocess.Popen([str(part) for part in command], text=True, **pipes)
        except OSError as error:
            raise Skip(f"{who}: {error}") from error
        self.answer()

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            self.child.wait()
            raise Skip(failure(self.who, self.child.returncode, self.errors))
        return line

    def call(self):
        # The threads of some libraries wait busily for a moment after a call, which is nobody's turn.
        time.sleep(PAUSE)
        try:
            self.child.stdin.write("\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and the answer says why
        return float(self.answer())

    def end(self):
        """Its row, and its peak memory in megabytes."""
        self.child.stdin.close()
        row = self.child.stdout.read()
        peak = reap(self.child)
        if self.child.returncode != 0:
            raise Skip(failure(self.who, self.child.returncode, self.errors))
        return json.loads(row), peak

    def kill(self):
        if self.child.returncode is None:
            self.child.kill()
            self.child.wait()


def take_turns(step):
    """The player's own side: seconds of each call."""
    step()
    print("ready", flush=True)
    seconds = []
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
        print(seconds[-1], flush=True)
    return seconds


def reap(child):
    """Waits for a child; its own peak memory in megabytes."""
    # wait4 gives this child's own peak; RUSAGE_CHILDREN would give the largest of all so far.
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def failure(who, code, errors):
    """What a child that failed said last."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f"{who}: exit code {code}: {lines[-1] if lines else 'nothing on stderr'}"


@dataclass
class Side:
    """What one side measured for a (name, batch), one entry a run."""

    tokens: int = 0
    seconds: list = field(default_factory=list)
    peak_mb: list = field(default_factory=list)

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
            peak = reap(child)
        finally:
            if child.returncode is None:
                child.kill()
                child.wait()
        seconds = time.perf_counter() - start
        out.seek(0)
        if child.returncode != 0:
            raise Skip(failure(who, child.returncode, err))
        return Child(out.read().decode(errors="replace"), seconds, peak)
