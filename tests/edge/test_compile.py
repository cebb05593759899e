import copy
import logging

import pytest
import torch
from inference_networks import RELATIVE, deviation, trained
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from gc2l.edge import InferenceConv2d, compile_for_inference, kernel, layer, load_compiled, save_compiled
from gc2l.edge.describe import describe
from gc2l.models import build_model, paper_network, wide_resnet_cifar
from gc2l.nn import TwoLevelGroupConv2d, make_conv
from gc2l.variants import VARIANTS


class Small(nn.Module):
    """A layer of every variant, 3 x 3 and 1 x 1, with norms and ReLUs before and after."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential()
        for name in ("gc", "gc2l", "shuffle", "flgc"):
            self.layers.append(make_conv(name, 12, 12, 3, groups=4, padding=1, bias=name == "gc"))
            self.layers.append(nn.BatchNorm2d(12))
            self.layers.append(nn.ReLU())
            self.layers.append(make_conv(name, 12, 12, 1, groups=4, stride=1))
        self.last = nn.Conv2d(12, 8, 3, groups=2, padding=1, padding_mode="reflect")

    def forward(self, x):
        return F.relu(self.last(self.layers(x))) + 1


def test_a_compiled_network_computes_the_same(engine):
    network, x = trained(Small()), torch.randn(1, 12, 7, 9)
    compiled = compile_for_inference(network, engine=engine)
    assert deviation(compiled(x), network, x) < RELATIVE
    kinds = [type(part) for part in compiled.modules()]
    assert kinds.count(InferenceConv2d) == 9
    assert nn.BatchNorm2d not in kinds
    assert nn.ReLU not in kinds
    assert sum(part.convolution.relu for part in compiled.modules() if isinstance(part, InferenceConv2d)) == 5
    assert torch.equal(copy.deepcopy(compiled)(x), compiled(x))


@pytest.mark.parametrize("variant", ["gc", "gc2l", "shuffle", "flgc"])
@pytest.mark.parametrize("name", ["wide_resnet_10_1", "mobilenet_v2"])
def test_networks_of_the_paper(name, variant):
    if kernel.library() is None:
        pytest.skip("TVM takes a second for each of the layers")
    network, x = trained(build_model(paper_network(name, variant, 4), 5)), torch.randn(1, 3, 32, 32)
    compiled = compile_for_inference(network)
    assert deviation(compiled(x), network, x) < RELATIVE
    assert any(isinstance(part, InferenceConv2d) for part in compiled.modules())


def test_the_network_itself_stays(engine):
    network = trained(nn.Sequential(make_conv("gc2l", 8, 8, 3, groups=2), nn.BatchNorm2d(8)))
    before = copy.deepcopy(network.state_dict())
    compile_for_inference(network, engine=engine)
    assert isinstance(network[0], TwoLevelGroupConv2d)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_settings_that_were_changed_later(engine):
    layer, x = make_conv("gc2l", 8, 8, 3, groups=4, padding=1, padding_mode="reflect").eval(), torch.randn(1, 8, 9, 9)
    layer.stride, layer.dilation, layer.padding = 2, [1, 2], 0  # the padding of other modes is that of the beginning
    assert deviation(compile_for_inference(layer, engine=engine)(x), layer, x) < RELATIVE


def test_a_single_layer(engine):
    conv = make_conv("shuffle", 6, 9, 3, groups=3, bias=True).eval()
    x = torch.randn(6, 5, 6)
    compiled = compile_for_inference(conv, engine=engine)
    assert deviation(compiled(x), conv, x) < RELATIVE
    assert compiled(torch.empty(0, 6, 5, 6)).shape == (0, 9, 3, 4)


def test_groups_of_flgc_may_be_empty_and_uneven(engine):
    conv = make_conv("flgc", 7, 5, 3, groups=3, padding=1, bias=True).eval()
    conv.input_logits.copy_(torch.eye(3)[[0, 0, 0, 0, 1, 1, 1]])
    conv.output_logits.copy_(torch.eye(3)[[0, 2, 1, 1, 2]])
    x = torch.randn(2, 7, 4, 4)
    assert deviation(compile_for_inference(conv, engine=engine)(x), conv, x) < RELATIVE


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("groups", [1, 4])
def test_every_variant_compiles(engine, name, groups):
    if name == "sc" and groups > 1:
        pytest.skip("the standard convolution has one group")
    conv = make_conv(name, 8, 12, 3, groups=groups, padding=2, dilation=2, stride=2, bias=True).eval()
    x = torch.randn(1, 8, 6, 7)
    compiled = compile_for_inference(conv, engine=engine)
    assert isinstance(compiled, InferenceConv2d) or groups == 1
    assert deviation(compiled(x), conv, x) < RELATIVE


@pytest.mark.parametrize(
    ("variant", "kernel_size", "options", "halo"),
    [
        ("gc2l_shuffle", 3, {"coarse_channels": 2}, 0),
        ("gc2l", 3, {"overlap": 0.5}, 2),
        ("gc2l_shuffle", 1, {"overlap": 0.25}, 1),
    ],
)
def test_layers_with_a_coarse_level_keep_their_groups(variant, kernel_size, options, halo):
    conv = make_conv(variant, 16, 24, kernel_size, groups=4, **options).eval()
    nn.init.normal_(conv.bias)
    found = describe(conv)
    assert found.geometry.groups == 4
    own = conv.weight.numel() + conv.restriction_weight.numel() + conv.coarse_weight.numel()
    zeros = 2 * halo * len(conv.restriction_weight) * kernel_size**2  # of r, beside its group
    assert found.weight.numel() + found.restriction.numel() + found.coarse.numel() == own + zeros
    x = torch.randn(2, 16, 5, 6).double()
    assert deviation(found.formula(x), conv, x) < 1e-12


def test_the_log_says_what_is_computed_as_a_standard_convolution(engine, caplog):
    network = nn.Sequential(make_conv("gc2l_shuffle", 8, 8, 1, groups=4), make_conv("scc", 8, 8, 1, groups=4)).eval()
    with caplog.at_level(logging.INFO):
        compile_for_inference(network, engine=engine)
    for line in ("compiled 0, as a grouped convolution", "compiled 1, as the standard convolution it equals"):
        assert line in caplog.messages


def test_overlapping_blocks(engine):
    conv = TwoLevelGroupConv2d(8, 8, 3, padding=1, groups=4, overlap=0.5).eval()
    x = torch.randn(1, 8, 5, 5)
    assert deviation(compile_for_inference(conv, engine=engine)(x), conv, x) < RELATIVE


def test_a_relu_that_is_not_alone_stays(engine):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = make_conv("gc", 4, 4, 1, groups=2)

        def forward(self, x):
            y = self.conv(x)
            return F.relu(y) + y

    network, x = Two().eval(), torch.randn(1, 4, 3, 3)
    compiled = compile_for_inference(network, engine=engine)
    assert not compiled.conv.convolution.relu
    assert deviation(compiled(x), network, x) < RELATIVE


def test_a_network_that_cannot_be_traced_keeps_its_norms(engine, caplog):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = make_conv("gc", 4, 4, 1, groups=2), nn.BatchNorm2d(4)

        def forward(self, x):
            return F.relu(self.norm(self.conv(x))) if x.sum() > 0 else x

    network, x = trained(Branching()), torch.rand(1, 4, 3, 3)
    with caplog.at_level(logging.INFO):
        compiled = compile_for_inference(network, engine=engine)
    assert "cannot trace" in caplog.text
    assert isinstance(compiled.conv, InferenceConv2d)
    assert deviation(compiled(x), network, x) < RELATIVE


def test_what_is_left_is_named(engine, caplog):
    class Own(nn.Conv2d):
        pass

    hooked = nn.Conv2d(4, 4, 1, groups=2)
    hooked.register_forward_hook(lambda *_: None)
    network = nn.Sequential(
        nn.Conv2d(4, 4, 1), Own(4, 4, 1, groups=2), hooked, make_conv("gc", 4, 4, 1, groups=2).double()
    ).eval()
    with caplog.at_level(logging.INFO):
        compile_for_inference(network, engine=engine)
    lines = {line for line in caplog.messages if line.startswith("left ")}
    for reason in (
        "0: it is a standard",
        "1: it is a Own",
        "2: it has hooks",
        "3: its weights are",
    ):
        assert any(line.startswith(f"left {reason}") for line in lines), lines


def test_bad_input_is_named(engine):
    conv = compile_for_inference(make_conv("gc", 4, 4, 1, groups=2).eval(), engine=engine)
    with pytest.raises(TypeError, match="float64"):
        conv(torch.ones(1, 4, 2, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"\(1, 3, 2, 2\)"):
        conv(torch.ones(1, 3, 2, 2))
    with torch.enable_grad(), pytest.raises(ValueError, match="no_grad"):
        conv(torch.ones(1, 4, 2, 2, requires_grad=True))
    with pytest.raises(ValueError, match="training mode"):
        compile_for_inference(nn.Sequential(make_conv("gc", 4, 4, 1, groups=2)), engine=engine)
    with pytest.raises(ValueError, match="engine='xla'"):
        compile_for_inference(nn.Sequential().eval(), engine="xla")


def test_without_library_and_tvm_the_extra_is_named_and_the_network_runs(monkeypatch):
    monkeypatch.setattr(kernel, "library", lambda: None)
    monkeypatch.setattr(layer, "find_spec", lambda name: None)
    network = wide_resnet_cifar(10, 1, "gc2l", 4).eval()
    with pytest.raises(ImportError, match=r"pip install 'gc2l\[edge\]'"):
        compile_for_inference(network)
    with pytest.raises(ImportError, match="AVX-512"):
        compile_for_inference(network, engine="c")
    assert network(torch.randn(1, 3, 8, 8)).shape == (1, 10)


def test_the_library_comes_before_tvm(monkeypatch):
    monkeypatch.setattr(layer, "find_spec", lambda name: "there")
    monkeypatch.setattr(kernel, "library", lambda: "there")
    assert layer.choose_engine() == "c"
    monkeypatch.setattr(kernel, "library", lambda: None)
    assert layer.choose_engine() == "tvm"


def test_new_weights_are_packed_anew(engine):
    conv = compile_for_inference(make_conv("gc", 4, 4, 1, groups=2).eval(), engine=engine)
    x = torch.randn(1, 4, 3, 3)
    first = conv(x)
    conv.load_state_dict({name: 2 * value for name, value in conv.state_dict().items()})
    assert torch.allclose(conv(x), 2 * first)


def test_a_saved_network_is_the_same(engine, tmp_path):
    network, x = trained(Small()), torch.randn(1, 12, 5, 6)
    compiled = compile_for_inference(network, engine=engine)
    save_compiled(compiled, tmp_path / "network.safetensors")
    loaded = load_compiled(tmp_path / "network.safetensors", Small().eval(), engine=engine)
    assert torch.equal(loaded(x), compiled(x))
    single = compile_for_inference(network.layers[0], engine=engine)
    save_compiled(single, tmp_path / "layer.safetensors")
    loaded = load_compiled(tmp_path / "layer.safetensors", copy.deepcopy(network.layers[0]), engine=engine)
    assert torch.equal(loaded(x), single(x))


def test_another_architecture_is_named(engine, tmp_path):
    path = tmp_path / "network.safetensors"
    save_compiled(compile_for_inference(nn.Sequential(make_conv("gc", 4, 4, 1, groups=2)).eval(), engine=engine), path)
    for conv, word in ((nn.Conv2d(4, 4, 1), "'0' is compiled"), (make_conv("gc", 4, 8, 1, groups=2), "c_out=4, not 8")):
        with pytest.raises(ValueError, match=word):
            load_compiled(path, nn.Sequential(conv).eval(), engine=engine)
    with pytest.raises(FileNotFoundError, match="other"):
        load_compiled(tmp_path / "other.safetensors", nn.Sequential().eval(), engine=engine)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="format=None"):
        load_compiled(path, nn.Sequential().eval(), engine=engine)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no safetensors file"):
        load_compiled(path, nn.Sequential().eval(), engine=engine)
    with pytest.raises(ValueError, match="no compiled layer"):
        save_compiled(nn.Sequential(), path)


def grouped(after=nn.Identity, **changes):
    return nn.Sequential(nn.Conv2d(8, 8, 3, **{"groups": 4, "padding": 1} | changes), after()).eval()


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (grouped(stride=2), r"stride=\(1, 1\), not \(2, 2\)"),
        (grouped(dilation=2, padding=2), r"zeros=\(1, 1\), not \(2, 2\)"),
        (grouped(dilation=(1, 2)), r"dilation=\(1, 1\), not \(1, 2\)"),
        (grouped(groups=2), "groups=4, not 2"),
        (grouped(padding_mode="circular"), r"zeros=\(1, 1\), not \(0, 0\)"),
        (grouped(bias=False), "bias=True, not False"),
        (grouped(nn.ReLU), "relu=False, not True"),
        (nn.Sequential(make_conv("shuffle", 8, 8, 3, groups=4, padding=1)).eval(), "outputs=False, not True"),
        (nn.Sequential(make_conv("gc2l", 8, 8, 3, groups=4, padding=1)).eval(), "coarse=0, not 4"),
    ],
)
def test_a_layer_that_computes_something_else_is_named(engine, tmp_path, other, word):
    path = tmp_path / "network.safetensors"
    save_compiled(compile_for_inference(grouped(), engine=engine), path)
    with pytest.raises(ValueError, match=f"of another architecture: '0' has {word}"):
        load_compiled(path, other, engine=engine)


def test_groups_that_flgc_learned_may_be_others(engine, tmp_path):
    path, x = tmp_path / "layer.safetensors", torch.randn(1, 8, 4, 4)
    even, uneven = (make_conv("flgc", 8, 8, 3, groups=4).eval() for _ in range(2))
    for logits in (even.input_logits, even.output_logits):
        logits.copy_(torch.eye(4).repeat_interleave(2, 0))
    for logits in (uneven.input_logits, uneven.output_logits):
        logits.copy_(torch.eye(4)[[0] * 8])  # one group has all channels: compiled as a standard convolution
    for conv, other in ((even, uneven), (uneven, even)):
        save_compiled(compile_for_inference(conv, engine=engine), path)
        assert deviation(load_compiled(path, other, engine=engine)(x), conv, x) < RELATIVE


def test_default_device_and_type_do_not_reach_the_tables(engine):
    x = torch.randn(2, 16, 9, 9)
    for bias in (True, False):
        conv = nn.Conv2d(16, 16, 3, groups=4, bias=bias).eval()
        for dtype in (torch.float16, torch.float64):
            torch.set_default_dtype(dtype)
            try:
                with torch.no_grad(), torch.device("meta"):
                    compiled = compile_for_inference(conv, engine=engine)
                    found = compiled(x)
            finally:
                torch.set_default_dtype(torch.float32)
            with torch.no_grad():
                torch.testing.assert_close(found, conv(x), rtol=RELATIVE, atol=RELATIVE)


def hooked(part, register, hook):
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), nn.BatchNorm2d(8)), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2)
    )
    getattr(network.get_submodule(part), register)(hook)
    return trained(network)


@pytest.mark.parametrize("part", ["", "0", "0.0", "0.1", "1", "2"])
@pytest.mark.parametrize(
    ("register", "hook"),
    [
        ("register_forward_pre_hook", lambda part, arguments: (arguments[0] * 10 + 3,)),
        ("register_forward_hook", lambda part, arguments, output: output * 2 - 1),
    ],
)
def test_hooks_are_kept(engine, part, register, hook):
    network, x = hooked(part, register, hook), torch.randn(2, 8, 9, 9)
    assert deviation(compile_for_inference(network, engine=engine)(x), network, x) < RELATIVE


def test_hooks_run_on_tensors_alone(engine):
    seen = []
    network = hooked("0", "register_forward_hook", lambda part, arguments, output: seen.append(type(output)))
    with torch.no_grad():
        compile_for_inference(network, engine=engine)(torch.randn(2, 8, 9, 9))
    assert seen == [torch.Tensor]


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, groups=4), nn.BatchNorm2d(8)

    def forward(self, x, style=None):
        y = self.conv(x * 0.25 if style is None else x)
        return (y if style is None else self.norm(y) + style).relu()


def test_a_network_with_optional_arguments_computes_the_same_with_them_and_without(engine):
    network, x = trained(Optional()), torch.randn(2, 8, 9, 9)
    compiled = compile_for_inference(network, engine=engine)
    with torch.no_grad():
        for arguments in ((x,), (x, 1.0)):
            torch.testing.assert_close(compiled(*arguments), network(*arguments), rtol=RELATIVE, atol=RELATIVE)
