"""What tools do with a layer: one check for each tool of docs/tools.md that does not count (tool_counters.py)."""

# ruff: noqa: PLC0415  (most of the tools are not installed: each check imports its own)

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gc2l.nn import make_conv

REFUSALS = AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError


def make_layer(variant: str, *, bias: bool = True, **options: Any) -> Any:
    torch.manual_seed(0)
    return make_conv(variant, 16, 32, 3, groups=4, padding=1, bias=bias, **options).eval()


def make_norm() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(32)
    for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        nn.init.uniform_(value, 0.5, 2)
    return norm.eval()


def make_input() -> Tensor:
    return torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(1))


def same(ours: Any, expected: Tensor) -> bool:
    return torch.allclose(ours, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def judged(ours: Any, expected: Tensor) -> str:
    return "right" if same(ours, expected) else "wrong"


def judged_in_8_bits(ours: Tensor, expected: Tensor) -> str:
    """Quantisation leaves an error of a few per cent."""
    return "right" if (ours - expected).abs().max() < 0.05 * expected.abs().max() else "wrong"


def gradients_by_sample(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Of the sum of squares of the output, by one backward pass a sample, for each parameter."""
    single = [torch.autograd.grad(layer(image).square().sum(), tuple(layer.parameters())) for image in x.split(1)]
    return [torch.stack(gradients) for gradients in zip(*single, strict=True)]


def fused(fuse: Callable[[nn.Sequential], Any]) -> Callable[[str], str]:
    """The check of what fuses the layer and the batch norm after it."""

    def check(variant: str) -> str:
        network = nn.Sequential(make_layer(variant), make_norm()).eval()
        expected = network(make_input())
        try:
            result = fuse(copy.deepcopy(network))
            verdict = judged(result(make_input()), expected)
        except REFUSALS:
            return "refused"
        kept = any(isinstance(module, nn.BatchNorm2d) for module in result.modules())
        return "passed over" if verdict == "right" and kept else verdict

    return check


def by_torch(network: nn.Sequential) -> nn.Module:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    return fuse_conv_bn_eval(network[0], network[1])


def by_fx(network: nn.Sequential) -> nn.Module:
    from torch.fx.experimental.optimization import fuse

    return fuse(network)


def by_quantisation(network: nn.Sequential) -> nn.Module:
    return torch.ao.quantization.fuse_modules(network, [["0", "1"]])


def by_ultralytics(network: nn.Sequential) -> nn.Module:
    # fuse_conv_and_bn of ultralytics 8.4, which imports much that has nothing to do with it.
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    conv, bn = network
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return conv


def by_timm(network: nn.Sequential) -> nn.Module:
    from timm.models.repvit import ConvNorm

    pair = ConvNorm(16, 32)
    pair.c, pair.bn = network
    return pair.fuse()


def initialised(variant: str) -> str:
    """The usual loop over the modules of a network that initialises its convolutions."""
    layer = make_layer(variant)
    before = layer.weight.clone()
    for module in nn.Sequential(layer).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    if torch.equal(layer.weight, before):
        return "passed over"
    # Fan-in of a group, gain of a ReLU: what the loop is for.
    return "right" if abs(layer.weight.std().item() / (2 / (9 * 4)) ** 0.5 - 1) < 0.1 else "wrong"


def pruned(variant: str) -> str:
    from torch.nn.utils import prune

    layer = make_layer(variant)
    expected = copy.deepcopy(layer)
    small = expected.weight.detach().abs().flatten().argsort()[: expected.weight.numel() // 2]
    with torch.no_grad():
        expected.weight.view(-1)[small] = 0
    prune.l1_unstructured(layer, "weight", 0.5)
    return judged(layer(make_input()), expected(make_input()))


def pruned_by_channels(variant: str) -> str:
    """Four idle channels of the convolution before the layer removed."""
    import torch_pruning

    network = nn.Sequential(nn.Conv2d(3, 16, 1), make_layer(variant))
    idle = [3, 7, 11, 15]
    with torch.no_grad():
        network[0].weight[idle], network[0].bias[idle] = 0, 0
    x = make_input()[:, :3]
    expected = network(x)
    graph = torch_pruning.DependencyGraph().build_dependency(network, example_inputs=x)
    try:
        graph.get_pruning_group(network[0], torch_pruning.prune_conv_out_channels, idxs=idle).prune()
        return judged(network(x), expected)
    except REFUSALS:
        return "refused"


def pruned_by_torchao(variant: str) -> str:
    """The first eight filters of the layer, all of two groups, removed."""
    from torchao.prototype.sparsity.pruner.saliency_pruner import SaliencyPruner

    network = nn.Sequential(make_layer(variant), nn.Conv2d(32, 8, 1)).requires_grad_(False)
    network[0].weight[:8] *= 1e-3
    try:
        pruner = SaliencyPruner({})
        pruner.prepare(network, [{"tensor_fqn": "0.weight", "sparsity_level": 0.25}])
        pruner.step()
        expected = network(make_input())
        return judged(pruner.prune()(make_input()), expected)
    except Exception:  # the pruner raises no other class
        return "refused"


def for_mkldnn(variant: str) -> str:
    from torch.utils.mkldnn import to_mkldnn

    network = nn.Sequential(make_layer(variant))
    expected = network(make_input())
    try:
        return judged(to_mkldnn(network)(make_input().to_mkldnn()).to_dense(), expected)
    except REFUSALS:
        return "refused"


def reparametrised(variant: str) -> str:
    layer = make_layer(variant)
    expected = layer(make_input())
    torch.nn.utils.parametrizations.weight_norm(layer)
    return judged(layer(make_input()), expected)


def quantised(variant: str) -> str:
    """Eager quantisation after training."""
    from torch.ao import quantization

    network = nn.Sequential(quantization.QuantStub(), make_layer(variant), quantization.DeQuantStub()).eval()
    expected = network(make_input())
    network.qconfig = quantization.default_qconfig
    quantization.prepare(network, inplace=True)
    network(make_input())
    quantization.convert(network, inplace=True)
    try:
        y = network(make_input())
    except REFUSALS:
        return "refused"
    return judged_in_8_bits(y, expected)


def quantised_by_torchao(variant: str) -> str:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    network = nn.Sequential(make_layer(variant))
    expected = network(make_input())
    quantize_(network, Int8WeightOnlyConfig())
    return "passed over" if torch.equal(network(make_input()), expected) else judged(network(make_input()), expected)


def quantised_by_onnxruntime(variant: str) -> str:
    """A layer exported to ONNX, quantised with a scale for each channel."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"x": make_input().numpy()}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    layer = make_layer(variant)
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = Path(folder, "plain.onnx"), Path(folder, "quantised.onnx")
        torch.onnx.export(layer, (make_input(),), plain, input_names=["x"], dynamo=True, verbose=False)
        # Weights in 7 bits, so that no processor's 16-bit sums overflow.
        quantize_static(plain, quantised, Images(), per_channel=True, reduce_range=True)
        session = onnxruntime.InferenceSession(quantised, providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": make_input().numpy()})
    return judged_in_8_bits(torch.from_numpy(y), layer(make_input()))


def adapted(variant: str) -> str:
    """LoRA, trained and merged."""
    from peft import LoraConfig, get_peft_model

    network = nn.Sequential(make_layer(variant))
    try:
        model = get_peft_model(network, LoraConfig(r=4, target_modules=["0"], init_lora_weights=False)).eval()
        expected = model(make_input())
        return judged(model.merge_and_unload()(make_input()), expected)
    except REFUSALS:
        return "refused"


def differentiated_by_sample(variant: str) -> str:
    """Opacus' gradients of each sample, with zeros and with other pixels around the image."""
    from opacus.grad_sample import GradSampleModule

    verdicts = set()
    for padding_mode in ("zeros", "circular"):
        layer, x = make_layer(variant, padding_mode=padding_mode).train(), make_input()
        expected = gradients_by_sample(layer, x)
        try:
            GradSampleModule(layer, loss_reduction="sum")(x).square().sum().backward()
        except REFUSALS:
            return "refused"
        verdicts |= {judged(p.grad_sample, e) for p, e in zip(layer.parameters(), expected, strict=True)}
    return "wrong" if "wrong" in verdicts else "right"


def extended(variant: str) -> str:
    """BackPACK's gradients of each sample."""
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad

    layer, x = make_layer(variant).train(), make_input()
    expected = gradients_by_sample(layer, x)
    y = extend(nn.Sequential(layer))(x)
    with backpack(BatchGrad()):
        extend(nn.MSELoss(reduction="sum"))(y, torch.zeros_like(y)).backward()
    if not any(hasattr(p, "grad_batch") for p in layer.parameters()):
        return "passed over"
    verdicts = {judged(p.grad_batch, e) for p, e in zip(layer.parameters(), expected, strict=True)}
    return "wrong" if "wrong" in verdicts else "right"


def approximated(variant: str) -> str:
    """KFAC at one output pixel, where it has the trace of the Gauss-Newton matrix, up to chance."""
    from curvlinops import GGNLinearOperator, KFACLinearOperator

    torch.manual_seed(0)
    network = nn.Sequential(make_conv(variant, 16, 32, 3, groups=4, bias=False), nn.Flatten()).double()
    data = [(torch.randn(64, 16, 3, 3).double(), torch.randn(64, 32).double())]
    problem = network, nn.MSELoss(), list(network.parameters()), data
    try:
        exact, kfac = GGNLinearOperator(*problem), KFACLinearOperator(*problem, fisher_type="type-2")
    except REFUSALS:
        return "refused"
    identity = torch.eye(exact.shape[1], dtype=torch.float64)
    return "right" if abs((kfac @ identity).trace() / (exact @ identity).trace() - 1) < 0.1 else "wrong"


def transformed(transform: Callable[[nn.Module, Tensor], Any]) -> Callable[[str], str]:
    """The check of what makes another form of the layer that can be called."""

    def check(variant: str) -> str:
        layer, x = make_layer(variant), make_input()
        try:
            return judged(transform(layer, x)(x), layer(x))
        except REFUSALS:
            return "refused"

    return check


def traced_by_fx(layer: nn.Module, x: Tensor) -> nn.Module:
    return torch.fx.symbolic_trace(nn.Sequential(layer))
