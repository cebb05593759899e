"""Measure Table 2 on this machine: single ranks, all ranks jointly, and the collectives between them."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.bench.device import Device
from gc2l.bench.steps import TrainingStep
from gc2l.bench.timing import alternating_seconds
from gc2l.parallel import layer_parts, layer_split_gradients, make_mesh, parallelize
from gc2l.parallel.link import COLLECTIVES
from gc2l.records import LinkTime, RanksTime, ScalingRecord, ShareTime, Timing, describe_environment
from gc2l.scaling.work import CLASSES, SIDE, Network, count_work
from gc2l.training import peak_memory_bytes, reset_peak_memory
from gc2l.training.allocator import keep_freed_memory

_FOUND = TypeAdapter(tuple[list[Timing], list[LinkTime]])
"""What the ranks leave to the process that started them, as JSON: of the joint runs, and of the collectives."""


@dataclass(frozen=True, kw_only=True)
class JointRun:
    """A network that is timed on all its ranks; attributes as in `gc2l.records.RanksTime`."""

    network: Network
    threads: int = 1
    overlap: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        shares: networks of which one rank is timed alone, on one thread or the GPU.
        joint_runs: networks that are timed on all their ranks.
        processes: number of ranks to start on this machine.
        link_bytes: bytes that a rank receives in each collective that is timed alone.
        planned: networks to predict.
        passes: over the shares, so that a busy machine slows a few steps of each share and not all of one.
        rounds: steps of each share in a pass, after those that warm up. A joint run has as many as all passes.
    """

    shares: tuple[Network, ...]
    joint_runs: tuple[JointRun, ...]
    processes: int
    link_bytes: tuple[int, ...]
    planned: tuple[Network, ...]
    passes: int
    rounds: int


def measure_scaling(plan: Plan, device: Device, log: Callable[[str], None]) -> ScalingRecord:
    """Carry out `plan` on this machine.

    Args:
        plan: what to measure.
        device: where, and in which precision; the steps of shares that run alone are replayed as its graphs.
        log: called with a line about what comes next.
    """
    started = datetime.now(UTC)
    environment = describe_environment(accelerator=torch.cuda.get_device_name() if device.name == "cuda" else None)
    if device.name == "cpu":
        keep_freed_memory()  # as training does
    shares = _time_shares(plan, device, log)
    together: Sequence[RanksTime] = ()
    link: Sequence[LinkTime] = ()
    if plan.joint_runs:
        log(f"all {plan.processes} ranks, {len(plan.joint_runs)} networks alternately ...")
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(_rank, (Path(folder), plan, replace(device, graphs=None)), nprocs=plan.processes)
            times, link = _FOUND.validate_json((Path(folder) / "found").read_bytes())
        together = [
            RanksTime(work=count_work(run.network), threads=run.threads, overlap=run.overlap, time=time)
            for run, time in zip(plan.joint_runs, times, strict=True)
        ]
    return ScalingRecord(
        **vars(environment),
        device=device.name,
        precision=device.precision,
        cuda_graphs=device.graphs is not None,
        started=started,
        finished=datetime.now(UTC),
        shares=tuple(shares),
        together=tuple(together),
        link=tuple(link),
        planned=tuple(count_work(network) for network in plan.planned),
    )


def _time_shares(plan: Plan, device: Device, log: Callable[[str], None]) -> list[ShareTime]:
    if device.name == "cpu":
        torch.set_num_threads(1)
    seconds: dict[Network, list[float]] = {network: [] for network in plan.shares}
    peaks: dict[Network, int] = {}
    for number in range(plan.passes):
        for network in plan.shares:
            log(
                f"pass {number + 1} of {plan.passes}: one rank of {network.ranks}, {network.variant} "
                f"n = {network.groups}, k = {network.widen_factor} ..."
            )
            reset_peak_memory(device.name)
            seconds[network] += _steps_of_share(network, plan.rounds, device)
            peaks.setdefault(network, peak_memory_bytes(device.name))
    return [
        ShareTime(work=count_work(network), time=_timing(times), peak_memory_bytes=peaks[network])
        for network, times in seconds.items()
    ]


def _steps_of_share(network: Network, rounds: int, device: Device) -> list[float]:
    with torch.device("meta"):
        share = network.build_share()
    step = _make_step(_with_memory(share.to_empty(device=device.name)), network.images, device)
    step.warm_up()
    return [_seconds(step, device) for _ in range(rounds)]


def _make_step(
    network: nn.Module, images: int, device: Device, gradients: Callable[[Tensor, Tensor], None] | None = None
) -> TrainingStep:
    """Training steps on a batch of noise, equal on all ranks."""
    generator = torch.Generator().manual_seed(0)
    network = network.to(device.name).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    noise = torch.randn(images, 3, SIDE, SIDE, generator=generator).to(device.name)
    labels = torch.randint(CLASSES, (images,), generator=generator).to(device.name)
    batch = noise.contiguous(memory_format=torch.channels_last)
    return TrainingStep(network, batch, labels, device=device, gradients=gradients)


@torch.no_grad()
def _with_memory(network: nn.Module) -> nn.Module:
    """The same network with random weights in place of uninitialised memory."""
    for value in network.parameters():
        if value.dim() > 1:
            nn.init.kaiming_normal_(value)
        else:
            nn.init.ones_(value)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
    return network


def _seconds(run: Callable[[], object], device: Device) -> float:
    """Wall-clock time of one call, until the device has finished."""
    begun = time.perf_counter()
    run()
    device.finish()
    return time.perf_counter() - begun


def _timing(seconds: list[float]) -> Timing:
    return Timing(seconds=statistics.median(seconds), low=min(seconds), high=max(seconds), repeats=len(seconds))


def _rank(rank: int, folder: Path, plan: Plan, device: Device) -> None:
    if device.name == "cuda":
        torch.cuda.set_device(rank)
    else:
        keep_freed_memory()
    backend = {"cpu": "gloo", "cuda": "nccl"}[device.name]
    dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=rank, world_size=plan.processes)
    steps = {str(number): _joint_step(plan, run, device) for number, run in enumerate(plan.joint_runs)}
    seconds = alternating_seconds(steps, plan.passes * plan.rounds, lambda step: step())
    times = [_timing(of_run) for of_run in seconds.values()]
    link = [
        _time_link(kind, size, plan, device) for kind in ("all_gather", "reduce_scatter") for size in plan.link_bytes
    ]
    if rank == 0:
        (folder / "found").write_bytes(_FOUND.dump_json((times, link)))
    dist.destroy_process_group()


def _joint_step(plan: Plan, run: JointRun, device: Device) -> Callable[[], float]:
    """A step of this rank that returns the time of the slowest rank; ranks that have no part of the network wait."""
    network, rank = run.network, dist.get_rank()
    if network.ranks not in (1, plan.processes):
        raise ValueError(f"ranks={network.ranks} must be 1 or all {plan.processes} processes")
    torch.manual_seed(0)
    step: TrainingStep | None = None
    if rank < network.ranks:
        whole = network.build()
        held: nn.Module = whole
        gradients = None
        if network.split == "layers":
            held = layer_parts(whole, network.ranks)[rank]
            gradients = layer_split_gradients(
                held,
                rank=rank,
                ranks=network.ranks,
                device=device.name,
                precision=device.dtype,
                loss=F.cross_entropy,
            )
        elif network.ranks > 1:
            parallelize(whole, make_mesh(network.ranks, device=device.name), overlap=run.overlap)
        step = _make_step(held, network.images, device, gradients)

    def timed() -> float:
        torch.set_num_threads(run.threads)
        dist.barrier()
        return _slowest(_seconds(step, device) if step else 0.0, device)

    return timed


def _slowest(seconds: float, device: Device) -> float:
    value = torch.tensor([seconds], device=device.name, dtype=torch.float64)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return float(value)


def _time_link(kind: Literal["all_gather", "reduce_scatter"], received: int, plan: Plan, device: Device) -> LinkTime:
    p = plan.processes
    own = torch.zeros(received // (p - 1) // 4, device=device.name)
    whole = torch.zeros(p * own.numel(), device=device.name)
    result, operand = (whole, own) if kind == "all_gather" else (own, whole)

    def step() -> float:
        dist.barrier()
        return _slowest(_seconds(lambda: getattr(dist, COLLECTIVES[kind])(result, operand), device), device)

    step()
    found = _timing([step() for _ in range(10 * plan.passes * plan.rounds)])
    return LinkTime(collective=kind, ranks=p, received_bytes=own.nbytes * (p - 1), time=found)
