"""nll-fast compare: the numbers of the library and of llama.cpp, for every pair of formats, in blocks of rows."""

import importlib.util
import json
import re
import tracemalloc

import nll_fast
import numpy as np
import pytest
from nll_fast import cli

from .conftest import shared, write_llama
from .test_files import write_safetensors


def compare(*arguments):
    return cli.main(["compare", *map(str, arguments)])


def compared(capsys, *arguments):
    """The JSON of ``nll-fast compare``."""
    code = compare(*arguments, "--json")
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out)


@pytest.fixture
def models(tmp_path):
    """The logits of two models that are much alike, their targets, one of them ignored, and the folder of all."""
    rng = np.random.default_rng(9)
    p = rng.standard_normal((4, 60, 90)).astype(np.float32) * 3
    q, t = (p + 0.3 * rng.standard_normal(p.shape)).astype(np.float32), rng.integers(0, 90, (4, 60))
    t[1, 2] = -100
    np.save(tmp_path / "p.npy", p)
    np.save(tmp_path / "q.npy", q)
    np.save(tmp_path / "t.npy", t)
    return p, q, t, tmp_path


OF_THE_COMMAND = {"p", "q", "classes", "top_k", "temperature", "softcap", "storage", "seconds", "gb_per_s"}
"""What the command's JSON has beside the summary of the library: files, options and time."""


def same(got, want):
    """Whether a summary from JSON has every number of one of the library."""
    for key, value in want.items():
        x = list(value) if isinstance(value, tuple) else value
        assert got[key] == x, key


def test_the_summary_is_that_of_the_library(models, capsys):
    p, q, t, folder = models
    files = folder / "p.npy", folder / "q.npy"
    same(compared(capsys, *files, "--targets", folder / "t.npy"), nll_fast.compare(p, q, t).summary())
    got = compared(capsys, *files)
    same(got, nll_fast.compare(p, q).summary())
    assert got.keys() - nll_fast.compare(p, q).summary().keys() == OF_THE_COMMAND
    assert (got["p"], got["q"]) == tuple(map(str, files))
    options = "--shift", 1, "--top-k", 3, "--ignore-index", 5
    t[t == -100] = 5
    np.save(folder / "t.npy", t)
    want = nll_fast.compare(p, q, t, shift=1, top_k=3, ignore_index=5).summary()
    got = compared(capsys, *files, "--targets", folder / "t.npy", *options)
    for key, value in want.items():
        if key != "ignored":  # the file's positions without a target are rows too
            assert got[key] == (list(value) if isinstance(value, tuple) else value), key
    assert got["ignored"] == want["ignored"] + 4


def test_formats_dtypes_and_orders_mix(models, capsys):
    p, q, t, folder = models
    bits = (p.view(np.uint32) >> 16).astype(np.uint16)
    entry = {"dtype": "BF16", "shape": p.shape, "data_offsets": [0, bits.nbytes]}
    write_safetensors(folder / "p.safetensors", {"x": entry}, bits.tobytes())
    np.savez(folder / "q.npz", q=q.astype(">f8"), t=t)
    want = nll_fast.compare(nll_fast.as_bfloat16(bits), q.astype(np.float64), t).summary()
    same(compared(capsys, folder / "p.safetensors", f"{folder}/q.npz:q", "--targets", f"{folder}/q.npz:t"), want)
    want = nll_fast.compare(p, q, t)
    for x, name in ((p, "p"), (q, "q")):
        np.save(folder / f"{name}.npy", np.asfortranarray(x))
    out = folder / "out.npz"
    files = folder / "p.npy", folder / "q.npy", "--targets", folder / "t.npy"
    same(compared(capsys, *files, "--per-token", out), want.summary())
    columns = np.load(out)
    assert columns["row"].tolist() == [*range(240)]
    for name, column in want.to_dict().items():
        np.testing.assert_array_equal(columns[name], column, err_msg=name)
    assert compare(*files, "--per-token", folder / "out.npy") == 0
    np.testing.assert_array_equal(np.load(folder / "out.npy"), want.kl_pq.ravel())
    np.save(folder / "q.npy", q)
    capsys.readouterr()
    assert compare(*files) == 2 and "in Fortran order" in capsys.readouterr().err


def test_padded_vocabularies_are_cut_where_it_is_said(models, capsys):
    p, q, t, folder = models
    np.save(folder / "wide.npy", np.concatenate([q, np.full((4, 60, 6), 50, np.float32)], -1))
    files = folder / "p.npy", folder / "wide.npy", "--targets", folder / "t.npy"
    assert compare(*files) == 2
    said = capsys.readouterr().err
    assert "has 90 classes and" in said and "96: " in said and "--classes 90" in said
    got = compared(capsys, *files, "--classes", 90)
    same(got, nll_fast.compare(p, q, t).summary())
    assert got["classes"] == 90
    for number in (0, 91):
        assert compare(*files, "--classes", number) == 2 and f"--classes {number} must be" in capsys.readouterr().err


def divergence(log_p, log_q):
    """llama.cpp's: without what the base model holds for less likely than e^-16."""
    log_p, log_q = log_p.astype(np.float64), log_q.astype(np.float64)
    return np.where(log_p > -16, np.exp(log_p) * (log_p - log_q), 0).sum(-1)


@pytest.fixture
def coded(tmp_path):
    """Two files of llama.cpp of one text, with tails that are cut: their paths, what they store, and the targets."""
    rng = np.random.default_rng(12)
    tokens, x = rng.integers(0, 60, (3, 16)), rng.standard_normal((3, 7, 60)) * 7
    stored = []
    for name in ("p.kld", "q.kld"):
        x = x + 0.5 * rng.standard_normal(x.shape)
        log_probs = x - np.log(np.exp(x).sum(-1, keepdims=True))
        stored.append(write_llama(tmp_path / name, log_probs, tokens))
    return (tmp_path / "p.kld", tmp_path / "q.kld"), stored, tokens[:, 9:]


def test_files_of_llama_are_compared_as_they_are_stored(tmp_path, capsys, coded):
    files, (p, q), target = coded
    out = tmp_path / "out.npz"
    got = compared(capsys, *files, "--per-token", out)
    columns = np.load(out)
    # So are the arrays of the library, and those of rows that a shift leaves.
    logits = [nll_fast.read_llama_logits(file).logits for file in files]
    both = nll_fast.compare(*logits, target)
    for name, column in both.to_dict().items():
        np.testing.assert_array_equal(columns[name], column, err_msg=name)
    later = nll_fast.compare(*logits, target, shift=1)
    np.testing.assert_array_equal(later.kl_pq, both.kl_pq[:, :-1])
    np.testing.assert_allclose(columns["kl_pq"], divergence(p, q).ravel(), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(columns["kl_qp"], divergence(q, p).ravel(), rtol=1e-5, atol=1e-7)
    for name, x in (("p_log_prob", p), ("q_log_prob", q)):
        picked = np.take_along_axis(x, target[..., None], -1).ravel()
        np.testing.assert_allclose(columns[name], picked, rtol=1e-6, atol=1e-6)
    base = -np.take_along_axis(p, target[..., None], -1).mean(dtype=float)
    np.testing.assert_allclose(got["Mean PPL(base)"][0], np.exp(base), rtol=1e-6)
    assert got["storage"] == ["16-bit codes"] * 2


def test_temperature_and_softcap_change_both_models_first(models, capsys, coded):
    p, q, t, folder = models
    changed = {"temperature": 0.5, "softcap": 25.0}
    options = "--temperature", 0.5, "--softcap", 25
    files = folder / "p.npy", folder / "q.npy", "--targets", folder / "t.npy"
    same(compared(capsys, *files, *options), {**nll_fast.compare(p, q, t, **changed).summary(), **changed})
    files, _, target = coded
    stored = [nll_fast.read_llama_logits(file).logits for file in files]
    want = nll_fast.compare(*stored, target, **changed).summary()
    del want["buckets"]  # of which some have no rows, and a mean that is NaN here and null there
    same(compared(capsys, *files, *options), want)
    assert compare(*files, *options) == 0
    assert re.search(r"\ntemperature +0.5\nsoftcap +25\n", capsys.readouterr().out)


@pytest.mark.skipif(importlib.util.find_spec("nll_fast.report") is None, reason="this package has no report")
def test_the_page_of_llamas_files_names_the_one_that_has_the_targets(tmp_path, capsys, coded):
    (file, _), (p, _), _ = coded
    np.save(tmp_path / "p.npy", p)
    for files in ((file, tmp_path / "p.npy"), (tmp_path / "p.npy", file)):
        compared(capsys, *files, "--html", tmp_path / "o.html")
        assert json.dumps(["Targets", str(file)]).replace(", ", ",") in (tmp_path / "o.html").read_text()
    assert json.dumps(["P, the base", str(files[0])]).replace(', "/', ',"/') in (tmp_path / "o.html").read_text()
    assert compare(*files) == 0 and "quantised to 16 bits by llama.cpp" in capsys.readouterr().out
    own = compared(capsys, files[0], files[0])
    assert own["kl_pq"]["max"] == own["kl_qp"]["max"] == 0 and own["Same top p"][0] == 100


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8", "bfloat16"])
def test_a_file_of_llama_is_compared_with_logits_of_others(tmp_path, capsys, coded, flat, dtype):
    (path, _), (p, q), target = coded
    logits = (q + 3).astype(np.float32 if dtype == "bfloat16" else dtype)
    more = []
    if dtype == "bfloat16":
        logits, more = (logits.view(np.uint32) >> 16).astype(np.uint16), ["--dtype", "bfloat16"]
    np.save(tmp_path / "q.npy", logits.reshape(-1, 60) if flat else logits)
    if dtype == "bfloat16":
        logits = (logits.astype(np.uint32) << 16).view(np.float32)
    log_q = logits - np.log(np.exp(logits.astype(float)).sum(-1, keepdims=True))
    for files, base, other in (((path, tmp_path / "q.npy"), p, log_q), ((tmp_path / "q.npy", path), log_q, p)):
        got = compared(capsys, *files, *more)
        some = divergence(base, other) if base is p else (np.exp(base) * (base - other)).sum(-1)
        np.testing.assert_allclose(got["kl_pq"]["mean"], some.mean(), rtol=2e-5)
        for key, x in (("Mean PPL(base)", base), ("Mean PPL(Q)", other)):
            mean = -np.take_along_axis(x, target[..., None], -1).mean(dtype=float)
            np.testing.assert_allclose(got[key][0], np.exp(mean), rtol=1e-5)


def test_rows_that_are_not_finite_are_counted_apart(models, capsys, coded):
    _, q, _, folder = models
    q[2, 3, 4] = np.nan
    np.save(folder / "q.npy", q)
    got = compared(capsys, folder / "p.npy", folder / "q.npy", "--targets", folder / "t.npy")
    assert (got["nonfinite"], got["tokens"], got["ignored"]) == (1, 238, 1)
    assert compare(folder / "p.npy", folder / "q.npy") == 0 and "not finite      1 rows" in capsys.readouterr().out
    data = bytearray(coded[0][1].read_bytes())
    data[20 + 4 * 48 : 20 + 4 * 48 + 4] = np.float32(np.nan).tobytes()
    coded[0][1].write_bytes(data)
    got = compared(capsys, *coded[0])
    assert (got["nonfinite"], got["tokens"]) == (1, 20) and got["kl_pq"]["mean"] > 0


def test_what_does_not_fit_is_said_in_a_sentence(models, capsys, coded):
    _, _, t, folder = models
    np.save(folder / "short.npy", np.zeros((4, 59, 90)))
    np.save(folder / "none.npy", np.full((4, 60), -100))
    np.save(folder / "far.npy", t + 89)
    rng = np.random.default_rng(0)
    write_llama(folder / "text.kld", rng.standard_normal((3, 7, 60)), rng.integers(0, 60, (3, 16)))
    write_llama(folder / "chunks.kld", rng.standard_normal((2, 7, 60)), rng.integers(0, 60, (2, 16)))
    p, q = folder / "p.npy", folder / "q.npy"
    for arguments, words in (
        ((p, folder / "short.npy"), "they must have the same rows"),
        ((p, folder / "absent.npy"), "No such file"),
        ((p, folder / "t.npy"), "t.npy holds int64; logits must be float64"),
        ((p, folder / "t.npy"), "if these are the class of each row, give them by --targets"),
        ((p, q, "--targets", folder / "none.npy"), "no rows to compare: all targets are -100"),
        ((p, q, "--targets", folder / "far.npy"), "is out of bounds for 90 classes"),
        ((p, q, "--shift", 1), "--shift 1 is for --targets, which are missing"),
        ((p, q, "--temperature", 0), "--temperature 0.0 must be positive and finite"),
        ((p, q, "--top-k", -1), "--top-k -1 must not be negative"),
        ((p, q, "--top-k", 91), "--top-k 91 is more than the 90 classes that are compared"),
        ((p, q, "--top-k", 5, "--classes", 4), "--top-k 5 is more than the 4 classes that are compared"),
        ((p, q, "--strings", folder / "s.json"), "s.json is for --html, which is missing"),
        ((p, q, "--per-token", folder / "o.csv"), "must end in .npy, .npz, .parquet or .jsonl"),
        ((p, q, "--per-token", q), "would overwrite the input"),
        ((p, q, "--html", folder / "o.pdf"), "must end in .html"),
        ((coded[0][0], folder / "text.kld"), "are not of the same text: at row"),
        ((coded[0][0], folder / "chunks.kld"), "they must have the same rows"),
        ((coded[0][0], coded[0][1], "--classes", 1), "--classes 1 leaves out token"),
    ):
        assert compare(*arguments) == 2, arguments
        said = capsys.readouterr()
        assert words in said.err and said.err.count("\n") == 1 and not said.out, said.err


def test_nothing_the_size_of_the_logits_is_allocated(tmp_path, capsys):
    rng = np.random.default_rng(2)
    for name in ("p", "q"):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((4096, 4096), np.float32))
        write_llama(tmp_path / f"{name}.kld", rng.standard_normal((8, 511, 2048)) * 5, np.zeros((8, 1024), int))
    for ending, size in (("npy", 1 << 27), ("kld", 8 * 511 * 4104 * 2)):
        tracemalloc.start()
        try:
            assert compare(tmp_path / f"p.{ending}", tmp_path / f"q.{ending}") == 0
            assert tracemalloc.get_traced_memory()[1] < size / (8 if ending == "npy" else 2), ending
        finally:
            tracemalloc.stop()
    logits = [nll_fast.read_llama_logits(tmp_path / f"{name}.kld").logits for name in ("p", "q")]
    tracemalloc.start()
    try:
        nll_fast.compare(*logits, shift=1)
        assert tracemalloc.get_traced_memory()[1] < size / 8
    finally:
        tracemalloc.stop()


def numbers(x):
    nested = x.values() if isinstance(x, dict) else x if isinstance(x, list) else ()
    return [x] if isinstance(x, (int, float)) else [n for each in nested for n in numbers(each)]


def test_every_number_of_the_table_is_in_the_json(models, capsys):
    _, _, _, folder = models
    files = folder / "p.npy", folder / "q.npy", "--targets", folder / "t.npy"
    known = numbers(compared(capsys, *files))
    assert compare(*files) == 0
    shown = re.sub(r"^time.*$|^ *\d+\.\d%", "", capsys.readouterr().out, flags=re.MULTILINE)
    for number in re.findall(r"(?<![\w.-])-?\d+\.\d{2,}", shown):
        rounded = 0.51 * 10.0 ** -len(number.partition(".")[2])
        assert any(abs(float(number) - k * unit) <= rounded for k in known for unit in (1, 100)), number


def test_the_screen_says_which_model_is_which(models, capsys):
    _, _, _, folder = models
    assert compare(folder / "p.npy", folder / "q.npy") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"base            {folder}/p.npy\nother           {folder}/q.npy, llama.cpp's Q\n\n")
    assert cli.main(["compare", "--help"]) == 0
    assert "BASE OTHER" in capsys.readouterr().out


def test_what_llama_cpp_printed_is_found_in_its_files(capsys):
    folder = shared("llamacpp")
    assert compare(folder / "base.kld", folder / "other.kld") == 0
    tables = [capsys.readouterr().out, (folder / "expected_statistics.txt").read_text()]
    shown, printed = ({k: v for k, v in (line.split(":", 1) for line in x.splitlines() if ":" in line)} for x in tables)
    assert len(printed) == 34 and set(printed) <= set(shown)
    for label, words in printed.items():
        for got, want in zip(*(re.findall(r"-?\d+\.\d+", each) for each in (shown[label], words)), strict=True):
            # Of `other` llama.cpp took float32 logits, of which the file has 16 bits down to 16 nats below the largest.
            allowed = {"K": 1.3e-3, "Δ": 3e-3}.get(next((x for x in "KΔ" if x in label), ""), 5e-5)
            assert abs(float(got) - float(want)) <= allowed, (label, got, want)
    base, other = (nll_fast.read_llama_logits(folder / f"{name}.kld") for name in ("base", "other"))
    summary = nll_fast.compare(base.logits, other.logits, base.target).summary()
    assert compare(folder / "base.kld", folder / "other.kld", "--json") == 0
    same(json.loads(capsys.readouterr().out), summary)
    assert abs(summary["Mean KLD"][0] - 0.414801) < 5e-5 and abs(summary["Mean PPL(base)"][0] - 36.379274) < 1e-4
    perplexity = nll_fast.score(base.logits, base.target).summary()["perplexity"]
    assert abs(perplexity - 36.379274) < 1e-4
    mean = next(float(x.split("±")[0]) for label, x in shown.items() if label.split() == ["Mean", "KLD"])
    assert abs(mean - 0.414801) < 5e-5


@pytest.mark.skipif(importlib.util.find_spec("nll_fast.report") is None, reason="this package has no report")
def test_the_page_is_that_of_the_comparison(tmp_path, capsys):
    folder = shared("smollm2")
    out = tmp_path / "page.html"
    files = folder / "logits_f16.npy", folder / "logits_5bit_f16.npy", "--targets", folder / "targets.npy"
    got = compared(capsys, *files, "--strings", folder / "tokens.json", "--html", out)
    page = out.read_text()
    assert page.startswith("<!doctype html>") and "logits_5bit_f16.npy" in page
    assert abs(got["kl_pq"]["mean"] - 0.197) < 1e-3 and abs(got["same_top"] - 0.719) < 0.02
