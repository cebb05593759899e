"""`pip install gc2l` brings PyTorch alone: the layers, `convert` and the wide residual networks need nothing else."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# Everything that the extras bring and that this environment therefore has.
HIDE = """
import sys
for name in "torchvision pytorch_lightning numpy pandas scipy pydantic safetensors tyro wandb".split():
    sys.modules[name] = None
"""


@pytest.fixture
def run(torch_python: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(torch_python), "-c", HIDE + code], capture_output=True, text=True, check=False)

    return run


LAYERS = """
import torch
from gc2l.nn import make_conv
make_conv("gc2l", 8, 8, 3, groups=2)(torch.ones(1, 8, 5, 5)).sum().backward()
"""
NETWORKS = """
from torch import nn
from gc2l.models import convert, wide_resnet_cifar
convert(nn.Conv2d(8, 8, 3), "gc2l", 4)
wide_resnet_cifar(10, 1)
"""


COMPILED = """
import torch
from gc2l.edge import compile_for_inference
from gc2l.edge.copies import copy_of
from gc2l.ops.geometry import Geometry
layer = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3, groups=2)).eval()
copy_of(Geometry(stride=(2, 2)), (3, 3), (9, 9), True)
try:
    with torch.no_grad():
        compile_for_inference(layer, engine="c")(torch.ones(1, 8, 9, 9))
except ImportError as error:
    assert "AVX-512" in str(error)  # no compiled library
"""


@pytest.mark.parametrize("code", [LAYERS, NETWORKS, COMPILED], ids=["layers", "networks", "compiled"])
def test_torch_alone_is_enough(code, run):
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_without_torchvision_mobilenet_names_the_extra(run):
    done = run("from gc2l.models import mobilenet_v2\nmobilenet_v2()")
    assert done.returncode == 1
    assert "ImportError: torchvision is not installed; install it with: pip install 'gc2l[models]'" in done.stderr
