"""What must hold of every valid call; each check raises AssertionError with a sentence."""

import math

import nll_fast
import numpy as np

from .exact import distance


def check(call, r):
    """Run ``call`` in every way, and compare it with its exact result and with itself."""
    before = {name: _bytes(x) for name, x in call.given.items()}
    got = call.run()
    each = np.asarray(got[0] if isinstance(got, tuple) else got)
    assert each.shape == call.shape or call.function in SINGLE, f"shape {each.shape}, not {call.shape}"
    if each.size:
        _close("the loss", call, each, call.exact(each.dtype), call.ulps)
    plain = call.run(call.same)
    assert same_bits(got, plain), f"other bits than those of a C-contiguous copy: {got!r}, {plain!r}"
    if call.reduces:
        _check_reductions(call, each)
    if call.out and r.random() < 0.5:
        _check_out(call, each, r)
    if call.wrt and r.random() < 0.5:
        _check_gradient(call, each, r)
    for name, bits in before.items():
        assert _bytes(call.given[name]) == bits, f"{name} was written to"


EMPTY_MEAN = ("cross_entropy", "nll_loss", "categorical_nll")
SINGLE = ("sequence_log_probs", "perplexity", "bits_per_token", "bits_per_byte")


def _bytes(x):
    return np.asarray(x).tobytes() if isinstance(x, np.ndarray | np.generic) else repr(x)


def same_bits(a, b):
    """Whether two results are equal bit for bit, but for those of a NaN."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same_bits, a, b))
    a, b = np.asarray(a), np.asarray(b)
    equal = a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return equal and (a.dtype.kind != "f" or bool(np.all((np.signbit(a) == np.signbit(b)) | np.isnan(a))))


def _close(what, call, got, exact, ulps):
    want, size, own = exact
    if call.narrow:
        with np.errstate(over="ignore"):
            size = np.fmax(size, np.abs(want)) * 2**29
            own = own + float(np.finfo(np.float32).tiny)
    far = distance(got, want, size, own)
    if not np.all(far <= ulps):
        worst = np.unravel_index(np.argmax(np.nan_to_num(far, nan=np.inf)), far.shape)
        want = np.broadcast_to(want, far.shape)[worst]
        raise AssertionError(f"{what} is {got[worst]!r} at {[int(i) for i in worst]}, not {want!r}: {far[worst]} ulp")


def total(values):
    """The exact sum, rounded once, of what may be infinite."""
    values = np.ravel(values)
    if np.isfinite(values).all():
        try:
            return math.fsum(values.tolist())
        except OverflowError:
            return None
    with np.errstate(all="ignore"):
        return float(np.sum(values[~np.isfinite(values)].astype(np.float64)))


def _same_number(a, b):
    return a == b or (a != a and b != b)


def _check_reductions(call, each):
    want = total(each)
    if want is None:  # The sum passes the end of float64 on its way.
        return
    got = call.run(reduction="sum")
    assert type(got) is float and _same_number(got, want), f"sum is {got}, not that of the losses, {want}"
    partial = call.run(reduction="partial")
    assert _same_number(partial.sum, want), f"the partial's sum is {partial.sum}, not {want}"
    again = nll_fast.Partial.of(each)
    assert _same_number(again.sum, want) and again.count == each.size, f"Partial.of(losses) is {again}, not {want}"
    mean = call.run(reduction="mean")
    if call.function in EMPTY_MEAN and not partial.count:
        assert call.run(reduction="mean", empty_mean=3.5) == 3.5, "empty_mean is not the mean of nothing"
    assert _same_number(mean, partial.mean), f"mean is {mean}, the partial's {partial.mean}"
    weights = call.weights
    counted = np.isfinite(weights).all() and 1e-250 < math.fsum(weights.ravel().tolist()) < 1e250
    if counted and math.isfinite(want):
        expected = want / math.fsum(weights.ravel().tolist())
        close = abs(mean - expected) <= 1e-13 * abs(expected) + 5e-324
        narrow = each.dtype == np.float32 and abs(mean - expected) <= 3e-7 * abs(expected)
        assert close or narrow, f"mean is {mean}, not {want} / {weights.sum()} = {expected}"
    elif not weights.size and call.function != "kl_div":
        assert math.isnan(mean), f"the mean of nothing is {mean}"


def _check_out(call, each, r):
    dtype = [np.float32, np.float64][r.integers(2)]
    out = np.full(call.shape, 7, dtype)
    if r.random() < 0.3:
        out = np.full(out.size + 3, 7, dtype)[3:].reshape(call.shape)
    how = {"reduction": str(r.choice(["none", "mean", "sum", "partial"]))} if call.reduces else {}
    got = call.run(out=out, **how)
    if how.get("reduction", "none") == "none":
        assert got is out or np.shares_memory(got, out) or not out.size, "out is not what is returned"
        assert got is out or "keepdims" in call.options, "out is not what is returned"
    with np.errstate(all="ignore"):
        want = each.astype(dtype)
        if dtype == np.float64 and each.dtype == np.float32:  # It may hold more digits than the result would.
            assert same_bits(out.astype(np.float32), each) or same_bits(out, want), f"out holds {out!r}, not {each!r}"
        else:
            assert same_bits(out, want), f"out holds {out!r}, not {want!r}"


def _check_gradient(call, each, r):
    names = [name for name in call.wrt if r.random() < 0.6] or [call.wrt[0]]
    more = {"wrt": tuple(names)} if call.by_name else {}
    names = names if call.by_name else [call.wrt[0]]
    hess = str(r.choice(call.hess)) if call.hess and call.wrt[0] in names and r.random() < 0.3 else None
    how = {**more, **({"hess": hess} if hess else {"grad": True})}
    result = call.run(**how)
    loss, gradients = result[0], result[1] if call.by_name else (result[1],)
    assert same_bits(np.asarray(loss), each), f"the loss beside a gradient is {loss!r}, not {each!r}"
    assert same_bits(tuple(result), tuple(call.run(call.same, **how))), "other gradients than of a C-contiguous copy"
    summed = call.run(reduction="sum", **how)
    assert same_bits(tuple(summed[1:]), tuple(result[1:])), "the gradient of the sum is not that of the losses"
    for name, gradient in zip(names, gradients, strict=True):
        if call.slopes and np.size(gradient):
            gradient = np.asarray(gradient)
            _close_slopes(call, name, gradient)
    if hess and call.hess == ("exact", "upper") and call.wrt != ("logits",):
        upper = np.asarray(call.run(**more, hess="upper")[2])
        exact = np.asarray(call.run(**more, hess="exact")[2])
        with np.errstate(all="ignore"):
            worse = exact * (1 - 4 * np.finfo(exact.dtype).eps) > upper + np.finfo(exact.dtype).tiny
            worse &= exact < np.finfo(exact.dtype).max / 8
        assert not worse.any(), f"hess='upper' {upper!r} lies below the exact one, {exact!r}"


def _close_slopes(call, name, gradient):
    want, size, own = call.slopes(name, gradient.dtype)
    known = np.isfinite(np.broadcast_to(own, np.shape(gradient))) & np.isfinite(np.broadcast_to(want, gradient.shape))
    want, size, own = (np.where(known, y, 0) for y in (want, size, own))
    ulps = 10 + 4 * (nll_fast.simd_level() == "baseline")
    _close(f"the gradient by {name}", call, np.where(known, gradient, gradient.dtype.type(0)), (want, size, own), ulps)
