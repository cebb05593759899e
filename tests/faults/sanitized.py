"""A process that calls the C libraries, built with sanitizers: for each line with a trial one with its end.

Run with the paths of both libraries. A sanitizer that finds something ends the process with its report.
"""

import faulthandler
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge.test_kernels import error, group_by_group

from gc2l.edge import kernel
from gc2l.edge.grouped import GroupedConvolution
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.ops.cpu import compiled, framework, loader
from gc2l.ops.geometry import Geometry

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""Of sums of up to some hundred products, over the largest value."""


def shifted(x: Tensor, elements: int) -> Tensor:
    """x, which begins so many elements behind what the allocator aligns, and ends where its memory ends."""
    memory = x.new_empty(x.numel() + elements)
    memory = torch.as_strided(memory, x.size(), x.stride(), elements)
    return memory.copy_(x)


def layers(rng: random.Random) -> None:
    """Layers of odd sizes, also empty ones, forward and backward: as the dense convolution, or refused."""
    groups, own, fine, m = (rng.randrange(1, most) for most in (6, 40, 40, 4))
    kernel_size = rng.choice([1, 3, 3, 3, (1, 4), (2, 5)])
    pair = {name: (rng.randrange(low, 4), rng.randrange(low, 4)) for name, low in (("stride", 1), ("dilation", 1))}
    if rng.random() < 0.6:
        pair = {}
    options = {"padding": rng.randrange(4), "bias": rng.random() < 0.5, **pair}
    if rng.random() < 0.6:
        layer = TwoLevelGroupConv2d(
            groups * own, groups * fine, kernel_size, groups=groups, coarse_channels=m, **options
        )
    else:
        layer = GroupConv2d(groups * own, groups * fine, kernel_size, groups=groups, **options)
    # In bfloat16 PyTorch 2.13 itself is wrong for some strides: findings/torch_bfloat16_conv_stride.sh.
    dtype = torch.float32 if pair else rng.choice([torch.float32, torch.bfloat16])
    layer = layer.to(dtype).to(memory_format=torch.channels_last)
    layer.algorithm = rng.choice([name for name in layer.ALGORITHMS if name != "matmul" or kernel_size == 1])
    torch.manual_seed(rng.randrange(10**6))
    x = torch.randn(rng.randrange(4), groups * own, rng.randrange(10), rng.randrange(10), dtype=dtype)
    x = shifted(x.contiguous(memory_format=torch.channels_last), rng.randrange(9)).requires_grad_()
    dense, given = layer.dense_weight().double(), x.detach().double().requires_grad_()
    bias = None if layer.bias is None else layer.bias.double()
    try:
        expected = F.conv2d(given, dense, bias, layer.stride, layer.padding, layer.dilation)
    except RuntimeError:
        expected = None
    try:
        y = layer(x)
    except (RuntimeError, ValueError):
        assert expected is None, f"{layer} refuses {tuple(x.shape)}"
        return
    assert expected is not None and y.shape == expected.shape
    upstream = torch.randn(y.shape).to(dtype)
    close(y, expected, dtype)
    found = torch.autograd.grad(y, [x, *layer.parameters()], upstream)
    expected = torch.autograd.grad(expected, [given, *layer.parameters()], upstream.double())
    for mine, right in zip(found, expected, strict=True):
        close(mine, right, dtype)


def functions(rng: random.Random) -> None:
    """Every function of the library, also those that no layer of this processor calls, as the framework."""
    groups, m = rng.choice([(4, 1), (16, 1), (8, 2), (1, 16), (3, 1), (5, 3), (1, 1)])
    fine, own, count = rng.randrange(1, 90), rng.randrange(1, 70), rng.choice([1, 2, 15, 16, 45])
    c_out, k, dtype = groups * fine, groups * m, rng.choice(list(TOLERANCES))
    coarse, z, y, both = (
        shifted(torch.randn(shape).to(dtype), rng.randrange(5))
        for shape in ((c_out, k), (count, k), (count, c_out), (count, c_out + k))
    )
    wide = [value.double() for value in (coarse, z, y, both)]
    geometry = Geometry(
        (rng.randrange(1, 4), 1), (rng.randrange(3), rng.randrange(3)), (1, rng.randrange(1, 3)), groups
    )
    x = torch.randn(2, groups * own, rng.randrange(5, 12), rng.randrange(5, 12)).to(dtype)
    x = shifted(x.contiguous(memory_format=torch.channels_last), rng.randrange(5))
    r = torch.randn(k, own, rng.randrange(1, 4), rng.randrange(1, 4)).to(dtype)
    found_z = compiled.restrict(x, r, geometry)
    close(found_z, framework.restrict(x.double(), r.double(), geometry), dtype)
    given = torch.randn(found_z.shape).to(dtype)
    expected = framework.restrict_backward(given.double(), x.double(), r.double(), geometry)
    for mine, right in zip(compiled.restrict_backward(given, x, r, geometry), expected, strict=True):
        close(mine, right, dtype)
    added, split, upstream = y.clone(), torch.empty_like(y), torch.empty_like(both)
    compiled.add_coarse(added, z, coarse)
    close(added, wide[2] + wide[1] @ wide[0].T, dtype)
    close(compiled.split_fused(both, coarse, groups, split), rest(wide[3], groups, fine), dtype)
    expected_split = torch.empty(count, c_out, dtype=torch.float64)
    framework.split_fused(wide[3], wide[0], groups, expected_split)
    close(split, expected_split, dtype)
    close(compiled.fused_gradients(y, z, coarse, groups, upstream), wide[2].T @ wide[1], dtype)
    close(rest(upstream, groups, fine), wide[2] @ wide[0], dtype)
    if dtype is torch.bfloat16:
        again, apart, own_z = torch.empty_like(both), torch.empty_like(y), torch.empty_like(z)
        loader.call("split", dtype, count, c_out, fine, m, both, apart, own_z)
        loader.call("join", dtype, count, c_out, fine, m, apart, own_z, again)
        assert torch.equal(again, both)


def rest(both: Tensor, groups: int, fine: int) -> Tensor:
    """The coarse channels of the fused convolution's output."""
    return both.unflatten(1, (groups, -1))[:, :, fine:].flatten(1)


def inference(rng: random.Random) -> None:
    """Grouped convolutions compiled for inference, as one standard convolution for each group."""
    n, channels, filters, m = (rng.randrange(low, most) for low, most in ((1, 6), (1, 7), (1, 15), (0, 3)))
    size = rng.randrange(1, 5), rng.randrange(1, 5)
    torch.manual_seed(rng.randrange(10**6))
    parts = {"weight": torch.randn(n * filters, channels, *size), "bias": torch.randn(n * filters)}
    if m:
        parts |= {"restriction": torch.randn(n * m, channels, *size), "coarse": torch.randn(n * filters, n * m)}
    elif rng.random() < 0.5:
        parts |= {"inputs": torch.randperm(n * channels), "outputs": torch.randperm(n * filters)}
    geometry = Geometry(*((rng.randrange(low, 4), rng.randrange(low, 4)) for low in (1, 0, 1)), n)
    of = GroupedConvolution(**parts, geometry=geometry, relu=rng.random() < 0.5)
    x = shifted(torch.randn(rng.randrange(1, 3), of.c_in, rng.randrange(1, 20), rng.randrange(1, 40)), rng.randrange(9))
    try:
        found = kernel.CompiledKernel(of)(x)
    except ValueError as refused:
        assert "smaller than the kernel" in str(refused)
        return
    assert error(found, group_by_group(of, x)) < TOLERANCES[torch.float32]


def several_threads(rng: random.Random) -> None:
    """Three threads that call at once."""
    failures: list[BaseException] = []

    def call(seed: float) -> None:
        try:
            rng.choice(SINGLE)(random.Random(seed))
        except BaseException as failure:
            failures.append(failure)

    running = [threading.Thread(target=call, args=(rng.random(),)) for _ in range(3)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]


def fork_after_use(rng: random.Random) -> None:
    """A process forked after the library ran with several threads."""
    torch.set_num_threads(3)
    call, seed = convolution(rng)
    expected = call(seed)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends it if it waits for threads, which only its parent has
        os._exit(0 if torch.equal(call(seed), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def signal_during_a_kernel(rng: random.Random) -> None:
    """A signal every millisecond, whose handler runs Python code."""
    call, seed = convolution(rng)
    expected, heard = call(seed), 0

    def handler(*_: object) -> None:
        nonlocal heard
        heard += 1

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while not heard:
            assert torch.equal(call(seed), expected)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def beyond_the_end(_: random.Random) -> None:
    """What has to be found: an image that is one number too short."""
    y, z, coarse = torch.zeros(16, 17), torch.zeros(16, 2), torch.zeros(17, 2)
    short = torch.zeros(y.numel() - 1)
    loader.call("add_coarse", y.dtype, 16, 17, 2, short, z, coarse.T.contiguous())


def convolution(rng: random.Random) -> tuple[Callable[[int], Tensor], int]:
    """A call of one of the libraries."""
    groups, own, fine = rng.randrange(1, 5), rng.randrange(1, 20), rng.randrange(1, 20)
    geometry = Geometry((1, 1), (1, 1), (1, 1), groups)

    def call(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(2, groups * own, 12, 12, generator=generator)
        weight = torch.randn(groups * fine, own, 3, 3, generator=generator)
        if seed % 2:
            return kernel.CompiledKernel(GroupedConvolution(weight=weight, geometry=geometry))(x)
        return compiled.convolve(x.contiguous(memory_format=torch.channels_last), weight, None, None, geometry)[0]

    return call, rng.randrange(10**6)


def close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """Compare numbers with those in float64, to the tolerance of sums in `dtype`."""
    assert found.shape == expected.shape
    if found.numel():
        expected = expected.detach().double()
        most = TOLERANCES[dtype] * float(expected.abs().max()) + 1e-6
        difference = float((found.detach().double() - expected).abs().max())
        assert difference <= most, f"{difference} of {most}, {dtype}, {tuple(found.shape)}"


SINGLE = (layers, functions, inference)
KINDS = {
    function.__name__: function
    for function in (*SINGLE, several_threads, fork_after_use, signal_during_a_kernel, beyond_the_end)
}


def main() -> None:
    """Trials until the end of the input."""
    for module, path in zip((loader, kernel), sys.argv[1:], strict=True):
        module.find_spec = lambda _, path=path: SimpleNamespace(origin=path)
        assert module.library() is not None
    for line in sys.stdin:
        kind, seed = line.split()
        faulthandler.dump_traceback_later(300, exit=True)
        rng = random.Random(seed)
        torch.set_num_threads(rng.randrange(1, 4))
        try:
            KINDS[kind](rng)
        except Exception:
            print(repr(traceback.format_exc()), flush=True)
        else:
            print("held", flush=True)


if __name__ == "__main__":
    main()
