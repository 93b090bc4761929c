from typing import Any, final

from numpy import bool_, float64, int64
from numpy.typing import ArrayLike, NDArray

_Array = NDArray[Any]
# A function raises TypeError for anything but a float or an array of a type that the kernels read.
_Input = ArrayLike
_Weight = NDArray[float64] | None
_RowWeight = NDArray[float64] | None
_Mask = NDArray[bool_] | None

@final
class Wanted:
    def __new__(
        cls,
        *,
        reduction: str,
        weight: _Input | None = None,
        mask: _Input | None = None,
        out: _Array | None = None,
        wrt: list[str] | None = None,
        hess: str | None = None,
    ) -> Wanted: ...

@final
class Partial:
    def __new__(
        cls,
        total: int | None = None,
        weights: int | None = None,
        count: int | None = None,
        special: float | None = None,
        ignored: int | None = None,
        top1: int | None = None,
        squares: int | None = None,
        products: int | None = None,
        weight_squares: int | None = None,
    ) -> Partial: ...
    @classmethod
    def of(cls, losses: Any, weights: Any = None) -> Partial: ...
    @property
    def standard_error(self) -> float: ...
    @property
    def perplexity(self) -> float: ...
    @property
    def squares(self) -> int | None: ...
    @property
    def products(self) -> int | None: ...
    @property
    def weight_squares(self) -> int | None: ...
    @property
    def sum(self) -> float: ...
    @property
    def mean(self) -> float: ...
    @property
    def total(self) -> int: ...
    @property
    def weights(self) -> int | None: ...
    @property
    def count(self) -> int: ...
    @property
    def special(self) -> float: ...
    @property
    def ignored(self) -> int | None: ...
    @property
    def top1(self) -> int | None: ...
    def __add__(self, other: Partial | int, /) -> Partial: ...
    def __radd__(self, other: Partial | int, /) -> Partial: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Partial: ...

def known_losses(losses: _Input, wanted: Wanted | str) -> Any: ...
def softplus(x: _Input, wanted: Wanted | str) -> Any: ...
def log_sigmoid(x: _Input, wanted: Wanted | str) -> Any: ...
def binary_cross_entropy_with_logits(
    logits: _Input, target: _Input, pos_weight: _Input, validate: bool, wanted: Wanted | str
) -> Any: ...
def binary_cross_entropy(
    probs: _Input, target: _Input, clamp: str | None, validate: bool, wanted: Wanted | str
) -> Any: ...
def gaussian_nll_loss(
    mean: _Input,
    target: _Input,
    var: _Input | None,
    log_var: _Input | None,
    sigma: _Input | None,
    eps: float,
    full: bool,
    wanted: Wanted | str,
) -> Any: ...
def laplace_nll_loss(
    mean: _Input,
    target: _Input,
    scale: _Input | None,
    log_scale: _Input | None,
    eps: float,
    wanted: Wanted | str,
) -> Any: ...
def mse_loss(mean: _Input, target: _Input, wanted: Wanted | str) -> Any: ...
def poisson_nll_loss(
    input: _Input,
    target: _Input,
    log_offset: _Input | None,
    log_input: bool,
    full: bool | str,
    eps: float,
    validate: bool,
    wanted: Wanted | str,
) -> Any: ...
def bradley_terry_loss(chosen: _Input, rejected: _Input, margin: _Input, wanted: Wanted | str) -> Any: ...
def dpo_loss(
    policy_chosen_logps: _Input,
    policy_rejected_logps: _Input,
    ref_chosen_logps: _Input,
    ref_rejected_logps: _Input,
    beta: float,
    label_smoothing: float,
    loss_type: str,
    reference_point: float,
    wanted: Wanted | str,
) -> Any: ...
def entr(p: _Input, wanted: Wanted | str) -> Any: ...
def rel_entr(p: _Input, q: _Input, wanted: Wanted | str) -> Any: ...
def kl_div(input: _Input, target: _Input, log_target: bool, wanted: Wanted | str) -> Any: ...
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    weight: _Weight,
    row_weight: _RowWeight,
    ignore_index: int | None,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
    label_smoothing: float = 0.0,
    negate: bool = False,
) -> Any: ...
def nll_loss(
    log_probs: ArrayLike,
    target: ArrayLike,
    weight: _Weight,
    row_weight: _RowWeight,
    ignore_index: int | None,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
) -> Any: ...
def categorical_nll(
    probs: ArrayLike,
    target: ArrayLike,
    weight: _Weight,
    row_weight: _RowWeight,
    ignore_index: int | None,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
    clamp: str | None = None,
) -> Any: ...
def soft_cross_entropy(
    logits: _Array,
    target: _Array,
    weight: _Weight,
    label_smoothing: float,
    mask: _Mask,
    row_weight: _RowWeight,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
) -> Any: ...
def expected_loss(
    probs: _Array,
    target: _Array,
    weight: _Weight,
    clamp: str | None,
    mask: _Mask,
    row_weight: _RowWeight,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
) -> Any: ...
def entropy(
    logits: _Array, mask: _Mask, row_weight: _RowWeight, out: _Array | None, reduction: str, empty_mean: float
) -> Any: ...
def kl_divergence(
    p_logits: _Array,
    q_logits: _Array,
    mask: _Mask,
    row_weight: _RowWeight,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
) -> Any: ...
def entropy_grad(
    logits: _Array,
    mask: _Mask,
    row_weight: _RowWeight,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
    mean: bool,
) -> tuple[_Array, None, Any]: ...
def soft_cross_entropy_grad(
    logits: _Array,
    target: _Array,
    weight: _Weight,
    label_smoothing: float,
    mask: _Mask,
    row_weight: _RowWeight,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
    mean: bool,
) -> tuple[_Array, None, Any]: ...
def kl_divergence_grad(
    p_logits: _Array,
    q_logits: _Array,
    mask: _Mask,
    row_weight: _RowWeight,
    out: _Array | None,
    reduction: str,
    empty_mean: float,
    mean: bool,
    by_p: bool,
    by_q: bool,
) -> tuple[_Array | None, _Array | None, Any]: ...
def logsumexp(logits: _Array, out: _Array | None, b: _Array | None = None) -> _Array: ...
def log_softmax(logits: _Array, out: _Array | None) -> _Array: ...
def cross_entropy_grad(
    logits: _Array,
    target: NDArray[int64],
    weight: _Weight,
    row_weight: _RowWeight,
    ignore_index: int | None,
    label_smoothing: float,
    mean: bool,
    grad_out: _Array | None = None,
    *,
    hess: str | None = None,
    out: _Array | None = None,
    reduction: str | None = None,
    empty_mean: float = ...,
) -> tuple[_Array, _Array | None, Any]: ...
def exp(x: float) -> float: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def simd_level() -> str: ...
def simd_levels() -> list[str]: ...

__all__ = [
    "Partial",
    "Wanted",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bradley_terry_loss",
    "categorical_nll",
    "compare",
    "cross_entropy",
    "cross_entropy_grad",
    "dpo_loss",
    "entr",
    "entropy",
    "entropy_grad",
    "exp",
    "expected_loss",
    "gaussian_nll_loss",
    "get_num_threads",
    "kl_div",
    "kl_divergence",
    "kl_divergence_grad",
    "known_losses",
    "laplace_nll_loss",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "poisson_nll_loss",
    "rel_entr",
    "score",
    "set_num_threads",
    "simd_level",
    "simd_levels",
    "soft_cross_entropy",
    "soft_cross_entropy_grad",
    "softplus",
]

def score(
    logits: _Array | tuple[_Array, _Array, _Array],
    target: _Array,
    ignore_index: int | None,
    given: _Array,
    temperature: float,
    softcap: float | None,
    numbers: list[_Array],
    integers: list[_Array],
) -> None: ...
def compare(
    p_logits: _Array | tuple[_Array, _Array, _Array],
    q_logits: _Array | tuple[_Array, _Array, _Array],
    target: _Array,
    ignore_index: int | None,
    top_k: int,
    temperature: float,
    softcap: float | None,
    numbers: list[_Array],
    integers: list[_Array],
) -> None: ...
