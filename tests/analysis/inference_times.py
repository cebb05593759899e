"""Inference records made by hand."""

from records.samples import HARDWARE

from gc2l.records import InferenceRecord, InferenceTime, Refusal


def time(library, seconds, *, n=4, case="8->8 3x3 @8", kernel=3, threads=1, error=1e-7, spread=1.01, variant="gc"):
    return InferenceTime(
        case=case,
        network=case if kernel == 0 else "wide_resnet_28_10",
        kernel=kernel,
        variant=variant,
        groups=n,
        threads=threads,
        library=library,
        seconds=seconds,
        low=seconds / spread,
        high=seconds * spread,
        turns=7,
        error=error,
    )


def record(*times, refusals=()):
    return InferenceRecord(
        commit="c",
        dirty=False,
        versions={},
        hardware=HARDWARE,
        clock="processor time",
        libraries={one.library: "1.0, float32" for one in times},
        absent={"ExecuTorch": "not installed: pip install executorch"},
        times=times,
        refusals=tuple(Refusal(case="x", variant="gc", groups=4, library=name, reason="no") for name in refusals),
    )
