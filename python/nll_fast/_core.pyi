from typing import Any

from numpy import int64
from numpy.typing import NDArray

def row_losses(
    kind: str,
    rows: tuple[NDArray[Any], str],
    target: NDArray[int64],
    options: tuple[int | None, NDArray[Any] | None, float],
    out: tuple[NDArray[Any] | None, float],
) -> tuple[float, float, float, int, int, int]: ...
def logsumexp(rows: NDArray[Any], dtype: str, out: NDArray[Any]) -> None: ...
def log_softmax(rows: NDArray[Any], dtype: str, out: NDArray[Any]) -> None: ...
def exp(x: float) -> float: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def simd_level() -> str: ...
def simd_levels() -> list[str]: ...

__all__ = [
    "exp",
    "get_num_threads",
    "log_softmax",
    "logsumexp",
    "row_losses",
    "set_num_threads",
    "simd_level",
    "simd_levels",
]
