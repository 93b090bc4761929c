"""What a type checker sees of a loss: its result depends on ``reduction``, ``grad``, ``hess`` and ``return_rewards``.

The two decorators return the function itself, so its signature, its documentation and its speed stay as written.
A type checker sees one of the two protocols instead: it knows the type of the result, but no option by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, overload

from numpy.typing import ArrayLike, NDArray

from nll_fast._core import Partial

Array: TypeAlias = NDArray[Any]
Hessian: TypeAlias = Literal["exact", "upper"]
Reduction: TypeAlias = Literal["mean", "sum", "none", "partial"]
Loss: TypeAlias = float | Array | Partial | tuple[Any, ...]
_One: TypeAlias = Literal["mean", "sum", "batchmean"]
_Part: TypeAlias = Literal["partial"]


class GradientOptions(TypedDict, total=False):
    """The options of :func:`nll_fast.cross_entropy_grad` on which the type of its result does not depend."""

    axis: int
    weight: ArrayLike | None
    sample_weight: ArrayLike | None
    ignore_index: int | None
    label_smoothing: float
    shift: int
    mask: ArrayLike | None
    reduction: Reduction
    out: Array | None


class _Mean(Protocol):
    @overload
    def __call__(self, *x: ArrayLike, reduction: _One = ..., hess: Hessian, **_: Any) -> tuple[float, Array, Array]: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: str, hess: Hessian, **_: Any) -> tuple[Any, Array, Array]: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: _One = ..., grad: Literal[True], **_: Any) -> tuple[float, Array]: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: str, grad: Literal[True], **_: Any) -> tuple[Any, Array]: ...
    @overload
    def __call__(self, *x: ArrayLike, return_rewards: Literal[True], **_: Any) -> tuple[Any, dict[str, Any]]: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: _One = ..., grad: Literal[False] = ..., **_: Any) -> float: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: Literal["none"], grad: Literal[False] = ..., **_: Any) -> Array: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: _Part, grad: Literal[False] = ..., **_: Any) -> Partial: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: str = ..., **_: Any) -> Any: ...


class _None(Protocol):
    @overload
    def __call__(self, *x: ArrayLike, reduction: Literal["none"] = ..., **_: Any) -> Array: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: _One, **_: Any) -> float: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: _Part, **_: Any) -> Partial: ...
    @overload
    def __call__(self, *x: ArrayLike, reduction: str, **_: Any) -> Any: ...


def mean_by_default(function: Callable[..., Any]) -> _Mean:
    return function


def none_by_default(function: Callable[..., Any]) -> _None:
    return function
