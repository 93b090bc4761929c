"""The file of ``--per-token``: whole or absent, where it was asked for, with its permissions, and nothing beside it."""

import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from nll_fast import _writing

from .conftest import run, score

posix = pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere, and permissions are others")


def refuse(*arguments, **options):
    raise PermissionError(1, "Operation not permitted")


@pytest.fixture(params=["no name", "no such files", "no names for them"])
def way(request, monkeypatch):
    """Each way in which a file is written: unnamed, or named where the system has no unnamed files or keeps them so."""
    if request.param == "no name" and not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without a name")
    if request.param == "no such files":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif request.param == "no names for them":
        monkeypatch.setattr(os, "link", refuse)


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_an_output_is_written_and_replaced_and_nothing_lies_beside_it(way, tmp_path):
    out = tmp_path / "out.npy"
    for array in (np.arange(5.0), np.arange(1e5), np.empty(0)):
        _writing.save(out, array)
        assert (np.load(out) == array).all() and os.listdir(tmp_path) == ["out.npy"]


@posix
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_new_file_has_the_permissions_of_the_umask_and_a_replaced_one_keeps_its_own(way, tmp_path, umask):
    out, before = tmp_path / "out.npy", os.umask(umask)
    try:
        _writing.save(out, np.arange(5.0))
        assert permissions(out) == 0o666 & ~umask
        for mode in (0o600, 0o664, 0o400):
            out.chmod(mode)
            _writing.save(out, np.arange(5.0))
            assert permissions(out) == mode
    finally:
        os.umask(before)


@posix
def test_an_output_that_is_a_link_is_written_where_it_points_and_stays_a_link(way, tmp_path):
    (tmp_path / "there").mkdir()
    out, there = tmp_path / "out.npy", tmp_path / "there" / "real.npy"
    out.symlink_to(there)
    for array in (np.arange(5.0), np.arange(6.0)):
        _writing.save(out, array)
        assert out.is_symlink() and len(np.load(there)) == len(array) and os.listdir(there.parent) == ["real.npy"]


@posix
def test_a_link_that_lies_where_the_file_grows_is_not_followed(way, tmp_path, monkeypatch):
    monkeypatch.setattr(_writing.secrets, "token_hex", lambda size: "guessed")
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    out = tmp_path / "out.npy"
    out.write_text("old")
    (tmp_path / ".guessed.partial").symlink_to(victim)
    with pytest.raises(OSError, match=r"cannot write .*out\.npy: File exists"):
        _writing.save(out, np.arange(5.0))
    assert victim.read_text() == "as it was" and out.read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no files without a name")
def test_a_new_file_has_no_name_but_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", refuse)
    _writing.save(tmp_path / "out.npy", np.arange(5.0))
    assert os.listdir(tmp_path) == ["out.npy"]


@posix
def test_a_name_may_have_255_bytes(way, tmp_path):
    out = tmp_path / ("é" * 125 + "x.npy")
    assert len(os.fsencode(out.name)) == 255
    for _ in range(2):
        _writing.save(out, np.arange(5.0))
    assert len(np.load(out)) == 5 and len(os.listdir(tmp_path)) == 1


FULL = """
import resource, signal, sys
from nll_fast import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
sys.exit(cli.main(sys.argv[1:]))
"""


@posix
@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_finds_no_room_is_said_and_the_old_one_stays(example, old):
    """A limit on the size of files stands for a full disk: writing fails in the middle, with a reason."""
    _, _, folder = example
    out = folder / "out.npy"
    if old:
        out.write_text("as it was")
    where = folder / "x.npy", "--targets", folder / "t.npy", "--per-token", out
    done = subprocess.run([sys.executable, "-c", FULL, "score", *where], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"nll-fast: cannot write {out}: File too large\n"
    assert sorted(os.listdir(folder)) == ["out.npy"] * old + ["t.npy", "x.npy"]
    assert not old or out.read_text() == "as it was"


def test_the_file_is_on_the_disk_before_it_is_in_its_place(way, tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace

    def note(name, call):
        return lambda *arguments: (done.append(name), call(*arguments))

    monkeypatch.setattr(os, "fsync", note("sync", sync))
    monkeypatch.setattr(os, "replace", note("replace", replace))
    out = tmp_path / "out.npy"
    out.write_text("old")
    _writing.save(out, np.arange(5.0))
    before, after = done[: done.index("replace")], done[done.index("replace") + 1 :]
    assert before.count("sync") >= 1 and len(after) == (os.name == "posix")  # other systems cannot sync a folder


@posix
def test_a_folder_that_takes_no_files_is_said_before_scoring(example):
    _, _, folder = example
    closed = folder / "closed"
    closed.mkdir(0o500)
    out = closed / "out.npy"
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write everywhere")
    shown = run("score", folder / "x.npy", "--targets", folder / "t.npy", "--per-token", out)
    assert (shown.returncode, shown.stdout) == (2, "") and "takes no new files" in shown.stderr


def test_an_output_cannot_be_written_over_an_input(example, capsys):
    _, _, folder = example
    assert score(folder / "x.npy", "--targets", folder / "t.npy", "--per-token", folder / "t.npy") == 2
    assert "would overwrite the input" in capsys.readouterr().err
