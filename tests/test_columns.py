"""What nll-fast score says of each token: the tables that it writes, the tokens that it shows, the page."""

import importlib.util
import json
import os
import re
import sys
import tracemalloc

import nll_fast
import numpy as np
import pytest
from nll_fast.cli import terminal
from nll_fast.cli.strings import read_strings

from .conftest import score, shared

COLUMNS = [
    "row", "target", "counted", "log_prob", "logsumexp", "entropy", "argmax", "max_log_prob", "is_greedy", "rank",
    "ties", "top_k_ids", "top_k_log_probs", "token_ids_log_probs",
]  # fmt: skip


def table(path):
    """The columns of a table, by the library that reads it."""
    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        columns = parquet.read_table(path).to_pydict()
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: with_nan(each) for name, each in columns.items()}


def with_nan(column):
    """A column as an array, with NaN for None."""
    found = np.array(column)
    return found if found.dtype != object else np.vectorize(lambda x: np.nan if x is None else x)(found)


def test_rows_that_are_not_finite_are_counted_alike_with_and_without_columns(tmp_path, capsys):
    rng = np.random.default_rng(6)
    x, t = rng.standard_normal((8, 5)), np.array([0, 1, 2, 3, 4, 0, -100, 1])
    x[0, 0], x[1, 2], x[2, 2], x[3, 3] = np.nan, np.nan, np.inf, -np.inf
    x[4], x[5, 1], x[6] = -np.inf, np.inf, np.nan
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    found = []
    for more in ([], ["--top-k", 2]):
        out = tmp_path / f"out{len(more)}.npy"
        assert score(tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--json", "--per-token", out, *more) == 0
        said = capsys.readouterr()
        got = json.loads(said.out)
        assert not said.err
        found.append({key: x for key, x in got.items() if key not in ("seconds", "gb_per_s", "top_k")})
    known = [key for key, x in found[0].items() if x is not None]
    assert found[0].keys() == found[1].keys()
    assert [found[0][key] for key in known] == [found[1][key] for key in known]
    assert found[0]["nan"] and found[0]["infinite"]
    np.testing.assert_array_equal(*(np.load(tmp_path / f"out{k}.npy") for k in (0, 2)))


@pytest.mark.parametrize("top_k", [0, 4])
def test_the_columns_of_a_file_take_memory_for_its_rows_and_not_for_its_logits(tmp_path, capsys, top_k):
    rng = np.random.default_rng(7)
    x, t = rng.standard_normal((4096, 4096), np.float32), rng.integers(0, 4096, 4096)
    np.save(tmp_path / "t.npy", t)
    np.save(tmp_path / "x.npy", x)
    where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--top-k", top_k, "--worst", 3
    tracemalloc.start()
    try:
        assert score(*where, "--per-token", tmp_path / "out.jsonl") == 0
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", [".npz", ".jsonl", ".parquet"])
@pytest.mark.parametrize("order", "CF")
def test_a_table_has_every_column_of_score_in_the_order_of_the_rows(tmp_path, capsys, ending, order):
    if ending == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        pytest.skip("Parquet did not run: pyarrow is not installed")
    rng = np.random.default_rng(5)
    x, t = rng.standard_normal((3, 40, 70)).astype(np.float16), rng.integers(0, 70, (3, 40))
    t[1, 5] = -100
    x[0, 3, 8] = np.nan
    np.save(tmp_path / "x.npy", np.asarray(x, order=order))
    np.save(tmp_path / "t.npy", t)
    out = tmp_path / f"out{ending}"
    where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--top-k", 3, "--token-ids", "5,0", "--per-token", out
    assert score(*where, "--temperature", 0.5, "--softcap", 2) == 0, capsys.readouterr().err
    want = nll_fast.score(x, t, top_k=3, token_ids=[5, 0], temperature=0.5, softcap=2)
    got = table(out)
    assert list(got) == COLUMNS
    for name in COLUMNS[1:]:
        column = getattr(want, name)
        same = column.reshape(-1, *column.shape[2:])
        np.testing.assert_array_equal(got[name], same, err_msg=name)
    assert got["row"].tolist() == [*range(120)]


def test_the_most_surprising_tokens_come_first_and_with_their_context(tmp_path, capsys):
    words = ["<s>", "a", " b", " \n", " d", "\x1b[2J"]
    x, t = np.zeros((2, 5, 6)), np.array([[1, 2, 3, 4, 5], [1, 1, -100, 2, 4]])
    np.put_along_axis(x, np.maximum(t, 0)[..., None], 3.0, -1)
    x[0, 3, 4], x[1, 4, 4], x[1, 0] = -5, -9, np.nan
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    (tmp_path / "s.json").write_text(json.dumps(words))
    where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--worst", 2
    assert score(*where, "--strings", tmp_path / "s.json", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["worst"]
    assert (first["row"], first["target"], first["text"], first["rank"]) == (9, 4, " d", 6)
    np.testing.assert_allclose(first["log_prob"], nll_fast.token_log_probs(x, t)[1, 4])
    # The context begins where the text does, and is left to ids where one of its tokens has no string.
    assert (second["row"], second["before"], second["before_text"]) == (3, [1, 2, 3], "a b \n")
    assert first["before"] == [1, 1, -100, 2] and first["before_text"] is None
    assert score(*where, "--strings", tmp_path / "s.json") == 0
    shown = capsys.readouterr().out
    assert '"a b \\n" → " d", where "<s>" was likeliest' in shown
    assert score(*where) == 0 and "#1 #2 #3 → #4, where #0 was likeliest" in capsys.readouterr().out


def test_the_text_is_coloured_where_it_is_wanted(tmp_path, capsys, monkeypatch):
    words, t = ["A", "\nb", "\x1b[2J", " c"], np.array([0, 1, 2, -100, 3])
    x = np.log(np.array([[0.9, 0.05, 0.03, 0.02]] * 5))
    x[4, 3] = -30
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    (tmp_path / "s.json").write_text(json.dumps(words))
    where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--strings", tmp_path / "s.json", "--show"
    plain = "A\nb\\x1b[2J c"
    assert score(*where) == 0 and capsys.readouterr().out.startswith(plain + "\n\ntokens")  # no terminal
    assert score(*where, "--color", "always") == 0
    shown = capsys.readouterr().out
    assert re.sub(r"\x1b\[[\d;]*m", "", shown).startswith(plain)
    background = re.findall(r"48;5;(\d+)m([^\x1b]*)", shown)[:4]
    colours = [str(terminal.CLASSES[k]) for k in (0, 4, 5, 15)]
    assert background == list(zip(colours, ["A", "b", "\\x1b[2J", " c"], strict=True))
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert score(*where) == 0 and "\x1b[" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert score(*where) == 0 and "\x1b[" not in capsys.readouterr().out
    assert score(*where, "--color", "always") == 0 and "\x1b[" in capsys.readouterr().out


def luminance(colour):
    """The relative luminance, by WCAG, of one of the 256 colours that terminals have."""
    if colour >= 232:
        parts = [8 + 10 * (colour - 232)] * 3
    else:
        parts = [(0, 95, 135, 175, 215, 255)[(colour - 16) // 6**k % 6] for k in (2, 1, 0)]
    linear = [x / 255 / 12.92 if x <= 10 else ((x / 255 + 0.055) / 1.055) ** 2.4 for x in parts]
    return np.dot(linear, [0.2126, 0.7152, 0.0722]), parts


def test_sixteen_colours_grow_lighter_and_bluish_ones_are_never_lighter_than_yellowish_ones():
    values = [luminance(colour) for colour in terminal.CLASSES]
    lights = [light for light, _ in values]
    assert len(lights) == 16 and all(np.diff(lights) > 0)
    blue = [parts[2] - (parts[0] + parts[1]) / 2 for _, parts in values]
    assert all(each >= 0 for each in blue[:10]) and all(each < 0 for each in blue[10:])
    assert all(abs(parts[0] - parts[1]) <= 40 for _, parts in values)  # what red-green blindness cannot tell apart
    letters = [1.05 / (light + 0.05) if k < 6 else (light + 0.05) / 0.05 for k, light in enumerate(lights)]
    assert min(letters) > 4.5


def test_strings_are_those_of_ids_or_of_a_text_with_its_ids(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"token_ids": [4, 7, 7, 9], "token_text": ["a", "b", "c", "d"]}))
    strings, yes = read_strings(str(path)), np.ones(3, bool)
    assert strings.of_targets(np.array([7, 7, 9]), yes) == ("a", ["b", "c", "d"])  # by place, where one id has two
    assert strings.of_targets(np.array([7, 9, 5]), yes) == ("", ["c", "d", None])
    shifted = np.array([7, 7, 9, -100]), np.array([True, True, True, False])
    assert strings.of_targets(*shifted) == ("a", ["b", "c", "d", ""])
    assert strings.of_targets(np.array([4, 7, 7, 9]), np.ones(4, bool)) == ("", ["a", "b", "c", "d"])
    assert strings.of_targets(np.array([], int), yes[:0]) == ("", [])


def test_strings_of_another_text_are_said_to_lack_tokens(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((4, 10)))
    np.save(tmp_path / "t.npy", [1, 2, 2, -100])
    where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--show", "--strings", tmp_path / "s.json"
    for strings, missing in (
        ({"token_ids": [0, 1, 2, 2], "token_text": ["a", "b", "c", "d"]}, 0),
        ({"token_ids": [7, 2, 1], "token_text": ["a", "b", "c"]}, 0),  # in another order: by their ids
        ({"token_ids": [7, 1], "token_text": ["a", "b"]}, 2),
        (["a", "b"], 2),
    ):
        (tmp_path / "s.json").write_text(json.dumps(strings))
        assert score(*where, "--json") == 0
        assert json.loads(capsys.readouterr().out)["without_string"] == missing
        assert score(*where) == 0
        shown = capsys.readouterr().out
        assert ("strings         none for 2 of the 3 tokens\n" in shown) == bool(missing), shown


BAD_STRINGS = {
    "no JSON": "{",
    "no UTF-8": b"\xff",
    "nested": "[" * 100_000,
    "numbers": "[1, 2]",
    "no ids": '{"token_text": ["a"]}',
    "not as many": '{"token_text": ["a"], "token_ids": [1, 2]}',
    "booleans": '{"token_text": ["a"], "token_ids": [true]}',
    "beyond 64 bits": '{"token_text": ["a"], "token_ids": [1e400, 99999999999999999999]}',
    "large": '{"token_text": ["a"], "token_ids": [99999999999999999999]}',
}


@pytest.mark.parametrize("name", BAD_STRINGS)
def test_strings_that_are_none_are_refused_in_a_sentence(example, capsys, name):
    _, _, folder = example
    content = BAD_STRINGS[name]
    (folder / "s.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert score(folder / "x.npy", "--targets", folder / "t.npy", "--show", "--strings", folder / "s.json") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"nll-fast: cannot read --strings {folder / 's.json'}: ") and said.count("\n") == 1


def test_wrong_options_are_said_before_anything_is_read(example, monkeypatch, capsys):
    _, _, folder = example
    where = folder / "x.npy", "--targets", folder / "t.npy"
    for name in ("cross_entropy", "score"):
        monkeypatch.setattr(nll_fast, name, lambda *arguments, **options: pytest.fail("it was scored"))
    for arguments, words in (
        (("--top-k", 301), "--top-k 301 is more than the 300 classes"),
        (("--top-k", -1), "--top-k -1 must not be negative"),
        (("--worst", -1), "--worst -1 must not be negative"),
        (("--token-ids", "1,300"), "--token-ids has 300, which is none of the 300 classes"),
        (("--token-ids", "-1"), "--token-ids has -1"),
        (("--temperature", 0), "--temperature 0.0 must be positive"),
        (("--temperature", "nan"), "--temperature nan must be"),
        (("--softcap", "inf"), "--softcap inf must be"),
        (("--per-token", folder / "o.csv"), "must end in .npy, .npz, .parquet or .jsonl"),
        (("--html", folder / "o.txt"), "--html"),
        (("--html", folder / "absent/o.html"), "there is no folder"),
        (("--per-token", folder / "t.npy"), "would overwrite the input"),
        (("--strings", folder / "absent.json", "--show"), "No such file"),
        (("--strings", folder / "absent.json"), "is for --show, --worst, --html or a table of --per-token"),
    ):
        assert score(*where, *arguments) == 2, arguments
        said = capsys.readouterr()
        assert words in said.err and said.err.count("\n") == 1 and not said.out, said.err
    with pytest.raises(SystemExit, match="2"):
        sys.exit(score(*where, "--token-ids", "1,x"))
    assert "no list of integers" in capsys.readouterr().err


def test_parquet_without_pyarrow_is_said_before_anything_is_computed(example, monkeypatch, capsys):
    _, _, folder = example
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = folder / "o.parquet"
    assert score(folder / "x.npy", "--targets", folder / "t.npy", "--per-token", out) == 2
    said = capsys.readouterr().err
    assert "pip install 'nll-fast[parquet]'" in said and said.count("\n") == 1 and not out.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_table_that_fails_while_it_is_written_leaves_nothing_behind(example, monkeypatch, capsys):
    from nll_fast.cli import columns

    _, _, folder = example
    (folder / "o.jsonl").write_text("the old one\n")

    def fail(file, columns):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(columns, "_write_lines", fail)
    assert score(folder / "x.npy", "--targets", folder / "t.npy", "--per-token", folder / "o.jsonl") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert (folder / "o.jsonl").read_text() == "the old one\n"
    assert sorted(path.name for path in folder.iterdir()) == ["o.jsonl", "t.npy", "x.npy"]


@pytest.mark.skipif(importlib.util.find_spec("nll_fast.report") is None, reason="this package has no report")
def test_the_page_is_that_of_the_scores(tmp_path, capsys):
    folder = shared("smollm2")
    out = tmp_path / "page.html"
    where = folder / "logits_f16.npy", "--targets", folder / "targets.npy", "--strings", folder / "tokens.json"
    assert score(*where, "--top-k", 5, "--html", out) == 0, capsys.readouterr().err
    page = out.read_text()
    assert page.startswith("<!doctype html>") and "logits_f16.npy" in page
    assert score(*where, "--top-k", 5, "--html", out) == 0 and out.read_text() == page


def test_the_perplexity_of_real_logits_is_the_known_one(capsys):
    folder = shared("smollm2")
    where = folder / "logits_f16.npy", "--targets", folder / "targets.npy", "--strings", folder / "tokens.json"
    assert score(*where, "--json", "--worst", 1) == 0
    got = json.loads(capsys.readouterr().out)
    assert abs(got["perplexity"] - 33.21) < 0.05  # of unrounded logits
    assert got["worst"][0]["text"] == " surrounding" and got["worst"][0]["before_text"] == " in the minds of the"
