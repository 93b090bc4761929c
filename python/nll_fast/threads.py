"""How many threads a large call uses, and which instructions."""

from nll_fast import _core
from nll_fast._arrays import as_integer


def get_num_threads() -> int:
    """How many threads large calls use.

    The first that is set of ``set_num_threads``, ``NLL_FAST_NUM_THREADS``, ``RAYON_NUM_THREADS`` and
    ``OMP_NUM_THREADS``, else the cores this process may use. Results do not depend on it.

    >>> get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Use ``threads`` threads from the next call on; 0 goes back to the environment's choice.

    >>> set_num_threads(2); get_num_threads()
    2
    >>> set_num_threads(0)

    Raises ValueError if ``threads`` is negative or above 1024.
    """
    _core.set_num_threads(as_integer(threads, "threads", 0, 1024))


def simd_level() -> str:
    """The instruction set in use: "avx512", "avx2", "neon" or "baseline".

    ``NLL_FAST_SIMD`` overrides the choice, before the first call. All levels but "baseline" (no fused
    multiply-add) give the same bits.

    >>> simd_level() in ("baseline", "avx2", "avx512", "neon")
    True
    """
    return _core.simd_level()
