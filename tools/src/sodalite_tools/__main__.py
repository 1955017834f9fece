"""``python -m sodalite_tools`` is the ``sodalite`` command."""

import sys

from .main import main

sys.exit(main())
