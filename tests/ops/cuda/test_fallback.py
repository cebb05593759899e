"""What the Triton kernels do not serve, the framework computes, with one line in the log; no Triton is needed here."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.ops import folded
from gc2l.ops.cuda import dense, grouped, guard, operators, serve
from gc2l.ops.geometry import Geometry

LAST = torch.channels_last
X = torch.randn(2, 12, 5, 5, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=LAST)


@pytest.fixture(autouse=True)
def _nothing_said_or_failed(monkeypatch):
    serve.report.cache_clear()
    monkeypatch.setattr(guard, "_failed", set())
    monkeypatch.setattr(guard, "_checked", set())


@pytest.fixture
def broken_triton(monkeypatch):
    """Triton as it is when a compiled kernel does not fit, on a machine with a card."""
    errors = ModuleType("triton.errors")
    errors.TritonError = type("TritonError", (Exception,), {})

    def fail(*given, **named):
        raise errors.TritonError("out of resource")

    package = "gc2l.ops.cuda"
    for name, module in (
        ("triton", ModuleType("triton")),
        ("triton.errors", errors),
        (f"{package}.launch", SimpleNamespace(convolve=fail, convolve_backward=fail)),
        (f"{package}.folding", SimpleNamespace(dense_weight=fail, dense_weight_backward=fail)),
    ):
        monkeypatch.setitem(sys.modules, name, module)
        if name.startswith(package):
            monkeypatch.setattr(sys.modules[package], name.rpartition(".")[2], module, raising=False)
    monkeypatch.setattr(serve, "has_triton", lambda: True)
    monkeypatch.setattr(serve, "obstacle_of_device", lambda x, weight: None)
    return fail


def layer_pair(cls):
    layer = cls(12, 8, 3, padding=1, groups=4, algorithm="triton")
    plain = cls(12, 8, 3, padding=1, groups=4, algorithm="separate" if cls is TwoLevelGroupConv2d else "grouped")
    plain.load_state_dict(layer.state_dict())
    return layer, plain


def assert_same(layer, plain, x):
    results = []
    for conv in (layer, plain):
        image = x.detach().requires_grad_()
        y = conv(image)
        results.append((y, *torch.autograd.grad(y.square().sum(), (image, *conv.parameters()))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
@pytest.mark.parametrize("triton", [False, True])
def test_without_a_card_or_triton_the_framework_computes_and_one_line_says_so(cls, triton, monkeypatch, caplog):
    monkeypatch.setattr(serve, "has_triton", lambda: triton)
    monkeypatch.setattr(serve, "_interpreted", lambda: False)
    layer, plain = layer_pair(cls)
    for _ in range(2):
        assert_same(layer, plain, X)
    (record,) = caplog.records
    reason = "x is on cpu, not on a CUDA card" if triton else "Triton is not installed"
    assert record.getMessage() == f"the framework's convolution takes the place of the Triton kernels: {reason}"


def test_an_old_card_is_no_card(monkeypatch):
    monkeypatch.setattr(serve, "has_triton", lambda: True)
    monkeypatch.setattr(serve, "is_observed", lambda *tensors: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA V100")
    card = SimpleNamespace(is_cuda=True, device="cuda:0")
    for capability, served in (((7, 0), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        reason = serve.obstacle_of_device(card, card)
        assert (reason is None) is served
        assert served or reason == "NVIDIA V100 has compute capability (7, 0), they need (8, 0)"


@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
def test_what_triton_cannot_compile_the_framework_computes(cls, broken_triton, caplog):
    layer, plain = layer_pair(cls)
    for _ in range(2):
        assert_same(layer, plain, X)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "the forward kernel failed with TritonError: out of resource"
    ]
    key = ((2, 12, 5, 5), (8, 3, 3, 3), tuple(Geometry(padding=(1, 1), groups=4)), torch.float32)
    assert guard.has_failed(key)
    assert not grouped.can(X, layer.weight, Geometry(padding=(1, 1), groups=4))


def test_only_failures_of_the_compiler_are_passed_over(broken_triton):
    def fail(message):
        raise RuntimeError(message)

    def guarded(message, key):
        return guard.guarded("kernel", key, torch.float32, lambda: fail(message), lambda dtype: (dtype,))

    assert guarded("PassManager::run failed", 1) == (torch.float32,)
    with pytest.raises(RuntimeError, match="an illegal memory access"):
        guarded("CUDA error: an illegal memory access was encountered", 2)
    assert guard.has_failed(1) and not guard.has_failed(2)


@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
def test_a_backward_pass_that_fails_alone(cls, broken_triton, monkeypatch):
    layer, plain = layer_pair(cls)
    channels = grouped.stored_coarse_channels(layer.weight, getattr(layer, "restriction_weight", None), 4)

    def convolve(x, weight, r, coarse, bias, to):
        y = grouped._formula((x, weight, r, coarse, bias), to, x.dtype).contiguous(memory_format=LAST)
        return y, y.new_zeros(2, channels, 5, 5)

    monkeypatch.setattr(sys.modules["gc2l.ops.cuda.launch"], "convolve", convolve)
    assert_same(layer, plain, X)


@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
def test_folding_that_fails(cls, broken_triton, monkeypatch):
    monkeypatch.setattr(folded, "can_fold", lambda x, weight: True)
    layer, plain = layer_pair(cls)
    layer.algorithm = "folded"
    assert_same(layer, plain, X)
    assert not dense.can_fold(X, layer.weight)  # on a CPU


@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
def test_what_a_kernel_must_not_see_is_left_to_the_framework(cls):
    layer, plain = layer_pair(cls)
    for x in (X[0], X[:0]):
        torch.testing.assert_close(layer(x), plain(x))
    with pytest.raises(RuntimeError, match=r"(?i)type"):
        layer(X.half())
    torch.testing.assert_close(torch.func.vmap(layer)(X[None]), torch.func.vmap(plain)(X[None]))


def test_the_operators_pass_the_checks_of_the_framework():
    weight, r, coarse = torch.randn(8, 3, 3, 3), torch.randn(4, 3, 3, 3), torch.randn(8, 4, 1, 1)
    settings = operators.settings(Geometry(padding=(1, 1), groups=4))
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")  # test_choose.py compiles layers
    tensors = [one.clone().requires_grad_() for one in (X, weight, r, coarse, torch.randn(8))]
    tensors[0] = X.clone(memory_format=LAST).requires_grad_()
    torch.library.opcheck(operators.two_level_conv, (*tensors, *settings), test_utils=checks)
    torch.library.opcheck(operators.group_conv, (*tensors[:2], tensors[4], *settings), test_utils=checks)
