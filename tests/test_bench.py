"""nll-fast bench: the table, JSON, and what is refused before anything is measured."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from nll_fast import cli
from nll_fast.cli.bench.measure import load

SMALL = """
[[workload]]
name = "small"
function = "cross_entropy"
inputs = { logits = "normal", target = "class" }
shape = [32, 10]
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_every_function_of_the_list_is_known_and_its_names_differ():
    names = [workload.name for workload in load(None)]
    assert len(set(names)) == len(names) > 10


def test_a_workload_is_checked_and_timed(small, capsys):
    assert cli.main(["bench", "--workloads", str(small), "--peers", "numpy", "--json"]) == 0
    output = capsys.readouterr()
    (result,) = json.loads(output.out)["workloads"]
    assert result["workload"]["name"] == "small" and result["error"] < 1e-6
    assert result["seconds"] > 0 and result["peers"]["NumPy"] > 0
    assert "32 x 10" in output.err


def test_the_gradient_of_a_quantity_is_checked_and_timed(small, capsys):
    divergence = SMALL.replace("cross_entropy", "kl_divergence").replace(
        'logits = "normal", target = "class"', 'p_logits = "normal", q_logits = "other normal"'
    )
    small.write_text(divergence + 'keywords = { grad = true, wrt = "q_logits" }\n')
    assert cli.main(["bench", "--workloads", str(small), "--peers", "numpy", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["workloads"]
    assert result["bytes"] == 3 * 32 * 10 * 4 and result["error"] < 1e-6 and result["peers"]["NumPy"] > 0


def test_a_workload_is_measured_at_several_sizes(small, tmp_path, capsys):
    picture = tmp_path / "costs.svg"
    plot = ["--plot", str(picture)] if importlib.util.find_spec("matplotlib") else []
    arguments = ["--workloads", str(small), "--peers", "numpy", "--sizes", "1", "--json", *plot]
    assert cli.main(["bench", *arguments]) == 0
    results = json.loads(capsys.readouterr().out)["workloads"]
    assert [r["workload"]["shape"][0] for r in results] == [10, 100, 1000, 10_000, 20_833]
    assert all(r["error"] < 1e-6 for r in results)
    assert picture.exists() == bool(plot)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workloads", "no.toml"], "cannot read no.toml"),
        (["--workloads", __file__], "is not a list of workloads"),
        (["--peers", "numpy,scikit"], "knows no scikit"),
        (["--plot", "x.gif"], "--plot"),
        (["zzz"], "no workload has zzz"),
    ],
)
def test_what_cannot_work_is_said_at_once(arguments, words, capsys):
    assert cli.main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_function_is_named(small, capsys):
    small.write_text(SMALL.replace("cross_entropy", "crossing"))
    assert cli.main(["bench", "--workloads", str(small)]) == 2
    assert "small is of crossing" in capsys.readouterr().err


def test_the_table_is_printed_where_stdout_is_ascii(small):
    """The sign of microseconds, and the name of a workload in a list that the user wrote in UTF-8."""
    small.write_text(SMALL.replace('"small"', '"größer"'), "utf-8")
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "nll_fast", "bench", "--workloads", str(small), "--peers", "none"]
    shown = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ascii_only})
    assert (shown.returncode, shown.stderr) == (0, "")
    (line,) = (line for line in shown.stdout.splitlines() if line.startswith("gr\\xf6\\xdfer"))
    assert " us " in line


def test_a_picture_is_drawn_of_workloads_that_all_fit_in_the_cache(small, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from matplotlib import pyplot

    small.write_text(SMALL + SMALL.replace("small", "smaller"))
    arguments = ["bench", "--workloads", str(small), "--quick", "--peers", "numpy", "--plot"]
    for name in ("x.png", "x.SVG"):
        assert cli.main([*arguments, str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 5000
    axes = pyplot.gcf().axes[0]
    assert [bars.get_label() for bars in axes.containers] == ["nll_fast", "NumPy"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["small", "smaller"]
    assert all(bar.get_width() > 0 for bars in axes.containers for bar in bars)
    assert axes.get_xlabel().endswith("without a mark: in the cache")


def test_what_cannot_be_drawn_is_said_before_anything_is_measured(small, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")

    def measured(*arguments):
        raise AssertionError("it was measured")

    monkeypatch.setattr("nll_fast.cli.bench.measure", measured)
    (tmp_path / "folder.png").mkdir()
    arguments = ["bench", "--workloads", str(small), "--peers", "none", "--plot"]
    for name in ("folder.png", "absent/x.png", "x.gif", "x", "\ud800.png"):
        assert cli.main([*arguments, str(tmp_path / name)]) == 2
        assert f"--plot {tmp_path}" in capsys.readouterr().err
    small.write_text(SMALL + 'dtype = "bfloat16"')
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ml_dtypes" else find(name))
    for sizes in ([], ["--sizes", "1"]):
        assert cli.main([*arguments, str(tmp_path / "x.png"), *sizes]) == 2
        assert "nothing to draw" in capsys.readouterr().err
