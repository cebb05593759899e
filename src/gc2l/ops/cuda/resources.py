"""What the kernels need of a card: compiled here for it, with no card at hand.

Registers and spills are those that NVIDIA's assembler reports, shared memory is what Triton asks for, and the
instructions say which matrix units are used: wgmma (Hopper's) or mma (Ampere's). Speed cannot be seen from them.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource, make_backend

from gc2l.ops.cuda import folding, launch, tuning
from gc2l.ops.geometry import Geometry

_TYPES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32", torch.int32: "i32"}


class Resources(NamedTuple):
    """One kernel in one configuration: per thread, except for bytes of shared memory, which a whole program shares."""

    registers: int
    spilled_bytes: int
    shared_bytes: int
    least_copy: int  # bytes that an asynchronous copy to shared memory takes at least, of 4, 8 and 16; 0 without any
    wgmma: int
    mma: int


def compiled(kernel: Any, arguments: dict[str, Any], options: dict[str, int], capability: int) -> Resources:
    """Compile `kernel` for a card of that capability (90 for 9.0).

    `arguments` has a pointer type ("*bf16") for every tensor, the value of every constant, and a number for every
    other argument: as at a launch, the compiler is told which of them are multiples of 16, and which are 1.
    """
    target = GPUTarget("cuda", capability, 32)
    signature, constants, attributes = {}, {}, {}
    for place, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        if parameter.is_constexpr or value == 1:
            signature[parameter.name], constants[(place,)] = "constexpr", value
            continue
        signature[parameter.name] = value if isinstance(value, str) else "i32"
        if isinstance(value, str) or value % 16 == 0:
            attributes[(place,)] = [["tt.divisibility", 16]]
    found = triton.compile(
        ASTSource(kernel, signature, constants, attributes),
        target=target,
        options=make_backend(target).parse_options(options).__dict__,
    )
    ptx = found.asm["ptx"]
    copies = [int(size, 16) for size in re.findall(r"cp\.async\.c[ag]\.shared\.global .*?, (0x\w+),", ptx)]
    matrix_units = len(re.findall(r"wgmma\.mma_async", ptx)), len(re.findall(r"mma\.sync", ptx))
    return Resources(*_assembled(ptx, capability), found.metadata.shared, min(copies, default=0), *matrix_units)


def table(
    channels: int, groups: int, m: int, kernel: int, stride: int, dtype: torch.dtype, configurations: int | None = None
) -> Iterator[tuple[str, Resources]]:
    """Every kernel of a layer, forward, backward and folded, on a card like an H100.

    Args:
        channels: c_in and c_out.
        groups: n.
        m: coarse channels of a group; 0 for group convolution.
        kernel: k.
        stride: in both directions.
        dtype: of the images; the parameters are float32.
        configurations: the first so many of each list in `tuning`; None for all.
    """
    for found, arguments in _launches(channels, groups, m, kernel, stride, dtype):
        tuned = isinstance(found, triton.runtime.Autotuner)
        given = {
            name: f"*{_TYPES[value.dtype]}" if isinstance(value, torch.Tensor) else value
            for name, value in arguments.items()
        }
        fixed = {name: given.pop(name) for name in ("num_warps", "num_stages") if name in given}
        for config in found.configs[:configurations] if tuned else [triton.Config({}, **fixed)]:
            name = _name(found.fn if tuned else found, given, config)
            options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
            yield name, compiled(found.fn if tuned else found, given | config.kwargs, options, 90)


def _launches(
    channels: int, groups: int, m: int, kernel: int, stride: int, dtype: torch.dtype
) -> list[tuple[Any, dict[str, Any]]]:
    """Kernels and their arguments, for 128 images of 32 x 32 pixels."""
    x = torch.empty(128, channels, 32, 32, dtype=dtype, device="meta").contiguous(memory_format=torch.channels_last)
    weight = torch.empty(channels, channels // groups, kernel, kernel, device="meta")
    r = torch.empty(groups * m, channels // groups, kernel, kernel, device="meta") if m else None
    coarse = torch.empty(channels, groups * m, 1, 1, device="meta") if m else None
    to = Geometry((stride, stride), (kernel // 2, kernel // 2), (1, 1), groups)
    tuning.recorded = []
    try:
        y, z = launch.convolve(x, weight, r, coarse, None, to)
        launch.convolve_backward(y, x, z, weight, r, coarse, to)
        dense = folding.dense_weight(weight, r, coarse, groups, dtype, last=True)
        folding.dense_weight_backward(dense, weight, r, coarse, groups)
        return tuning.recorded
    finally:
        tuning.recorded = None


def _name(kernel: Any, arguments: dict[str, Any], config: triton.Config) -> str:
    words = [kernel.__name__]
    words += [word for word in ("TRANSPOSED", "EXACT") if arguments.get(word)]
    words += [str(number) for number in config.kwargs.values()]
    return " ".join(words) + f" ({config.num_warps} warps, {config.num_stages} stages)"


def _assembled(ptx: str, capability: int) -> tuple[int, int]:
    """Registers, and bytes of spilled ones, as the assembler reports them."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        architecture = f"sm_{capability}a" if capability == 90 else f"sm_{capability}"
        command = [
            get_ptxas(capability).path,
            "-v",
            f"--gpu-name={architecture}",
            source,
            "-o",
            source.with_suffix(".o"),
        ]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    registers = int(re.findall(r"Used (\d+) registers", report)[-1])
    return registers, sum(map(int, re.findall(r"(\d+) bytes spill stores", report)))
