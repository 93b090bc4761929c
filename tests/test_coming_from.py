"""The tables of ``docs/coming-from.md``: our call in a row gives its number, and so does the peer's if it is there."""

import ast
import doctest
import pkgutil
import re
from pathlib import Path

import nll_fast
import numpy as np
import pytest

from .test_peers import peer

DOCUMENT = Path(__file__).parent.parent / "docs" / "coming-from.md"
TEXT = DOCUMENT.read_text()
# What a name in the left column of a table stands for: a module, or something in it.
LIBRARIES = {
    "torch": {"torch": "torch", "F": "torch.nn.functional", "D": "torch.distributions"},
    "scikit-learn": {
        "special": "scipy.special",
        "log_loss": "sklearn.metrics:log_loss",
        "mean_squared_error": "sklearn.metrics:mean_squared_error",
        "mean_poisson_deviance": "sklearn.metrics:mean_poisson_deviance",
    },
    "SciPy": {"special": "scipy.special", "stats": "scipy.stats"},
    "LightGBM, XGBoost": {},
}


def rows():
    """(library, their call, our call, what both give) of each row of the tables with four columns."""
    library = ""
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4 and cells[1] == "nll_fast":
            library = cells[0]
        elif len(cells) == 4 and cells[0].startswith("`"):
            yield library, cells[0].strip("`"), cells[1].strip("`"), ast.literal_eval(cells[2])


ROWS = list(rows())


@pytest.fixture(scope="module")
def arrays():
    """The names of the document's first lines: arrays, and the functions of nll_fast."""
    names = {}
    for example in doctest.DocTestParser().get_examples(TEXT):
        exec(example.source, names)
        if example.source.startswith("how = "):
            return names
    raise AssertionError("the document does not say how gradients are asked for")


def test_lines_of_the_document():
    result = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert result.attempted > 15 and not result.failed


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2])
def test_our_call_gives_the_number(row, arrays):
    np.testing.assert_allclose(eval(row[2], dict(arrays)), row[3], rtol=0, atol=5.01e-5)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # torch's advice on kl_div's mean
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_their_call_gives_the_number(row, arrays):
    library, call, _, number = row
    names = {name: x for name, x in arrays.items() if isinstance(x, np.ndarray)}
    if library == "torch":
        names = {name: peer("torch").as_tensor(x) for name, x in names.items()}
    for name, path in LIBRARIES[library].items():
        if re.search(rf"\b{name}\b", call):
            peer(path.partition(":")[0])
            names[name] = pkgutil.resolve_name(path)
    np.testing.assert_allclose(eval(call, names | {"np": np}), number, rtol=0, atol=5.01e-5)


@pytest.mark.parametrize("name", nll_fast.__all__)
def test_every_public_name_is_met(name):
    ours = " ".join(row[2] for row in ROWS) + " ".join(re.findall(r"^>>> (.*)", TEXT, re.M))
    assert re.search(rf"\b{name}\b", ours)


def test_every_library_has_its_rows():
    assert {row[0] for row in ROWS} == set(LIBRARIES) and len(ROWS) > 60
