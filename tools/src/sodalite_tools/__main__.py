"""``python -m sodalite_tools`` is the ``sodalite`` command."""

from .main import main

main()
