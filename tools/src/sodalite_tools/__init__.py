"""The ``sodalite`` command. It imports no plugin: commands and public models arrive through entry points."""
