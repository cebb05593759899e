"""Table 2: channel-parallel training of WideResNet-28-k, k = 40, 60, 80.

Prints (a) the parameters of every row, in all and per processor, exact; (b) measured step times of ranks that run
jointly on this machine; (c) step times of single ranks with synthetic channels of the others; (d) a cost model fitted
to them, its error, and its predictions for the paper's networks over named links. The measurements are made once, in
about ten minutes and 10 GB, and kept in results/table2; --measure repeats them.
"""

import sys
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.bench.device import Device
from gc2l.evidence.publish import publish_table2
from gc2l.records import Split, read_scaling, save_measurement
from gc2l.scaling import JointRun, Network, Plan, measure_scaling
from gc2l.training import Execution
from gc2l.training.graph import CudaGraphs

GROUPS = (2, 4, 8, 16)


def network(
    k: int, n: int, *, images: int, ranks: int | None = None, split: Split = "channels", depth: int = 28
) -> Network:
    """SC for n = 1, else GC-2L; by default on n ranks."""
    variant = "sc" if n == 1 else "gc2l"
    return Network(depth=depth, widen_factor=k, variant=variant, groups=n, ranks=ranks or n, split=split, images=images)


# The paper's baseline: SC split by layers over as many GPUs as were needed to hold it.
BASELINE = {40: 1, 60: 2, 80: 3}
PLANNED = tuple(
    entry
    for k, processors in BASELINE.items()
    for entry in (
        network(k, 1, images=128, ranks=processors, split="layers" if processors > 1 else "channels"),
        *(network(k, n, images=128) for n in (*GROUPS, 32, 64)),
    )
)
ON_TWO_CORES = Plan(
    # A step of the paper's k = 40 takes a core more than a minute with 16 images.
    shares=tuple(network(k, n, images=4 if k == 40 else 16) for k in (4, 8, 12, 40) for n in (1, *GROUPS)),
    joint_runs=(
        JointRun(network=network(4, 2, images=128, ranks=1, depth=16)),
        JointRun(network=network(4, 2, images=128, ranks=2, depth=16)),
        JointRun(network=network(4, 2, images=128, ranks=2, depth=16), overlap=False),
        JointRun(network=network(4, 4, images=128, ranks=1, depth=16)),
        JointRun(network=network(4, 4, images=128, ranks=2, depth=16)),
        JointRun(network=network(4, 1, images=128, ranks=1, depth=16)),
        JointRun(network=network(4, 1, images=128, ranks=1, depth=16), threads=2),
        JointRun(network=network(4, 1, images=128, ranks=2, depth=16)),
        JointRun(network=network(4, 1, images=128, ranks=2, depth=16, split="layers")),
    ),
    processes=2,
    link_bytes=(2**12, 2**14, 2**16, 2**18, 2**20, 2**22, 2**24),
    planned=PLANNED,
    passes=3,
    rounds=2,
)
ON_A_GPU = Plan(
    shares=tuple(network(k, n, images=128) for k in (40, 60, 80) for n in (1, *GROUPS)),
    joint_runs=(),
    processes=1,
    link_bytes=(),
    planned=PLANNED,
    passes=1,
    rounds=10,
)


def main(
    measure: bool = False,
    execution: Execution = Execution(),  # noqa: B008  frozen
    measurements: Path = Path("results/table2"),
    output: Path = Path("results/tables"),
    figures: Path = Path("results/figures"),
) -> int:
    """Measure what is missing, then print and write the table.

    Args:
        measure: measure again.
        execution: device, precision and CUDA graphs.
        measurements: folder of the measurements.
        output: folder of the tables.
        figures: folder of the figures.
    """
    name = execution.resolved_device()
    path = measurements / f"{name}.json"
    if measure or not path.exists():
        resolved = execution.resolve(training_images=0)
        graphs = CudaGraphs if resolved.cuda_graphs else None
        record = measure_scaling(
            ON_A_GPU if name == "cuda" else ON_TWO_CORES,
            Device(name=name, precision=resolved.precision, graphs=graphs),
            log=lambda line: print(line, file=sys.stderr),
        )
        save_measurement(record, path)
    print(publish_table2(read_scaling(measurements), output, figures))
    return 0


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main, description=__doc__))
