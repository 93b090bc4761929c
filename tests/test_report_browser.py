"""Both pages in a headless Chromium: they draw, log nothing, ask for nothing, and keys and buttons work."""

import re

import numpy as np
import pytest
from nll_fast import compare, score
from nll_fast.report import compare_report, score_report

from . import chromium
from .test_report import drawn

pytestmark = pytest.mark.skipif(not chromium.PATH, reason=f"none of {', '.join(chromium.NAMES)} is installed")

WORDS = [f" word{k}" for k in range(38)] + ["W" * 16, " " + "W" * 90] + [
    "\n", "\t", "", "\ud800", "\u202e", "<img src=x onerror=\"document.title='ran'\">",
    "</script><script>document.title='ran'</script>", "'\"&amp;", "日本", "\0",
]  # fmt: skip


def of_text(shape=(120,), top_k=5, ignored=0.05, **how):
    logits, target = drawn(shape, ignored=ignored)
    return score_report(score(logits, target, top_k=top_k), **({"strings": WORDS} | how))


def of_two(shape=(120,), target=True, ignored=0.05, **how):
    logits, targets = drawn(shape, ignored=ignored)
    other = logits + 0.3 * np.random.default_rng(1).normal(size=logits.shape)
    return compare_report(compare(logits, other, targets if target else None), **({"strings": WORDS} | how))


@pytest.fixture(scope="module")
def browser():
    with chromium.Chromium() as started:
        yield started


@pytest.fixture
def show(browser, tmp_path):
    def shown(page, address=""):
        path = tmp_path / "report.html"
        path.write_text(page, "utf-8")
        browser.open(path.as_uri() + address)
        return browser

    yield shown
    assert browser.errors == [], "the console has errors"
    asked = [url for url in browser.requests if not url.startswith(("data:,", tmp_path.as_uri()))]
    assert asked == [], "a request has left the page"


def selected(page):
    return page.evaluate("Number(document.querySelector('#text [aria-selected=true]').dataset.k)")


def details(page):
    return page.evaluate("document.getElementById('details').innerText")


PAGES = {"score": of_text, "compare": of_two}


def test_the_head_of_a_comparison_says_which_model_is_which(show):
    page = show(of_two(about={"p": "float16", "q": "4 bits"}))
    assert page.evaluate("document.getElementById('sub').textContent").startswith("P is float16, Q is 4 bits · ")
    assert "Q is" not in show(of_two()).evaluate("document.getElementById('sub').textContent")


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_draws_and_what_is_in_its_strings_does_not_run(show, kind):
    page = show(PAGES[kind](about={"title": WORDS[46], "command": WORDS[45]}))
    assert page.evaluate("document.title") == f"{WORDS[46]} · nll_fast"
    assert page.evaluate("document.querySelectorAll('script').length") == 2
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    text = page.evaluate("document.getElementById('text').textContent")
    assert " word7" in text and "日本" in text
    assert page.evaluate("document.querySelectorAll('#text .token').length") > 100
    for section in ("positions", "histogram", "calibration" if kind == "score" else "buckets"):
        assert page.evaluate(f"document.querySelectorAll('#{section} svg *').length") > 10, section


@pytest.mark.parametrize("kind", PAGES)
def test_keys_move_along_the_tokens_and_the_details_follow(show, kind):
    page = show(PAGES[kind](ignored=0), "#token=10")
    assert selected(page) == 10
    assert page.evaluate("document.activeElement.dataset.k") == "10"
    seen = [details(page)]
    steps = [("ArrowRight", 11), ("ArrowRight", 12), ("ArrowLeft", 11), ("Home", 0), ("ArrowLeft", 0), ("End", 119)]
    for key, where in steps:
        page.press(key)
        assert selected(page) == where
        seen.append(details(page))
    assert len(set(seen)) == 5  # of the tokens 10, 11, 12, 0 and 119
    page.press("Home")
    first = selected(page)
    page.press("ArrowDown")
    below = selected(page)
    assert below > first + 2
    page.press("ArrowUp")
    assert selected(page) < below
    page.evaluate("select(placeOf(DATA.worst[4]))")
    page.press("w")
    assert page.evaluate("TOKENS.at[state.selected] === DATA.worst[5]")
    assert page.evaluate("location.hash === `#token=${DATA.worst[5]}`")
    assert page.evaluate("document.querySelectorAll('#text [tabindex=\"0\"]').length") == 1
    assert page.evaluate("document.getElementById('spoken').textContent").count(", ") >= 1


def test_the_details_have_the_numbers_of_the_token(show):
    logits, target = drawn((50,))
    scores = score(logits, target, top_k=5)
    page = show(score_report(scores, strings=WORDS), "#token=20")
    said = details(page).replace("−", "-")
    for number in (f"{scores.log_prob[20]:.3f}", f"{scores.entropy[20]:.3f}", f"id {target[20]}", f"{scores.rank[20]}"):
        assert number in said, number
    shares = [100 * np.exp(x) for x in scores.top_k_log_probs[20].astype(float)]
    found = [float(x) for x in re.findall(r"([\d.]+) %", said)][1:]
    np.testing.assert_allclose(found[:5], shares, rtol=0.01, atol=0.002)


def test_the_pointer_shows_a_token_and_gives_the_selected_one_back(show):
    page = show(of_text(ignored=0), "#token=10")
    before = details(page)
    page.point_at("#text [data-k='30']")
    assert "token 30" in details(page) and selected(page) == 10
    page.point_at("#title")
    assert details(page) == before


@pytest.mark.parametrize("kind", PAGES)
def test_buttons_choose_what_colours_the_text(show, kind):
    page = show(PAGES[kind]())
    colours = "[...document.querySelectorAll('#text .token')].map((x) => x.className).join()"
    seen = []
    for name in page.evaluate("[...document.querySelectorAll('#modes button')].map((x) => x.dataset.mode)"):
        page.evaluate(f"document.querySelector('#modes [data-mode={name}]').click()")
        seen.append(page.evaluate(colours))
        assert page.evaluate("document.querySelector('#modes [aria-pressed=true]').dataset.mode") == name
        assert page.evaluate("document.querySelectorAll('#legend .ramp span').length") == 16
    assert len(set(seen)) == len(seen) == 3


def test_worst_tokens_lead_into_the_text_and_the_table_sorts_and_turns_pages(show):
    page = show(of_text(ignored=0))
    page.evaluate("document.querySelectorAll('#worst .jump')[3].click()")
    assert page.evaluate("TOKENS.at[state.selected] === DATA.worst[3]")
    rows = "[...document.querySelectorAll('#table-rows tr')].map((row) => row.cells[2].textContent)"
    assert len(page.evaluate(rows)) == 50
    page.evaluate("document.querySelectorAll('#table th button')[1].click()")
    falling = [float(x) for x in page.evaluate(rows)]
    assert falling == sorted(falling, reverse=True)
    page.evaluate("document.querySelector('#table-pages [aria-label=\"Last page\"]').click()")
    assert len(page.evaluate(rows)) == 20


def test_blanks_and_what_is_unseen_are_marked_and_remain_what_they_are(show):
    scores = score(*drawn((8,)), top_k=5)
    page = show(score_report(scores, target_strings=[" a", "\n", "\t", "b c d", "", "\u200b", "\u202ec", " "]))
    assert page.evaluate("document.querySelectorAll('#text .blank').length") == 4
    assert page.evaluate("document.querySelector('#text [data-k=\"3\"]').textContent") == "b c d"
    marks = page.evaluate("[...document.querySelectorAll('#text .mark')].map((x) => x.textContent)")
    assert marks == ["↵", "→", "∅", "U+200B", "U+202E"]
    assert page.evaluate("document.getElementById('text').textContent.startsWith(' a↵\\n')")


def test_texts_follow_one_another_and_ignored_ones_are_said(show):
    logits, target = drawn((3, 10))
    target[1, 4:] = -100
    page = show(score_report(score(logits, target, top_k=5), strings=WORDS))
    text = page.evaluate("document.getElementById('text').innerText")
    assert all(f"Text {k}" in text for k in range(3)) and "6 ignored" in text
    page.evaluate("select(13, { focus: true })")
    page.press("ArrowRight")
    assert selected(page) == 20, "the keys do not step over the ignored tokens"
    assert "text 2, token 0" in details(page)


@pytest.mark.parametrize("how", [{"strings": None}, {"top_k": 0}, {"ignored": 1.0}, {"shape": (0,)}, {"shape": ()}])
def test_a_page_with_little_in_it_draws(show, how):
    page = show(of_text(**how))
    assert page.evaluate("document.getElementById('notes').hidden") is False


def test_a_comparison_without_targets_draws(show):
    page = show(of_two(target=False))
    assert "No targets were given" in page.evaluate("document.getElementById('notes').textContent")
    assert page.evaluate("document.querySelectorAll('#modes button').length") == 2


def test_what_is_not_finite_is_shown_as_such(show):
    scores = score(*drawn((20,)), top_k=5)
    scores.log_prob[3], scores.log_prob[5] = np.nan, -np.inf
    scores.rank[3] = scores.argmax[3] = -1
    page = show(score_report(scores, strings=WORDS), "#token=3")
    assert details(page).count("NaN") >= 2 and "odd" in page.evaluate(
        "document.querySelector('#text [data-k=\"3\"]').className"
    )
    page.evaluate("select(5)")
    assert "−∞" in details(page) and "s15" in page.evaluate("document.querySelector('#text [data-k=\"5\"]').className")


def test_a_long_text_has_pages_and_a_longer_one_its_worst_tokens(show):
    scores = score(*drawn((60_000,), 6), top_k=5)
    page = show(score_report(scores, strings="abcdef"))
    assert "60,000 tokens" in page.evaluate("document.getElementById('notes').textContent")
    assert page.evaluate("document.querySelectorAll('#text .which').length") > 10
    assert page.evaluate("document.querySelectorAll('#text .token').length") <= 2000
    page.evaluate("select(TOKENS.count - 1)")
    assert page.evaluate("state.page") == page.evaluate("Math.floor((TOKENS.count - 1) / 2000)") > 0
    page.evaluate("select(1999, { focus: true })")
    page.press("ArrowRight")
    assert (page.evaluate("state.page"), selected(page)) == (1, 2000)
    page.press("ArrowLeft")
    assert (page.evaluate("state.page"), selected(page)) == (0, 1999)


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_a_picture_of_the_page_is_not_blank_and_nothing_is_wider_than_it(show, browser, kind, theme, width):
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    browser.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    try:
        page = show(PAGES[kind]())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        data, line = chromium.pixels(page.screenshot())
        assert len(data) == 900 * line
        counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
        assert (counts > 0).sum() > 100 and counts.max() < 0.97 * len(data)
        paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (int(re.findall(r"\d+", paper)[0]) > 128) == (theme == "light")
        page.evaluate(
            f"document.querySelector('.theme [data-theme={'dark' if theme == 'light' else 'light'}]').click()"
        )
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != paper
    finally:
        browser.send("Emulation.setEmulatedMedia", features=[])
        browser.send("Emulation.clearDeviceMetricsOverride")
