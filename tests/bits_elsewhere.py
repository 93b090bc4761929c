"""The bits of every row of tests/cases.py on one CPU, compared with those on another.

python -m tests.bits_elsewhere FOLDER

The first run draws the arguments of all calls into FOLDER: on another CPU or C library, NumPy would draw other
numbers. It notes a hash of the results beside them. Each further run, under an emulator or on another machine, computes
from the same arguments and fails where a hash differs. Levels with fused multiply-add are compared with one another,
the baseline with the baseline. ``NLL_FAST_SIMD`` chooses the level of a run. tests/emulated.sh calls this.
"""

import hashlib
import json
import platform
import sys
from pathlib import Path

import nll_fast
import numpy as np
from ml_dtypes import bfloat16

from .cases import CASES, DTYPES
from .test_bits import draw

LENGTHS = 3, 10, 2100  # rows in the lanes, with and without a remainder, and rows in blocks


def calls():
    """The row, dtype and length of each call, and its name in the files."""
    for name, case in CASES.items():
        for dtype in DTYPES:
            for length in LENGTHS if case.rows else (0,):
                yield case, dtype, length, f"{name}|{dtype}|{length}"


def save_arguments(file):
    drawn = {}
    for case, dtype, length, call in calls():
        for key, x in draw(case.name, dtype, length).items():
            drawn[f"{call}|{key}"] = x.view(np.uint16) if x.dtype == bfloat16 else x
    np.savez(file, **drawn)


def saved_arguments(file, case, dtype, call):
    arguments = {key: file[f"{call}|{key}"] for key in (*case.draws, *case.others)}
    typed = {key: arguments[key].view(DTYPES[dtype]) for key in case.draws}
    return arguments | typed


def hashes(file):
    """One of each call: of every loss and, where it reduces, of the total."""
    with np.load(file) as saved:
        found = {}
        for case, dtype, _, call in calls():
            arguments = saved_arguments(saved, case, dtype, call)
            total = [case.call(arguments, reduction="sum")] if case.reduces else []
            results = case.call(arguments).tobytes() + np.array(total).tobytes()
            found[call] = hashlib.sha256(results).hexdigest()[:16]
        return found


def main(folder):
    level = nll_fast.simd_level()
    arguments, noted = folder / "arguments.npz", folder / ("baseline.json" if level == "baseline" else "fused.json")
    if not arguments.exists():
        save_arguments(arguments)
    found, here = hashes(arguments), f"{level} on {platform.machine()}, NumPy {np.__version__}"
    if not noted.exists():
        noted.write_text(json.dumps({"where": here, "hashes": found}))
        print(f"{here}: {len(found)} calls noted")
        return 0
    first = json.loads(noted.read_text())
    differing = [call for call in found if found[call] != first["hashes"].get(call)]
    print(f"{here}: {len(found) - len(differing)} of {len(found)} calls give the bits of {first['where']}")
    print(*(f"  other bits: {call}" for call in differing), sep="\n", end="\n" if differing else "")
    return 1 if differing or found.keys() != first["hashes"].keys() else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
