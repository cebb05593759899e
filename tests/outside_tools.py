"""What tools that take a Conv2d for its weight and bias do with our layers: one check for each row of docs/tools.md.

    python tests/outside_tools.py

asks every tool that is installed and writes the table again; the rows of the others stay as they are. The tests hold
the rows of the tools in constraints.txt. The rest is installed by

    pip install backpack-for-pytorch==1.7.1 calflops==0.3.2 curvlinops-for-pytorch==3.0.1 fvcore==0.1.5.post20221221 \
        opacus==1.6.0 peft==0.21.2 ptflops==0.7.5 torch-pruning==1.6.1 torchao==0.18.0 torchinfo==1.8.0 \
        transformers==5.24.0 ultralytics-thop==2.2.3

A check returns "right", "refused" (the tool or the layer raises an error), "passed over" (the tool does not see the
layer, which goes on to compute what it did) or "wrong".
"""

# ruff: noqa: PLC0415  (most of the tools are not installed: each check imports its own)

import copy
import importlib.metadata
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gc2l.models import fuse_batch_norm
from gc2l.nn import make_conv

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tools.md"
LAYERS = {"gc": "GC", "gc2l": "GC-2L", "shuffle": "Shuffle", "flgc": "FLGC"}
VERDICTS = ("right", "refused", "passed over", "wrong")
REFUSALS = AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError
FORMULA = {"gc": "grouped", "gc2l": "separate", "shuffle": "grouped"}
"""The algorithm that does what the formula says, and no more: the others may compute as a dense convolution."""


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


def counted(count: Callable[[nn.Module, Tensor], float]) -> Callable[[str], str]:
    """The check of what counts the multiplications of a forward pass."""

    def check(variant: str) -> str:
        algorithm = {"algorithm": FORMULA[variant]} if variant in FORMULA else {}
        layer, x = make_layer(variant, bias=False, **algorithm), make_input()[:1]
        # Stride 1: each weight is multiplied once for each pixel. The logits of FLGC make a mask, up to 2 % more.
        weights = sum(value.numel() for name, value in layer.named_parameters() if "logits" not in name)
        ratio = count(nn.Sequential(layer), x) / (weights * x.shape[2] * x.shape[3])
        return "right" if 1 <= ratio < 1.02 else "wrong"

    return check


def flop_counter(network: nn.Module, x: Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops() / 2


def fvcore(network: nn.Module, x: Tensor) -> float:
    from fvcore.nn import FlopCountAnalysis

    return FlopCountAnalysis(network, x).unsupported_ops_warnings(False).total()


def calflops(network: nn.Module, x: Tensor) -> float:
    from calflops import calculate_flops

    shape = tuple(x.shape)
    return calculate_flops(network, input_shape=shape, print_results=False, output_as_string=False)[1]


def ptflops(backend: str) -> Callable[[nn.Module, Tensor], float]:
    def count(network: nn.Module, x: Tensor) -> float:
        from ptflops import get_model_complexity_info

        options = {"as_strings": False, "print_per_layer_stat": False, "backend": backend}
        return get_model_complexity_info(network, tuple(x.shape[1:]), **options)[0]

    return count


def thop(network: nn.Module, x: Tensor) -> float:
    from thop import profile

    return profile(network, (x,), verbose=False)[0]


def torchinfo(network: nn.Module, x: Tensor) -> float:
    from torchinfo import summary

    return summary(network, input_data=x, verbose=0).total_mult_adds


def torch_pruning_count(network: nn.Module, x: Tensor) -> float:
    from torch_pruning.utils import count_ops_and_params

    return count_ops_and_params(network, x)[0]


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


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A row: its name, the distribution that it is in, its check, and what there is to say."""

    name: str
    distribution: str
    check: Callable[[str], str]
    note: str = ""


TOOLS = [
    Tool(name="`gc2l.models.fuse_batch_norm`", distribution="torch", check=fused(fuse_batch_norm), note="ours"),
    Tool(name="`torch.nn.utils.fusion.fuse_conv_bn_eval`", distribution="torch", check=fused(by_torch)),
    Tool(
        name="`torch.fx.experimental.optimization.fuse`",
        distribution="torch",
        check=fused(by_fx),
        note="`torch.fx` does not trace the layers: use `fuse_batch_norm`",
    ),
    Tool(
        name="`torch.ao.quantization.fuse_modules`",
        distribution="torch",
        check=fused(by_quantisation),
        note="takes `nn.Conv2d` itself only",
    ),
    Tool(name="ultralytics' `fuse_conv_and_bn`", distribution="torch", check=fused(by_ultralytics)),
    Tool(
        name="`fuse()` of timm's RepViT and others",
        distribution="timm",
        check=fused(by_timm),
        note="reads `weight`, `bias` and `groups` of whatever is there: fuse with `fuse_batch_norm` in its place",
    ),
    Tool(name="a loop that initialises every `nn.Conv2d`", distribution="torch", check=initialised),
    Tool(name="`torch.nn.utils.prune`", distribution="torch", check=pruned, note="of the parameter that is named"),
    Tool(name="`parametrizations.weight_norm`", distribution="torch", check=reparametrised, note="of `weight`"),
    Tool(
        name="torch-pruning, channels before the layer",
        distribution="torch-pruning",
        check=pruned_by_channels,
        note="the same channels of every group; others take wrong weights with them: findings/",
    ),
    Tool(
        name="torchao's structured pruner",
        distribution="torchao",
        check=pruned_by_torchao,
        note="takes `nn.Conv2d` itself only, and with groups may return another network: findings/",
    ),
    Tool(
        name="`torch.utils.mkldnn.to_mkldnn`",
        distribution="torch",
        check=for_mkldnn,
        note="`nn.Conv2d` loses other padding modes than zeros: findings/",
    ),
    Tool(
        name="`torch.ao.quantization`, eager",
        distribution="torch",
        check=quantised,
        note="the layers stay in floating point and refuse quantised inputs: use `to_dense()`",
    ),
    Tool(name="torchao `quantize_`", distribution="torchao", check=quantised_by_torchao, note="takes linear layers"),
    Tool(
        name="onnxruntime's `quantize_static`, by channel",
        distribution="onnxruntime",
        check=quantised_by_onnxruntime,
        note="of the exported layer; a grouped `nn.ConvTranspose2d` with a bias is refused: findings/",
    ),
    Tool(
        name="LoRA of peft",
        distribution="peft",
        check=adapted,
        note="no merging with groups > 1, no other layers than PyTorch's: use `to_dense()`",
    ),
    Tool(
        name="Opacus' `GradSampleModule`",
        distribution="opacus",
        check=differentiated_by_sample,
        note="`nn.Conv2d` itself is wrong in other padding modes than zeros: findings/",
    ),
    Tool(
        name="BackPACK's `BatchGrad`",
        distribution="backpack-for-pytorch",
        check=extended,
        note="takes PyTorch's classes, and warns; their `BatchL2Grad` is wrong with groups: findings/",
    ),
    Tool(
        name="curvlinops' KFAC",
        distribution="curvlinops-for-pytorch",
        check=approximated,
        note="n times too small for every grouped convolution: findings/",
    ),
    Tool(
        name="`torch.utils.flop_counter`, forward",
        distribution="torch",
        check=counted(flop_counter),
        note="backward passes of grouped convolutions are counted too high: findings/",
    ),
    Tool(name="fvcore", distribution="fvcore", check=counted(fvcore)),
    Tool(name="calflops", distribution="calflops", check=counted(calflops)),
    Tool(name='ptflops, `backend="aten"`', distribution="ptflops", check=counted(ptflops("aten"))),
    Tool(
        name='ptflops, `backend="pytorch"`',
        distribution="ptflops",
        check=counted(ptflops("pytorch")),
        note="counts classes that it knows, all else as nothing",
    ),
    Tool(
        name="thop",
        distribution="ultralytics-thop",
        check=counted(thop),
        note="counts classes that it knows, all else as nothing",
    ),
    Tool(name="torchinfo", distribution="torchinfo", check=counted(torchinfo), note="knows parameters, no formulas"),
    Tool(
        name="torch-pruning's `count_ops_and_params`",
        distribution="torch-pruning",
        check=counted(torch_pruning_count),
        note="counts classes that it knows, all else as nothing",
    ),
    Tool(
        name="`torch.fx.symbolic_trace`",
        distribution="torch",
        check=transformed(traced_by_fx),
        note="a tracer that takes the layers for leaves has no difficulty",
    ),
    Tool(name="`torch.jit.trace`", distribution="torch", check=transformed(torch.jit.trace)),
    Tool(
        name="`torch.jit.script`",
        distribution="torch",
        check=transformed(lambda layer, x: torch.jit.script(layer)),
        note="use `torch.export`",
    ),
]


def installed(tool: Tool) -> bool:
    try:
        importlib.metadata.version(tool.distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def rows(page: str) -> dict[str, list[str]]:
    """The verdicts of each tool on the page."""
    found = [re.split(r"\s*\|\s*", line.strip("| ")) for line in page.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1 : 1 + len(LAYERS)] for cells in found}


def table(verdicts: dict[str, list[str]]) -> str:
    lines = [["tool", *LAYERS.values(), "remark"], ["---"] * (len(LAYERS) + 2)]
    lines += [[tool.name, *verdicts[tool.name], tool.note] for tool in TOOLS]
    return "\n".join(f"| {' | '.join(cells)} |".replace("  |", " |") for cells in lines)


def main() -> None:
    warnings.simplefilter("ignore")
    page = PAGE.read_text(encoding="utf-8")
    verdicts = rows(page)
    for tool in TOOLS:
        if installed(tool):
            verdicts[tool.name] = [tool.check(variant) for variant in LAYERS]
        else:
            print(f"{tool.name}: {tool.distribution} is not installed", file=sys.stderr)
    start, rest = page.split("<!-- table -->\n")
    end = rest.split("<!-- end of table -->")[1]
    PAGE.write_text(f"{start}<!-- table -->\n\n{table(verdicts)}\n\n<!-- end of table -->{end}", encoding="utf-8")


if __name__ == "__main__":
    main()
