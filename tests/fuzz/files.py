"""Readers of files, against files that nobody should have written.

    python -m tests.fuzz.files --seed 1 --cases 1000000     # all cases from 0 on
    python -m tests.fuzz.files --seed 1 --case 4711         # one again, with what came of it

A case fails that raises anything but a ValueError of one line and at most 300 characters, that ends the process, that
takes more than two seconds, that is read otherwise than NumPy reads it, that `nll-fast info` cannot print, or whose
header is accepted although bytes are missing. What fails prints its number.
"""

import argparse
import contextlib
import io
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import deque
from pathlib import Path

import numpy as np
from nll_fast import _files
from nll_fast._llama import CodedLogits
from nll_fast.cli import info
from nll_fast.cli.inputs import Logits

from . import file_grammar

FORMATS = {
    ".npy": file_grammar.npy,
    ".npz": file_grammar.npz,
    ".safetensors": file_grammar.safetensors,
    ".kld": file_grammar.llama,
}
WITH_NAMES = (".npz", ".safetensors")
SECONDS = 2
LONGEST = 300


def draw_case(seed: int, number: int) -> tuple[str, bytes, str | None]:
    """The ending, the bytes and the name that is asked for."""
    draw = random.Random((seed << 64) + number)
    ending = draw.choice(tuple(FORMATS))
    data = FORMATS[ending](draw)
    if draw.random() < 0.4:
        data = file_grammar.mutated(draw, data)
    names = file_grammar.NAMES[:2] if draw.random() < 0.8 else file_grammar.NAMES
    return ending, data, None if ending not in WITH_NAMES or draw.random() < 0.7 else draw.choice(names)


def read(path: Path, name: str | None) -> np.ndarray | None:
    """The array of a file by both ways to it, of which one gives a few rows at a time; None for a large .npz."""
    stored = _files.load(path, name)
    if path.suffix == ".npz" and stored.nbytes > 1 << 20:
        return None
    try:
        if isinstance(stored, _files.StoredCodes):
            stored.targets()
        whole = stored.whole()
    except ValueError as error:
        # Of an archive only the header is unpacked, and of llama.cpp's tokens none is looked at, before they are read.
        later = path.suffix == ".npz" or "it claims token" in str(error)
        assert later, f"its header is accepted, and reading says: {error}"
        raise
    if (stored.dtype.kind == "f" or path.suffix == ".kld") and stored.shape and stored.nbytes:
        logits = Logits(stored, stored.dtype, bfloat16=False)
        rows = [_native(block) for _, block in logits.blocks(deque(range(0, whole.size // whole.shape[-1], 2)), 2)]
        given = logits.flat(np.arange(np.prod(stored.shape[:-1], dtype=int)).reshape(stored.shape[:-1]))
        want = whole.reshape(-1, whole.shape[-1])[given].astype(whole.dtype.newbyteorder("="))
        got = np.concatenate(rows)
        if path.suffix == ".kld":  # Of two NaN, a scale and a minimum, NumPy's sum has the bits of either.
            got[np.isnan(got)] = want[np.isnan(want)] = np.nan
        assert got.tobytes() == want.tobytes(), "rows differ from those of the whole"
    return whole


def _native(block: np.ndarray | CodedLogits) -> np.ndarray:
    if isinstance(block, CodedLogits):
        return np.asarray(block)
    assert block.dtype.isnative and block.flags.aligned
    return block.copy()


def uncovered(data: bytes) -> bool:
    """Whether tensors of a .safetensors file that is read share bytes, or leave some."""
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    offsets = sorted(entry["data_offsets"] for name, entry in entries.items() if name != "__metadata__")
    return [0, *(end for _, end in offsets)] != [*(begin for begin, _ in offsets), len(data) - 8 - length]


def numpys(ending: str, data: bytes, name: str | None) -> np.ndarray | None:
    """The array as NumPy reads it, if it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = np.load(io.BytesIO(data), allow_pickle=False)
            array = loaded if ending == ".npy" else loaded[loaded.files[0] if name is None else name]
    except Exception:
        return None
    return array if isinstance(array, np.ndarray) else None  # of a member that is no .npy it gives the bytes


def check(seed: int, number: int, folder: Path) -> tuple[str, str]:
    """What came of a case: "read" or "refused" and the sentence, or "failed" and why."""
    ending, data, name = draw_case(seed, number)
    path = folder / f"x{ending}"
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with contextlib.suppress(ValueError):
                described = info.text(info.info(argparse.Namespace(files=[str(path)])))
                assert described.replace("\n", "").isprintable() and len(described) < 20_000, "nll-fast info"
            array = read(path, name)
    except ValueError as error:
        said = str(error)
        if type(error) is not ValueError or not said.startswith(f"cannot read {path}: "):
            return "failed", f"{type(error).__name__}: {said[:500]!r}"
        if len(said) > LONGEST or not said.isprintable():
            return "failed", f"{len(said)} characters: {said[:500]!r}"
        return "refused", said.removeprefix(f"cannot read {path}: ")
    except BaseException as error:
        return "failed", f"{type(error).__name__}: {str(error)[:500]!r}"
    if ending == ".safetensors" and uncovered(data):
        return "failed", "its tensors share bytes, or leave some"
    if array is not None and ending in (".npy", ".npz"):
        other = numpys(ending, data, name)
        if other is not None and (other.dtype, other.shape, other.tobytes()) != (
            array.dtype,
            array.shape,
            array.tobytes(),
        ):
            return "failed", f"NumPy reads {other.dtype} {other.shape}, and this {array.dtype} {array.shape}"
    return "read", "" if array is None else f"{array.dtype} {array.shape}"


def run(seed: int, first: int, last: int, folder: Path) -> None:
    """Check the cases in this process, which one that takes too long ends.

    In the file ``number`` of the folder are the case that is checked, and how many were read and have failed.
    """
    with (folder / "number").open("r+b") as file, mmap.mmap(file.fileno(), 24) as shared:
        _, was_read, failures = struct.unpack("<3Q", shared)
        for number in range(first, last):
            shared[:] = struct.pack("<3Q", number, was_read, failures)
            if hasattr(signal, "ITIMER_PROF"):
                signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor's time: the machine may be busy
            came, why = check(seed, number, folder)
            was_read += came == "read"
            if came == "failed":
                failures += 1
                print(f"case {number} failed: {why}", flush=True)
        shared[8:] = struct.pack("<2Q", was_read, failures)


def watch(seed: int, first: int, last: int) -> int:
    """Have other processes check the cases, each those after the one that ended its forerunner; return the failures."""
    deaths = was_read = failed = 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        shared = Path(name) / "number"
        shared.write_bytes(bytes(24))
        begin = first
        while begin < last:
            command = [sys.executable, "-m", "tests.fuzz.files", "--inside", name, "--seed", str(seed)]
            child = subprocess.Popen([*command, "--first", str(begin), "--cases", str(last - begin)])
            code = _wait(child, shared)
            number, was_read, failed = struct.unpack("<3Q", shared.read_bytes())
            if code == 0:
                break
            deaths += 1
            print(f"case {number} failed: the process ended with {code}", flush=True)
            begin = number + 1
        failures = failed + deaths
    cases, seconds = last - first, time.monotonic() - start
    print(
        f"{cases} cases of seed {seed} in {seconds:.0f} s, {was_read} of them read: {'FAILED' if failures else 'held'}"
    )
    return failures


def _wait(child: subprocess.Popen, shared: Path) -> int:
    """The exit code of a process, which is killed if a case keeps it for long without using the processor."""
    seen, since = b"", time.monotonic()
    while child.poll() is None:
        time.sleep(0.05)
        now = shared.read_bytes()[:8]
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > 30 * SECONDS:
            child.kill()
    return child.returncode


def main() -> int | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--case", type=int, help="only this one, in this process")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        with tempfile.TemporaryDirectory() as folder:
            came, why = check(options.seed, options.case, Path(folder))
        ending, data, name = draw_case(options.seed, options.case)
        print(f"{ending}, {len(data)} bytes, name {name!r}: {data[:400]!r}\n{came}: {why}")
        return came == "failed"
    last = options.first + options.cases
    if options.inside:
        return run(options.seed, options.first, last, options.inside)
    return watch(options.seed, options.first, last) > 0


if __name__ == "__main__":
    sys.exit(main())
