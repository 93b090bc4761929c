"""How many threads a large call uses, and which instructions."""

from nll_fast import _core
from nll_fast._arrays import as_integer


def get_num_threads() -> int:
    """The number of threads that large calls use. Results do not depend on it.

    Returns
    -------
    int
        The number given to :func:`set_num_threads`; else the first of the environment variables
        ``NLL_FAST_NUM_THREADS``, ``RAYON_NUM_THREADS`` and ``OMP_NUM_THREADS`` that is set; else the number
        of cores this process may use.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Set the number of threads that large calls use from now on.

    Parameters
    ----------
    threads : int
        At least 1 and at most 1024, or 0 to return to the choice of the environment.

    Raises
    ------
    ValueError
        If ``threads`` is negative or above 1024.
    TypeError
        If ``threads`` is not an integer.

    Examples
    --------
    >>> set_num_threads(2); get_num_threads()
    2
    >>> set_num_threads(0)
    """
    _core.set_num_threads(as_integer(threads, "threads", 0, 1024))


def simd_level() -> str:
    """The instruction set in use.

    Returns
    -------
    {"avx512", "avx2", "neon", "baseline"}
        The best that this CPU has, unless the environment variable ``NLL_FAST_SIMD`` named another before the
        first call. All but "baseline", which has no fused multiply-add, give the same bits.

    Examples
    --------
    >>> simd_level() in ("baseline", "avx2", "avx512", "neon")
    True
    """
    return _core.simd_level()
