"""What compiles, and no gradients."""

import pytest
import torch

from gc2l.edge import kernel


@pytest.fixture(params=["c", "tvm"])
def engine(request):
    if request.param == "c" and kernel.library() is None:
        pytest.skip("no compiled library, or no AVX-512")
    if request.param == "tvm":
        pytest.importorskip("tvm")
    return request.param


@pytest.fixture(autouse=True)
def inference():
    torch.manual_seed(0)
    with torch.no_grad():
        yield
