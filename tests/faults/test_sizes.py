"""Images of more than 2^31 numbers, which an int does not count."""

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor

from gc2l.edge import kernel
from gc2l.edge.grouped import GroupedConvolution
from gc2l.ops.cpu import compiled
from gc2l.ops.geometry import Geometry

IMAGES, CHANNELS, SIDE, GROUPS = 513, 64, 256, 4
GEOMETRY = Geometry((1, 1), (1, 1), (1, 1), GROUPS)


def _zeros(dtype: torch.dtype, *shape: int) -> Tensor:
    """Zeros, of which only what is written takes memory."""
    kind = {torch.float32: np.float32, torch.bfloat16: np.uint16}[dtype]
    return torch.from_numpy(np.zeros(shape, kind)).view(dtype)


def _image(dtype: torch.dtype, last: Tensor) -> Tensor:
    """Zeros, channels last, and `last` behind number 2^31."""
    x = _zeros(dtype, IMAGES, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2)
    assert x.numel() > 2**31
    x[-1:] = last
    return x


def _convolve(dtype: torch.dtype, last: Tensor, weight: Tensor, rest: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    def pair(x: Tensor) -> tuple[Tensor, ...]:
        y, z = compiled.convolve(x, weight, *rest, GEOMETRY)
        return y[-1], z[-SIDE * SIDE :]

    return *pair(_image(dtype, last)), *pair(last)


def _restrict(dtype: torch.dtype, last: Tensor, weight: Tensor, rest: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    def one(x: Tensor) -> tuple[Tensor]:
        return (compiled.restrict(x, rest[0], GEOMETRY)[-SIDE * SIDE :],)

    return *one(_image(dtype, last)), *one(last)


def _add_coarse(dtype: torch.dtype, last: Tensor, weight: Tensor, rest: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    rows, coarse = last.permute(0, 2, 3, 1).reshape(-1, CHANNELS), torch.randn(CHANNELS, GROUPS).to(dtype)
    y, own = _image(dtype, last).permute(0, 2, 3, 1).view(-1, CHANNELS), rows.clone()
    z = torch.randn(len(rows), GROUPS).to(dtype)
    zeros = _zeros(dtype, len(y), GROUPS)
    zeros[-len(z) :] = z
    compiled.add_coarse(y, zeros, coarse)
    compiled.add_coarse(own, z, coarse)
    return y[-len(own) :], own


def _inference(dtype: torch.dtype, last: Tensor, weight: Tensor, rest: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    x = _zeros(torch.float32, IMAGES, CHANNELS, SIDE, SIDE)
    x[-1:] = last
    convolve = kernel.CompiledKernel(GroupedConvolution(weight=weight.float(), geometry=GEOMETRY))
    return convolve(x)[-1:], convolve(x[-1:].clone())


def test_more_than_2_31_numbers(trials):
    if not trials.long or psutil.virtual_memory().available < 12 * 2**30:
        pytest.skip("images beyond 2^31 numbers: only in the long campaign, and with 12 GiB of memory")
    if not compiled.available():
        pytest.skip("images beyond 2^31 numbers: no compiled library, or no AVX-512")

    def trial(rng):
        dtype, function = rng.choice([torch.float32, torch.bfloat16]), rng.choice(FUNCTIONS)
        if function is _add_coarse:
            dtype = torch.bfloat16  # all of y is written
        last = torch.randn(1, CHANNELS, SIDE, SIDE).to(dtype).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(GROUPS, CHANNELS // GROUPS, 3, 3).to(dtype)
        rest = torch.randn(GROUPS, CHANNELS // GROUPS, 3, 3).to(dtype), torch.randn(GROUPS, GROUPS).to(dtype)
        results = function(dtype, last, weight, rest)
        half = len(results) // 2
        for found, expected in zip(results[:half], results[half:], strict=True):
            assert found.any()
            torch.testing.assert_close(found.reshape(expected.shape), expected)

    trials.run("C, images beyond 2^31 numbers: the last image as alone", trial, short=1, long=12)


FUNCTIONS = [_convolve, _restrict, _add_coarse, _inference]
