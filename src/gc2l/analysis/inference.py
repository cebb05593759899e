"""What the inference record says: times over ours, geometric means over layers, errors and refusals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from tabulate import tabulate

from gc2l.records.inference import WRONG, InferenceRecord, InferenceTime

OURS, PUBLISHED, TVM_DEFAULT, PYTORCH, LITERT = "ours", "GSPC as published", "TVM default", "PyTorch NCHW", "LiteRT"
NOT_OTHERS = (OURS, PUBLISHED, TVM_DEFAULT)
"""The best other library is the best beside these."""

Place = tuple[str, str, str, int, int]


@dataclass(frozen=True, kw_only=True)
class TimeRatio:
    """A geometric mean of ratios of times over layers, and what it is when each time is one quartile off."""

    value: float
    low: float
    high: float
    layers: int


def place(time: InferenceTime) -> Place:
    """What is compared: network, case, variant, n, threads."""
    return time.network, time.case, time.variant, time.groups, time.threads


def by_place(times: Iterable[InferenceTime]) -> dict[Place, dict[str, InferenceTime]]:
    """The times of each case, by library."""
    found: dict[Place, dict[str, InferenceTime]] = {}
    for time in times:
        found.setdefault(place(time), {})[time.library] = time
    return found


def is_right(time: InferenceTime) -> bool:
    """Whether the output is that of float32."""
    return time.error <= WRONG


def best_other(times: dict[str, InferenceTime]) -> InferenceTime | None:
    """The fastest right library that is none of ours nor TVM."""
    others = [time for name, time in times.items() if name not in NOT_OTHERS and is_right(time)]
    return min(others, key=lambda time: time.seconds, default=None)


def ratio(pairs: Sequence[tuple[InferenceTime, InferenceTime]]) -> TimeRatio | None:
    """How many times longer the first of each pair takes than the second; None without pairs."""
    if not pairs:
        return None
    return TimeRatio(
        value=geometric_mean([slow.seconds / fast.seconds for slow, fast in pairs]),
        low=geometric_mean([slow.low / fast.high for slow, fast in pairs]),
        high=geometric_mean([slow.high / fast.low for slow, fast in pairs]),
        layers=len(pairs),
    )


def against(record: InferenceRecord, slow: str, fast: str, *, kernel: int, threads: int) -> TimeRatio | None:
    """`slow` over `fast` over the grouped layers (n >= 2) with kernels of at least `kernel`."""
    cases = by_place(time for time in record.times if time.kernel >= kernel and time.groups > 1)
    pairs = [
        (times[slow], times[fast])
        for (*_, count), times in cases.items()
        if count == threads and slow in times and fast in times
    ]
    return ratio(pairs)


def inference_tables(record: InferenceRecord) -> str:
    """Every case, the geometric means, the targets, what is wrong or refused, what was left out."""
    parts = [_cases(record, threads) for threads in sorted({time.threads for time in record.times})]
    parts += [_means(record), _targets(record), _faults(record)]
    return "\n".join(part for part in parts if part)


def _cases(record: InferenceRecord, threads: int) -> str:
    names = list(record.libraries)
    lines = []
    for (_, case, variant, n, count), times in by_place(record.times).items():
        if count == threads:
            cells = [_microseconds(times.get(name)) for name in names]
            lines.append((case, variant, n, *cells))
    title = f"microseconds for one image, {threads} thread{'s' if threads > 1 else ''}, medians (! wrong output)"
    return f"{title}\n" + tabulate(lines, ("case", "", "n", *names), disable_numparse=True) + "\n"


def _microseconds(time: InferenceTime | None) -> str:
    return "" if time is None else f"{1e6 * time.seconds:.0f}{'' if is_right(time) else ' !'}"


def _means(record: InferenceRecord) -> str:
    lines = []
    for name in record.libraries:
        if name == OURS:
            continue
        row = [name]
        for kernel, threads in ((3, 1), (3, 2), (1, 1), (1, 2)):
            found = against(record, name, OURS, kernel=kernel, threads=threads)
            row.append("" if found is None else f"{found.value:.2f} ({found.low:.2f}-{found.high:.2f})")
        lines.append(row)
    header = ("time over ours, n >= 2", "3 x 3, 1 thread", "2 threads", "all layers, 1 thread", "2 threads")
    return "geometric means over layers (quartiles)\n" + tabulate(lines, header, disable_numparse=True) + "\n"


def _targets(record: InferenceRecord) -> str:
    lines: list[tuple[str, str, str, str]] = []

    def add(name: str, target: str, value: float, met: bool) -> None:
        lines.append((name, target, f"{value:.2f}", "met" if met else "MISSED"))

    layers = [time for time in record.times if time.kernel]
    for threads in sorted({time.threads for time in layers}):
        mine = {where: of for where, of in by_place(layers).items() if where[-1] == threads and OURS in of}
        wide = [
            best.seconds / of[OURS].seconds
            for (network, _, _, n, _), of in mine.items()
            if n in (8, 16) and of[OURS].kernel == 3 and network.startswith("wide") and (best := best_other(of))
        ]
        where = f"{threads} thread{'s' if threads > 1 else ''}"
        if wide:
            value = geometric_mean(wide)
            add(f"best other / ours, 3 x 3 of WRN-28-10, n = 8 and 16, {where}", ">= 1.5", value, value >= 1.5)
        worst = [
            best.seconds / of[OURS].seconds for (*_, n, _), of in mine.items() if n > 1 and (best := best_other(of))
        ]
        if worst:
            add(f"best other / ours, worst grouped layer, {where}", ">= 0.9", min(worst), min(worst) >= 0.9)
        plain = [of[PYTORCH].seconds / of[OURS].seconds for (*_, n, _), of in mine.items() if n >= 4 and PYTORCH in of]
        if plain:
            value = geometric_mean(plain)
            add(f"PyTorch NCHW / ours, all layers, n >= 4, {where}", ">= 3", value, value >= 3)
        scaling = scalings([of[OURS] for of in mine.values()])
        if scaling:
            value = geometric_mean(scaling.values())
            add(f"ours, n = 16 / n = 1, 3 x 3, {where}", "<= 0.125", value, value <= 0.125)
    for (network, _, variant, n, threads), times in by_place(t for t in record.times if not t.kernel).items():
        plain_gc = by_place(record.times).get((network, network, "gc", n, threads), {})
        if variant == "gc2l" and OURS in times and OURS in plain_gc:
            value = times[OURS].seconds / plain_gc[OURS].seconds
            add(
                f"GC-2L / GC, {network}, n = {n}, {threads} thread{'s' if threads > 1 else ''}",
                "<= 1.10",
                value,
                value <= 1.10,
            )
    return (
        "targets\n" + tabulate(lines, ("figure", "target", "measured", ""), disable_numparse=True) + "\n"
        if lines
        else ""
    )


def scalings(times: Iterable[InferenceTime]) -> dict[str, float]:
    """Time at n = 16 over that at n = 1 of each 3 x 3 layer that was measured at both, for one library."""
    found: dict[str, dict[int, float]] = {}
    for time in times:
        if time.kernel == 3:
            found.setdefault(time.case, {})[time.groups] = time.seconds
    return {case: of[16] / of[1] for case, of in found.items() if {1, 16} <= of.keys()}


def _faults(record: InferenceRecord) -> str:
    lines = [f"{name}: {of}" for name, of in record.libraries.items()]
    lines += [f"{name} left out: {reason}" for name, reason in record.absent.items()]
    for name in record.libraries:
        errors = [time.error for time in record.times if time.library == name]
        if errors:
            wrong = sum(error > WRONG for error in errors)
            lines.append(f"{name}: largest error {max(errors):.1e}, wrong in {wrong} of {len(errors)}")
    refused = {(one.library, one.case, one.variant, one.groups): one.reason for one in record.refusals}
    lines += [f"{library} refuses {case} ({variant}, n = {n}): {reason}" for (library, case, variant, n), reason in
              refused.items()]  # fmt: skip
    return "\n".join(lines) + "\n"
