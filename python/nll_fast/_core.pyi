from typing import Any, final

from numpy import int64
from numpy.typing import NDArray

@final
class Totals:
    @property
    def sum(self) -> float: ...
    @property
    def weight(self) -> float: ...
    @property
    def count(self) -> int: ...
    @property
    def ignored(self) -> int: ...
    @property
    def greedy(self) -> int: ...
    def digits(self) -> tuple[bytes, bytes | None, float]: ...

def row_losses(
    kind: str,
    rows: tuple[NDArray[Any], str],
    target: NDArray[int64],
    options: tuple[int | None, NDArray[Any] | None, float],
    out: tuple[NDArray[Any] | None, float],
) -> Totals: ...
def elementwise(
    function: tuple[str, list[float], bool, bool],
    inputs: list[tuple[Any, str]],
    weight: tuple[Any, str] | None,
    elements: tuple[int, list[tuple[int, float, bool]]],
    wanted: tuple[list[NDArray[Any] | None], float, bool],
) -> tuple[Totals, tuple[int, int, float] | None]: ...
def cross_entropy_grad(
    logits: tuple[Any, str],
    target: NDArray[int64],
    classes: int,
    options: tuple[int | None, NDArray[Any] | None, float, bool],
    out: NDArray[Any],
) -> None: ...
def distributions(
    quantity: str,
    logits: tuple[Any, str],
    second: tuple[Any, str] | None,
    shape: tuple[int, int],
    options: tuple[NDArray[Any] | None, float, bool],
    out: NDArray[Any] | None,
) -> Totals: ...
def logsumexp(rows: NDArray[Any], dtype: str, out: NDArray[Any]) -> None: ...
def log_softmax(rows: NDArray[Any], dtype: str, out: NDArray[Any]) -> None: ...
def exp(x: float) -> float: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def simd_level() -> str: ...
def simd_levels() -> list[str]: ...

__all__ = [
    "Totals",
    "cross_entropy_grad",
    "distributions",
    "elementwise",
    "exp",
    "get_num_threads",
    "log_softmax",
    "logsumexp",
    "row_losses",
    "set_num_threads",
    "simd_level",
    "simd_levels",
]
