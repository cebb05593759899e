"""Claims for which there is no evidence of any kind yet: B1, B3, E1, E2."""

from collections.abc import Callable

from gc2l.analysis.claims.claim import Claim, Evidence, Finding


def _needs(missing: str) -> Callable[[Evidence], tuple[Finding, ...]]:
    return lambda _: (Finding(missing=missing),)


CLAIMS = (
    Claim(
        id="B1",
        source="Table 2",
        statement="Doubling n cuts the training time by 2.0x (k = 40) to 3.6x (k = 80); from SC to n = 4 it is 5.7x "
        "(k = 40), 7.6x (60), 12.6x (80).",
        test="measured times of a training step, SC and GC-2L on n processors",
        evaluate=_needs("step times of the channel-parallel networks"),
    ),
    Claim(
        id="B3",
        source="Section 3.2",
        statement="Only one channel per group and layer is communicated, never a weight.",
        test="bytes counted on the wire, per variant, against the closed form",
        evaluate=_needs("bytes counted in channel-parallel training"),
    ),
    Claim(
        id="E1",
        source="GSPC",
        statement="Grouped spatial pack convolution beats TVM's default by 3.4x, PyTorch by 8x and TensorFlow Lite "
        "by 4x on average.",
        test="inference times on one CPU, side by side",
        evaluate=_needs("inference times of the grouped kernels"),
    ),
    Claim(
        id="E2",
        source="GSPC",
        statement="Its time scales well with the number of groups.",
        test="inference time against n",
        evaluate=_needs("inference times of the grouped kernels for several n"),
    ),
)
