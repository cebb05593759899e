import re
from pathlib import Path

import pytest
import torch

import gc2l.models.timm_models
from gc2l.models import count_parameters, wide_resnet_cifar

timm = pytest.importorskip("timm")


def test_timm_makes_our_networks():
    assert set(gc2l.models.timm_models.__all__) <= set(timm.list_models("gc2l_*"))
    options = {"depth": 10, "widen_factor": 1, "variant": "gc2l", "groups": 4, "num_classes": 7}
    network = timm.create_model("gc2l_wide_resnet_cifar", **options)
    assert count_parameters(network, 4) == count_parameters(wide_resnet_cifar(**options), 4)
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 7)
    imagenet = timm.create_model("gc2l_wide_resnet_imagenet", depth=10, widen_factor=0.25, variant="gc", groups=2)
    assert imagenet.classifier.out_features == 1000
    mobile = timm.create_model("gc2l_mobilenet_v2", width_mult=0.25, variant="gc2l", groups=8, num_classes=3)
    assert mobile(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


def test_there_is_nothing_pretrained():
    with pytest.raises(ValueError, match=r"pretrained=True.*load_released"):
        timm.create_model("gc2l_wide_resnet_cifar", pretrained=True)


def test_a_wrong_argument_is_named():
    with pytest.raises(TypeError, match="wide"):
        timm.create_model("gc2l_wide_resnet_cifar", wide=3)


def test_nothing_else_imports_timm():
    package = Path(gc2l.__file__).parent
    sources = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    found = [path for path, text in sources.items() if re.search(r"(import|from) (timm|gc2l\.models\.timm_)", text)]
    assert {path.name for path in found} == {"timm_models.py"}
