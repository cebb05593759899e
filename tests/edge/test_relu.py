"""ReLUs inside compiled layers: what a network keeps, and when it is left as it is."""

from types import MethodType, SimpleNamespace

import pytest
import torch
from inference_networks import RELATIVE, deviation, trained
from torch import nn
from torch.nn import functional as F

from gc2l.edge import compile_for_inference


class Stored(nn.Module):
    """`forward` keeps what it computes, as feature collectors and caches do."""

    def __init__(self, keep):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, groups=4), nn.BatchNorm2d(8)
        self.register_buffer("calls", torch.zeros(()))
        self.keep, self.kept = keep, {} if keep == "dict" else []
        self.slots, self.entries, self.nested, self.object = [None], {"y": 0}, {"y": [None]}, SimpleNamespace(y=None)

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)))
        if self.keep == "attribute":
            self.last = y
        elif self.keep == "list":
            self.kept.append(y)
        elif self.keep == "dict":
            self.kept[len(self.kept)] = y
        elif self.keep == "slot":
            self.slots[0] = y
        elif self.keep == "nested":
            self.nested["y"][0] = y
        elif self.keep == "object":
            self.object.y = y
        elif self.keep == "number":
            self.entries["y"] += 1
        elif self.keep == "buffer":
            self.calls += 1
            y = y * self.calls
        return y


@pytest.mark.parametrize("keep", ["attribute", "list", "dict", "slot", "nested", "object", "number", "buffer"])
def test_what_forward_keeps_is_kept(engine, keep, tmp_path):
    network, x = trained(Stored(keep)), torch.randn(2, 8, 9, 9)
    compiled = compile_for_inference(network, engine=engine)
    torch.save(compiled, tmp_path / "compiled.pt")  # no symbols are left in it
    for _ in range(2):
        torch.testing.assert_close(compiled(x), network(x), rtol=RELATIVE, atol=RELATIVE)
    assert compiled.entries == network.entries
    kept = {"attribute": "last", "slot": "slots", "nested": "nested", "object": "object"}.get(keep, "entries")
    found, expected = getattr(compiled, kept), getattr(network, kept)
    if keep == "object":
        found, expected = found.y, expected.y
    torch.testing.assert_close(found, expected, rtol=RELATIVE, atol=RELATIVE)
    assert len(compiled.kept) == len(network.kept) == (2 if keep in ("list", "dict") else 0)


class Asking(nn.Module):
    """`forward` asks for the class of its input, which `torch.fx` gives another answer."""

    def __init__(self, ask):
        super().__init__()
        self.conv, self.norm, self.ask = nn.Conv2d(8, 8, 3, groups=4), nn.BatchNorm2d(8), ask

    def forward(self, x):
        y = self.conv(x * 0.25 if self.ask(x) else x)
        z = F.relu(self.norm(y))
        return z + y.mean() if self.ask(y) else z


@pytest.mark.parametrize("ask", [lambda x: isinstance(x, torch.Tensor), torch.is_tensor])
def test_a_network_that_asks_for_classes_computes_the_same(engine, ask):
    network, x = trained(Asking(ask)), torch.randn(2, 8, 9, 9)
    assert deviation(compile_for_inference(network, engine=engine)(x), network, x) < RELATIVE
    part = nn.Sequential(network, nn.Conv2d(8, 8, 3, groups=2), nn.BatchNorm2d(8), nn.ReLU()).eval()
    compiled = compile_for_inference(part, engine=engine)
    assert compiled[1].convolution.relu
    assert deviation(compiled(x), part, x) < RELATIVE


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, groups=4)

    def forward(self, x):
        return F.relu(self.conv(x)) + torch.rand(1)


def test_random_numbers_stay_random(engine):
    network = nn.Sequential(Noisy(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU()).eval()
    compiled, x = compile_for_inference(network, engine=engine), torch.randn(1, 8, 9, 9)
    assert not torch.equal(compiled(x), compiled(x))
    assert not compiled[0].conv.convolution.relu
    assert compiled[1].convolution.relu


class Block(nn.Module):
    def __init__(self, shared):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(8, 8, 3, padding=1, groups=4) for _ in range(2))
        self.norm, self.shared, self.width = nn.BatchNorm2d(8), shared, 8
        self.relu = nn.ReLU()

    def forward(self, x):
        relu = self.relu if self.shared else F.relu
        return relu(self.conv2(relu(self.norm(self.conv1(x))))) + x


class Features(nn.Module):
    """Reads settings of its convolutions and attributes of its parts, and has a second method."""

    def __init__(self, shared):
        super().__init__()
        self.blocks, self.head = nn.Sequential(Block(shared), Block(shared)), nn.Conv2d(8, 8, 3, groups=2)
        self.scale, self.relu = 2.0, nn.ReLU()

    def features(self, x):
        return self.blocks(x) * self.blocks[0].width

    def forward(self, x):
        x, head = self.features(x), self.head
        assert (head.stride, head.dilation, head.padding, head.groups) == ((1, 1), (1, 1), (0, 0), 2)
        x = F.pad(x, (head.kernel_size[0] // 2,) * 4)
        return self.relu(head(input=x)) * self.scale


@pytest.mark.parametrize("shared", [True, False])
def test_a_network_keeps_its_class_and_its_parts_their_attributes(engine, shared):
    network, x = trained(Features(shared)), torch.randn(1, 8, 9, 9)
    compiled = compile_for_inference(network, engine=engine)
    assert type(compiled) is Features
    assert compiled.head.convolution.relu
    assert all(block.conv1.convolution.relu and block.conv2.convolution.relu for block in compiled.blocks)
    torch.testing.assert_close(compiled.features(x), network.features(x), rtol=RELATIVE, atol=RELATIVE)
    compiled.scale = network.scale = 3.0
    assert deviation(compiled(x), network, x) < RELATIVE


def test_one_relu_at_several_places_of_a_sequence(engine):
    relu = nn.ReLU()
    network = nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), relu, nn.Conv2d(8, 8, 3, groups=2), relu).eval()
    compiled, x = compile_for_inference(network, engine=engine), torch.randn(1, 8, 9, 9)
    assert compiled[0].convolution.relu
    assert compiled[2].convolution.relu
    assert deviation(compiled(x), network, x) < RELATIVE


class ByIndex(nn.Module):
    """Calls the members of a sequence one by one; `use` says what comes after the first convolution."""

    def __init__(self, use):
        super().__init__()
        relu = nn.ReLU()
        self.sequence = nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), relu, nn.Conv2d(8, 8, 3, groups=2))
        self.other, self.same, self.use = nn.Sequential(nn.Tanh(), nn.ReLU()), relu, use

    def forward(self, x):
        conv, relu, last = self.sequence
        if self.use == "function":
            return last(relu(F.relu(conv(x)) - 0.5))
        if self.use == "another module":
            return last(relu(self.other[1](conv(x)) - 0.5)) + self.other(x)[:, :, 2:-2, 2:-2]
        if self.use == "the same module":
            return last(relu(self.same(conv(x)) - 0.5))
        return self.sequence(x) + relu(x - 0.5)[:, :, 2:-2, 2:-2]


@pytest.mark.parametrize("use", ["function", "another module", "the same module", "the sequence and its member"])
def test_a_relu_of_a_sequence_that_is_for_another_tensor_stays(engine, use):
    network, x = ByIndex(use).eval(), torch.randn(2, 8, 9, 9)
    assert deviation(compile_for_inference(network, engine=engine)(x), network, x) < RELATIVE


def test_a_forward_of_the_objects_own_is_kept(engine):
    whole = trained(Block(shared=False))
    whole.forward = MethodType(lambda self, x: F.relu(self.norm(self.conv1(x))) + self.norm(x), whole)
    x = torch.randn(1, 8, 9, 9)
    torch.testing.assert_close(compile_for_inference(whole, engine=engine)(x), whole(x), rtol=RELATIVE, atol=RELATIVE)
    network, x = nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), nn.BatchNorm2d(8), nn.ReLU()), torch.randn(1, 8, 9, 9)
    plain = network[0].forward
    network[0].forward = lambda y: plain(y) * 2
    trained(network)
    assert torch.equal(compile_for_inference(network, engine=engine)(x), network(x))


def test_nan_stays_nan(engine):
    network, x = nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), nn.ReLU()).eval(), torch.randn(1, 8, 9, 9)
    x[0, 0, 4, 4] = torch.nan
    found, expected = compile_for_inference(network, engine=engine)(x), network(x)
    assert torch.equal(found.isnan(), expected.isnan())
    assert expected.isnan().any()


def test_small_inputs_are_named(engine):
    layer = nn.Sequential(nn.Conv2d(8, 8, 3, groups=4)).eval()
    with pytest.raises(ValueError, match="smaller than the kernel"):
        compile_for_inference(layer, engine=engine)(torch.ones(1, 8, 2, 2))
