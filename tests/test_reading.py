"""The logits of nll-fast score, which are read in blocks: every row once, whatever becomes of the file meanwhile."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import nll_fast
import numpy as np
import pytest
from nll_fast import _files
from nll_fast.cli.inputs import Logits

from .conftest import score
from .test_files import write_safetensors


@pytest.mark.parametrize("shape", [(16, 100_000), (1, 1_000_000), (1_000_000, 1), (3000, 900), (9000, 600)])
def test_classes_that_lie_near_or_far_from_each_other_are_read_alike(tmp_path, capsys, shape):
    rng = np.random.default_rng(7)
    x, t = rng.standard_normal(shape, np.float32), rng.integers(0, shape[-1], shape[:-1])
    np.save(tmp_path / "t.npy", t)
    for dtype in ("<f4", ">f4"):
        np.save(tmp_path / "x.npy", x.astype(dtype, order="F"))
        where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--per-token", tmp_path / "out.npy", "--json"
        assert score(*where) == 0
        assert json.loads(capsys.readouterr().out)["nll"] == nll_fast.cross_entropy(x, t)
        np.testing.assert_array_equal(
            np.load(tmp_path / "out.npy"), nll_fast.token_log_probs(x, t, out=np.empty(len(t)))
        )


# A block is scored, then the file is cut, and the next block is read. In a process of its own: it would die of a map.
SHRINK = """
import os, sys
import nll_fast
from nll_fast import cli

call = nll_fast.cross_entropy

def cut(*arguments, **options):
    os.truncate(sys.argv[1], 4096)
    return call(*arguments, **options)

nll_fast.cross_entropy = cut
sys.exit(cli.main(["score", sys.argv[1], "--targets", sys.argv[2]]))
"""


@pytest.mark.parametrize("name", ["c.npy", "f.npy", "wide.npy", "x.safetensors"])
def test_a_file_that_shrinks_while_it_is_scored_is_said_in_a_sentence(tmp_path, name):
    shape = (1 << 19, 8) if name == "wide.npy" else (4096, 1024)  # of the wide one, classes lie far from each other
    x = np.zeros(shape, np.float32)
    np.save(tmp_path / "t.npy", np.zeros(len(x), int))
    if name == "x.safetensors":
        entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, x.nbytes]}
        write_safetensors(tmp_path / name, {"x": entry}, x.tobytes())
    else:
        np.save(tmp_path / name, x if name == "c.npy" else np.asfortranarray(x))
    command = [sys.executable, "-c", SHRINK, str(tmp_path / name), str(tmp_path / "t.npy")]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 2 and not shown.stdout
    assert shown.stderr.startswith(f"nll-fast: cannot read {tmp_path / name}: it lost at least ")
    assert shown.stderr.count("\n") == 1


def test_a_file_that_grows_or_is_replaced_while_it_is_scored_is_read_as_it_was(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(6)
    x, t = rng.standard_normal((4096, 1024), np.float32), rng.integers(0, 1024, 4096)
    call, path = nll_fast.cross_entropy, tmp_path / "x.npy"
    want = call(x, t)
    np.save(tmp_path / "t.npy", t)

    def grow():
        with path.open("ab") as file:
            file.write(b"more")

    def replace():
        np.save(tmp_path / "other.npy", x[:5])
        (tmp_path / "other.npy").replace(path)

    for change in (grow,) if os.name == "nt" else (grow, replace):
        np.save(path, x)
        changes = iter([change])  # once, whichever thread comes first
        monkeypatch.setattr(
            nll_fast, "cross_entropy", lambda *a, changes=changes, **k: (next(changes, int)(), call(*a, **k))[1]
        )
        assert score(path, "--targets", tmp_path / "t.npy", "--json") == 0
        monkeypatch.undo()
        assert json.loads(capsys.readouterr().out)["nll"] == want


@pytest.mark.parametrize("threads_wanted", [1, 2, 5])
def test_threads_read_every_row_once_and_give_the_bits_of_one_call(tmp_path, capsys, threads, threads_wanted):
    threads(threads_wanted)
    rng = np.random.default_rng(8)
    x, t = rng.standard_normal((3001, 701)), rng.integers(0, 701, 3001)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    stored = _files.load(tmp_path / "x.npy")
    assert Logits(stored, stored.dtype, False).step(threads_wanted)[1] == threads_wanted
    where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--per-token", tmp_path / "out.npy", "--json"
    assert score(*where) == 0
    got, want = json.loads(capsys.readouterr().out), nll_fast.cross_entropy(x, t, reduction="partial")
    assert (got["nll"], got["nll_error"], got["tokens"]) == (want.mean, want.standard_error, 3001)
    assert got["top1_accuracy"] == want.top1 / 3001
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), nll_fast.token_log_probs(x, t))


def test_long_rows_are_read_by_as_few_threads_as_memory_asks_for():
    for classes, readers in ((1 << 16, 8), (1 << 26, 4), (1 << 28, 1), (1 << 30, 1)):
        stored = SimpleNamespace(shape=(100, classes), nbytes=400 * classes, fortran=False)
        step, got = Logits(stored, np.dtype("f4"), False).step(8)
        assert got == readers and step * classes * 4 * readers <= max(1 << 30, 4 * classes)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_what_stops_one_thread_stops_all_of_them(tmp_path, monkeypatch, capsys, threads, error):
    threads(2)
    np.save(tmp_path / "x.npy", np.zeros((4000, 1000)))
    np.save(tmp_path / "t.npy", np.zeros(4000, int))
    call, calls = nll_fast.cross_entropy, []

    def fail_once(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise error
        return call(*arguments, **options)

    monkeypatch.setattr(nll_fast, "cross_entropy", fail_once)
    code = {KeyboardInterrupt: 130, MemoryError: 1, ValueError: 2}[error]
    assert score(tmp_path / "x.npy", "--targets", tmp_path / "t.npy") == code
    assert len(calls) < 8 and not capsys.readouterr().out
