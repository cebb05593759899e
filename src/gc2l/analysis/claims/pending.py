"""Claims for which there is no evidence of any kind yet: E1, E2."""

from collections.abc import Callable

from gc2l.analysis.claims.claim import Claim, Evidence, Finding


def _needs(missing: str) -> Callable[[Evidence], tuple[Finding, ...]]:
    return lambda _: (Finding(missing=missing),)


CLAIMS = (
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
