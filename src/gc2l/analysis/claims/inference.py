"""Claims about grouped spatial pack convolution, from inference times taken side by side: E1, E2."""

from gc2l.analysis.claims.claim import Claim, Evidence, Finding
from gc2l.analysis.claims.verdict import Claimed, Part, Verdict, decide_exactly
from gc2l.analysis.inference import LITERT, PUBLISHED, PYTORCH, TVM_DEFAULT, against, by_place
from gc2l.records.inference import InferenceRecord, InferenceTime

_CLAIMED = {TVM_DEFAULT: 3.4, PYTORCH: 8.0, LITERT: 4.0}
"""Of the abstract: how many times longer the others take."""
_HALF_IDEAL = Claimed("<=", 1 / 8)
FEWEST_TURNS = 5
"""With fewer the quartiles say nothing."""
_MISSING = "inference times of grouped layers (make edge)"


def _e1(evidence: Evidence) -> tuple[Finding, ...]:
    record = evidence.inference
    if record is None:
        return (Finding(missing=_MISSING),)
    threads = sorted({time.threads for time in record.times})
    parts = tuple(_beats(record, other, factor, count) for count in threads for other, factor in _CLAIMED.items())
    return (Finding(parts=parts, basis="measured"),)


def _beats(record: InferenceRecord, other: str, factor: float, threads: int) -> Part:
    claimed, name = Claimed(">=", factor), f"{other} over {PUBLISHED}, {_threads(threads)}"
    found = against(record, other, PUBLISHED, kernel=2, threads=threads)
    if found is None:
        note = record.absent.get(other, "not measured")
        return Part(name=name, verdict=Verdict.NOT_YET_TESTED, claimed=claimed, unit="times", note=note)
    turns = min(time.turns for time in record.times)
    agree = claimed.holds(found.low) == claimed.holds(found.high) and turns >= FEWEST_TURNS
    mine = against(record, other, "ours", kernel=2, threads=threads)
    then = f"then (2020, devices with ARM processors): {factor:g}; now, {record.hardware.processor}: {found.value:.2f}"
    notes = [then, f"{found.low:.2f} to {found.high:.2f} by the quartiles, {found.layers} layers with k > 1, n >= 2"]
    if mine:
        notes.append(f"over ours: {mine.value:.2f}")
    if other == TVM_DEFAULT:
        notes.append("today's TVM has no schedule of its own for this processor, 2020's had")
    return Part(
        name=name,
        verdict=decide_exactly(found.value, claimed) if agree else Verdict.INCONCLUSIVE,
        claimed=claimed,
        unit="times",
        effect=found.value,
        note="; ".join(notes),
    )


def _e2(evidence: Evidence) -> tuple[Finding, ...]:
    record = evidence.inference
    if record is None:
        return (Finding(missing=_MISSING),)
    found: dict[tuple[str, int], dict[str, dict[int, InferenceTime]]] = {}
    for (_, case, _, n, threads), times in by_place(time for time in record.times if time.kernel == 3).items():
        for library, time in times.items():
            found.setdefault((case, threads), {}).setdefault(library, {})[n] = time
    parts = tuple(
        _scales(case, threads, libraries)
        for (case, threads), libraries in found.items()
        if {1, 16} <= libraries.get(PUBLISHED, {}).keys()
    )
    return (Finding(parts=parts, basis="measured") if parts else Finding(missing=_MISSING),)


def _scales(case: str, threads: int, libraries: dict[str, dict[int, InferenceTime]]) -> Part:
    few, many = libraries[PUBLISHED][1], libraries[PUBLISHED][16]
    low, high = many.low / few.high, many.high / few.low
    others = [
        f"{library} {of[16].seconds / of[1].seconds:.3f}"
        for library, of in libraries.items()
        if library != PUBLISHED and {1, 16} <= of.keys()
    ]
    value = many.seconds / few.seconds
    agree = _HALF_IDEAL.holds(low) == _HALF_IDEAL.holds(high) and min(few.turns, many.turns) >= FEWEST_TURNS
    return Part(
        name=f"{case}, {_threads(threads)}: time at n = 16 over n = 1",
        verdict=decide_exactly(value, _HALF_IDEAL) if agree else Verdict.INCONCLUSIVE,
        claimed=_HALF_IDEAL,
        unit="times",
        effect=value,
        note=f"{low:.3f} to {high:.3f} by the quartiles; ideal {1 / 16:.3f}; {', '.join(others)}",
    )


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


CLAIMS = (
    Claim(
        id="E1",
        source="GSPC",
        statement="Grouped spatial pack convolution beats TVM's default by 3.4x, PyTorch by 8x and TensorFlow Lite "
        "by 4x on average.",
        test="inference times on one CPU, side by side, one image: geometric mean over the grouped layers with k > 1; "
        "decided if the quartiles of the repeated runs agree",
        evaluate=_e1,
    ),
    Claim(
        id="E2",
        source="GSPC",
        statement="Its time scales well with the number of groups.",
        test="inference time of the 3 x 3 layers at n = 16 over n = 1: at most an eighth, where the arithmetic is a "
        "sixteenth; decided if the quartiles of the repeated runs agree",
        evaluate=_e2,
    ),
)
