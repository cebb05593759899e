"""The Triton kernels compiled for a card of capability 9.0, which needs none: they fit, do not spill, use its units.

Run by test_triton.py, as the interpreter must not be on.
"""

import pytest
import torch
from triton.backends.nvidia.compiler import get_ptxas

from gc2l.ops.cuda.resources import Resources, table

MOST_SHARED_BYTES = 227 * 1024  # of a program on such a card


@pytest.fixture(scope="module")
def kernels() -> dict[str, Resources]:
    """Those of a layer of WRN-28-10, each in its first configuration."""
    assert get_ptxas(90).path
    return dict(table(160, 16, 1, 3, 1, torch.bfloat16, configurations=1))


def test_every_kernel_fits_and_none_spills(kernels):
    names = {name.split(" ")[0] for name in kernels}
    assert names == {
        "pack", "convolve", "weight_gradient", "unpack", "add", "gradients", "fold", "fold_backward"
    }  # fmt: skip
    for name, found in kernels.items():
        assert 0 < found.registers <= 255 and found.spilled_bytes == 0, name
        assert found.shared_bytes <= MOST_SHARED_BYTES, name


def test_products_are_on_the_matrix_units(kernels):
    for name, found in kernels.items():
        if name.split(" ")[0] in ("convolve", "weight_gradient", "add"):
            assert found.wgmma > 0, name


def test_images_are_read_sixteen_bytes_at_once(kernels):
    for name, found in kernels.items():
        if name.startswith("convolve") and "TRANSPOSED" not in name:  # which reads the four coarse channels of a block
            assert found.least_copy == 16, name
