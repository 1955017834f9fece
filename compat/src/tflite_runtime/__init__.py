"""The name of TensorFlow Lite's old runtime package, answered by Sodalite: see ``tflite_runtime.interpreter``."""

# The last release of the package whose interface this is; scripts compare it.
__version__ = "2.14.0"
__git_version__ = f"v{__version__}-sodalite"
