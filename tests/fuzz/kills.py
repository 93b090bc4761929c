"""Kills ``nll-fast score --per-token`` at random moments: its output must be whole, or what was there before.

    python -m tests.fuzz.kills --seed 0 --cases 300        # --first 17 --cases 1 runs case 17 again

A case is a signal, a moment after the command's start or after that of its writing, an output that is there already
or not, and a way in which files are written: without a name until they are whole, or hidden, as where a system has no
such files. All of it is drawn from the case's number, but what the command does at a moment depends on the machine.
"""

import argparse
import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nll_fast
import numpy as np

ROWS = 200_000
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
PHASES = ("all", "writing")
WAYS = ("unnamed", "hidden") if hasattr(os, "O_TMPFILE") else ("hidden",)

# It says when it starts, or when it starts to write.
COMMAND = """
import os, signal, sys
from nll_fast_command import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs of a shell inherit as ignored
started, phase, way = sys.argv[1:4]
del sys.argv[1:4]
def tell(): os.write(int(started), b"!")
if way == "hidden" and hasattr(os, "O_TMPFILE"): del os.O_TMPFILE
if phase == "all": tell()
else:
    from nll_fast import _writing
    save = _writing.save
    _writing.save = lambda path, array: (tell(), save(path, array))
sys.exit(main())
"""


class Folder:
    """The inputs in a folder, and the outputs that the command may leave there: the old one and the new one."""

    def __init__(self, path):
        self.path, self.out = Path(path), Path(path) / "out.npy"
        rng = np.random.default_rng(0)
        logits, target = rng.standard_normal((ROWS, 3)).astype(np.float16), rng.integers(0, 3, ROWS)
        np.save(self.path / "x.npy", logits)
        np.save(self.path / "t.npy", target)
        self.inputs = set(os.listdir(path))
        self.new = nll_fast.token_log_probs(logits, target, out=np.empty(ROWS))
        self.old = b"what was there before"
        self.seconds = {phase: max(self.run(phase, way)[0] for way in WAYS) for phase in PHASES}
        assert (np.load(self.out) == self.new).all()
        self.written = self.out.read_bytes()

    def run(self, phase, way, number=None, delay=0.0):
        """Run the command and send it a signal ``delay`` seconds after the start of a phase; how long after that it
        ended, its exit code, stdout and stderr."""
        listen, started = os.pipe()
        inputs = ["score", "x.npy", "--targets", "t.npy", "--per-token", self.out.name, "--json"]
        arguments = [sys.executable, "-c", COMMAND, str(started), phase, way, *inputs]
        process = subprocess.Popen(
            arguments, cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[started]
        )
        os.close(started)
        os.read(listen, 1)
        os.close(listen)
        start = time.perf_counter()
        if number is not None:
            time.sleep(delay)
            process.send_signal(number)
        said, errors = process.communicate(timeout=60)
        return time.perf_counter() - start, process.returncode, said, errors


def run_case(folder, seed, case):
    """Kill the command once; what the case was and how it ended, and what is wrong with that."""
    rng = np.random.default_rng([seed, case])
    number, phase, way = (choices[rng.integers(len(choices))] for choices in (SIGNALS, PHASES, WAYS))
    old, share = bool(rng.integers(2)), rng.uniform()
    # Most of the time of writing is a wait for the disk; what is before it, a thousandth, has as many cases.
    delay = 1.1 * folder.seconds[phase] * (share if phase == "all" else 1000 ** (share - 1))
    for name in set(os.listdir(folder.path)) - folder.inputs:
        (folder.path / name).unlink()
    if old:
        folder.out.write_bytes(folder.old)
    _, code, said, errors = folder.run(phase, way, number, delay)
    found = folder.out.read_bytes() if folder.out.exists() else b""
    ended = {0: "done", -number: "killed"}.get(code, f"exit code {code}")
    is_new, is_old = found == folder.written, found == (folder.old if old else b"")
    wrong = []
    if code not in (0, -number):
        wrong.append(f"the exit code is {code}")
    if not (is_new or (is_old and code)):
        wrong.append(f"the output has {len(found)} of {len(folder.written)} bytes")
    if not code and json.loads(said)["tokens"] != ROWS:
        wrong.append(f"the result is {said!r}")
    if errors not in ("", "nll-fast: interrupted\n") or (errors and number != signal.SIGINT):
        wrong.append(f"it says {errors!r}")
    left = set(os.listdir(folder.path)) - folder.inputs - {folder.out.name}
    # A file that is to replace another has a name for a moment: the only one at which something may stay behind.
    between = old and is_old and all((folder.path / name).read_bytes() == folder.written for name in left)
    if left and (number == signal.SIGINT or not (way == "hidden" or between)):
        wrong.append(f"{left} is left behind")
    outcome = f"{'new' if is_new else 'old' if old else 'no'} output" + (", a file left behind" if left else "")
    return f"{number.name}, {way}: {ended}, {outcome}", f"{delay:.4f} s after the start of {phase}", wrong


def run_cases(seed, cases):
    """Run the cases; how often each outcome came, and a line for each that is wrong."""
    outcomes, faults = collections.Counter(), []
    with tempfile.TemporaryDirectory() as path:
        folder = Folder(path)
        for case in cases:
            outcome, when, wrong = run_case(folder, seed, case)
            outcomes[outcome] += 1
            if wrong:
                faults.append(f"seed {seed}, case {case}, {when}, {outcome}: {'; '.join(wrong)}")
    return outcomes, faults


def main():
    """Run the cases that the options name, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    outcomes, faults = run_cases(options.seed, range(options.first, options.first + options.cases))
    for outcome, times in sorted(outcomes.items()):
        print(f"{times:6} {outcome}")
    print(*faults, f"{len(faults)} of {options.cases} cases are wrong", sep="\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
