"""How many threads a large call uses, and which instructions."""

import functools
import os
import sys

from nll_fast import _core
from nll_fast._options import as_integer


def get_num_threads() -> int:
    """The number of threads that large calls use. Results do not depend on it.

    Returns
    -------
    int
        The number given to :func:`set_num_threads`; else the first of the environment variables
        ``NLL_FAST_NUM_THREADS``, ``RAYON_NUM_THREADS`` and ``OMP_NUM_THREADS`` that is set; else the number
        of cores this process may use, by its CPU affinity and by the quota of its control group.

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
        At least 1 and at most 1024, or 0 to return to the choice of the environment. If the system refuses to start
        them, large calls work on one, which a RuntimeWarning says once.

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


@functools.cache
def register_with_threadpoolctl() -> None:
    """Have threadpoolctl list and limit the threads of nll_fast, as it does those of NumPy.

    This happens by itself if threadpoolctl is imported before nll_fast, as ``import sklearn`` imports it. If it may be
    imported later, call this once, before the first limit.

    A limit without ``user_api``, and one with ``user_api="nll_fast"``, is a :func:`set_num_threads` for the whole
    process; where it ends, the number before it is set. Limits for "blas" and "openmp" are about others.

    Raises
    ------
    ImportError
        If threadpoolctl is not installed, or older than 3.2.

    Examples
    --------
    >>> register_with_threadpoolctl()                           # doctest: +SKIP
    >>> with threadpoolctl.threadpool_limits(1):                # doctest: +SKIP
    ...     get_num_threads()
    1
    """
    import threadpoolctl

    if not hasattr(threadpoolctl, "register"):
        raise ImportError(f"threadpoolctl {threadpoolctl.__version__} takes no other libraries; install 3.2 or later")
    library = os.path.realpath(_core.__file__)

    class Threads(threadpoolctl.LibController):
        user_api = internal_api = "nll_fast"
        filename_prefixes = (os.path.basename(library).lower(),)
        check_symbols = ("PyInit__core",)

        def set_additional_attributes(self) -> None:
            if not os.path.samefile(self.filepath, library):
                self.dynlib = None  # of another package, whose file has the same name: in None there is no such symbol

        def get_num_threads(self) -> int:
            return get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            set_num_threads(min(max(num_threads, 0), 1024))

        def get_version(self) -> str:
            from nll_fast import __version__

            return __version__

    threadpoolctl.register(Threads)


if hasattr(sys.modules.get("threadpoolctl"), "register"):
    register_with_threadpoolctl()
