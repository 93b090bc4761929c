"""Calls of the functions of rows: the rows of tests/cases.py with any class axis, dtype, layout and options."""

import nll_fast
import numpy as np

from .. import cases
from ..slopes import slopes_of_rows
from . import drawing
from .call import Call
from .exact import LONG, Long, beyond, losses, own_error

IGNORED = -(2**63)  # what the oracle is given for every row that does not count
TOKENS = ("sequence_log_probs", "perplexity", "bits_per_token", "bits_per_byte")
NAMES = [name for name, case in cases.CASES.items() if case.rows]
MASKED = ("cross_entropy", "cross_entropy_grad", "token_log_probs", "entropy", "kl_divergence", *TOKENS)
WEIGHTED = ("cross_entropy", "cross_entropy_grad", "nll_loss", "categorical_nll")
SCIPYS = ("logsumexp", "log_softmax")  # of which several axes may hold the classes
QUANTITIES = ("entropy", "kl_divergence")


def n_classes(r):
    p = r.random()
    if p < 0.03:
        return int(r.choice([2047, 2048, 2049, 2050, 4097]))
    if p < 0.032:
        return 10_000
    return int(r.integers(1, 131)) if p < 0.5 else int(r.integers(1, 13))


def leading(r, classes, slow):
    """The axes of the rows: few where the oracle loops over all classes of each."""
    room = (400 if slow else 4000) // classes
    n = int(r.integers(0, min(41, room + 1))) if room else int(r.integers(0, 2))
    axes = int(r.integers(0, 4))
    if axes == 0:
        return ()
    sides = [n] + [1] * (axes - 1)
    if axes > 1 and n > 3 and r.random() < 0.7:
        sides = [int(r.integers(1, 4)), n // 3] + [1] * (axes - 2)
    return tuple(sides[k] for k in r.permutation(axes))


def draw(r, case, function=None):
    """A random call of the function that ``case`` tests, or of ``function``, one of TOKENS, which calls that one."""
    function = function or case.function
    soft = case.draws.get("target") is cases.simplex
    options = dict(case.keywords)
    if function == "cross_entropy" and r.random() < 0.2:
        options["label_smoothing"] = float(r.choice([0.0, 0.1, 0.9, 1.0]))
    if function == "categorical_nll" and r.random() < 0.3:
        options["clamp"] = "eps"
    classes = n_classes(r)
    rows = leading(r, classes, "label_smoothing" in options and not soft)
    if function in TOKENS and not rows:
        rows = (3,)
    x = _logits(r, case, rows, classes)
    axis = int(r.integers(len(rows) + 1)) if r.random() < 0.3 and function != "sequence_log_probs" else len(rows)
    given, same = {}, {}
    for name, values in x.items():
        given[name], same[name] = drawing.laid_out(np.moveaxis(values, -1, axis), r, drawing.IN_PLACE)
    if "target" in case.others or function in TOKENS:
        _targets(r, given, same, options, rows, classes)
    shift = 0
    if function in MASKED and rows and rows[-1] and axis == len(rows) and r.random() < 0.25:
        shift = options["shift"] = int(r.integers(0, min(3, rows[-1]) + 1))
    if function in MASKED and ("mask" in case.others or r.random() < 0.2):
        mask = r.random(rows) < r.choice([0.0, 0.5, 0.9, 1.0])
        given["mask"], same["mask"] = drawing.laid_out(
            mask if r.random() < 0.7 else mask.astype(str(r.choice(drawing.INTEGERS))), r
        )
    if function in WEIGHTED:
        _row_weights(r, case, given, same, rows, classes, options, shift)
    if axis != len(rows) or r.random() < 0.3:
        options["axis"] = axis if r.random() < 0.5 else axis - len(rows) - 1
    if function == "sequence_log_probs":
        options.pop("axis", None)
    if function in SCIPYS and rows and "b" not in given and r.random() < 0.5:
        return _several(r, function, given, same)
    if function == "bits_per_byte":
        options["n_bytes"] = int(r.integers(1, 1000))
    return _call(case, function, given, same, options, rows, classes, axis, soft)


def _several(r, function, given, same):
    """The logits over several or all axes; integers too."""
    x = same["logits"]
    axes = [int(k) - x.ndim * int(r.integers(2)) for k in r.permutation(x.ndim)[: r.integers(1, x.ndim + 1)]]
    if r.random() < 0.2 and np.all(np.isfinite(x.astype(np.float32))):
        with np.errstate(over="ignore"):
            x = drawing.rounded(x.astype(np.float64), str(r.choice(["int8", "int32", "int64", "uint8", "bool"])))
        given, same = ({"logits": y} for y in drawing.laid_out(x, r))
    options = {"axis": None if r.random() < 0.3 else tuple(axes)}
    axes = tuple(range(x.ndim)) if options["axis"] is None else options["axis"]
    keep = options | ({"keepdims": bool(r.random() < 0.5)} if function == "logsumexp" else {})
    kept = np.empty(x.shape, bool).any(axes, keepdims=keep.get("keepdims", False)).shape

    def exact(dtype):
        far = np.abs(np.where(np.isfinite(same["logits"].astype(Long)), same["logits"].astype(Long), 0))
        size = np.fmax(far.max(axes, keepdims=keep["keepdims"], initial=0), 1) if function == "logsumexp" else Long(0)
        with np.errstate(all="ignore"):
            want = getattr(LONG, function)(same["logits"], **keep)
        return want, size, own_error(function, same, want)

    return Call(
        function, given, same, x.shape if function == "log_softmax" else kept, exact, options=keep, reduces=False,
        out=not keep.get("keepdims", True), ulps=4.0 + 2 * (nll_fast.simd_level() == "baseline"),
    )  # fmt: skip


def _logits(r, case, rows, classes):
    """The arrays with a class axis, which is their last."""
    drawn, main, mixed = {}, str(r.choice(list(cases.DTYPES))), r.random() < 0.1
    share, n = r.choice([0.0, 0.3]), int(np.prod(rows))
    for name, values in case.draws.items():
        dtype = str(r.choice(list(cases.DTYPES))) if mixed else main
        reach = drawing.reach_of(dtype)._replace(offset=float(r.choice([0, 0, 0, 30, -200])))
        x = np.asarray(values(r, (max(n, 1), classes), reach), np.float64)[:n]
        if values is cases.simplex:
            x = drawing.with_specials(x, r, np.array([0.0, 1.0, 1e-300]), share)
        elif values is cases.log_rows:
            x = drawing.with_specials(x, r, np.array([0.0, -np.inf, -1e-300, -1e4]), share)
        else:
            common = np.array([-np.inf, -np.inf, 0.0, -0.0, 1.0, 1e4, -1e4])
            x = drawing.with_specials(x, r, common, share)
            x = drawing.with_specials(x, r, drawing.anywhere(cases.DTYPES[dtype]), share / 4)
        drawn[name] = drawing.rounded(x.reshape(*rows, classes), dtype)
    return drawn


def _targets(r, given, same, options, rows, classes):
    """Classes in any dtype that holds them, some of them ignored."""
    holds = [name for name in drawing.INTEGERS if np.iinfo(name).max >= classes]
    holds += ["bool"] * (classes <= 2) + ["float64", "float32"] * bool(rows)
    dtype = str(r.choice(holds))
    signed = dtype not in ("bool",) and not dtype.startswith("uint")
    ignored = [-100 if signed else None, 0, classes, None][r.choice(4, p=[0.7, 0.1, 0.1, 0.1])]
    if dtype == "bool" and ignored == classes:
        ignored = None
    target = r.integers(0, classes, rows) % (2 if dtype == "bool" else classes)
    if ignored is not None:
        target = np.where(r.random(rows) < r.choice([0.0, 0.2, 1.0]), ignored, target)
    given["target"], same["target"] = drawing.laid_out(target.astype(dtype), r)
    if ignored != -100 or r.random() < 0.1:
        options["ignore_index"] = ignored


def _row_weights(r, case, given, same, rows, classes, options, shift):
    smooth = options.get("label_smoothing")
    if "weight" in case.others or r.random() < 0.15:
        weight = r.uniform(0.1, 3, classes)
        if not smooth and r.random() < 0.2:
            weight[r.random(classes) < 0.3] = 0
        dtype = str(r.choice(["float64", "float64", "float32", "float16", "int64"]))
        weight = np.ceil(weight) if dtype == "int64" else weight
        given["weight"], same["weight"] = drawing.laid_out(weight.astype(dtype), r)
    if "sample_weight" in case.others or r.random() < 0.15:
        weight = np.where(r.random(rows) < 0.2, 0, r.uniform(0.1, 3, rows))
        dtype = str(r.choice(["float64", "float64", "float32", "uint8"]))
        behind = shift and r.random() < 0.5  # one for each target behind the first ones
        weight = weight[..., shift:] if behind else weight
        given["sample_weight"], same["sample_weight"] = drawing.laid_out(weight.astype(dtype), r)


def _call(case, function, given, same, options, rows, classes, axis, soft):
    shift = options.get("shift", 0)
    shape = (*rows[:-1], rows[-1] - shift) if shift else rows
    wide = case.wide
    if wide:
        shape = tuple(np.moveaxis(np.empty((*rows, classes), bool), -1, axis).shape)
    problem = Rows(function, same, options, rows, axis, shift, soft)
    reduces = case.reduces and function not in TOKENS
    call = Call(
        function, given, same, shape, problem.exact, options=options, reduces=reduces,
        out=function not in TOKENS and not (wide and (axis != len(rows))),
        weights=problem.weights() if reduces else None,
        slopes=problem.slopes,
        wrt=("p_logits", "q_logits") if function == "kl_divergence" else ("logits",)
        if function in ("cross_entropy", "entropy") else (), by_name=function == "kl_divergence",
        hess=("exact", "upper") if function == "cross_entropy" and not soft else (),
    )  # fmt: skip
    call.narrow = function in TOKENS and same["logits"].dtype != np.float64
    call.ulps = (6.0 if function == "cross_entropy_grad" else 4.0) + 2 * (nll_fast.simd_level() == "baseline")
    return call


class Rows:
    """The exact losses of a call, of rows that are aligned with their targets beforehand."""

    def __init__(self, function, same, options, rows, axis, shift, soft):
        self.function, self.soft, self.axis, self.options = function, soft, axis, options
        whole = (slice(None),) * (len(rows) - 1)
        early = (*whole, slice(0, rows[-1] - shift)) if shift else (...,)
        late = (*whole, slice(shift, None)) if shift else (...,)
        self.arrays = {
            name: np.moveaxis(x, axis, -1)[early if name != "target" else late] for name, x in same.items()
            if name.endswith(("logits", "probs")) or name == "b" or (soft and name == "target")
        }  # fmt: skip
        self.shift = shift
        self.rows = next(iter(self.arrays.values())).shape[:-1]
        self.classes = next(iter(self.arrays.values())).shape[-1]
        self.counted = same["mask"][late].astype(bool) if "mask" in same else np.ones(self.rows, bool)
        self.weight, row_weight = same.get("weight"), same.get("sample_weight")
        if row_weight is not None and row_weight.shape != self.rows:
            row_weight = row_weight[late]
        self.row_weight = None if row_weight is None else row_weight.astype(np.float64)
        if not soft and "target" in same:
            target = same["target"][late].astype(np.float64).astype(np.int64)
            ignored = options.get("ignore_index", -100)
            self.counted = self.counted & (target != ignored) if ignored is not None else self.counted
            self.target = np.where(self.counted, target, IGNORED)

    def exact(self, dtype):
        arrays, options = dict(self.arrays), {}
        if self.function in WEIGHTED:
            options["sample_weight"] = None if self.row_weight is None else self.row_weight.ravel()
            options["weight"] = None if self.weight is None else self.weight.astype(np.float64)
        if "target" not in arrays and self.function not in ("entropy", "kl_divergence", "logsumexp", "log_softmax"):
            arrays["target"], options["ignore_index"] = self.target, IGNORED
        for name in ("label_smoothing", "clamp", "n_bytes"):
            if name in self.options:
                options[name] = self.options[name]
        if self.function == "cross_entropy_grad":
            options["reduction"] = "sum"
        elif self.function not in (*TOKENS, "logsumexp", "log_softmax", "token_log_probs"):
            options["reduction"] = "none"
            if self.function != "categorical_nll" and (self.soft or self.function in QUANTITIES):
                options["mask"] = self.counted
        with np.errstate(all="ignore"):
            want = getattr(LONG, self.function)(**arrays, **options)
        want = want[0] if self.function == "sequence_log_probs" else np.asarray(want)
        given = {name: x for name, x in arrays.items() if name != "target"}
        own = own_error(self.function, given, want)
        size = self._size(want)
        own = np.where(size >= np.finfo(np.float64).max, np.inf, own)
        if self.weight is not None or self.row_weight is not None:  # A loss may overflow before it is weighted.
            own = np.where(np.abs(want) > np.finfo(dtype).max * 1e-3, np.inf, own)
        if self.function in TOKENS:  # Single losses may pass the end of float32.
            own = np.where((np.abs(want) > 1e34) & (self.function != "perplexity"), np.inf, own)
        if self.function == "kl_divergence" or self.soft or self.options.get("label_smoothing"):
            own = np.where(beyond(self.function, given, {}, size, dtype), np.inf, own)
        if self.function in ("cross_entropy_grad", "log_softmax"):
            # The last positions have the gradient 0.
            wide = [*want.shape[:-2], want.shape[-2] + self.shift, want.shape[-1]] if self.shift else want.shape
            padded = [np.zeros(wide, Long) for _ in range(3)]
            for y, values in zip(padded, (want, size, own), strict=True):
                y[(..., slice(0, want.shape[-2]), slice(None)) if self.shift else ...] = np.broadcast_to(
                    values, want.shape
                )
            want, size, own = (np.moveaxis(y, -1, self.axis) for y in padded)
        return want, size, own

    def _size(self, want):
        with np.errstate(all="ignore"):
            if self.function == "logsumexp":
                x = self.arrays["logits"].astype(Long)
                if "b" in self.arrays:
                    log_b = np.log(np.abs(self.arrays["b"].astype(Long)))
                    far = np.fmax(np.abs(x), np.abs(log_b))
                    return np.fmax(np.max(np.where(np.isfinite(far), far, 0), -1, initial=0), 1)
                size = np.max(np.abs(np.where(np.isfinite(x), x, 0)), -1, initial=0) * (x.max(-1) != 0)
                return np.fmax(size, 1) if self.classes > 128 else size
            if self.function == "cross_entropy_grad":
                w = np.ones(self.classes) if self.weight is None else self.weight.astype(np.float64)
                s = np.ones(self.rows) if self.row_weight is None else self.row_weight
                p = np.exp(-np.fmin(losses(self.arrays["logits"]), 11000))
                smoothing, of_target = self.options.get("label_smoothing", 0), np.where(self.counted, self.target, 0)
                one_hot = np.arange(self.classes) == of_target[..., None]
                a = (1 - smoothing) * w[of_target][..., None] * one_hot + smoothing / self.classes * w
                return np.nan_to_num(s[..., None] * np.fmax(a, a.sum(-1, keepdims=True) * p))
            if self.options.get("label_smoothing"):  # The sum over the classes may overflow where its mean does not.
                x = np.abs(self.arrays["logits"].astype(Long))
                far = np.where(np.isfinite(x), x, 0).max(-1, initial=0) * self.classes * 2 > np.finfo(np.float64).max
                return np.where(far, np.finfo(np.float64).max, Long(0))
            if self.function == "perplexity":  # Its digits are those of the mean that it is the exponential of.
                return np.nan_to_num(np.fmax(want * np.log(want), want), posinf=0)
        return Long(0)

    def slopes(self, name, dtype):
        """The exact gradient of the sum by logits, by class indices that of the oracle."""
        if self.function == "cross_entropy" and not self.soft:
            other = Rows.__new__(Rows)
            other.__dict__.update(self.__dict__, function="cross_entropy_grad")
            return other.exact(dtype)
        x, y = (list(self.arrays.values()) * 2)[:2]
        x, y = x.astype(Long), y.astype(Long)
        plain = set(self.options) <= {"axis"} and self.weight is None and self.row_weight is None
        if not (plain and self.counted.all() and np.isfinite(x).all() and np.isfinite(y).all()):
            return Long(0), Long(0), np.inf
        other = x if self.soft else y
        key = "soft targets" if self.soft else {"logits": "entropy", "p_logits": "by p", "q_logits": "by q"}[name]
        with np.errstate(all="ignore"):
            want, size = slopes_of_rows(x, other, y if self.soft else np.exp(-losses(x)))[key]
            nll = losses(x)
            own = np.exp(-nll) * (1 + nll.max(-1, keepdims=True)) * np.finfo(Long).eps * 16 + np.finfo(dtype).tiny
            own += (
                np.exp(-nll) * Long(2) ** -48
            )  # Of nearly equal rows, whose log-ratios are rounded as numbers about 1.
            if name == "q_logits":  # Or p times the largest log-ratio of the row: docs/accuracy.md.
                ratios = np.abs(nll - losses(y))
                size = np.fmax(size, np.exp(-nll) * np.where(np.isfinite(ratios), ratios, 0).max(-1, keepdims=True))
        size = size * (2 if dtype == np.float64 else 1)
        return tuple(np.moveaxis(np.broadcast_to(z, want.shape), -1, self.axis) for z in (want, size, own))

    def weights(self):
        """What the mean divides by: 0 where a row does not count, and one where it has no weights."""
        s = np.ones(self.rows) if self.row_weight is None else self.row_weight
        if self.weight is not None and not self.soft:
            s = s * self.weight.astype(np.float64)[np.where(self.counted, self.target, 0)]
        return np.where(self.counted, s, 0.0)
