"""What the documents say is run."""

import doctest
import inspect
import re
import shlex
from pathlib import Path

import nll_fast
import numpy as np
import pytest
from nll_fast import cli

ROOT = Path(__file__).parent.parent


def test_one_recipe():
    result = doctest.testfile(str(ROOT / "docs" / "one-recipe.md"), module_relative=False)
    assert result.attempted > 10 and not result.failed


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_of_the_readme(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {}
    for lines in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        exec(lines, names)
    scores, both = names["scores"], names["both"]
    assert scores.summary()["nll"] == nll_fast.cross_entropy(names["logits"], names["target"])
    assert scores.log_prob.shape == both.kl_pq.shape == (24,) and scores.top_k_ids.shape == (24, 5)


def test_commands_of_the_readme_on_both_models(monkeypatch, tmp_path, real_logits):
    """Their files are those of ``examples/`` under the names of the README."""
    monkeypatch.chdir(tmp_path)
    for name in ("logits", "base"):
        np.save(f"{name}.npy", real_logits[0])
    np.save("other.npy", real_logits[0].round())
    np.save("targets.npy", real_logits[1])
    Path("tokens.json").write_bytes((ROOT / "examples/smollm2_tokens.json").read_bytes())
    commands = re.findall(r"^\$ nll-fast (.*)$", README, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["score", "compare"]
    for command in commands:
        assert cli.main(shlex.split(command)) == 0
        assert Path("report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
        Path("report.html").unlink()


def test_files_that_the_readme_links_exist():
    links = re.findall(r"\]\(((?!http)[^)#]+)", README)
    assert len(links) > 10 and [link for link in links if not (ROOT / link).exists()] == []


LOSSES = [name for name in nll_fast.__all__ if inspect.isfunction(getattr(nll_fast, name)) and "threads" not in name]


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "simd_level"])
def test_every_function_says_what_it_takes_returns_and_raises(name):
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"\n    {section}\n    {'-' * len(section)}\n" in inspect.getsource(getattr(nll_fast, name)), section
