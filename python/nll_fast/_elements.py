"""Engine of the losses of single observations: arguments to the binding, results to the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nll_fast._arrays import as_input, check_out
from nll_fast._rows import apply_reduction, check_reduction
from nll_fast._types import Array


class Wanted(NamedTuple):
    """What is wanted of a call."""

    weight: Any
    out: Array | None
    each: bool
    total: bool
    grad: bool
    hess: str | None
    mean: bool


def given(**arrays: Any) -> dict[str, Any]:
    """Those of several arguments that are given: not None."""
    return {name: x for name, x in arrays.items() if x is not None}


def elements(
    call: Callable[..., Any],
    arrays: dict[str, Any],
    *,
    weight: Any = None,
    reduction: str = "none",
    out: Array | None = None,
    grad: bool = False,
    hess: str | None = None,
    **options: Any,
) -> Any:
    """A loss of ``arrays``, reduced; with its derivatives by the first of them if these are wanted."""
    check_reduction(reduction)
    inputs = {name: as_input(x, name) for name, x in arrays.items()}
    if out is not None:
        check_out(out, (*arrays.values(), *inputs.values(), weight))
    weight = None if weight is None else as_input(weight, "weight")
    each = reduction == "none"
    wanted = Wanted(weight, out, each, not each, bool(grad), hess, reduction == "mean")
    value, gradient, hessian, totals = call(**inputs, **options, wanted=wanted)
    if each and not value.ndim:
        value = value[()]
    result = apply_reduction(value, totals, reduction)
    return (result, gradient, hessian) if hess else (result, gradient) if grad else result
