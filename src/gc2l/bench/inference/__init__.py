"""Inference side by side: ours, the published blocking, and the libraries of today."""

from gc2l.bench.inference.libraries import LIBRARIES, installed
from gc2l.bench.inference.measure import layer_cases, measure, network_case
from gc2l.bench.inference.unfinished import begun, check_replaces, finish, unfinished

__all__ = [
    "LIBRARIES",
    "begun",
    "check_replaces",
    "finish",
    "installed",
    "layer_cases",
    "measure",
    "network_case",
    "unfinished",
]
