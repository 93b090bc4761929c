"""``python -m nll_fast``: the command ``nll-fast``.

Python imports the package, and with it NumPy, before this file. If Ctrl-C comes then, Python shows where.
"""

import sys

from nll_fast_command import main

sys.exit(main())
