"""bfloat16, which NumPy lacks: arrays of its bits."""

from __future__ import annotations

from typing import Any

import numpy as np


class BFloat16(np.ndarray):
    """bfloat16 numbers as the uint16 bits that they are stored in. Slices and elements are bfloat16 too; what has
    been converted to another dtype is not.
    """

    def __getitem__(self, index: Any) -> Any:
        return np.asanyarray(super().__getitem__(index)).view(BFloat16)


def is_bfloat16(x: np.ndarray) -> bool:
    """Whether an array holds the bits of bfloat16."""
    return isinstance(x, BFloat16) and x.dtype == np.uint16


def dtype_name(x: np.ndarray) -> str:
    """The name of the dtype that the numbers of an array have."""
    return "bfloat16" if is_bfloat16(x) else x.dtype.name


def as_float32(x: np.ndarray) -> np.ndarray:
    """The numbers of an array of bfloat16, each exactly as float32."""
    return (np.asarray(x).astype(np.uint32) << 16).view(np.float32)
