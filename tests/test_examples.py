"""The scripts of ``examples/`` on real logits: they print what float64 NumPy gives, and their pages are whole."""

import re
import runpy
import tempfile
from pathlib import Path

import numpy as np
import pytest

from .conftest import ROOT
from .test_report import Page

EXAMPLES = ROOT / "examples"
SCRIPTS = ["score_tokens.py", "compare_models.py"]


def printed(script, capsys, monkeypatch, path):
    """The script's names, and what it prints with ``path`` as its argument."""
    monkeypatch.setattr("sys.argv", [script, str(path)])
    names = runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    return names, capsys.readouterr().out


def numbers(output, name):
    """The numbers of the line that begins with ``name``."""
    (line,) = re.findall(rf"^{re.escape(name)} +(.*)$", output, re.MULTILINE)
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?(?:e-\d+)?|nan", line)]


def log_softmax(x):
    x = x.astype(np.float64)
    return x - (x.max(-1, keepdims=True) + np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)))


@pytest.fixture
def known(real_logits):
    """log p of all classes in float64, the targets, and log p of these."""
    x, target = real_logits
    log_p = log_softmax(x)
    return log_p, target, log_p[np.arange(target.size), target]


def test_score_tokens_prints_the_summary_in_float64(known, capsys, monkeypatch, tmp_path):
    log_p, target, own = known
    _, output = printed("score_tokens.py", capsys, monkeypatch, tmp_path / "page.html")
    rank = 1 + (log_p > own[:, None]).sum(-1)
    want = {
        "tokens": 24,
        "ignored": 0,
        "nonfinite": 0,
        "nll": -own.mean(),
        "nll_error": own.std(ddof=1) / np.sqrt(24),
        "nll_median": np.median(-own),
        "nll_p90": np.quantile(-own, 0.9),
        "nll_p99": np.quantile(-own, 0.99),
        "perplexity": np.exp(-own.mean()),
        "perplexity_error": np.exp(-own.mean()) * own.std(ddof=1) / np.sqrt(24),
        "bits_per_token": -own.mean() / np.log(2),
        "top1_accuracy": (log_p.argmax(-1) == target).mean(),
        "top_k_accuracy": (rank <= 5).mean(),
        "entropy": -(np.exp(log_p) * log_p).sum(-1).mean(),
    }
    for name, value in want.items():
        assert numbers(output, name) == [pytest.approx(value, rel=1e-6)], name


def test_score_tokens_prints_the_five_worst_tokens_and_writes_their_page(known, capsys, monkeypatch, tmp_path):
    log_p, _, own = known
    names, output = printed("score_tokens.py", capsys, monkeypatch, tmp_path / "page.html")
    strings, worst = names["load"]()[2], np.argsort(own)[:5]
    table = re.search(r"^token .*likeliest.*\n((?:.+\n){5})\n", output, re.MULTILINE).group(1).splitlines()
    for i, line in zip(worst, table, strict=True):
        rank, best = 1 + (log_p[i] > own[i]).sum(), log_p[i].argmax()
        assert line.startswith(strings[i]) and numbers(line, strings[i]) == pytest.approx(
            [own[i], rank, best, log_p[i, best]], abs=5.1e-5
        )
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>") and set(strings) <= set(Page(page).strings()[1])


def test_compare_models_prints_the_divergences_in_float64(known, capsys, monkeypatch, tmp_path):
    log_p, target, p_own = known
    names, output = printed("compare_models.py", capsys, monkeypatch, tmp_path / "page.html")
    other = names["rounded"](names["load"]()[0], 6)
    assert [np.unique(row).size <= 64 for row in other] == [True] * 24
    log_q = log_softmax(other)
    p, q, q_own = np.exp(log_p), np.exp(log_q), log_q[np.arange(target.size), target]
    kl_pq, kl_qp = (p * (log_p - log_q)).sum(-1), (q * (log_q - log_p)).sum(-1)
    middle = np.log((p + q) / 2)
    want = {
        "tokens": 24,
        "js": ((p * (log_p - middle)).sum(-1) + (q * (log_q - middle)).sum(-1)).mean() / 2,
        "total_variation": abs(p - q).sum(-1).mean() / 2,
        "p_entropy": -(p * log_p).sum(-1).mean(),
        "same_top": (log_p.argmax(-1) == log_q.argmax(-1)).mean(),
        "kl_pq mean": kl_pq.mean(),
        "kl_pq error": kl_pq.std(ddof=1) / np.sqrt(24),
        "kl_pq median": np.median(kl_pq),
        "kl_pq max": kl_pq.max(),
        "kl_qp mean": kl_qp.mean(),
        "kl_qp p99": np.quantile(kl_qp, 0.99),
        "Mean PPL(base)": np.exp(-p_own.mean()),
        "Mean PPL(Q)": np.exp(-q_own.mean()),
    }
    for name, value in want.items():
        assert numbers(output, name)[0] == pytest.approx(value, rel=1e-5), name
    worst = np.argsort(-kl_pq)[:5]
    strings = names["load"]()[2]
    table = re.search(r"^token .*likeliest.*\n((?:.+\n){5})\n", output, re.MULTILINE).group(1).splitlines()
    for i, line in zip(worst, table, strict=True):
        got = numbers(line, strings[i])
        assert got[:3] == pytest.approx([kl_pq[i], p_own[i], q_own[i]], abs=5.1e-5)
        assert got[3:] == [log_p[i].argmax(), log_q[i].argmax()]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "its logits in 6 bits against SmolLM2-135M" in page and set(strings) <= set(Page(page).strings()[1])


def test_compare_models_prints_divergences_by_confidence(known, capsys, monkeypatch, tmp_path):
    log_p, _, _ = known
    names, output = printed("compare_models.py", capsys, monkeypatch, tmp_path / "page.html")
    log_q = log_softmax(names["rounded"](names["load"]()[0], 6))
    kl, sure = (np.exp(log_p) * (log_p - log_q)).sum(-1), np.exp(log_p.max(-1))
    for low, high in [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.95), (0.95, 1)]:
        here = kl[(sure >= low) & (sure < high)]
        want = [high, here.size, here.mean() if here.size else np.nan]
        assert numbers(output, f"{low:.2f} to") == pytest.approx(want, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("script", SCRIPTS)
def test_page_goes_to_a_temporary_folder_without_a_path(script, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("sys.argv", [script])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    path = Path(capsys.readouterr().out.splitlines()[-1].split(maxsplit=1)[1])
    assert tmp_path in path.parents and path.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("script", SCRIPTS)
def test_example_is_short_and_listed(script):
    assert len((EXAMPLES / script).read_text().splitlines()) < 70
    assert f"`{script}`" in (EXAMPLES / "README.md").read_text()
