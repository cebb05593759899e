"""Measure Table 2 on this machine: single ranks, ranks together, and the link between them."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn import functional as F

from gc2l.bench.timing import alternating_seconds
from gc2l.parallel import layer_parts, layer_split_gradients, make_mesh, parallelize
from gc2l.parallel.link import COLLECTIVES
from gc2l.records import LinkTime, RanksTime, ScalingRecord, ShareTime, describe_environment
from gc2l.scaling.clock import Stepper, seconds_of, timing
from gc2l.scaling.work import Network, count_work
from gc2l.training import peak_memory_bytes, reset_peak_memory
from gc2l.training.allocator import keep_freed_memory
from gc2l.training.graph import WARM_UP_STEPS, Graphs


@dataclass(frozen=True, kw_only=True)
class Together:
    """A network whose ranks run together; attributes as in `gc2l.records.RanksTime`."""

    network: Network
    threads: int = 1
    overlap: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        shares: timed alone, on one thread or the GPU.
        together: timed with all their ranks.
        processes: ranks of this machine that are started.
        link_bytes: that a rank receives in the collectives that are timed alone.
        planned: networks to predict.
        passes: over the shares; a busy machine then slows a few steps of each, and not all of one.
        rounds: steps of each share in a pass, after those that warm up. What runs together has as many as all passes.
    """

    shares: tuple[Network, ...]
    together: tuple[Together, ...]
    processes: int
    link_bytes: tuple[int, ...]
    planned: tuple[Network, ...]
    passes: int
    rounds: int


def measure_scaling(
    plan: Plan,
    *,
    device: str,
    precision: str,
    tell: Callable[[str], None],
    graphs: Callable[[], Graphs] | None = None,
) -> ScalingRecord:
    """Carry out `plan` on this machine.

    Args:
        plan: what to measure.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16".
        tell: told what comes next.
        graphs: records the steps of shares that run alone, which are then replayed.
    """
    started = datetime.now(UTC)
    environment = describe_environment(accelerator=torch.cuda.get_device_name() if device == "cuda" else None)
    if device == "cpu":
        keep_freed_memory()  # as training does
    shares = _time_shares(plan, device, precision, graphs, tell)
    together: Sequence[RanksTime] = ()
    link: Sequence[LinkTime] = ()
    if plan.together:
        tell(f"{plan.processes} ranks together, {len(plan.together)} networks in turn ...")
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(_rank, (Path(folder), plan, device, precision), nprocs=plan.processes)
            times, link = torch.load(Path(folder) / "found", weights_only=False)
        together = [
            RanksTime(work=count_work(entry.network), threads=entry.threads, overlap=entry.overlap, time=time)
            for entry, time in zip(plan.together, times, strict=True)
        ]
    return ScalingRecord(
        **vars(environment),
        device=device,
        precision=precision,
        cuda_graphs=graphs is not None,
        started=started,
        finished=datetime.now(UTC),
        shares=tuple(shares),
        together=tuple(together),
        link=tuple(link),
        planned=tuple(count_work(network) for network in plan.planned),
    )


def _time_shares(
    plan: Plan,
    device: str,
    precision: str,
    graphs: Callable[[], Graphs] | None,
    tell: Callable[[str], None],
) -> list[ShareTime]:
    if device == "cpu":
        torch.set_num_threads(1)
    seconds: dict[Network, list[float]] = {network: [] for network in plan.shares}
    peaks: dict[Network, int] = {}
    for number in range(plan.passes):
        for network in plan.shares:
            tell(
                f"pass {number + 1} of {plan.passes}: one rank of {network.ranks}, {network.variant} "
                f"n = {network.groups}, k = {network.widen_factor} ..."
            )
            reset_peak_memory(device)
            seconds[network] += _steps_of_share(network, plan.rounds, device, precision, graphs)
            peaks.setdefault(network, peak_memory_bytes(device))
    return [
        ShareTime(work=count_work(network), time=timing(times), peak_memory_bytes=peaks[network])
        for network, times in seconds.items()
    ]


def _steps_of_share(
    network: Network, rounds: int, device: str, precision: str, graphs: Callable[[], Graphs] | None
) -> list[float]:
    with torch.device("meta"):
        share = network.build_share()
    recorder = None if graphs is None else graphs()
    stepper = Stepper(share, images=network.images, device=device, precision=precision, graphs=recorder)
    for _ in range(1 if recorder is None else WARM_UP_STEPS + 1):
        stepper.step()
    return [seconds_of(stepper.step) for _ in range(rounds)]


def _rank(rank: int, folder: Path, plan: Plan, device: str, precision: str) -> None:
    if device == "cuda":
        torch.cuda.set_device(rank)
    else:
        keep_freed_memory()
    backend = {"cpu": "gloo", "cuda": "nccl"}[device]
    dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=rank, world_size=plan.processes)
    steps = {str(number): _step(plan, entry, device, precision) for number, entry in enumerate(plan.together)}
    seconds = alternating_seconds(steps, plan.passes * plan.rounds, lambda step: step())
    times = [timing(of_entry) for of_entry in seconds.values()]
    link = [
        _time_link(kind, size, plan, device) for kind in ("all_gather", "reduce_scatter") for size in plan.link_bytes
    ]
    if rank == 0:
        torch.save((times, link), folder / "found")
    dist.destroy_process_group()


def _step(plan: Plan, entry: Together, device: str, precision: str) -> Callable[[], float]:
    """A step of this rank that returns the time of the slowest rank; ranks without a part in it wait."""
    network = entry.network
    if network.ranks not in (1, plan.processes):
        raise ValueError(f"ranks={network.ranks} must be 1 or all {plan.processes} processes")
    torch.manual_seed(0)
    busy = dist.get_rank() < network.ranks
    stepper = None
    if busy:
        whole = network.build()
        held: nn.Module = whole
        gradients = None
        if network.split == "layers":
            rank = dist.get_rank()
            held = layer_parts(whole, network.ranks)[rank]
            gradients = layer_split_gradients(
                held,
                rank=rank,
                ranks=network.ranks,
                device=device,
                precision=getattr(torch, precision),
                loss=F.cross_entropy,
            )
        elif network.ranks > 1:
            parallelize(whole, make_mesh(network.ranks, device=device), overlap=entry.overlap)
        stepper = Stepper(held, images=network.images, device=device, precision=precision, gradients=gradients)

    def step() -> float:
        torch.set_num_threads(entry.threads)
        dist.barrier()
        return _slowest(seconds_of(stepper.step) if stepper else 0.0, device)

    return step


def _slowest(seconds: float, device: str) -> float:
    value = torch.tensor([seconds], device=device, dtype=torch.float64)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return float(value)


def _time_link(kind: Literal["all_gather", "reduce_scatter"], received: int, plan: Plan, device: str) -> LinkTime:
    p = plan.processes
    own = torch.zeros(received // (p - 1) // 4, device=device)
    whole = torch.zeros(p * own.numel(), device=device)
    result, operand = (whole, own) if kind == "all_gather" else (own, whole)

    def collect() -> None:
        getattr(dist, COLLECTIVES[kind])(result, operand)
        if device == "cuda":
            torch.cuda.synchronize()

    def step() -> float:
        dist.barrier()
        return _slowest(seconds_of(collect), device)

    step()
    found = timing([step() for _ in range(10 * plan.passes * plan.rounds)])
    return LinkTime(collective=kind, ranks=p, received_bytes=own.nbytes * (p - 1), time=found)
