"""Two-level group convolution: the layers, networks that use them, and the experiments of the paper."""

__version__ = "0.1.0"
