"""The model builder, which the package sodalite-build brings; see `sodalite_build.builder`."""

try:
    from sodalite_build import Builder, Subgraph, Tensor
except ModuleNotFoundError as error:
    if error.name != "sodalite_build":
        raise
    raise ImportError("the model builder is in another package: pip install sodalite-build") from None

__all__ = ["Builder", "Subgraph", "Tensor"]
