"""The one call behind every elementwise loss: shapes, dtypes, limits, derivatives, and what is returned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast import _core
from nll_fast._arrays import as_element, as_out
from nll_fast.reduction import check_reduction, reduced


def same_shape(inputs: dict[str, tuple[Any, str]]) -> tuple[int, ...]:
    """The one shape of all arrays; numbers go with any."""
    shapes = [x.shape for x, dtype in inputs.values() if dtype != "scalar"]
    if shapes and shapes.count(shapes[0]) < len(shapes):
        named = [f"{name} of shape {x.shape}" for name, (x, dtype) in inputs.items() if dtype != "scalar"]
        raise ValueError(
            f"{' and '.join(named)} differ; nothing is broadcast here: reshape one of them, or use np.broadcast_to"
        )
    return shapes[0] if shapes else ()


def broadcast_shape(inputs: dict[str, tuple[Any, str]]) -> tuple[int, ...]:
    """The shape all arrays broadcast to by NumPy's rules."""
    shapes = {name: x.shape for name, (x, dtype) in inputs.items() if dtype != "scalar"}
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the shapes do not broadcast together: {listed}") from None


_BELOW_FLOAT64 = frozenset(("float32", "float16", "bfloat16"))


def _broadcast(x: Any, dtype: str, name: str, shape: tuple[int, ...]) -> tuple[Any, str]:
    if dtype == "scalar" or x.shape == shape:
        return x, dtype
    try:
        return np.broadcast_to(x, shape), dtype
    except ValueError:
        raise ValueError(f"{name} has shape {x.shape}, which does not broadcast to {shape}") from None


def elementwise(
    function: str,
    arguments: dict[str, Any],
    options: tuple[float, ...] = (),
    *,
    shape: Any = same_shape,
    spread: dict[str, Any] | None = None,
    weight: Any = None,
    reduction: str = "none",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
    double: bool | None = None,
    limits: dict[str, tuple[float, bool, str]] | None = None,
) -> Any:
    """``function`` of ``arguments`` (one shape) and ``spread`` (broadcast to it), then reduced.

    ``limits`` holds, for arguments from 0 on, the highest value, whether NaN is allowed, and what to
    say of others. They are looked at beside the computation: when one raises, ``out`` is written already.
    """
    check_reduction(reduction, out)
    inputs = {name: as_element(x, name) for name, x in arguments.items()}
    shape = shape(inputs)
    for name, x in spread.items() if spread else ():
        inputs[name] = as_element(x, name)
    if double is None:
        dtypes = {dtype for _, dtype in inputs.values()}
        double = "float64" in dtypes or dtypes.isdisjoint(_BELOW_FLOAT64)
    if weight is not None:
        weight = _broadcast(*as_element(weight, "weight"), "weight", shape)
    inputs = {name: _broadcast(x, dtype, name, shape) for name, (x, dtype) in inputs.items()}
    length = math.prod(shape)
    dtype = "float64" if double else "float32"
    value = None
    if reduction == "none":
        held = tuple(x for x, kind in (*inputs.values(), weight or (None, "scalar")) if kind != "scalar")
        value = as_out(out, shape, dtype, held)
    first = np.empty(shape, dtype) if grad else None
    second = np.empty(shape, dtype) if hess else None
    scale = 1 / length if reduction == "mean" and length else 1.0
    names = list(inputs)
    bounds = [(names.index(name), *bound[:2]) for name, bound in limits.items()] if limits else []
    totals, outside = _core.elementwise(
        (function, list(options), double, hess == "upper"),
        list(inputs.values()),
        weight,
        (length, bounds),
        ([value, first, second], scale, reduction != "none"),
    )
    if outside is not None and limits:
        number, place, wrong = outside
        index = tuple(int(i) for i in np.unravel_index(place, shape)) if shape else ()
        raise ValueError(f"{names[number]} is {wrong} at index {index}; {limits[names[number]][2]}")
    result: Any = value if reduction == "none" else reduced(totals, reduction)
    if not shape and reduction == "none":
        result = result[()]
    return (result, first, second) if hess else (result, first) if grad else result


def derivatives(grad: bool, hess: str | None) -> dict[str, Any]:
    if hess not in (None, "exact", "upper"):
        raise ValueError(f"hess is {hess!r}; use None, 'exact' or 'upper'")
    return {"grad": bool(grad) or hess is not None, "hess": hess}
