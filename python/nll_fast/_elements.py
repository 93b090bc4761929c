"""Engine of the losses of single observations: arguments to the binding, results to the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nll_fast import _core
from nll_fast._arrays import as_input, as_mask, check_out
from nll_fast._core import Wanted
from nll_fast._options import as_flag, as_names, shown
from nll_fast._rows import REDUCTIONS, apply_reduction, check_reduction
from nll_fast._types import Array

_USUAL = {
    reduction: Wanted(
        each=reduction == "none",
        total=reduction != "none",
        moments=reduction == "partial",
        mean=reduction == "mean",
    )
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
    mask: Any = None,
    reduction: str = "none",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    hess: str | None = None,
    **options: Any,
) -> Any:
    """A loss of ``arrays``, reduced; for ``grad`` with its gradient by the arguments ``wrt``, or the first of them,
    and for ``hess`` with the gradient and the second derivatives by the first.
    """
    check_reduction(reduction)
    each, wanted = reduction == "none", _USUAL[reduction]
    grad = grad is not False and as_flag(grad, "grad")  # A call that is not needed is one that a small loss notices.
    names = None
    if grad or hess is not None:
        names, first = as_names(wrt, list(arrays)), next(iter(arrays))
        if hess is not None and first not in names:
            raise ValueError(f"hess is by {first}, which wrt={shown(wrt)} does not name; leave hess out, or name it")
    elif wrt is not None:
        raise ValueError(f"wrt is {shown(wrt)}, which names what a gradient is by; it needs grad=True or hess=")
    if weight is None and mask is None and out is None and not grad and hess is None:
        try:
            results = call(**arrays, **options, wanted=wanted)
        except TypeError:
            results = None  # The kernels do not read every argument as it is; it is converted below.
    else:
        results = None
        weight = None if weight is None else as_input(weight, "weight")
        mask = None if mask is None else as_mask(mask)
        wanted = Wanted(
            weight=weight,
            mask=mask if mask is None or mask.ndim else float(mask),
            out=out,
            each=each,
            total=not each,
            moments=reduction == "partial",
            wrt=names,
            hess=hess,
            mean=reduction == "mean",
        )
    if results is None:
        inputs = {name: as_input(x, name) for name, x in arrays.items()}
        if out is not None:
            check_out(out, (*arrays.values(), *inputs.values(), weight, mask))
        results = call(**inputs, **options, wanted=wanted)
    value, derivatives, totals = results
    result = apply_reduction(value, totals, reduction, out=out)
    if not derivatives:
        return result
    *second, gradient = derivatives if wrt is None or isinstance(wrt, str) else _split(derivatives, hess)
    return (result, gradient, *second)


def _split(derivatives: list[Any], hess: str | None) -> list[Any]:
    """The second derivative, if there is one, and the gradients as one tuple."""
    first = 1 if hess else 0
    return [*derivatives[:first], tuple(derivatives[first:])]


def partial_of(losses: Any, weights: Any = None) -> Any:
    """The Partial of losses from elsewhere."""
    weights = None if weights is None else as_input(weights, "weights")
    return elements(_core.known_losses, {"losses": losses}, weight=weights, reduction="partial")
