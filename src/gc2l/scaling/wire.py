"""Count what a channel-parallel training step sends, on local gloo processes, and compare with the closed form."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pydantic import TypeAdapter

from gc2l.models import build_model, paper_network
from gc2l.parallel import (
    layer_shapes,
    make_mesh,
    network_traffic,
    parallel_variants,
    parallelize,
    record_traffic,
)
from gc2l.records import WireCount, WireRecord, describe_environment

NETWORK, RANKS, IMAGES, CLASSES = "wide_resnet_10_2", 2, 3, 10

_COUNTS = TypeAdapter(tuple[WireCount, ...])
"""What the ranks leave to the process that started them, as JSON."""


def count_wire(groups: Sequence[int]) -> WireRecord:
    """Take one training step of a small network with every variant and count every collective.

    Variants that have no channel-parallel form are left out.

    Args:
        groups: numbers of groups n, multiples of 2.
    """
    environment = describe_environment()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_count_on_rank, (Path(folder), tuple(groups)), nprocs=RANKS)
        counts = _COUNTS.validate_json((Path(folder) / "found").read_bytes())
    return WireRecord(
        commit=environment.commit,
        dirty=environment.dirty,
        versions=environment.versions,
        network=NETWORK,
        ranks=RANKS,
        images=IMAGES,
        counts=counts,
    )


def _count_on_rank(rank: int, folder: Path, groups: Sequence[int]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    counts = tuple(_count(variant, n, rank) for n in groups for variant in parallel_variants())
    if rank == 0:
        (folder / "found").write_bytes(_COUNTS.dump_json(counts))
    dist.destroy_process_group()


def _count(variant: str, groups: int, rank: int) -> WireCount:
    torch.manual_seed(0)
    network = build_model(paper_network(NETWORK, variant, 1 if variant == "sc" else groups), num_classes=CLASSES)
    images = torch.randn(IMAGES, 3, 32, 32)
    expected = network_traffic(layer_shapes(network.eval(), images), ranks=RANKS, images=IMAGES, element=4, rank=rank)
    parallelize(network.train(), make_mesh(RANKS))
    with record_traffic() as counted:
        network(images).logsumexp(dim=1).sum().backward()
    passes = {way: sum(one.volume for one in counted if one.direction == way) for way in ("forward", "backward")}
    return WireCount(
        variant=variant,
        groups=groups,
        calls=len(counted),
        forward_bytes=passes["forward"],
        backward_bytes=passes["backward"],
        expected_bytes=sum(one.volume for one in expected),
        equal=Counter(counted) == Counter(expected),
    )
