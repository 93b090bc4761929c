"""A few seconds of tests/fuzz/files.py, and that it would see what it looks for."""

import os
import re
import struct
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from nll_fast import _files

from .conftest import ROOT
from .fuzz import files


def fuzz(*options, **environment):
    command = [sys.executable, "-m", "tests.fuzz.files", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment})


def test_no_file_does_more_than_to_be_refused_in_a_sentence():
    done = fuzz("--seed", 0, "--cases", 4000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"4000 cases of seed 0 in \d+ s, \d+ of them read: held\n", done.stdout)


def test_the_files_are_read_as_well_as_refused_in_every_format(tmp_path):
    outcomes = Counter()
    for number in range(600):
        outcomes[files.draw_case(0, number)[0], files.check(0, number, tmp_path)[0]] += 1
    assert len(outcomes) == 8 and min(outcomes.values()) > 10, outcomes


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TypeError("no"), "TypeError"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "no"), "UnicodeDecodeError"),
        (ValueError("no"), "ValueError: 'no'"),
        (RecursionError(), "RecursionError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_every_other_exception_is_a_failure(tmp_path, monkeypatch, error, words):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(_files, "load", fail)
    came, why = files.check(0, 0, tmp_path)
    assert came == "failed" and words in why


@pytest.mark.parametrize("added", ["\n", "x" * 300])
def test_a_sentence_of_two_lines_or_of_a_page_is_a_failure(tmp_path, monkeypatch, added):
    def fail(path, name):
        raise ValueError(f"cannot read {path}: it is wrong{added}")

    monkeypatch.setattr(_files, "load", fail)
    assert files.check(0, 0, tmp_path)[0] == "failed"


def test_a_scale_and_a_minimum_of_nan_are_read_in_any_blocks(tmp_path):
    classes, chunks = 6, 3
    odd = np.array([0x7FDCA069, 0x7FEF9E91], "<u4").view("<f4")  # two NaN with bits of their own
    assert np.isnan(odd).all()
    row = np.r_[odd.view("<u2"), np.arange(classes, dtype="<u2")].tobytes()
    header = struct.pack("<3I", 6, classes, chunks) + bytes(4 * 6 * chunks)
    (tmp_path / "x.kld").write_bytes(b"_logits_" + header + row * 2 * chunks)
    assert files.read(tmp_path / "x.kld", None).shape == (chunks, 2, classes)


def test_other_rows_of_a_block_are_a_failure(tmp_path, monkeypatch):
    blocks = files.Logits.blocks
    monkeypatch.setattr(
        files.Logits, "blocks", lambda *arguments: ((n, np.asarray(block) + 1) for n, block in blocks(*arguments))
    )
    outcomes = Counter(files.check(0, number, tmp_path) for number in range(200))
    assert outcomes["failed", "AssertionError: 'rows differ from those of the whole'"] > 10


# Python imports sitecustomize in every process that has its folder in the path.
DEADLY = """
import os
from pathlib import Path
from nll_fast import _files

load = _files.load

def deadly(path, name=None):
    number = int.from_bytes((Path(path).parent / "number").read_bytes()[:8], "little")
    if number == 3:
        os.abort()
    while number == 5:
        pass
    return load(path, name)

_files.load = deadly
"""


@pytest.mark.skipif(os.name != "posix", reason="this system has no signal to end a case with")
def test_a_death_and_a_case_without_an_end_print_their_numbers(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = fuzz("--seed", 0, "--cases", 8, PYTHONPATH=path)
    assert done.returncode == 1
    assert re.findall(r"case (\d+) failed", done.stdout) == ["3", "5"] and done.stdout.endswith("FAILED\n")
