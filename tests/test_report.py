"""The HTML pages: their size, their bytes, what they say is missing, and that nothing of a string can run."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from nll_fast import compare, score
from nll_fast.report import compare_report, score_report
from nll_fast.report.tokens import as_json, plain

EVIL = [
    "</script><script>document.title='ran'</script>",
    "<!--<script>",
    "<img src=x onerror=\"document.title='ran'\">",
]
ODD = [
    "",
    " ",
    "\n",
    "\t",
    "\0",
    "\x1b[31m",
    "\ud800",
    "\udfff\ud800",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\uffff",
    "&amp;",
    "%data%",
]
# Two scripts, of which one is data, and one of each of the rest.
ELEMENTS = {"script": 2, "style": 1, "title": 1, "meta": 4}


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of its styles and scripts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, False
        self.feed(page)
        (self.data,) = (
            json.loads(self.texts[k]) for k, (_, has) in enumerate(self.elements) if has.get("id") == "data"
        )

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open = True

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        at = len(self.elements) - 1
        if self.open:
            self.texts[at] = self.texts.get(at, "") + data

    def of(self, tag):
        return [self.texts[k] for k, (name, has) in enumerate(self.elements) if name == tag and has.get("id") != "data"]

    def strings(self):
        return json.loads(zlib.decompress(base64.b64decode(self.data["tokens"]["strings"])))

    def codes(self):
        """The integers of each column, as the script reads them."""
        tokens = self.data["tokens"]
        count = sum(end - first for first, end in tokens["ranges"])
        planes = zlib.decompress(base64.b64decode(tokens["planes"]))
        found, at = {}, 0
        for column in tokens["columns"]:
            size = column["width"] * count
            bytes_of = np.frombuffer(planes[at : at + size], np.uint8).reshape(column["width"], count).astype(np.int64)
            found[column["name"]] = (bytes_of * 256 ** np.arange(column["width"])[:, None]).sum(0), column
            at += size
        assert at == len(planes)
        return found


def drawn(shape, classes=50, ignored=0.0):
    """Logits, and targets of them which are often the likely ones."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(*shape, classes)) * 3
    target = (logits + rng.gumbel(size=logits.shape)).argmax(-1)
    return logits, np.where(rng.random(shape) < ignored, -100, target)


def of_text(n=100, top_k=5, **how):
    return score_report(score(*drawn((n,)), top_k=top_k), **how)


def pair_of_texts(n=100, target=True, shape=None, ignored=0.0):
    logits, targets = drawn(shape or (n,), ignored=ignored)
    other = logits + 0.3 * np.random.default_rng(1).normal(size=logits.shape)
    return compare(logits, other, targets if target else None)


def test_the_same_input_gives_the_same_bytes():
    assert of_text(strings=["a"] * 50) == of_text(strings=["a"] * 50)
    assert compare_report(pair_of_texts()) == compare_report(pair_of_texts())


def test_the_numbers_of_the_page_are_those_of_the_summary():
    logits, target = drawn((200,), ignored=0.1)
    scores = score(logits, target, top_k=5)
    page = Page(score_report(scores, about={"bytes": 700}))
    assert page.data["summary"] == scores.summary()
    figures = {figure["label"]: figure["value"] for figure in page.data["figures"]}
    summary = scores.summary()
    assert (figures["NLL"], figures["Perplexity"], figures["Top-1"], figures["Tokens"], figures["Ignored"]) == (
        summary["nll"], summary["perplexity"], summary["top1_accuracy"], summary["tokens"], summary["ignored"],
    )  # fmt: skip
    assert figures["Bits per byte"] == pytest.approx(-np.nansum(scores.log_prob) / np.log(2) / 700, rel=1e-6)
    assert dict(page.data["marks"]) == {name: summary[f"nll_{name}"] for name in ("median", "p90", "p99")}


def test_the_numbers_of_a_comparison_are_those_of_its_summary_and_of_its_rows():
    comparison = pair_of_texts(200, ignored=0.1)
    summary, page = comparison.summary(), Page(compare_report(comparison, about={"p": "one", "q": "other"}))
    assert page.data["title"] == "other against one"
    assert page.data["summary"] == json.loads(as_json(plain(summary)))
    figures = {figure["label"]: (figure["value"], figure.get("error")) for figure in page.data["figures"]}
    assert figures["KL(P‖Q)"] == (summary["kl_pq"]["mean"], summary["kl_pq"]["error"])
    assert figures["Δp of targets"] == summary["Mean Δp"]
    assert figures["Perplexity Q ÷ P"] == summary["Mean PPL(Q)/PPL(base)"]
    codes, counted = page.codes(), comparison.counted
    kl = 1e-16 * 10 ** ((codes["kl_pq"][0][counted] - 1) / 3000)
    np.testing.assert_allclose(kl, comparison.kl_pq[counted], rtol=4e-4)
    np.testing.assert_allclose(codes["q_surprisal"][0][counted] / 1000, -comparison.q_log_prob[counted], atol=0.000501)
    np.testing.assert_array_equal(codes["overlap"][0] - 1, comparison.top_k_overlap)


def test_each_token_of_the_page_has_its_numbers_and_its_string():
    logits, target = drawn((300,), ignored=0.1)
    scores = score(logits, target, top_k=5)
    page = Page(score_report(scores, strings=[f"w{k}" for k in range(50)]))
    codes, (ids, texts) = page.codes(), page.strings()
    surprisal, column = codes["surprisal"]
    assert column["step"] == 0.001
    np.testing.assert_array_equal(surprisal == 65535, ~scores.counted)
    np.testing.assert_allclose(surprisal[scores.counted] * 0.001, -scores.log_prob[scores.counted], atol=0.000501)
    np.testing.assert_array_equal(codes["rank"][0] - 1, scores.rank)
    token, argmax, third = (codes[name][0] - 1 for name in ("token", "other0", "other2"))
    assert [None if k < 0 else ids[k] for k in token] == [None if k < 0 else k for k in target.tolist()]
    assert [ids[k] for k in third if k >= 0] == scores.top_k_ids[scores.counted, 2].tolist()
    assert [texts[k] for k in argmax if k >= 0] == [f"w{k}" for k in scores.argmax if k >= 0]


def test_a_position_may_have_a_string_of_its_own():
    scores = score(*drawn((3,)), top_k=5)
    page = Page(score_report(scores, strings={}, target_strings=["x", "yy", "z"]))
    _, texts = page.strings()
    assert [texts[k] for k in page.codes()["token"][0] - 1] == ["x", "yy", "z"]
    with pytest.raises(ValueError, match=r"target_strings has 2 strings, but there are 3 targets of shape \(3,\)"):
        score_report(scores, target_strings=["x", "y"])


@pytest.mark.parametrize("strings", ["none", "usual", "long and distinct"])
def test_ten_thousand_tokens_take_at_most_500_kilobytes(strings):
    rng, n = np.random.default_rng(0), 10_000
    ids = rng.zipf(1.2, (n, 5)) % 100_000 if strings == "usual" else rng.integers(0, 2**31, (n, 5))
    scores = replace(
        score(*drawn((n,), 8)), rank=ids[:, 0], argmax=ids[:, 0], target=ids[:, 1], entropy=9 * rng.random(n),
        top_k_ids=ids, top_k_log_probs=-9 * rng.random((n, 5)),
    )  # fmt: skip
    words = {int(k): base64.b64encode(rng.bytes(4 if strings == "usual" else 90)) for k in np.unique(ids)}
    page = score_report(scores, strings=None if strings == "none" else words)
    assert 200_000 < len(page.encode()) <= 500_000
    shown = "other4" in Page(page).codes()
    assert shown == (strings == "usual")
    assert ("To keep the page small" in page) != shown


def test_above_50000_tokens_the_page_has_the_worst_ones_and_says_so():
    n, length = 60_000, 600
    scores = score(*drawn((n // length, length), 5), top_k=5)
    page = Page(score_report(scores, strings="abcde"))
    assert page.data["notes"][0].startswith("These are 60,000 tokens.")
    assert "the 200 worst" in page.data["notes"][0]
    places = {at for first, end in page.data["tokens"]["ranges"] for at in range(first, end)}
    assert len(page.data["worst"]) == 200 and places.issuperset(page.data["worst"]) and len(places) < 200 * 25
    for first, end in page.data["tokens"]["ranges"]:
        assert first // length == (end - 1) // length, "a stretch of tokens is of two texts"
    surprisal = -scores.log_prob.ravel()
    assert surprisal[page.data["worst"]].min() == np.sort(surprisal)[-200]
    assert sum(page.data["histogram"]["counts"]) == sum(each["count"] for each in page.data["positions"]) == n
    assert len(as_json(page.data)) < 150_000


@pytest.mark.parametrize("of", [score_report, compare_report])
def test_a_string_is_never_markup(of):
    strings = EVIL + ODD + ["x"] * 40
    result = score(*drawn((60,)), top_k=5) if of is score_report else pair_of_texts(60)
    about = {"title": EVIL[0], "logits": EVIL[1], EVIL[2]: "\ud800 %script%", "command": "\u2028"}
    page = of(result, strings=strings, about=about)
    page.encode("utf-8")
    found = Page(page)
    assert {tag: sum(tag == name for name, _ in found.elements) for tag in ELEMENTS} == ELEMENTS
    assert not any(tag == "img" for tag, _ in found.elements)
    assert found.data["title"] == EVIL[0] and [EVIL[2], "\ud800 %script%"] in found.data["about"]
    assert set(found.strings()[1]) <= set(strings)


def test_json_in_a_script_has_nothing_that_html_reads():
    text = as_json(EVIL + ODD)
    assert json.loads(text) == EVIL + ODD
    assert not re.search("[<>&\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\uffff]", text)


@pytest.mark.parametrize(
    "page", [of_text(strings="ab" * 25), compare_report(pair_of_texts())], ids=["score", "compare"]
)
def test_the_page_asks_for_nothing_and_its_policy_allows_nothing_else(page):
    assert "http://" not in page and "https://" not in page
    assert not re.search(r"url\(|@import|\bsrc=|XMLHttpRequest|\bfetch\(|import\(|innerHTML|eval\(", page)
    found = Page(page)
    (policy,) = (has["content"] for tag, has in found.elements if has.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        (text,) = found.of(tag)
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert [has["href"] for tag, has in found.elements if "href" in has] == ["data:,"]
    assert not any("style" in has or any(name.startswith("on") for name in has) for _, has in found.elements)


def test_what_is_missing_is_said():
    notes = " ".join(Page(of_text(top_k=0)).data["notes"])
    assert "No strings were given: token ids are shown." in notes
    assert "The bytes of the text were not given: about={'bytes': N} adds bits per byte." in notes
    assert "No alternatives were computed: only the most likely token is shown; score(..., top_k=5) adds 5." in notes
    by_command = Page(of_text(top_k=0, about={"command": "nll-fast score x.npy"}))
    notes = " ".join(by_command.data["notes"])
    assert "--bytes N adds" in notes and "--top-k 5 adds" in notes and "top_k" not in notes
    # A number that nobody asked for has no place of its own.
    assert [x["label"] for x in by_command.data["figures"] if "unit" in x] == ["NLL", "Perplexity", "Top-1"]
    assert [x["label"] for x in Page(of_text(about={"bytes": 5})).data["figures"]][2] == "Bits per byte"
    assert not Page(of_text(strings="ab" * 25, about={"bytes": 5})).data["notes"]
    about = dict(Page(of_text(about={"logits": "x.npy", "bytes": 1234})).data["about"])
    assert (about["Logits"], about["Targets"], about["Bytes of the text"]) == ("x.npy", None, "1,234")
    assert about["Softcap"] == "none" and about["Version"].startswith("nll_fast ")
    notes = " ".join(Page(compare_report(pair_of_texts(target=False))).data["notes"])
    assert "No targets were given" in notes
    with pytest.raises(ValueError, match=r"about\['bytes'\] is 0"):
        of_text(about={"bytes": 0})


def test_what_is_not_finite_is_counted_and_shown_as_such():
    scores = score(*drawn((20,)), top_k=5)
    scores.log_prob[3], scores.log_prob[5] = np.nan, -np.inf
    scores.rank[3] = scores.argmax[3] = -1
    page = Page(score_report(scores))
    assert any(
        "2 tokens have no finite log-probability: 1 NaN, 1 infinite; the first is token 3" in x
        for x in page.data["notes"]
    )
    assert page.codes()["surprisal"][0][[3, 5]].tolist() == [65535, 65534]
    assert page.data["worst"][0] == 5 and 3 not in page.data["worst"]
    assert page.data["summary"]["nll"] == "NaN"
    comparison = pair_of_texts(20)
    comparison.kl_pq[4], comparison.kl_pq[6] = np.nan, np.inf
    page = Page(compare_report(comparison))
    assert page.codes()["kl_pq"][0][[4, 6]].tolist() == [65535, 65534]
    assert page.data["figures"][0]["value"] == pytest.approx(np.delete(comparison.kl_pq, [4, 6]).mean(dtype=float))
    assert "2 tokens are not finite" in page.data["notes"][-1]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 7), (2, 0), (2, 3, 5)])
@pytest.mark.parametrize("ignored", [0.0, 0.5, 1.0])
def test_every_shape_of_targets_has_a_page(shape, ignored):
    logits, target = drawn(shape, ignored=ignored)
    page = Page(score_report(score(logits, target, top_k=5)))
    assert page.data["tokens"]["size"] == target.size
    assert sum(each["count"] for each in page.data["positions"]) == (target != -100).sum()
    Page(compare_report(pair_of_texts(shape=shape, ignored=ignored)))
