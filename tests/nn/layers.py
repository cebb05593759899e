"""Layers of every registered variant, with random parameters, for the tests of this room."""

import inspect
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from oracles import ORACLES, Geometry
from torch import Tensor, nn

from gc2l.variants import VARIANTS


def layer_class(variant: str) -> type[nn.Conv2d]:
    return resolve_name(VARIANTS[variant].layer)


def has_coarse_channels(variant: str) -> bool:
    return "coarse_channels" in inspect.signature(layer_class(variant)).parameters


def make_layer(
    variant: str,
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int],
    *,
    groups: int,
    coarse_channels: int = 1,
    dtype: torch.dtype = torch.float64,
    **geometry: Any,
) -> nn.Conv2d:
    """The layer with normal random numbers in every parameter; "sc" with one group whatever `groups` is."""
    if variant == "sc":
        groups = 1
    if has_coarse_channels(variant):
        geometry["coarse_channels"] = coarse_channels
    layer = layer_class(variant)(in_channels, out_channels, kernel_size, groups=groups, dtype=dtype, **geometry)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
    return layer


def random_input(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def assert_equals_oracle(variant: str, layer: nn.Conv2d, x: Tensor) -> None:
    """Compare layer(x) with the loops over the outputs, in float64."""
    geometry = Geometry(
        stride=layer.stride,
        dilation=layer.dilation,
        padding=layer.padding,
        padding_mode=layer.padding_mode,
    )
    parameters = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    batch = x if x.dim() == 4 else x[None]
    expected = ORACLES[variant].compute(batch.numpy(), parameters, layer.groups, geometry)
    y = layer(x).detach().numpy()
    # Both sums have at most a few hundred terms of size about 1, so float64 leaves an error of about 1e-14.
    np.testing.assert_allclose(y if y.ndim == 4 else y[None], expected, rtol=1e-12, atol=1e-12)
