"""nll-fast score: numbers, the table, what streams can show, interrupts."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import nll_fast
import numpy as np
import pytest
from nll_fast import _files, cli

from .conftest import run, score


def test_shift_and_bytes(tmp_path, capsys):
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((2, 9, 20)).astype(np.float32), rng.integers(0, 20, (2, 9))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    where = (tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--shift", 1)
    assert score(*where, "--bytes", 50, "--json") == 0
    got = json.loads(capsys.readouterr().out)
    assert got["tokens"] == 16
    assert got["nll"] == nll_fast.cross_entropy(x, t, shift=1)
    np.testing.assert_allclose(got["bits_per_byte"], nll_fast.bits_per_byte(x, t, 50, shift=1), rtol=1e-14)
    assert score(*where, "--bytes", 50) == 0 and "bits per byte" in capsys.readouterr().out
    assert score(*where[:3], "--shift", 10) == 2 and "there are 9 positions" in capsys.readouterr().err
    assert score(*where, "--bytes", 0) == 2 and "--bytes 0" in capsys.readouterr().err


def test_summary(example, capsys):
    x, t, folder = example
    out = folder / "out.npy"
    assert score(folder / "x.npy", "--targets", folder / "t.npy", "--json", "--per-token", out) == 0
    got = json.loads(capsys.readouterr().out)
    each = nll_fast.cross_entropy(x, t, reduction="none", out=np.empty(50))
    assert got["nll"] == nll_fast.cross_entropy(x, t)
    assert (got["tokens"], got["ignored"]) == (49, 1)
    counted = t != -100
    np.testing.assert_allclose(got["nll_error"], each[counted].std(ddof=1) / 7, rtol=1e-12)
    assert got["top1_accuracy"] == np.mean((x.argmax(-1) == t)[counted])
    assert (np.load(out) == -each).all()
    assert sorted(p.name for p in folder.iterdir()) == ["out.npy", "t.npy", "x.npy"]


def test_ties_go_to_the_first_class(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((2, 4), np.float16))
    np.save(tmp_path / "t.npy", [0, 1])
    assert score(tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["top1_accuracy"] == 0.5


def test_no_tokens_is_an_error_and_one_has_no_standard_error(example, capsys):
    _, _, folder = example
    np.save(folder / "none.npy", np.full(50, -100))
    out = folder / "out.npy"
    assert score(folder / "x.npy", "--targets", folder / "none.npy", "--per-token", out) == 2
    assert "no tokens to score: all 50 targets are -100" in capsys.readouterr().err and not out.exists()
    one = np.full(50, -100)
    one[3] = 5
    np.save(folder / "one.npy", one)
    assert score(folder / "x.npy", "--targets", folder / "one.npy") == 0
    assert "±" not in capsys.readouterr().out
    assert score(folder / "x.npy", "--targets", folder / "one.npy", "--per-token", folder / "out.txt") == 2
    assert "must end in .npy" in capsys.readouterr().err


def test_the_module_is_the_command():
    shown = subprocess.run([sys.executable, "-m", "nll_fast", "--version"], capture_output=True, text=True)
    assert shown.returncode == 0 and shown.stdout.strip() == f"nll-fast {nll_fast.__version__}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_said_and_a_gone_reader_is_not(example):
    _, _, folder = example
    command = [sys.executable, "-m", "nll_fast", "score", str(folder / "x.npy"), "--targets", str(folder / "t.npy")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "nll-fast: cannot write the result: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_help_that_finds_no_room_is_said_and_errors_that_find_none_are_an_exit_code(example):
    _, _, folder = example
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "nll_fast"]
    with open("/dev/full", "w") as full:
        for arguments in (["--version"], ["score", "--help"]):
            done = subprocess.run([*command, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
            assert (done.returncode, done.stderr) == (1, "nll-fast: cannot write the result: No space left on device\n")
        wrong = ["score", folder / "absent.npy", "--targets", folder / "t.npy"]
        for arguments, codes in ((wrong, [2]), (["no command"], [1, 2])):  # 1 where argparse fails with the stream
            done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, stderr=full, env=buffered)
            assert done.returncode in codes and done.stdout == b""


# What is done before the command starts, to have it interrupt itself later on.
STOP = "import atexit, os, signal, sys; stop = lambda: os.kill(os.getpid(), signal.SIGINT)"
WHEN = {
    "while NumPy is imported": """
class Finder:
    def find_spec(name, *_): return stop() if name == "numpy" else None
sys.meta_path.insert(0, Finder)""",
    "while it scores": """
import nll_fast
loss = nll_fast.cross_entropy
nll_fast.cross_entropy = lambda *arguments, **options: stop() or loss(*arguments, **options)""",
    "while Python ends": "atexit.register(stop)",
}


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is no signal elsewhere")
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("when", WHEN)
def test_ctrl_c_ends_the_command_by_its_signal_and_in_silence_whenever_it_comes(example, when, ignored):
    _, _, folder = example
    ignore = "signal.signal(signal.SIGINT, signal.SIG_IGN)" if ignored else ""  # as a shell has its jobs do
    start = "from nll_fast_command import main\nsys.exit(main())"
    script = "\n".join((STOP, ignore, WHEN[when], start))
    where = "score", folder / "x.npy", "--targets", folder / "t.npy"
    done = subprocess.run([sys.executable, "-c", script, *where], capture_output=True, text=True)
    if ignored:
        assert (done.returncode, done.stderr) == (0, "") and done.stdout
        return
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ("nll-fast: interrupted\n" if when == "while it scores" else "")
    assert bool(done.stdout) == (when == "while Python ends")


def test_what_keeps_the_command_from_starting_is_said_in_a_sentence(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('no such\\nlibrary')")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom nll_fast_command import main\nsys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "nll-fast: cannot start: no such library\n")


# Python takes the ASCII that is asked for here over the locale's encoding, as it does where a locale has no other.
ASCII = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_the_table_is_printed_where_stdout_has_no_plus_minus_sign(example):
    _, _, folder = example
    shown = run("score", folder / "x.npy", "--targets", folder / "t.npy", env=ASCII)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert " +/- 0." in shown.stdout and "(standard error)" in shown.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8", "utf-16"])
@pytest.mark.parametrize("name", ["ü±.npy", "日本.npz", "\udcff.npy", "\ud800.safetensors", "😀"])
def test_no_name_is_beyond_any_stream(example, monkeypatch, encoding, name):
    _, _, folder = example
    good = str(folder / "x.npy"), "--targets", str(folder / "t.npy")
    for arguments in (
        ["score", name, *good[1:]],
        ["score", f"{good[0]}:{name}", *good[1:]],
        ["score", *good, "--per-token", f"{folder}/absent/{name}"],
        ["score", *good, "--shift", name],
        ["score", *good, "--strings", name],
        ["compare", good[0], name],
        ["compare", good[0], good[0], "--html", f"{folder}/absent/{name}"],
        ["info", name],
        ["bench", name],
        ["bench", "--peers", name],
        ["bench", "--workloads", name],
        ["bench", "--plot", name],
        [name],
    ):
        written = [io.BytesIO(), io.BytesIO()]
        for stream, file in zip(("stdout", "stderr"), written, strict=True):
            monkeypatch.setattr(sys, stream, io.TextIOWrapper(file, encoding, errors="strict"))
        try:
            code = cli.main(arguments)
        except SystemExit as stop:  # how argparse refuses
            code = stop.code
        sys.stderr.flush()
        out, said = (file.getvalue().decode(encoding) for file in written)
        monkeypatch.undo()
        assert code == 2 and not out
        assert "codec" not in said and "Traceback" not in said and len(said) > 10


def test_an_unknown_option_is_refused_with_the_usage_of_its_command_and_the_nearest_option(capsys):
    for arguments, words in (
        (["score", "x.npy", "--target", "t.npy"], "unrecognized arguments: --target t.npy; is it --targets?"),
        (["score", "x.npy", "--topk=5"], "unrecognized arguments: --topk=5; is it --top-k?"),
        (["compare", "p.npy", "q.npy", "t.npy"], "unrecognized arguments: t.npy\n"),
        (["info", "x.npy", "--xyz"], "unrecognized arguments: --xyz\n"),
    ):
        assert cli.main(arguments) == 2
        said = capsys.readouterr()
        assert said.err.startswith(f"usage: nll-fast {arguments[0]} ") and words in said.err and not said.out


def test_tables_of_every_command_are_printed_in_ascii(example):
    _, _, folder = example
    where = folder / "x.npy", "--targets", folder / "t.npy"
    for arguments in (
        ("score", *where, "--worst", 3),
        ("compare", folder / "x.npy", *where),
        ("info", folder / "x.npy"),
    ):
        shown = run(*arguments, env=ASCII)
        assert (shown.returncode, shown.stderr) == (0, "") and "\\" not in shown.stdout


def test_help_is_printed_in_ascii():
    for command in ("score", "compare", "info", "bench"):
        shown = run(command, "--help", env=ASCII)
        assert shown.returncode == 0 and "\\" not in shown.stdout


def test_the_time_includes_unpacking_and_reading(example, monkeypatch, capsys):
    _, _, folder = example
    load = _files.load
    monkeypatch.setattr(_files, "load", lambda *arguments: time.sleep(0.2) or load(*arguments))
    assert score(folder / "x.npy", "--targets", folder / "t.npy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["seconds"] >= 0.4


def test_rows_that_are_nan_or_infinite_are_counted_apart(tmp_path, capsys):
    x, t = np.zeros((2, 4, 3)), np.array([[1, 1, 1, 1], [-100, 1, 1, 1]])
    where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy"
    np.save(tmp_path / "t.npy", t)
    keys = ["nll", "nan", "first_nan", "infinite", "first_infinite"]

    def fields():
        np.save(tmp_path / "x.npy", x)
        assert score(*where) == 0
        table = capsys.readouterr().out
        assert score(*where, "--json") == 0
        summary = json.loads(capsys.readouterr().out)
        return table, [summary[key] for key in keys]

    table, found = fields()
    assert found == [np.log(3), 0, None, 0, None] and "rows" not in table
    x[0, 2:, 1] = -np.inf
    table, found = fields()
    assert found == [None, 0, None, 2, 2] and "NaN" not in table
    assert "infinite rows   2, the first of them row 2," in table
    x[1, 0, 1] = x[1, 1, 0] = x[1, 3, 2] = np.nan  # the first of these is of an ignored row
    table, found = fields()
    assert found == [None, 2, 5, 2, 2]
    assert "NaN rows        2, the first of them row 5," in table and "infinite rows   2," in table


@pytest.mark.parametrize("command", ["score", "bench"])
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "not enough memory"),
        (RuntimeError("no threads"), 1, "no threads"),
        (KeyError("a\nkey"), 70, f"KeyError: 'a\\nkey': this is a fault of nll-fast {nll_fast.__version__}; please"),
        (type("Panic", (BaseException,), {})("out of\nbounds"), 70, "Panic: out of bounds: this is a fault"),
    ],
)
def test_whatever_happens_is_said_in_a_sentence(example, monkeypatch, capsys, command, error, code, words):
    _, _, folder = example

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(nll_fast, "cross_entropy", fail)
    where = (
        ["--peers", "none", "one batch"] if command == "bench" else [folder / "x.npy", "--targets", folder / "t.npy"]
    )
    assert cli.main([command, *map(str, where)]) == code
    said = capsys.readouterr().err
    assert said.startswith(f"nll-fast: {words}") and said.count("\n") == 1
    monkeypatch.setenv("NLL_FAST_TRACEBACK", "1")
    assert cli.main([command, *map(str, where)]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code != 130)


def test_a_warning_is_a_sentence(example, monkeypatch, capsys):
    _, _, folder = example
    loss = nll_fast.cross_entropy

    def warn(*arguments, **options):
        warnings.warn("cannot start 3 threads", RuntimeWarning, stacklevel=1)
        return loss(*arguments, **options)

    monkeypatch.setattr(nll_fast, "cross_entropy", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert score(folder / "x.npy", "--targets", folder / "t.npy") == 0
    assert capsys.readouterr().err == "nll-fast: cannot start 3 threads\n"


def test_without_a_stdout_nothing_is_computed_in_vain(example, monkeypatch, capsys):
    _, _, folder = example
    monkeypatch.setattr(sys, "stdout", None)
    assert score(folder / "x.npy", "--targets", folder / "t.npy") == 2
    assert "there is no stdout" in capsys.readouterr().err


def test_without_a_stderr_results_come_and_errors_are_an_exit_code(example, monkeypatch, capsys):
    _, _, folder = example
    for arguments, code in (
        (["score", folder / "x.npy", "--targets", folder / "t.npy", "--json"], 0),
        (["score", folder / "absent.npy", "--targets", folder / "t.npy", "--json"], 2),
        (["bench", "one batch", "--peers", "none", "--json"], 0),
    ):
        monkeypatch.setattr(sys, "stderr", None)
        assert cli.main([*map(str, arguments)]) == code
        out = capsys.readouterr().out
        assert json.loads(out) if code == 0 else not out
