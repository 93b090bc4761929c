"""Where the command ``nll-fast`` starts: outside the package, as whatever is inside imports NumPy before it can act.

Python answers Ctrl-C by a traceback, which is no answer of a command: not while it imports NumPy, and not while it
ends. Then the process ends as one that knows nothing of signals does, by SIGINT and in silence. In between, the
command clears up and says that it was interrupted, and ends in the same way: a shell shows 130, and stops a loop that
the command is part of, which it would go on with after an ordinary exit code. Where Python cannot raise the exception,
in the callback of a weak reference, it would print a traceback and go on; there, too, the process ends in silence.
"""

import signal
import sys
from collections.abc import Callable


def main() -> int:
    """Run the command with the arguments of the process, and return its exit code."""
    raises = signal.getsignal(signal.SIGINT)
    ends = signal.SIG_DFL if raises is signal.default_int_handler else raises  # jobs of a shell may have to ignore it
    signal.signal(signal.SIGINT, ends)
    command = _command()
    code = 130
    show = sys.unraisablehook

    def end_if_interrupted(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            return show(lost)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)

    try:
        sys.unraisablehook = end_if_interrupted
        signal.signal(signal.SIGINT, raises)
        code = command()
    except KeyboardInterrupt:  # just before the command answers it, or just after
        pass
    finally:
        signal.signal(signal.SIGINT, ends)
    if code == 130 and sys.platform != "win32":
        signal.raise_signal(signal.SIGINT)
    return code


def _command() -> Callable[[], int]:
    try:
        from nll_fast.cli import main
    except Exception as error:  # there is no NumPy, or no memory for it
        why = error.__cause__ or error  # NumPy's own words are a page long
        sys.exit(f"nll-fast: cannot start: {' '.join(str(why).split()) or type(why).__name__}")
    return main
