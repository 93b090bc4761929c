"""Several files for nll-fast score: which, in which order, with which targets, and their exact total."""

import json
import os

import nll_fast
import numpy as np
import pytest
from nll_fast.cli.shards import expand

from .conftest import run, score, write_llama


@pytest.fixture
def shards(tmp_path):
    """Twelve shards of 3 to 14 rows, and the targets of all of them: their folder, logits, targets."""
    rng = np.random.default_rng(3)
    (tmp_path / "logits").mkdir()
    (tmp_path / "targets").mkdir()
    logits = [rng.standard_normal((3 + k, 20)).astype(np.float32) for k in range(12)]
    targets = [rng.integers(0, 20, len(each)) for each in logits]
    for k, (x, t) in enumerate(zip(logits, targets, strict=True)):
        np.save(tmp_path / "logits" / f"shard-{k}.npy", x)
        np.save(tmp_path / "targets" / f"shard-{k}.npy", t)
    np.save(tmp_path / "all.npy", np.concatenate(targets))
    return tmp_path, logits, targets


def test_shards_come_in_natural_order_however_they_are_named(shards, monkeypatch):
    monkeypatch.chdir(shards[0])
    want = [f"logits/shard-{k}.npy" for k in range(12)]
    for arguments in (["logits"], ["logits/"], ["logits/shard-*.npy"], ["logits/*"], sorted(want), want[::-1]):
        assert [each.replace("//", "/") for each in expand(arguments)] == want
    assert expand(["logits/shard-[23].npy:x"]) == ["logits/shard-2.npy:x", "logits/shard-3.npy:x"]
    assert expand(["logits/none-*.npy"]) == ["logits/none-*.npy"]
    # Names that differ in more than numbers are no shards: they come as they were given.
    assert expand(["b.npy", "a.npy", "logits/shard-1[01].npy"])[:2] == ["b.npy", "a.npy"]


def test_a_folder_is_what_it_holds_of_arrays(tmp_path, llama):
    np.save(tmp_path / "b.npy", np.zeros(3))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden.npy").write_text("hello")
    (tmp_path / "folder.npy").mkdir()
    assert expand([str(tmp_path)]) == [str(tmp_path / "b.npy"), str(llama[0])]


def test_the_total_is_exact_and_each_file_has_its_line(shards, capsys):
    folder, logits, targets = shards
    x, t = np.concatenate(logits), np.concatenate(targets)
    want, each = nll_fast.cross_entropy(x, t, reduction="partial"), nll_fast.token_log_probs(x, t)
    out = folder / "out.npy"
    for given in (folder / "all.npy", folder / "targets", f"{folder}/targets/*.npy"):
        assert score(folder / "logits", "--targets", given, "--json", "--per-token", out) == 0
        got = json.loads(capsys.readouterr().out)
        assert (got["nll"], got["nll_error"], got["tokens"]) == (want.mean, want.standard_error, len(t))
        assert [file["file"] for file in got["files"]] == [f"{folder}/logits/shard-{k}.npy" for k in range(12)]
        for file, a, b in zip(got["files"], logits, targets, strict=True):
            assert (file["nll"], file["tokens"]) == (nll_fast.cross_entropy(a, b), len(b))
        np.testing.assert_array_equal(np.load(out), each)
    assert score(folder / "logits", "--targets", folder / "all.npy") == 0
    table = capsys.readouterr().out
    assert table.count("shard-") == 12 and table.index("shard-2.") < table.index("shard-10.")


def test_a_shift_goes_over_the_ends_of_shards_of_one_text_and_not_over_those_of_texts(shards, capsys):
    folder, logits, targets = shards
    x, t = np.concatenate(logits), np.concatenate(targets)
    assert score(folder / "logits", "--targets", folder / "all.npy", "--shift", 1, "--json") == 0
    got = json.loads(capsys.readouterr().out)
    assert (got["nll"], got["tokens"]) == (nll_fast.cross_entropy(x, t, shift=1), len(t) - 1)
    assert score(folder / "logits", "--targets", folder / "targets", "--shift", 1, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == len(t) - 12


def test_models_of_one_text_have_a_line_each_and_no_total(tmp_path, capsys, llama):
    rng = np.random.default_rng(4)
    x, t = rng.standard_normal((2, 6, 9)), rng.integers(0, 9, 6)
    x[1, 3, 0] = np.nan
    for name, each in zip(("b", "a"), x, strict=True):
        np.save(tmp_path / f"{name}.npy", each)
    np.save(tmp_path / "t.npy", t)
    models, targets = (tmp_path / "b.npy", tmp_path / "a.npy"), ("--targets", tmp_path / "t.npy")
    wanted = [{**nll_fast.score(each, t, top_k=2).summary(), "bits_per_byte": 0} for each in x]
    for more in (targets, (*targets, *targets)):
        assert score(*models, *more, "--json", "--top-k", 2, "--bytes", 12) == 0
        got = json.loads(capsys.readouterr().out)
        assert not got.keys() & wanted[0].keys() and [file.keys() - {"file", "targets"} for file in got["files"]] == [
            each.keys() for each in wanted
        ]
        assert [file["nll"] for file in got["files"]] == [wanted[0]["nll"], None]
        assert got["files"][0]["bits_per_byte"] == wanted[0]["bits_per_token"] * 6 / 12
    assert score(*models, *targets, "--bytes", 12) == 0
    table = capsys.readouterr().out
    assert "bits per byte" in table and "mean NLL  " in table and "\nmean NLL" not in table
    assert "\ntotal           none, as these files are of one text\n" in table
    assert f"NaN rows        1, the first of them row 3 of {models[1]}, counted from 0\n" in table
    assert score(*models, *targets, "--top-k", 2) == 0 and " top-2\n" in capsys.readouterr().out
    for option in (["--show"], ["--html", tmp_path / "o.html"]):
        assert score(*models, *targets, *option) == 2
        assert f"{option[0]} shows a text as one model sees it, but {models[0]} and" in capsys.readouterr().err
    # Files of llama.cpp say themselves which text they are of.
    path, log_probs, tokens = llama
    write_llama(tmp_path / "same.kld", log_probs - 1, tokens)
    tokens[2, 11] += 1 if tokens[2, 11] < 32 else -1
    write_llama(tmp_path / "another.kld", log_probs - 1, tokens)
    for other, pools in (("same", False), ("another", True)):
        assert score(path, tmp_path / f"{other}.kld", "--json") == 0
        assert ("nll" in json.loads(capsys.readouterr().out)) == pools


def test_files_of_llama_have_their_targets_and_the_log_probabilities_that_they_store(tmp_path, capsys, llama):
    path, x, tokens = llama
    write_llama(tmp_path / "y.kld", x[:2] - 1, tokens[:2])
    assert score(path, tmp_path / "y.kld", "--json", "--top-k", 2, "--per-token", tmp_path / "out.npz") == 0
    got = json.loads(capsys.readouterr().out)
    picked = np.take_along_axis(x, tokens[:, 7:, None], -1)
    np.testing.assert_allclose(got["files"][0]["nll"], -picked.mean(), rtol=1e-6)
    np.testing.assert_allclose(got["files"][1]["nll"], 1 - picked[:2].mean(), rtol=1e-4)
    assert got["storage"] == ["16-bit codes"] * 2
    columns = np.load(tmp_path / "out.npz")
    top = np.sort(x.reshape(-1, 33))[:, :-3:-1]
    np.testing.assert_allclose(columns["top_k_log_probs"][:15], top, rtol=1e-5, atol=1e-6)
    assert columns["shard"].tolist() == [0] * 15 + [1] * 10 and columns["row"].tolist() == [*range(15), *range(10)]
    # Of changed logits it is what softmax makes of them.
    assert score(path, "--json", "--temperature", 2) == 0
    got = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(got["nll"], nll_fast.cross_entropy(x / 2, tokens[:, 7:]), rtol=1e-5)


def test_the_most_surprising_tokens_of_several_files_are_named_by_file_and_row(tmp_path, capsys):
    x, t = np.zeros((2, 4, 5)), np.array([1, 2, 3, 4])
    x[0, 2, 3] = x[1, 0, 1] = -9
    for name, each in zip(("a", "b"), x, strict=True):
        np.save(tmp_path / f"{name}.npy", each)
    np.save(tmp_path / "t.npy", t)
    where = tmp_path / "a.npy", tmp_path / "b.npy", "--targets", tmp_path / "t.npy", "--worst", 2
    assert score(*where, "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["worst"]
    assert (first["file"], first["row"], first["before"]) == (str(tmp_path / "a.npy"), 2, [1, 2])
    assert (second["file"], second["row"], second["before"]) == (str(tmp_path / "b.npy"), 0, [])
    assert score(*where) == 0 and f", in {tmp_path / 'b.npy'}" in capsys.readouterr().out


def test_a_shard_may_have_no_rows(shards, capsys):
    folder, logits, targets = shards
    np.save(folder / "logits" / "shard-5.npy", logits[5][:0])
    targets[5] = targets[5][:0]
    np.save(folder / "all.npy", np.concatenate(targets))
    for more in ([], ["--top-k", 2, "--worst", 1], ["--per-token", folder / "out.npz"]):
        assert score(folder / "logits", "--targets", folder / "all.npy", "--json", *more) == 0
        got = json.loads(capsys.readouterr().out)
        assert (got["tokens"], got["files"][5]["tokens"]) == (94, 0) and got["files"][5]["nll"] is None
    assert np.load(folder / "out.npz")["log_prob"].dtype == np.float32
    assert score(folder / "logits", "--targets", folder / "all.npy") == 0


@pytest.mark.skipif(os.name != "posix", reason="the number of open files is no matter elsewhere")
def test_there_may_be_more_shards_than_a_process_has_files_open_at_first(tmp_path):
    import resource

    (tmp_path / "x").mkdir()
    for k in range(150):
        np.save(tmp_path / "x" / f"{k}.npy", np.zeros((1, 3)))
    np.save(tmp_path / "t.npy", np.zeros(150, int))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 400:
        pytest.skip(f"many files did not run: this process may have {hard} open")
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))}
    done = run("score", tmp_path / "x", "--targets", tmp_path / "t.npy", "--json", **few)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == 150


def test_a_folder_or_a_pattern_may_hold_the_targets_as_well(shards, monkeypatch, capsys):
    folder, logits, targets = shards
    np.save(folder / "logits" / "all.npy", np.concatenate(targets))
    monkeypatch.chdir(folder)
    for given in (folder / "logits", "logits/", "logits/*.npy"):
        for target in ("logits/all.npy", "./logits/../logits/all.npy"):
            assert score(given, "--targets", target, "--json") == 0, capsys.readouterr().err
            got = json.loads(capsys.readouterr().out)
            assert [file["file"].rpartition("/")[2] for file in got["files"]] == [f"shard-{k}.npy" for k in range(12)]
            assert got["nll"] == nll_fast.cross_entropy(np.concatenate(logits), np.concatenate(targets))
    assert score("all.npy", "--targets", "all.npy") == 2  # they cannot be both
    assert "all.npy holds int64" in capsys.readouterr().err


def test_what_does_not_fit_is_said_in_a_sentence(shards, tmp_path, capsys, llama):
    folder, _, _ = shards
    np.save(folder / "wide.npy", np.zeros((3, 21)))
    np.save(folder / "short.npy", np.zeros(101, int))
    one, two = f"{folder}/logits/shard-0.npy", f"{folder}/logits/shard-1.npy"
    two_targets = f"{folder}/targets/shard-1.npy"
    for arguments, words in (
        ([one], "--targets is missing"),
        ([folder / "logits", "--targets", folder / "short.npy"], "the logits need one class a row: (102,)"),
        ([folder / "logits", "--targets", f"{folder}/targets/shard-1*.npy"], "names 3 files for 12 of logits"),
        ([one, two, folder / "wide.npy", "--targets", folder / "all.npy"], "wide.npy has shape (3, 21)"),
        ([one, one, "--targets", two_targets], "one class a row: (6,) if the files are shards, or (3,) if they are of"),
        ([llama[0], "--shift", 1], "--shift 1 is for targets that are given"),
        ([llama[0], "--targets", one], "but the logits need one class a row: (3, 5)"),
        ([one, two, "--targets", folder / "all.npy", "--per-token", two + ".npy"], "the logits need one class a row"),
        ([one, two, "--targets", folder / "targets", "--per-token", two], "would overwrite the input"),
    ):
        assert score(*arguments) == 2
        said = capsys.readouterr()
        assert words in said.err and said.err.count("\n") == 1 and not said.out, (arguments, said.err)
