"""One call: its arguments as they are passed and as plain arrays, and what the exact result is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nll_fast
import numpy as np


@dataclass
class Call:
    function: str
    given: dict[str, Any]  # arrays as they are passed
    same: dict[str, Any]  # the same numbers in C-contiguous arrays of the machine's byte order
    shape: tuple  # of each loss
    exact: Callable  # of a result's dtype: (exact losses, the size that errors are measured by, the oracle's own error)
    options: dict[str, Any] = field(default_factory=dict)
    reduces: bool = True
    out: bool = True  # takes out=
    slopes: Callable | None = None  # of (name, dtype): (exact gradient of the sum, its size, its error), or None
    wrt: tuple = ()  # the arguments that gradients may be by
    by_name: bool = True  # takes wrt=
    hess: tuple = ()  # what hess= may be
    weights: Any = None  # what the mean divides by: one weight for each loss, 0 where it does not count
    ulps: float = 4.0
    narrow: bool = False  # a float64 result of losses that were rounded to float32

    def run(self, arrays=None, **more):
        """The result of each loss, unless told otherwise."""
        more = {"reduction": "none", **more} if self.reduces else more
        return getattr(nll_fast, self.function)(**(arrays or self.given), **self.options, **more)

    def __str__(self):
        parts = [f"nll_fast.{self.function}:"]
        for name, x in self.given.items():
            shown = np.asarray(self.same[name])
            layout = f"strides {x.strides}, {x.dtype.str}" if isinstance(x, np.ndarray) else type(x).__name__
            parts.append(f"  {name} = {shown.dtype.name} {shown.shape} ({layout})\n{shown!r}")
        return "\n".join([*parts, f"  options {self.options}"])
