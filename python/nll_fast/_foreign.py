"""What is no NumPy array, as one: tensors of torch, lists, and whatever NumPy can view. Imports no framework."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from nll_fast._bfloat16 import BFloat16, as_float32, is_bfloat16
from nll_fast._options import shown


def as_numpy(x: Any, name: str) -> np.ndarray:
    """``x`` as an array, without a copy of what is an array already; bfloat16 of torch as :class:`BFloat16`."""
    if isinstance(x, (list, tuple)):
        return _from_list(x, name)
    if is_bfloat16(x):
        return x
    if isinstance(x, _tensors()):
        return _from_torch(x, name)
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array; its mask would be lost: pass {name}.filled(0) and "
            f"mask=~np.ma.getmaskarray({name}), or filled(-100) for class targets"
        )
    if isinstance(x, (str, os.PathLike)):
        raise TypeError(
            f"{name} is {shown(x)}, which is no array; if it is the path of a file, load that first: "
            f"np.load({shown(os.fspath(x))}, mmap_mode='r')"
        )
    if str(type(x).__module__).partition(".")[0] in ("dask", "dask_expr"):
        raise TypeError(
            f"{name} is a Dask collection, all of which would be loaded: pass {name}.compute(), or call the function "
            "on each block with reduction='partial' and add up the results"
        )
    return _viewed(x, name)


def _viewed(x: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except MemoryError:
        raise
    except Exception as error:
        sentence = f"{name} is a {type(x).__name__} of which NumPy makes no array"
        # What a foreign array says of itself is worth reading; what NumPy says of lists is not.
        said = "" if isinstance(x, (list, tuple)) else f": {shown(str(error))}"
        raise (ValueError if isinstance(error, ValueError) else TypeError)(sentence + said) from None


def _tensors() -> tuple[type, ...]:
    """The class of torch's tensors if there can be any: if torch is imported."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return () if tensor is None else (tensor,)


def _from_torch(x: Any, name: str) -> np.ndarray:
    torch = sys.modules["torch"]
    if x.device.type != "cpu":
        raise ValueError(f"{name} is on {x.device}; nll_fast runs on CPU: pass {name}.cpu()")
    if x.layout != torch.strided:
        raise TypeError(f"{name} is a tensor with the layout {x.layout}; pass {name}.to_dense()")
    x = x.detach().resolve_neg()
    try:
        if x.dtype == torch.bfloat16:
            return x.view(torch.int16).numpy().view(np.uint16).view(BFloat16)
        return x.numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name} is a tensor of {x.dtype} that NumPy cannot view: {error}; pass {name}.float()"
        ) from None


_NUMBERS = {float, int, bool}


_DEEPEST = 32
"""As many axes as the kernels read; a list may also hold itself."""


def _from_list(x: Any, name: str) -> np.ndarray:
    """One array; if NumPy would misread it, of parts that are made arrays first. Parts that are all bfloat16 remain
    so, and become float32 beside others.
    """
    try:
        is_misread = _misread(x)
    except RecursionError:
        raise ValueError(f"{name} is {shown(x)}, which has more than {_DEEPEST} axes") from None
    if not is_misread:
        try:
            return np.asarray(x)
        except MemoryError:
            raise
        except Exception:
            pass  # One of the parts may be an array after all.
    parts = [as_numpy(part, name) for part in x]
    if all(map(is_bfloat16, parts)):
        return _joined([np.asarray(part) for part in parts], name).view(BFloat16)
    return _joined([as_float32(part) if is_bfloat16(part) else part for part in parts], name)


def _joined(parts: list[np.ndarray], name: str) -> np.ndarray:
    """Arrays of one shape as one."""
    shapes = list(dict.fromkeys(part.shape for part in parts))
    if len(shapes) > 1:
        raise ValueError(
            f"{name} is a list of which NumPy makes no array: its parts have the shapes {shown(shapes)[1:-1]}; they "
            "must have one"
        )
    return _viewed(parts, name)


def _misread(x: Any, depth: int = 1) -> bool:
    """Whether a list holds, at any depth, bits that NumPy would read as numbers, or a mask that it would lose."""
    if depth > _DEEPEST:
        raise RecursionError
    found = set(map(type, x))
    if found <= _NUMBERS:
        return False
    misread, lists = (*_tensors(), BFloat16, np.ma.MaskedArray), (list, tuple)
    if any(issubclass(kind, lists) for kind in found) and any(
        [_misread(y, depth + 1) for y in x if isinstance(y, lists)]  # all of them: one may be too deep
    ):
        return True
    return any(issubclass(kind, misread) for kind in found)
