"""Every layer goes where `torch.nn.Conv2d` goes: same arguments, same inputs, same tools."""

import copy
import inspect
import io
import pickle

import onnxruntime
import pytest
import torch
from nn.layers import has_coarse_channels, layer_class, make_layer, random_input
from torch import nn

from gc2l.variants import VARIANTS

CHANNELS, SIZE, GROUPS = (4, 6), (5, 7), 2
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def layer_and_input(variant, dtype=torch.float32):
    layer = make_layer(variant, *CHANNELS, 3, groups=GROUPS, coarse_channels=2, padding=1, stride=(1, 2), dtype=dtype)
    return layer, random_input(3, CHANNELS[0], *SIZE, dtype=dtype)


@pytest.mark.parametrize("variant", VARIANTS)
def test_signature(variant):
    """The arguments of nn.Conv2d in its order with its defaults; further ones by keyword only, with a default."""
    expected = inspect.signature(nn.Conv2d).parameters
    ours = inspect.signature(layer_class(variant)).parameters
    shared = [parameter for parameter in ours.values() if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [(p.name, p.default) for p in shared] == [(p.name, p.default) for p in expected.values()]
    assert all(p.default is not p.empty for p in ours.values() if p.kind is inspect.Parameter.KEYWORD_ONLY)


@pytest.mark.parametrize("variant", VARIANTS)
def test_positional_arguments(variant):
    groups = 1 if variant == "sc" else 2
    arguments = (4, 6, (3, 2), 2, 1, (1, 2), groups, False, "reflect", "cpu", torch.float64)
    ours, theirs = layer_class(variant)(*arguments), nn.Conv2d(*arguments)
    attributes = set(theirs.__constants__) - {"output_padding"}
    assert {name: getattr(ours, name) for name in attributes} == {name: getattr(theirs, name) for name in attributes}
    assert ours.bias is None and ours.weight.dtype is torch.float64


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_input_has_the_same_name(variant):
    layer, x = layer_and_input(variant)
    ours, theirs = (inspect.signature(of.forward).parameters for of in (type(layer), nn.Conv2d))
    assert list(ours) == list(theirs)
    assert torch.equal(layer(input=x), layer(x))


@pytest.mark.parametrize("variant", VARIANTS)
def test_output_shape_is_that_of_conv2d(variant):
    layer, x = layer_and_input(variant)
    theirs = nn.Conv2d(*CHANNELS, 3, padding=1, stride=(1, 2))
    for values in (x, x[0], x[:0], x[:1]):
        assert layer(values).shape == theirs(values).shape


@pytest.mark.parametrize("variant", VARIANTS)
def test_unbatched_input_is_a_batch_of_one(variant):
    layer, x = layer_and_input(variant, torch.float64)
    torch.testing.assert_close(layer(x[0]), layer(x)[0])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("variant", VARIANTS)
def test_empty_batch(variant, memory_format):
    layer, x = layer_and_input(variant)
    x = x[:0].contiguous(memory_format=memory_format).requires_grad_()
    layer(x).sum().backward()
    assert x.grad.shape == x.shape
    assert all(not parameter.grad.any() for parameter in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_autocast(variant, device, dtype):
    layer, x = layer_and_input(variant)
    expected = layer(x).detach()
    layer, x = layer.to(device), x.to(device).requires_grad_()
    with torch.autocast(device, dtype=dtype):
        y = layer(x)
    assert y.dtype is dtype
    # Two roundings in a row for GC-2L; each is at most eps of a sum whose terms are of size about 10.
    torch.testing.assert_close(y.float().cpu(), expected, rtol=0, atol=40 * torch.finfo(dtype).eps)
    y.float().square().mean().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad.dtype is torch.float32
        assert tensor.grad.isfinite().all() and tensor.grad.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_number_formats(variant, dtype):
    layer, x = layer_and_input(variant, dtype)
    assert layer(x).dtype is dtype
    reference = copy.deepcopy(layer).double()
    # Folded weights are rounded before they are used.
    torch.testing.assert_close(layer(x).double(), reference(x.double()), rtol=0, atol=80 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_channels_last_stays_channels_last(variant, device):
    layer, x = layer_and_input(variant)
    layer, x = layer.to(device, memory_format=torch.channels_last), x.to(device, memory_format=torch.channels_last)
    x.requires_grad_()
    y = layer(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.sum().backward()
    assert x.grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("variant", VARIANTS)
def test_meta_device(variant):
    further = {"coarse_channels": 2} if has_coarse_channels(variant) else {}
    groups = 1 if variant == "sc" else GROUPS
    layer = layer_class(variant)(*CHANNELS, 3, groups=groups, device="meta", **further)
    x = random_input(3, CHANNELS[0], *SIZE, dtype=torch.float32)
    assert layer(x.to("meta")).shape == (3, 6, 3, 5)
    assert layer.to_dense().weight.is_meta
    real = layer.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in real.parameters():
            parameter.fill_(torch.nan)
    real.reset_parameters()
    assert real(x).isfinite().all()


def saved_and_loaded(layer):
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "torch.save": saved_and_loaded,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_copies(variant, copied):
    layer, x = layer_and_input(variant)
    twin = copied(layer)
    assert type(twin) is type(layer) and repr(twin) == repr(layer)
    before = layer(x)
    assert torch.equal(twin(x), before)
    with torch.no_grad():
        twin.weight.zero_()
    assert torch.equal(layer(x), before)


@pytest.mark.parametrize("variant", VARIANTS)
def test_state_through_a_file(variant):
    layer, x = layer_and_input(variant)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    twin = copy.deepcopy(layer)
    twin.reset_parameters()
    assert not torch.equal(twin(x), layer(x))
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(twin(x), layer(x))


@pytest.mark.parametrize("variant", VARIANTS)
def test_compiles_in_one_graph_with_its_backward_pass(variant):
    layer, x = layer_and_input(variant, torch.float64)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for memory_format in (torch.contiguous_format, torch.channels_last):
        values = x.clone(memory_format=memory_format).requires_grad_()
        inputs = [values, *layer.parameters()]
        results = []
        for function in (compiled, layer):
            y = function(values)
            results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
        for ours, expected in zip(*results, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_exports_for_batches_of_any_size(variant):
    layer, x = layer_and_input(variant)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for values in (x, random_input(7, CHANNELS[0], *SIZE, dtype=torch.float32)):
        torch.testing.assert_close(program.module()(values), layer(values))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter, about its own dependencies
@pytest.mark.parametrize("variant", VARIANTS)
def test_onnxruntime_agrees(variant):
    layer, x = layer_and_input(variant)
    program = torch.onnx.export(layer.eval(), (x,), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x).detach(), rtol=1e-4, atol=1e-4)
