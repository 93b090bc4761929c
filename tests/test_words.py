"""Every odd argument of every public function is taken for what it means, or refused in a sentence of ours.

The sentence names the argument and shows the value, its shape, its dtype or its type. Words of NumPy, Python or PyO3
about arguments that the user did not write are none of ours.
"""

import contextlib
import dataclasses
import functools
import inspect
import re
import reprlib
import tempfile
from pathlib import Path

import nll_fast
import numpy as np
import pytest
from nll_fast import Partial

from .conftest import write_llama
from .odd import ODD, OUTS

X = np.array([[0.5, -1.0, 2.0], [0.0, 1.5, 0.25], [3.0, 0.125, -2.0]])
T, ROWS = np.array([1, 0, 2]), np.ones(3)
TEXTS, TOKENS = np.stack([X, X]), np.stack([T, T])
P = np.array([[0.5, 0.25, 0.25], [0.125, 0.5, 0.375], [0.25, 0.25, 0.5]])
A, B, LABELS, COUNTS = X[0], X[1], np.array([0.0, 1.0, 0.5]), np.array([0.0, 3.0, 1.0])
PAIR = {"chosen": A, "rejected": B}
LOGPS = {"policy_chosen_logps": -P[0], "policy_rejected_logps": -P[1]}
OF_REFERENCE = {"ref_chosen_logps": -P[1], "ref_rejected_logps": -P[2]}
DERIVATIVES = {"grad": True, "wrt": ("mean", "target")}
WEIGHED = {"weight": ROWS, "mask": [True, False, True]}
WEIGHED_ROWS = {"weight": ROWS, "sample_weight": ROWS, "mask": [True, False, True]}
FOLDER = tempfile.TemporaryDirectory()
LLAMA = Path(FOLDER.name) / "x.kld"
write_llama(LLAMA, np.zeros((1, 2, 3)), np.zeros((1, 6), int))
LATER = {"logits": TEXTS, "target": TOKENS, "shift": 1}

# Calls that are right, of each public function; every argument of each is replaced by every odd thing.
RIGHT = {
    "Partial": [{"total": 4, "count": 2}, {"total": 4, "weights": 1, "count": 2, "squares": 1, "products": 1}],
    "Partial.of": [{"losses": A, "weights": 2.0}],
    "Partial.from_dict": [{"fields": {"total": 4, "weights": None, "count": 2, "special": 0.0}}],
    "as_bfloat16": [{"bits": np.array([0x3F80], np.uint16)}],
    "binary_cross_entropy": [{"probs": P[0], "target": LABELS}, {"probs": P[0], "target": LABELS, **WEIGHED}],
    "binary_cross_entropy_with_logits": [
        {"logits": A, "target": LABELS},
        {"logits": A, "target": LABELS, "pos_weight": 2.0, "grad": True, "wrt": ("logits", "target"), **WEIGHED},
        {"logits": A, "target": LABELS, "hess": "upper", "reduction": "none"},
    ],
    "bits_per_byte": [{"logits": X, "target": T, "n_bytes": 3}, {**LATER, "n_bytes": 3}],
    "bits_per_token": [{"logits": X, "target": T}, LATER],
    "bradley_terry_loss": [PAIR, {**PAIR, "margin": 1.0, "grad": True, "hess": "exact", **WEIGHED}],
    "categorical_nll": [{"probs": P, "target": T}, {"probs": P, "target": T, "clamp": "eps", "weight": ROWS}],
    "compare": [
        {"p_logits": X, "q_logits": X[::-1].copy()},
        {
            "p_logits": TEXTS,
            "q_logits": TEXTS,
            "target": TOKENS % 2,
            "shift": 1,
            "mask": TOKENS > 0,
            "classes": 2,
            "top_k": 2,
            "temperature": 2.0,
            "softcap": 3.0,
        },
    ],
    "cross_entropy": [
        {"logits": X, "target": T},
        {"logits": X, "target": P},
        {"logits": X, "target": T, "reduction": "none"},
        {"logits": X, "target": P, "grad": True, "label_smoothing": 0.1, **WEIGHED_ROWS},
        {"logits": X, "target": T, "hess": "exact", **WEIGHED_ROWS},
        {**LATER, "mask": TOKENS > -1, "sample_weight": TOKENS * 0.5},
        {**LATER, "grad": True, "reduction": "partial"},
    ],
    "cross_entropy_grad": [
        {"logits": X, "target": T},
        {"logits": X, "target": T, **WEIGHED_ROWS},
        {**LATER, "hess": "upper"},
    ],
    "dpo_loss": [{**LOGPS, **OF_REFERENCE}, {**LOGPS, **OF_REFERENCE, "grad": True, "return_rewards": True, **WEIGHED}],
    "entr": [{"p": P}],
    "entropy": [{"logits": X}, {"logits": X, "grad": True, "mask": ROWS > 0}, {"logits": TEXTS, "shift": 1}],
    "gaussian_nll_loss": [
        {"mean": A, "target": B, "var": 1.0},
        {"mean": A, "target": B, "log_var": ROWS, **DERIVATIVES, **WEIGHED},
        {"mean": A, "target": B, "sigma": ROWS, "hess": "exact", "reduction": "none"},
    ],
    "get_num_threads": [{}],
    "kl_div": [{"input": -P, "target": P}, {"input": -P, "target": P, "reduction": "batchmean"}],
    "kl_divergence": [
        {"p_logits": X, "q_logits": P},
        {"p_logits": X, "q_logits": P, "grad": True, "wrt": ("p_logits", "q_logits"), "mask": ROWS > 0},
    ],
    "laplace_nll_loss": [
        {"mean": A, "target": B, "scale": 1.0},
        {"mean": A, "target": B, "log_scale": ROWS, **DERIVATIVES, **WEIGHED},
    ],
    "log_sigmoid": [{"x": A}],
    "log_softmax": [{"logits": X}],
    "logsumexp": [{"logits": X}],
    "mse_loss": [{"mean": A, "target": B}, {"mean": A, "target": B, **DERIVATIVES, **WEIGHED}],
    "nll_loss": [{"log_probs": -P, "target": T}, {"log_probs": -P, "target": T, "weight": ROWS, "sample_weight": ROWS}],
    "perplexity": [{"logits": X, "target": T}, LATER],
    "poisson_nll_loss": [
        {"input": A, "target": COUNTS},
        {"input": A, "target": COUNTS, "log_offset": ROWS, "full": "exact", "grad": True, **WEIGHED},
    ],
    "read_llama_logits": [{"path": LLAMA}],
    "rel_entr": [{"p": P[0], "q": P[1]}],
    "score": [
        {"logits": X, "target": T},
        {**LATER, "mask": TOKENS > 0, "top_k": 2, "token_ids": [0, 2], "temperature": 2.0, "softcap": 3.0},
    ],
    "sequence_log_probs": [{"logits": TEXTS, "target": TOKENS}, LATER],
    "set_num_threads": [{"threads": 1}],
    "simd_level": [{}],
    "softplus": [{"x": A}],
    "token_log_probs": [{"logits": X, "target": T}, {**LATER, "mask": TOKENS > -1}],
}

NUMBERS = {
    "zero", "one", "-1.0", "0.5", "np.float64(-1)", "np.int8(-1)", "nan", "inf", "-inf", "0-d", "0-d int", "-5",
    "2**63",
}  # fmt: skip
TRUTHS = {"True", "False", "np.True_"}
INTEGERS = {"zero", "one", "np.int8(-1)", "0-d int", "-5"}
FLOATS = {
    "floats", "one float", "a matrix", "a memoryview", "read-only floats", "a liar", "nan in an array",
    "inf in an array", "minus in an array", "no list", "no tuple", "no number", "no row", "a float axis in a tuple",
}  # fmt: skip
ROUNDED = {"long doubles", "large integers"}
INTEGER_ARRAYS = {"booleans", "a range", "an axis twice", "a bytearray"}
# What may be taken, by the kind of an argument; where None may, its annotation says so.
TAKEN = {
    "rows": FLOATS,
    "numbers of any kind": NUMBERS | TRUTHS | FLOATS | INTEGER_ARRAYS | {"large integers"},
    "elements": NUMBERS | TRUTHS | FLOATS | INTEGER_ARRAYS | {"foreign floats", "unaligned floats"},
    "weights": NUMBERS | TRUTHS | FLOATS | INTEGER_ARRAYS | ROUNDED | {"foreign floats", "unaligned floats"},
    "classes": INTEGER_ARRAYS | {"no number", "no list", "no tuple", "zero"},
    "ids": INTEGER_ARRAYS | {"no list", "no tuple", "no number"},
    "mask": {"booleans", "True", "False", "np.True_", "zero", "one"},
    "axis": INTEGERS,
    "axes": INTEGERS | {"no list", "no tuple"},
    "integer": INTEGERS,
    "number": NUMBERS | {"a decimal", "a fraction"},
    "flag": TRUTHS | {"zero", "one"},
    "choice": set(),
    "bits": {"two bytes"},
    "units": INTEGERS | {"10**400", "-10**400", "2**63"},
    "fields": set(),
    "path": set(),
    "out": {"floats", "a liar", "nan in an array", "inf in an array", "minus in an array"},
}
KINDS = {
    **dict.fromkeys(["logits", "log_probs", "p_logits", "q_logits"], "rows"),
    "mask": "mask",
    "axis": "axis",
    **dict.fromkeys(["shift", "ignore_index", "top_k", "classes", "threads", "n_bytes", "start", "stop"], "integer"),
    **dict.fromkeys(
        ["temperature", "softcap", "eps", "beta", "label_smoothing", "reference_point", "empty_mean", "special"],
        "number",
    ),
    **dict.fromkeys(["validate", "grad", "full", "log_input", "log_target", "keepdims", "return_rewards"], "flag"),
    **dict.fromkeys(["reduction", "clamp", "hess", "loss_type", "wrt"], "choice"),
    **dict.fromkeys(["total", "weights", "count", "ignored", "top1"], "units"),
    **dict.fromkeys(["squares", "products", "weight_squares"], "units"),
    **{name: name for name in ("out", "bits", "fields", "path")},
}
OF_ROWS = {name for name, calls in RIGHT.items() if {"axis", "shift"} & {*calls[0]} or name == "cross_entropy"}

FOREIGN = re.compile(
    r"truth value|float\(\) argument|could not convert|an integer is required|setting an array element|unhashable|"
    r"object has no attribute|has no len|cannot be interpreted as|operands could not be|broadcast to a single shape|"
    r"^argument '|unsupported operand|not supported between|not iterable|not subscriptable|too large to convert|"
    r"recursion|inhomogeneous|invalid literal|must be real number|cannot be cast|can't convert|Exceeds the limit|"
    r"Cannot cast|loop of ufunc|not understood|too many indices|is out of bounds for axis"
)

# Sentences about two arguments, one of which is too many or too few, whatever its value.
RELATION = re.compile(
    r"^give exactly one of|which names what a gradient is by; it needs grad=True|with log_input=False"
)


def function(name):
    return functools.reduce(getattr, name.split("."), nll_fast)


@functools.cache
def kind(name, parameter):
    """What a parameter of a function is, by which its odd arguments are judged."""
    of_rows = "axis" in inspect.signature(function(name)).parameters or name == "sequence_log_probs"
    if parameter not in KINDS or name == "Partial.of":
        in_rows = {
            "target": "classes",
            "token_ids": "ids",
            "probs": "rows",
            "b": "numbers of any kind",
            "weight": "weights",
            "sample_weight": "weights",
        }
        return in_rows.get(parameter, "elements") if of_rows else "elements"
    if name == "binary_cross_entropy_with_logits" and parameter == "logits":
        return "elements"
    if name in ("logsumexp", "log_softmax"):
        return {"logits": "numbers of any kind", "axis": "axes"}.get(parameter, KINDS[parameter])
    return KINDS[parameter]


@functools.cache
def may_be_none(name, parameter):
    annotation = str(inspect.signature(function(name)).parameters[parameter].annotation)
    return "None" in annotation or (name in ("Partial", "Partial.of") and parameter != "losses")


def outcome(name, arguments):
    """What a call returns, or the exception that it raises, of any kind."""
    try:
        return function(name)(**arguments)
    except BaseException as error:
        return error


def forms(value):
    """Texts by one of which a reader recognises a value."""
    yield type(value).__name__
    if isinstance(value, int) and abs(value) >= 2**64:
        yield f"{value.bit_length()} bits"
        return
    yield reprlib.repr(value)[:4] if isinstance(value, (list, tuple)) else "masked array"
    with contextlib.suppress(Exception):
        yield repr(value)[:12]
    with contextlib.suppress(Exception):
        yield str(float(value))
    with contextlib.suppress(Exception):
        array = np.asarray(value)
        yield from (str(array.shape), str(array.dtype).lstrip("|")[:40], array.dtype.name, f"{array.ndim} axes")
        yield {"f": "holds floats"}.get(array.dtype.kind, "holds integers")
        yield from map(str, array.ravel()[:3].tolist() if array.size < 100 else [])
        yield "NaN" if np.isnan(array).any() else "holds"


@functools.cache
def forms_of(label):
    return tuple(forms(ODD[label].make()))


def faults(error, parameter, label):
    """What is wrong with the words of an exception about an argument."""
    if isinstance(error, MemoryError):
        return []  # NumPy says what it could not allocate.
    words = str(error)
    right = {
        "of the wrong type": type(error) in (TypeError, ValueError, IndexError)
        or (parameter == "path" and isinstance(error, OSError)),
        "does not name it": re.search(rf"\b{parameter}\b", words),
        "does not show it": RELATION.search(words) or any(form in words for form in forms_of(label)),
        "long": len(words) <= 400,
        "several lines": "\n" not in words,
        "foreign words": not FOREIGN.search(words),
    }
    return [fault for fault, is_right in right.items() if not is_right]


def same(a, b):
    """Whether two results are equal, NaN beside NaN."""
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if dataclasses.is_dataclass(a):
        return same(vars(a), vars(b))
    if isinstance(a, dict):
        return all(same(a[key], b[key]) for key in a)
    if a is None or isinstance(a, Partial):
        return type(a) is type(b) and (repr(a) == repr(b))
    return np.array_equal(a, b, equal_nan=True)


def judge(name, arguments, parameter, label):
    """What is wrong with the way in which a call takes an odd argument, or refuses it."""
    odd = ODD[label]
    value = odd.make()
    result = outcome(name, {**arguments, parameter: value})
    if isinstance(result, BaseException):
        wrong = faults(result, parameter, label)
        return [f"{', '.join(wrong)}: {type(result).__name__}: {result}"] if wrong else []
    if not (label in TAKEN[kind(name, parameter)] or (label == "None" and may_be_none(name, parameter))):
        return [f"is taken: {result!r}"]
    if odd.plain:
        plain = outcome(name, {**arguments, parameter: odd.plain()})
        return [] if same(result, plain) else [f"means {result!r}, but {odd.plain()!r} {plain!r}"]
    return []


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.filterwarnings("error")
def test_odd_arguments_are_taken_for_what_they_mean_or_refused_in_a_sentence_of_ours(name, threads):
    found = []
    for arguments in RIGHT[name]:
        right = outcome(name, arguments)
        assert not isinstance(right, BaseException), right
        for parameter in inspect.signature(function(name)).parameters:
            for label in ODD:
                if name == "Partial.of" and label.startswith("huge"):
                    continue  # Right, and it would take a year.
                said = judge(name, arguments, parameter, label)
                found += [f"{parameter} as {label}: {words}" for words in said]
    assert not found, f"{len(found)} faults, of which the first are\n" + "\n".join(found[:20])


def test_every_public_function_is_here():
    methods = {f"Partial.{name}" for name in ("of", "from_dict")}
    tables = {"Comparison", "TokenScores", "TokenSegments"}  # what functions return, and nobody makes
    assert {*RIGHT} == {name for name in nll_fast.__all__ if callable(getattr(nll_fast, name))} - tables | methods


# Functions with an out, and the shape of their results with the first of the right arguments.
WITH_OUT = {
    name: np.shape(function(name)(**{**RIGHT[name][0], **({"reduction": "none"} if "reduction" in parameters else {})}))
    for name, parameters in ((name, inspect.signature(function(name)).parameters) for name in RIGHT)
    if "out" in parameters and name != "cross_entropy_grad"
}


@pytest.mark.parametrize("name", WITH_OUT)
def test_an_out_that_cannot_hold_the_results_is_refused_whatever_it_says_of_itself(name):
    found = []
    for label, make in OUTS.items():
        out = make(WITH_OUT[name])
        result = outcome(name, {**RIGHT[name][0], "out": out})
        sentence = str(result)
        named = isinstance(result, (TypeError, ValueError)) and re.match(r"out\b", sentence)
        if not named or FOREIGN.search(sentence) or "another call" in sentence:
            found.append(f"{label}: {result!r}")
    assert not found, "\n".join(found)


def test_an_out_that_tells_lies_gets_the_results_if_it_has_room():
    out = np.zeros(3).view(type(ODD["a liar"].make()))
    assert nll_fast.softplus(A, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), nll_fast.softplus(A))
