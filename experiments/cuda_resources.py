"""What the Triton kernels need of an H100: registers, spills, shared memory and matrix instructions, without a card.

    python experiments/cuda_resources.py --channels 320 --groups 8

Every kernel of a 3 x 3 layer is compiled for compute capability 9.0, in each configuration that a card would choose
from by time. Needs Triton.
"""

from typing import Literal

from gc2l.campaign.script import run_script

import torch
import tyro
from tabulate import tabulate

from gc2l.ops.cuda.serve import has_triton

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float32}


def main(
    channels: int = 160,
    groups: int = 16,
    m: int = 1,
    kernel: int = 3,
    stride: int = 1,
    dtype: Literal["bf16", "fp16", "tf32"] = "bf16",
) -> int:
    """Compile and print.

    Args:
        channels: of input and output.
        groups: n.
        m: coarse channels of a group; 0 for group convolution.
        kernel: k.
        stride: in both directions.
        dtype: of the products.
    """
    if not has_triton():
        print("Triton is not installed: pip install triton")
        return 1
    from gc2l.ops.cuda.resources import Resources, table  # noqa: PLC0415  (needs Triton)

    rows = [(name, *found) for name, found in table(channels, groups, m, kernel, stride, DTYPES[dtype])]
    headers = ["kernel", *(field.replace("_", " ") for field in Resources._fields)]
    print(tabulate(rows, headers=headers, tablefmt="github"))
    return 0


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main))
