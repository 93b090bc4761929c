"""Engine of the losses of single observations: arguments to the binding, results to the user.

If neither weights, a mask, an output nor derivatives are given, public functions first hand their arguments to the
binding as they are. It raises TypeError for what it does not read, and only then is each argument looked at here, which
would double the time of a small call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nll_fast import _core
from nll_fast._arrays import as_input, as_mask, check_out
from nll_fast._core import Wanted
from nll_fast._options import as_flag, as_names, shown
from nll_fast._rows import check_reduction
from nll_fast._types import Array


def elements(
    call: Callable[..., Any],
    arrays: dict[str, Any],
    *options: Any,
    optional: tuple[str, ...] = (),
    weight: Any = None,
    mask: Any = None,
    reduction: str = "none",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    hess: str | None = None,
) -> Any:
    """A loss of ``arrays``, of which the ``optional`` ones may be None, reduced; for ``grad`` with its gradient by the
    arguments ``wrt``, or the first of them, and for ``hess`` with the gradient and the second derivatives by the first.
    """
    given = {name: x for name, x in arrays.items() if x is not None or name not in optional}
    check_reduction(reduction)
    grad, names = as_flag(grad, "grad"), None
    if grad or hess is not None:
        names, first = as_names(wrt, list(given)), next(iter(arrays))
        if hess is not None and first not in names:
            raise ValueError(f"hess is by {first}, which wrt={shown(wrt)} does not name; leave hess out, or name it")
    elif wrt is not None:
        raise ValueError(f"wrt is {shown(wrt)}, which names what a gradient is by; it needs grad=True or hess=")
    weight = None if weight is None else as_input(weight, "weight")
    mask = None if mask is None else as_mask(mask)
    wanted: Wanted | str = reduction
    if not weight is mask is out is names is None:
        mask = mask if mask is None or mask.ndim else float(mask)
        wanted = Wanted(reduction=reduction, weight=weight, mask=mask, out=out, wrt=names, hess=hess)
    inputs = [as_input(x, name) if name in given else None for name, x in arrays.items()]
    if out is not None:
        check_out(out, (*arrays.values(), *inputs, weight, mask))
    if names is None:
        return call(*inputs, *options, wanted)
    loss, derivatives = call(*inputs, *options, wanted)
    *second, gradient = derivatives if wrt is None or isinstance(wrt, str) else _split(derivatives, hess)
    return (loss, gradient, *second)


def _split(derivatives: list[Any], hess: str | None) -> list[Any]:
    """The second derivative, if there is one, and the gradients as one tuple."""
    first = 1 if hess else 0
    return [*derivatives[:first], tuple(derivatives[first:])]


def partial_of(losses: Any, weights: Any = None) -> Any:
    """The Partial of losses from elsewhere."""
    weights = None if weights is None else as_input(weights, "weights")
    return elements(_core.known_losses, {"losses": losses}, weight=weights, reduction="partial")
