"""The numbers that nll-fast score prints: those of TokenScores.summary(), under its names."""

import json
import re

import nll_fast
import numpy as np

from .conftest import score

OF_THE_COMMAND = {"top_k", "temperature", "softcap", "storage", "seconds", "gb_per_s"}
"""What the command's JSON has beside the summary of the library: options, files and time."""


def test_the_json_is_the_summary_of_the_library(example, capsys):
    x, t, folder = example
    where = folder / "x.npy", "--targets", folder / "t.npy", "--json"
    want = nll_fast.score(x, t, top_k=7).summary()
    assert score(*where, "--top-k", 7, "--worst", 2, "--per-token", folder / "o.npy", "--bytes", 150) == 0
    got = json.loads(capsys.readouterr().out)
    assert got.keys() - want.keys() == {"worst", "bits_per_byte"} | OF_THE_COMMAND
    assert {name: got[name] for name in want} == want
    # Of the losses alone, what takes more is null.
    assert score(*where) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain.keys() - want.keys() == OF_THE_COMMAND
    unknown = {"nll_median", "nll_p90", "nll_p99", "top_k_accuracy", "entropy"}
    assert {name: plain[name] for name in want} == {name: None if name in unknown else x for name, x in want.items()}
    for more in ([], ["--top-k", 7]):
        np.save(folder / "both.npy", np.concatenate([t, t]))
        assert score(folder / "x.npy", *where[:1], "--targets", folder / "both.npy", "--json", *more) == 0
        both = json.loads(capsys.readouterr().out)
        assert both.keys() - want.keys() == {"files"} | OF_THE_COMMAND
        alone = want if more else {name: plain[name] for name in want}
        assert [{name: file[name] for name in want} for file in both["files"]] == [alone] * 2
        assert all(file.keys() - want.keys() == {"file", "targets"} for file in both["files"])


def test_the_screen_shows_what_is_in_the_json(example, capsys):
    x, t, folder = example
    where = folder / "x.npy", "--targets", folder / "t.npy"
    assert score(*where, "--json", "--top-k", 7, "--worst", 2, "--per-token", folder / "o.npy") == 0
    got = json.loads(capsys.readouterr().out)
    np.testing.assert_array_equal(np.load(folder / "o.npy")[t != -100], nll_fast.token_log_probs(x, t)[t != -100])
    # What the screen shows is in the JSON.
    assert score(*where, "--top-k", 7, "--worst", 2) == 0
    shown = {float(number) for number in re.findall(r"(?<![#\w.-])-?\d+\.\d+(?![%\w])", capsys.readouterr().out)}

    def numbers(x):
        nested = x.values() if isinstance(x, dict) else x if isinstance(x, list) else ()
        return [x] if isinstance(x, (int, float)) else [n for each in nested for n in numbers(each)]

    known = numbers(got)
    missing = [n for n in shown if not any(abs(n - k) <= 6e-5 + 1e-6 * abs(k) for k in known)]
    assert len(missing) <= 1, missing  # the time, which differs from run to run
