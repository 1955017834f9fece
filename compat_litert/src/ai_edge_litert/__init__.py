"""The name of LiteRT's package, answered by Sodalite: see ``ai_edge_litert.interpreter``."""

# The release whose interpreter's interface this is; scripts compare it.
__version__ = "2.3.0"
