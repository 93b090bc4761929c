"""Arrays as users have them: any dtype, any layout in memory, and the numbers at which formulas break."""

import math

import ml_dtypes
import nll_fast
import numpy as np

from ..cases import DTYPES, REACH

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
SIZES = (63, 64, 65, 127, 128, 129, 130, 2047, 2048, 2049)  # around those where loops change


def size(r):
    """Of an axis: mostly a few, sometimes around the sizes of blocks."""
    return int(r.choice(SIZES)) if r.random() < 0.03 else int(r.integers(0, 41))


def shape(r):
    """Of 0 to 4 axes, with few elements."""
    n, axes = size(r), int(r.integers(0, 5))
    if axes == 0:
        return ()
    sides = [n]
    for _ in range(axes - 1):
        sides.append(int(r.integers(1, 4)) if math.prod(sides) < 200 else 1)
    return tuple(sides[k] for k in r.permutation(axes))


# Numbers that are rare in data and ordinary in faults, of each kind of argument.


def anywhere(dtype):
    tiny, huge = float(ml_dtypes.finfo(dtype).smallest_subnormal), float(ml_dtypes.finfo(dtype).max)
    return np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, huge, -huge, huge / 2, 1.0, 17.0, -90.0])


def positive(dtype):
    tiny, huge = float(ml_dtypes.finfo(dtype).smallest_subnormal), float(ml_dtypes.finfo(dtype).max)
    return np.array([np.nan, np.inf, 0.0, tiny, float(ml_dtypes.finfo(dtype).tiny), huge, 1.0])


def probabilities(dtype):
    finest = ml_dtypes.finfo(dtype)
    return np.array([0.0, 1.0, float(finest.smallest_subnormal), float(finest.tiny), 1 - float(finest.eps) / 2, 0.5])


def with_specials(x, r, specials, share):
    """``x`` with a share of its numbers replaced."""
    if not x.size or r.random() >= share:
        return x
    return np.where(r.random(x.shape) < r.choice([0.02, 0.2, 1.0]), r.choice(specials, x.shape), x)


def rounded(x, dtype):
    """Numbers as they are in another dtype, integers between its ends."""
    with np.errstate(all="ignore"):
        if dtype == "bool":
            return np.nan_to_num(x) >= 0.5
        if dtype in INTEGERS:
            low, high = np.iinfo(dtype).min, min(np.iinfo(dtype).max, 2**62)
            return np.clip(np.rint(np.nan_to_num(x)), low, high).astype(dtype)
        return x.astype(DTYPES[dtype])


# Layouts, each from (array, generator): a view with the same numbers, or with those of a part of them.


def plain(x, r):
    return x.copy()


def fortran(x, r):
    return np.asfortranarray(x).reshape(x.shape, order="A")


def turned(x, r):
    order = r.permutation(x.ndim)
    return np.ascontiguousarray(x.transpose(order)).reshape([x.shape[k] for k in order]).transpose(np.argsort(order))


def reversed_(x, r):
    axes = tuple(k for k in range(x.ndim) if r.random() < 0.6)
    return np.flip(np.flip(x, axes).copy(), axes)


def strided(x, r):
    steps = [int(r.integers(1, 4)) for _ in x.shape]
    wide = np.zeros([n * step for n, step in zip(x.shape, steps, strict=True)], x.dtype)
    view = wide[(*(slice(None, None, step) for step in steps), ...)]
    view[...] = x
    return view


def padded(x, r):
    pad = [(int(r.integers(0, 3)), int(r.integers(0, 3))) for _ in x.shape]
    wide = np.zeros([a + n + b for n, (a, b) in zip(x.shape, pad, strict=True)], x.dtype)
    view = wide[(*(slice(a, a + n) for n, (a, _) in zip(x.shape, pad, strict=True)), ...)]
    view[...] = x
    return view


def shifted(x, r):
    start = int(r.integers(1, 20))
    wide = np.zeros(x.size + start, x.dtype)
    wide[start:] = x.ravel()
    return wide[start:].reshape(x.shape)


def repeated(x, r):
    """Strides of 0 along some axes."""
    part = x
    for axis in range(x.ndim):
        if x.shape[axis] and r.random() < 0.5:
            part = part.take([0], axis)
    return np.broadcast_to(part, x.shape)


def overlapping(x, r):
    """Each row starts one element behind the one before."""
    if x.size == 0 or x.ndim == 0:
        return x.copy()
    steps = r.integers(0, 3, x.ndim)
    reach = 1 + int(sum(step * (n - 1) for step, n in zip(steps, x.shape, strict=True)))
    flat = np.resize(x.ravel(), reach)
    return np.lib.stride_tricks.as_strided(flat, x.shape, [int(step) * x.itemsize for step in steps], writeable=False)


def unaligned(x, r):
    room = np.zeros(x.nbytes + 1, np.uint8)[1:]
    view = room.view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def foreign(x, r):
    return x.astype(x.dtype.newbyteorder()) if x.dtype.kind in "iuf" else x.copy()


IN_PLACE = (plain, plain, fortran, turned, reversed_, strided, padded, shifted, repeated, overlapping)
ANY = (*IN_PLACE, unaligned, foreign)


def laid_out(x, r, layouts=ANY):
    """(what to pass, its numbers as a C-contiguous array)."""
    view = np.asarray(layouts[r.integers(len(layouts))](np.asarray(x), r))
    same = np.array(view, order="C")
    same = same.astype(same.dtype.newbyteorder("=")) if not same.dtype.isnative else same
    if view.dtype == ml_dtypes.bfloat16 and r.random() < 0.5:
        view = nll_fast.as_bfloat16(view.view(np.uint16))
    elif view.flags.owndata and r.random() < 0.3:
        view.flags.writeable = False
    return view, same


def reach_of(dtype):
    return REACH.get(dtype, REACH["float64"])
