"""Inference side by side: ours, the published blocking, and the libraries of today."""

from gc2l.bench.inference.libraries import LIBRARIES, installed
from gc2l.bench.inference.measure import begun, layer_cases, measure, network_case

__all__ = ["LIBRARIES", "begun", "installed", "layer_cases", "measure", "network_case"]
