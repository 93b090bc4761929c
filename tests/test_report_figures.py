"""What the HTML pages draw: figures of all tokens together, which tokens they hold, and the colours of both themes."""

import base64
import re
import zlib
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from nll_fast.report.aggregates import by_position, calibration, calibration_error, histogram, largest
from nll_fast.report.tokens import Columns, kept


def test_ranges_of_neighbours_are_one_and_do_not_overlap():
    ranges = kept(np.array([70_000, 70_010, 90_000, 0, 99_999]), 100_000, 100_000)
    assert ranges == [[0, 13], [69_988, 70_023], [89_988, 90_013], [99_987, 100_000]]
    assert kept(np.array([99_999, 100_000, 100_001]), 200_000, 100_000) == [[99_987, 100_000], [100_000, 100_014]]


def test_stretches_of_positions_have_means_and_errors():
    values = np.array([[1.0, 2, 3, np.nan], [3.0, 4, 5, 6]])
    (one,) = by_position(values.ravel(), 4)
    assert (one["first"], one["end"], one["count"]) == (0, 4, 7)
    assert one["mean"] == pytest.approx(24 / 7) and one["error"] == pytest.approx(
        np.std([1, 2, 3, 3, 4, 5, 6], ddof=1) / 7**0.5
    )
    many = by_position(np.arange(1000.0), 1000)
    assert len(many) == 64 and many[0]["first"] == 0 and many[-1]["end"] == 1000
    assert all(a["end"] == b["first"] for a, b in pairwise(many))


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("values", [[0.5], [2.0, 2.0], [1e-12, 3.0], [0.0, 0.1, 12.7], [1e-3] * 5 + [1e3]])
def test_a_histogram_counts_every_value_between_its_edges(values, logarithmic):
    values = np.array(values)
    found = histogram(values, logarithmic)
    counted = values[values > 0] if logarithmic else values
    assert sum(found["counts"]) == counted.size and len(found["edges"]) == len(found["counts"]) + 1 <= 60
    assert found["edges"][0] <= counted.min() * (1 + 1e-9) and counted.max() <= found["edges"][-1] * (1 + 1e-9)
    assert not histogram(np.array([np.nan]), logarithmic)["counts"]


def test_calibration_counts_how_often_what_was_likely_was_right():
    rows = calibration(np.array([0.05, 0.15, 0.19, 1.0]), np.array([False, True, False, True]))
    assert [row["count"] for row in rows] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert rows[1]["confidence"] == pytest.approx(0.17) and rows[1]["right"] == 0.5 and rows[2]["right"] is None
    assert calibration_error(rows) == pytest.approx((0.05 + 2 * 0.33 + 0) / 4)


def test_the_largest_of_equal_values_is_the_first():
    assert largest(np.array([1.0, np.nan, 3, np.inf, 3, 0]), 4).tolist() == [3, 2, 4, 0]


def test_a_divergence_keeps_its_digits_over_all_sizes():
    values = np.array([0.0, 1e-12, 3.7e-7, 0.0123, 0.5, 7.5, 900.0, np.nan, np.inf])
    columns = Columns()
    columns.ratio("kl", values)
    planes = np.frombuffer(zlib.decompress(base64.b64decode(columns.packed())), np.uint8).astype(np.int64)
    codes = planes[:9] + 256 * planes[9:]
    assert codes[[0, 7, 8]].tolist() == [0, 65535, 65534]
    np.testing.assert_allclose(1e-16 * 10 ** ((codes[1:7] - 1) / 3000), values[1:7], rtol=4e-4)


def luminance(colour):
    part = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_are_told_apart_by_lightness_and_their_text_is_read(theme):
    text = (files("nll_fast.report") / "page" / "colours.css").read_text("utf-8")
    rules = re.findall(
        r"\.([sd])(\d+) \{ background: light-dark\((#\w+), (#\w+)\); color: light-dark\((#\w+), (#\w+)\)", text
    )
    assert len(rules) == 32
    for ramp in "sd":
        of = [(luminance(rule[2 + theme]), luminance(rule[4 + theme])) for rule in rules if rule[0] == ramp]
        for ground, letters in of:
            assert (max(ground, letters) + 0.05) / (min(ground, letters) + 0.05) >= 4.5
        grounds = np.array([ground for ground, _ in of])
        parts = [grounds] if ramp == "s" else [grounds[7::-1], grounds[8:]]
        for part in parts:
            assert (np.diff(part) < 0).all() if theme == 0 else (np.diff(part) > 0).all()
