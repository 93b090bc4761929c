"""Options as users give them: one number, one integer, yes or no, names; and values as sentences show them."""

from __future__ import annotations

import math
import operator
import reprlib
from typing import Any

import numpy as np

from nll_fast._bfloat16 import as_float32, is_bfloat16

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 80
_SHORT.maxlevel = 3


def shown(x: Any) -> str:
    """``x`` in a sentence: on one line and at most about 100 characters, whatever it is."""
    if isinstance(x, np.ndarray):
        plain = np.asarray(x)  # What a subclass says of itself may not be so.
        if plain.ndim:
            return f"an array of shape {plain.shape} and dtype {shown_dtype(x)}"
        x = as_float32(plain).item() if is_bfloat16(x) else plain.item()
    if isinstance(x, int) and x.bit_length() > 256:
        return f"an integer of {x.bit_length()} bits"
    try:
        text = " ".join(_SHORT.repr(x).split())
    except Exception:  # Some integer in it has more digits than Python writes, or the like.
        text = f"a {type(x).__name__}"
    return text if len(text) <= 100 else f"{text[:60]} ... {text[-20:]}"


def shown_dtype(x: np.ndarray) -> str:
    """The dtype of an array in a sentence."""
    text = "bfloat16" if is_bfloat16(x) else str(np.asarray(x).dtype)
    return text if len(text) <= 60 else f"{text[:60]} ..."


def _number_of(x: Any) -> Any:
    """What Python makes a number of: ``x``, or the number in an array without axes."""
    if not isinstance(x, (np.ndarray, np.generic)):
        return x.detach() if hasattr(type(x), "detach") else x  # a tensor of torch, which would warn of its gradient
    array = np.asarray(x)
    if array.ndim or array.dtype.kind not in "fiuV" or isinstance(x, np.ma.MaskedArray):
        raise TypeError
    return as_float32(array).item() if isinstance(x, np.ndarray) and is_bfloat16(x) else array.item()


def as_number(x: Any, name: str) -> float:
    """One real number; its range is checked by whoever knows its meaning."""
    if type(x) is float:
        return x
    try:
        number = _number_of(x)
        # float() would read texts and bytes, and take True for 1.
        if isinstance(number, bool) or not (hasattr(type(number), "__float__") or hasattr(type(number), "__index__")):
            raise TypeError
        return float(number)
    except OverflowError:
        raise ValueError(f"{name} is {shown(x)}, which float64 does not hold") from None
    except Exception:
        raise TypeError(f"{name} is {shown(x)}; it must be one number") from None


def as_positive(x: Any, name: str) -> float:
    """A finite number above 0."""
    number = as_number(x, name)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} is {number}; it must be positive and finite")
    return number


def as_top_k(top_k: Any, classes: int) -> int:
    """How many of the largest classes: no more than there are, as in ``torch.topk``."""
    number = as_integer(top_k, "top_k", 0)
    if number > classes:
        raise ValueError(f"top_k is {shown(number)}, but there are {classes} classes")
    return number


def check_temperature(temperature: float, real: type) -> None:
    """Raise ValueError if the temperature is 0 when it is rounded to the type of the computation."""
    if temperature > 1e-30:
        return  # The usual case: neither float32 nor float64 rounds it to 0.
    with np.errstate(under="ignore"):
        if real(temperature) == 0:
            raise ValueError(
                f"temperature is {temperature}, which is 0 in float32; pass float64 logits or a larger one"
            )


def as_whole(x: Any, name: str) -> int:
    """One integer of any size."""
    try:
        number = _number_of(x)
        if isinstance(number, bool):
            raise TypeError
        return operator.index(number)
    except Exception:
        raise TypeError(f"{name} is {shown(x)}; it must be an integer") from None


def as_integer(x: Any, name: str, lowest: int = -(2**63), highest: int = 2**63 - 1) -> int:
    """One integer in [lowest, highest], by default what fits in 64 bits."""
    if type(x) is int and lowest <= x <= highest:
        return x
    number = as_whole(x, name)
    if not lowest <= number <= highest:
        raise ValueError(f"{name} is {shown(number)}; it must lie in [{lowest}, {highest}]")
    return number


def as_flag(x: Any, name: str) -> bool:
    """True or False; also of NumPy, or as 1 or 0. A text like "no" would count as True."""
    if x is True or x is False:
        return x
    try:
        number = np.asarray(x).item() if isinstance(x, (np.bool_, np.integer)) else x
        if type(number) in (bool, int) and number in (0, 1):
            return bool(number)
    except Exception:
        pass
    raise TypeError(f"{name} is {shown(x)}; it must be True or False")


def as_names(wrt: Any, arguments: list[str]) -> list[str]:
    """Those of several arguments that ``wrt`` names, one or several; by default the first."""
    if wrt is None:
        return arguments[:1]
    names = [wrt] if isinstance(wrt, str) else wrt
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"wrt is {shown(wrt)}; name an argument, or several in a tuple")
    names = [str.__str__(name) for name in names]  # What a subclass says it equals is no matter.
    wrong = next((name for i, name in enumerate(names) if name not in arguments or name in names[:i]), None)
    if wrong is not None:
        known = ", ".join(f"'{name}'" for name in arguments[:-1])
        known = f"{known} and '{arguments[-1]}'" if known else f"'{arguments[-1]}'"
        raise ValueError(f"wrt holds {shown(wrong)}; name some of {known}, each once")
    return list(names)


def is_name(x: Any, names: tuple[str, ...]) -> bool:
    """Whether an option is one of several names. What is no text may not be asked whether it equals one."""
    return isinstance(x, str) and x in names
