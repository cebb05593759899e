"""Inference on a CPU: grouped convolutions that stay fast in many groups (grouped spatial pack convolution)."""

from gc2l.edge.compile import compile_for_inference
from gc2l.edge.file import load_compiled, save_compiled
from gc2l.edge.layer import InferenceConv2d

__all__ = ["InferenceConv2d", "compile_for_inference", "load_compiled", "save_compiled"]
