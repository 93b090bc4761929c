"""Engine of the losses of single observations: arguments to the binding, results to the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nll_fast._arrays import as_input, check_out
from nll_fast._core import Wanted
from nll_fast._rows import REDUCTIONS, apply_reduction, check_reduction
from nll_fast._types import Array

_USUAL = {
    reduction: Wanted(each=reduction == "none", total=reduction != "none", mean=reduction == "mean")
    for reduction in REDUCTIONS
}
"""What is wanted with each reduction and nothing else, made once: a small call would notice."""


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
    """A loss of ``arrays``, reduced; with its gradient by the first of them for ``grad``, and with the gradient and
    the second derivatives for ``hess``.
    """
    check_reduction(reduction)
    each, wanted = reduction == "none", _USUAL[reduction]
    if weight is None and out is None and not grad and hess is None:
        try:
            results = call(**arrays, **options, wanted=wanted)
        except TypeError:
            results = None  # The kernels do not read every argument as it is; it is converted below.
    else:
        results = None
        weight = None if weight is None else as_input(weight, "weight")
        wanted = Wanted(
            weight=weight, out=out, each=each, total=not each, grad=bool(grad), hess=hess, mean=reduction == "mean"
        )
    if results is None:
        inputs = {name: as_input(x, name) for name, x in arrays.items()}
        if out is not None:
            check_out(out, (*arrays.values(), *inputs.values(), weight))
        results = call(**inputs, **options, wanted=wanted)
    value, gradient, hessian, totals = results
    if each and not value.ndim:
        value = value[()]
    result = apply_reduction(value, totals, reduction)
    return (result, gradient, hessian) if hess else (result, gradient) if grad else result
