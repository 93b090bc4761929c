"""Calls of the elementwise losses: the rows of tests/cases.py at any shape, dtype and layout, with any options."""

import nll_fast
import numpy as np

from .. import cases
from . import drawing
from .call import Call
from .exact import LONG, Long, beyond, largest_term, own_error

PROBABLE = {cases.labels, cases.unit, cases.hard}
POSITIVE = {cases.variances, cases.deviations, cases.weights, cases.rates}
FITTED = {"var", "log_var", "sigma", "scale", "log_scale", "log_offset", "weight", "mask"}  # or one for each row
HESSIANS = {"poisson_nll_loss": ("exact",), "dpo_loss": ()}
NO_GRADIENT = {"softplus", "log_sigmoid", "entr", "rel_entr", "kl_div", "binary_cross_entropy"}


def finite_weights(r, shape, reach):
    """From 0.01 to 100, and 0."""
    return np.where(r.random(shape) < 0.1, 0.0, cases.weights(r, shape, reach))


def specials(draw, name, dtype):
    if name == "weight":
        return np.array([0.0, 1.0, 2.0])
    if draw in PROBABLE:
        return drawing.probabilities(dtype)
    if draw in POSITIVE or name in ("var", "sigma", "scale", "pos_weight"):
        return drawing.positive(dtype)
    if name == "target" and draw not in (cases.normal, cases.scores, cases.log_unit):
        return np.array([0.0, 1.0, 2.0])
    return drawing.anywhere(dtype)


def draw(r, case):
    """A call of the function of ``case``."""
    shape = drawing.shape(r)
    options = {**case.keywords, **_options(case, r)}
    draws = {**case.draws, **case.others}
    if case.reduces and case.function != "kl_div":
        if "weight" not in draws and r.random() < 0.25:
            draws["weight"] = finite_weights
        if "mask" not in draws and r.random() < 0.25:
            draws["mask"] = cases.hard
    main = str(r.choice(list(cases.DTYPES)))
    share = r.choice([0.0, 0.3])
    given, same = {}, {}
    for name, values in draws.items():
        given[name], same[name] = _argument(r, case, name, values, shape, main, share, draws)
    shape = np.broadcast_shapes(*(x.shape for name, x in same.items() if name not in ("weight", "mask")))
    for name in FITTED & set(given):
        given[name], same[name] = _fitting(r, given[name], same[name], shape)
    names = [name for name in draws if name not in ("weight", "mask")]
    if "pos_weight" in options or options.get("full") == "exact":
        names = [name for name in names if name not in ("target", "pos_weight")]
    if "pos_weight" in same and not same["pos_weight"].ndim:  # A number of 1 is as if there were none.
        names = [name for name in names if name != "pos_weight"]
    call = Call(
        case.function, given, same, shape, lambda dtype: _exact(case.function, same, shape, options, dtype),
        options=options, reduces=case.reduces,
        wrt=() if case.function in NO_GRADIENT or not case.reduces else tuple(names),
        hess=HESSIANS.get(case.function, ("exact", "upper")) if case.function not in NO_GRADIENT else (),
        slopes=lambda name, dtype: _slope(case.function, same, shape, options, name, dtype),
        weights=_weights(case.function, same, shape),
    )  # fmt: skip
    call.ulps = 4.0 + (case.function == "dpo_loss") + 2 * (nll_fast.simd_level() == "baseline")
    return call


def _options(case, r):
    some, function = {}, case.function
    if function == "binary_cross_entropy":
        some["clamp"] = [None, "eps", "torch"][r.integers(3)]
    if function == "gaussian_nll_loss" and r.random() < 0.3:
        some["full"] = bool(r.random() < 0.5)
    if function in ("gaussian_nll_loss", "laplace_nll_loss", "poisson_nll_loss") and r.random() < 0.3:
        some["eps"] = float(r.choice([0.0, 1e-6, 0.5]))
    if function == "poisson_nll_loss" and r.random() < 0.3:
        some["full"] = [False, True, "stirling", "exact"][r.integers(4)]
    if function == "binary_cross_entropy_with_logits" and r.random() < 0.3:
        some["validate"] = bool(r.random() < 0.5)
    if function == "dpo_loss" and r.random() < 0.5:
        some["beta"] = float(r.choice([0.01, 0.1, 1.0, 3.0]))
    return some


def _argument(r, case, name, values, shape, main, share, draws):
    """(what to pass, its numbers): of the shape, or a part of it that broadcasts, or one number."""
    first = next(iter(draws))
    dtype = main if r.random() < 0.7 else str(r.choice([*cases.DTYPES, *drawing.INTEGERS, "bool"]))
    if name == "probs" or name in ("scale", "sigma", "var", "weight", "pos_weight"):
        dtype = dtype if dtype in cases.DTYPES else main  # integers as probabilities are taken for swapped labels
    if name == "mask" or (name in case.others and name != "weight"):
        dtype = "bool" if name == "mask" and r.random() < 0.7 else str(r.choice(drawing.INTEGERS))
    lone = name != first and r.random() < 0.12
    n = 1 if lone else int(np.prod(shape))
    reach = drawing.reach_of(main)
    with np.errstate(all="ignore"):
        x = np.asarray(values(r, (max(n, 2),), reach)).astype(np.float64)[:n]
    kind = dtype if dtype in cases.DTYPES else main
    x = drawing.rounded(drawing.with_specials(x, r, specials(values, name, cases.DTYPES[kind]), share), dtype)
    if lone:
        return _number(r, x[0], dtype)
    given, same = drawing.laid_out(x.reshape(shape), r)
    if given.ndim and given.size and same.dtype.kind in "fiub" and same.dtype.name != "bfloat16" and r.random() < 0.03:
        given, same = same.tolist(), np.asarray(same.tolist())
    return given, np.asarray(same)


def _number(r, x, dtype):
    """One number: of Python, of NumPy, or an array without axes."""
    if dtype not in ("bfloat16", "float16") and r.random() < 0.5:
        return x.item(), np.asarray(x)
    return (x if r.random() < 0.5 else np.asarray(x)), np.asarray(x)


def _fitting(r, given, same, shape):
    """One number for each row, or what broadcasts, where only one of the two is possible."""
    if same.shape != shape or len(shape) < 2 or not same.size or r.random() < 0.6:
        return given, same
    rows = shape[:-1]
    if r.random() < 0.5:
        part, fits = same[..., 0], _broadcasts(rows, shape)
        if fits:
            return given, same
    else:
        axis = int(r.integers(len(shape)))
        part = same.take([0], axis)
        if part.shape == rows or same.shape == rows:
            return given, same
    return drawing.laid_out(part, r)


def _broadcasts(part, shape):
    try:
        return np.broadcast_shapes(part, shape) == shape
    except ValueError:
        return False


def fitted(x, shape):
    """``x`` in the whole shape, or one number for each of its rows."""
    return np.broadcast_to(x if not x.ndim or _broadcasts(x.shape, shape) else x[..., None], shape)


def _seen(same, shape, dtype, function):
    """The arguments as the kernels see them: in float32 if that is what they compute in."""
    seen = {}
    for name, x in same.items():
        if not x.ndim and x.dtype.kind not in "iub":
            x = x.astype(np.float64)  # A number has no dtype of its own.
        narrow = dtype == np.float32 and function != "dpo_loss" and (x.dtype.kind in "iu" or x.dtype == np.float64)
        with np.errstate(all="ignore"):
            x = x.astype(np.float32) if narrow and name != "mask" else x
        seen[name] = fitted(x, shape)
    return seen


def _exact(function, same, shape, options, dtype):
    seen = _seen(same, shape, dtype, function)
    wanted = {name: x for name, x in options.items() if name != "validate"}
    more = {} if function in ("softplus", "log_sigmoid", "entr", "rel_entr") else {"reduction": "none"}
    with np.errstate(all="ignore"):
        want = getattr(LONG, function)(**seen, **wanted, **more)
    arguments = {name: x for name, x in seen.items() if name not in ("weight", "mask")}
    numbers = {name: x for name, x in wanted.items() if name in FITTED}
    size = largest_term(function, arguments | numbers, options)
    if "weight" in seen:
        with np.errstate(invalid="ignore"):
            size = np.nan_to_num(size * np.abs(seen["weight"].astype(Long)))
    own = own_error(function, arguments, want)
    odd = np.isnan(want)
    for x in (*seen.values(), *numbers.values()):
        odd = odd & ~np.isnan(np.asarray(x).astype(Long))
    # Of ∞ − ∞ and 0·∞ the documentation, not the oracle, says what they are.
    if "pos_weight" in seen and dtype != Long:  # A smaller exponential is 0.
        own = own + np.abs(seen["pos_weight"].astype(Long)) * Long(np.finfo(dtype).tiny) ** 2
    if "weight" in seen and dtype != Long:
        own = own + 2 * Long(np.finfo(dtype).smallest_subnormal)
        if dtype == np.float64:  # A loss is rounded before it is weighted: to a subnormal, or beyond the largest.
            w = np.abs(seen["weight"].astype(Long))
            own = own * np.fmax(w, 1)
            odd |= np.abs(want) > w * np.finfo(dtype).max / 8
    odd |= beyond(function, arguments | numbers, options, size, dtype)
    return want, size, np.where(odd, np.inf, own)


def _weights(function, same, shape):
    """What the mean divides by."""
    counted = fitted(same["mask"], shape).astype(bool) if "mask" in same else np.ones(shape, bool)
    divides = function in ("gaussian_nll_loss", "laplace_nll_loss", "mse_loss", "poisson_nll_loss")
    if not divides or "weight" not in same:
        return counted.astype(np.float64)
    return np.where(counted, fitted(same["weight"], shape).astype(np.float64), 0.0)


RELATIVE = {"var", "sigma", "scale", "pos_weight"}


def _slope(function, same, shape, options, name, dtype):
    """The difference quotient of the exact losses by an argument, its size, and its error; ∞ where it says nothing."""
    seen = {key: x if key == "mask" else x.astype(Long) for key, x in _seen(same, shape, dtype, function).items()}
    x = seen[name]
    with np.errstate(all="ignore"):
        scale = np.abs(x) if name in RELATIVE or options.get("log_input") is False else np.ones_like(x)
        step = scale * Long(2) ** -20
        up, here, down = (
            _exact(function, seen | {name: x + s}, shape, options, np.dtype(Long)) for s in (step, 0, -step)
        )
        slope = (up[0] - down[0]) / (2 * step)
        bend = (up[0] - 2 * here[0] + down[0]) / step**2
        size = np.fmax(np.fmax(np.abs(here[0]), here[1]), 1) / np.fmin(scale, 1)
        own = Long(2) ** -34 * (np.abs(slope) + np.abs(bend) * scale + size)
        fine = np.isfinite(slope) & np.isfinite(own) & (x > 0 if name in RELATIVE else True)
        w = np.fmin(np.abs(seen["weight"]), 1) if "weight" in seen else Long(1)
        fine &= np.abs(slope) < w * np.finfo(dtype).max / 8  # It may overflow before it is weighted.
        for key, y in seen.items():
            fine = fine & (np.abs(y) < 1e4 if key not in RELATIVE else np.isfinite(y))
        if name == "target" and options.get("full"):  # Stirling's formula begins at 1.
            fine &= x > 1.1
        fine &= ~beyond(
            function, {key: y for key, y in seen.items() if key not in ("weight", "mask")}, options, size, dtype
        )
        if name in ("var", "scale"):  # Below eps the slope is that at eps.
            fine &= x > 1.1 * options.get("eps", 1e-6)
        kinked = (function == "laplace_nll_loss" and name in ("mean", "target")) or options.get("loss_type") == "hinge"
        return slope, size, np.where(fine & ~np.bool_(kinked), own, np.inf)
