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

import importlib.metadata
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tool_checks import (
    adapted,
    approximated,
    by_fx,
    by_quantisation,
    by_timm,
    by_torch,
    by_ultralytics,
    differentiated_by_sample,
    extended,
    for_mkldnn,
    fused,
    initialised,
    pruned,
    pruned_by_channels,
    pruned_by_torchao,
    quantised,
    quantised_by_onnxruntime,
    quantised_by_torchao,
    reparametrised,
    traced_by_fx,
    transformed,
)
from tool_counters import (
    calflops,
    counted,
    flop_counter,
    fvcore,
    ptflops,
    thop,
    torch_pruning_count,
    torchinfo,
)

from gc2l.models import fuse_batch_norm

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tools.md"
LAYERS = {"gc": "GC", "gc2l": "GC-2L", "shuffle": "Shuffle", "flgc": "FLGC"}
VERDICTS = ("right", "refused", "passed over", "wrong")


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
