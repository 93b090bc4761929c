"""``python -m nll_fast``: the command ``nll-fast``."""

import sys

from nll_fast.cli import main

sys.exit(main())
