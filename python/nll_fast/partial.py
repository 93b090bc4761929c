"""Totals that add up exactly: the sum of the parts has the bits of the whole."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

_UNIT = 1 << 1074
"""Every float64 is a whole number of 2^-1074, the smallest subnormal."""


@dataclass(frozen=True, repr=False)
class Partial:
    """The exact sum of some losses, as ``reduction="partial"`` returns it; ``+`` joins two.

    However the losses are split into calls, machines or days, the joined total is the same number and is
    rounded once, when :attr:`sum` or :attr:`mean` is read. Pickles; ``to_dict`` goes through JSON.

    >>> import numpy as np, nll_fast
    >>> logits, target = np.array([[0.0, 1.0], [2.0, 0.5], [1.0, 1.0]]), np.array([0, 1, 1])
    >>> parts = [nll_fast.cross_entropy(logits[i:i + 1], target[i:i + 1], reduction="partial") for i in range(3)]
    >>> sum(parts).mean == nll_fast.cross_entropy(logits, target)
    True
    """

    total: int = 0
    """The sum of the finite losses, in units of 2^-1074."""
    weights: int = 0
    """The sum of their weights, in the same units."""
    count: int = 0
    """How many losses."""
    special: float = 0.0
    """The sum of the infinite and NaN losses."""

    def __post_init__(self) -> None:
        for name in ("total", "weights", "count"):
            if not isinstance(getattr(self, name), int):
                raise TypeError(
                    f"{name} is {getattr(self, name)!r}; it must be an int (total and weights: of 2^-1074ths)"
                )

    def __repr__(self) -> str:
        return f"Partial(sum={self.sum!r}, mean={self.mean!r}, count={self.count})"

    def __add__(self, other: Partial | int) -> Partial:
        if isinstance(other, int) and other == 0:
            return self
        if not isinstance(other, Partial):
            return NotImplemented
        return Partial(
            self.total + other.total,
            self.weights + other.weights,
            self.count + other.count,
            self.special + other.special,
        )

    __radd__ = __add__

    @property
    def sum(self) -> float:
        """The sum, rounded once; 0 for no losses."""
        if self.special != 0:
            return self.special
        return _rounded(self.total)

    @property
    def mean(self) -> float:
        """:attr:`sum` over the sum of the weights; NaN for no losses."""
        weight = _rounded(self.weights)
        return self.sum / weight if weight else math.nan

    def to_dict(self) -> dict[str, Any]:
        """The four fields, for JSON or a database."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Partial:
        """What :meth:`to_dict` was called on."""
        names = {"total", "weights", "count", "special"}
        if set(fields) != names:
            raise ValueError(f"a Partial has the fields {', '.join(sorted(names))}, not {', '.join(sorted(fields))}")
        return cls(**fields)

    @classmethod
    def _of(cls, totals: Any) -> Partial:
        """The exact digits of the kernel's totals."""
        total, weights, special = totals.digits()
        weights = totals.count * _UNIT if weights is None else int.from_bytes(weights, "little", signed=True)
        return cls(int.from_bytes(total, "little", signed=True), weights, totals.count, special)


def _rounded(units: int) -> float:
    try:
        return units / _UNIT  # int / int is rounded once, to nearest, ties to even
    except OverflowError:
        return math.inf if units > 0 else -math.inf
