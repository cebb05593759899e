"""Claims about channel-parallel training: B1, from measured step times, and B3, from bytes counted on the wire."""

from collections.abc import Sequence

from gc2l.analysis.claims.claim import Claim, Evidence, Finding
from gc2l.analysis.claims.verdict import Claimed, Part, Verdict, decide_exactly
from gc2l.paper import reported_rows, reported_speedup
from gc2l.records import Interval, ScalingRecord, ShareTime, WireCount, WireRecord
from gc2l.variants import VARIANTS

DOUBLING = Claimed(">=", 2.0)
"""The smallest factor of a doubling of n in Table 2: k = 40, n = 2 to 4."""
NOTHING = Claimed("<=", 0)


def _b1(evidence: Evidence) -> tuple[Finding, ...]:
    if not evidence.scaling:
        return (Finding(missing="step times of the channel-parallel networks (make table2)"),)
    parts = tuple(part for k in _paper_widths() for part in _parts_of_width(k, evidence.scaling))
    return (Finding(parts=parts, basis="measured"),)


def _parts_of_width(k: int, records: Sequence[ScalingRecord]) -> list[Part]:
    """How many times shorter one rank's step is, for every doubling of n up to 4 and from SC to n = 4."""
    reported = reported_speedup(k, 4)
    steps = [(1, 2, DOUBLING), (2, 4, DOUBLING), *([(1, 4, Claimed(">=", reported))] if reported else [])]
    parts = []
    for record in records:
        shares = {share.work.groups: share for share in record.shares if share.work.widen_factor == k}
        machine = record.hardware.accelerator or f"one core of {record.hardware.processor}"
        parts += [
            _shortening(shares[few], shares[many], claimed, machine)
            for few, many, claimed in steps
            if few in shares and many in shares
        ]
    name = f"k = {k}: step of one rank"
    return parts or [Part(name=name, verdict=Verdict.NOT_YET_TESTED, claimed=DOUBLING, unit="times", note="no times")]


def _shortening(before: ShareTime, after: ShareTime, claimed: Claimed, machine: str) -> Part:
    ratio = before.time.seconds / after.time.seconds
    ends = Interval(low=before.time.low / after.time.high, high=before.time.high / after.time.low)
    agree = claimed.holds(ends.low) == claimed.holds(ends.high)
    return Part(
        name=f"k = {before.work.widen_factor}: step of one rank, n = {before.work.groups} to {after.work.groups}",
        verdict=decide_exactly(ratio, claimed) if agree else Verdict.INCONCLUSIVE,
        claimed=claimed,
        unit="times",
        effect=ratio,
        note=f"{machine}, batch {before.work.images}; from slowest to fastest step {ends.low:.2f} to {ends.high:.2f}; "
        "the other ranks' channels supplied, so without the time of their communication",
    )


def _paper_widths() -> list[int]:
    return sorted({int(row.network.rpartition("_")[2]) for row in reported_rows("table2")})


def _b3(evidence: Evidence) -> tuple[Finding, ...]:
    if evidence.wire is None:
        return (Finding(missing="bytes counted in channel-parallel training (make wire)"),)
    counts = {(count.variant, count.groups): count for count in evidence.wire.counts}
    parts = tuple(_beyond(counts, n, evidence.wire) for variant, n in counts if variant == "gc2l")
    return (Finding(parts=parts),)


def _beyond(counts: dict[tuple[str, int], WireCount], n: int, wire: WireRecord) -> Part:
    """Bytes that are not one channel per group and layer, or the logits; a wrong collective counts whole."""
    own = counts["gc2l", n]
    sent = own.forward_bytes + own.backward_bytes
    effect = float(abs(sent - own.expected_bytes)) if own.equal else float(max(sent, 1))
    shares = ", ".join(
        f"{100 * sent / (other.forward_bytes + other.backward_bytes):.1f} % of {VARIANTS[name].label}'s"
        for name in ("sc", "shuffle")
        if (other := counts.get((name, n)))
    )
    return Part(
        name=f"n = {n}: bytes beyond one channel per group and layer, each way, and the logits",
        verdict=decide_exactly(effect, NOTHING),
        claimed=NOTHING,
        unit="bytes",
        effect=effect,
        note=f"{own.calls} collectives of {wire.network} on {wire.ranks} ranks, {sent:,} bytes; that is {shares}",
    )


CLAIMS = (
    Claim(
        id="B1",
        source="Table 2",
        statement="Doubling n cuts the training time by 2.0x (k = 40) to 3.6x (k = 80); from SC to n = 4 it is 5.7x "
        "(k = 40), 7.6x (60), 12.6x (80).",
        test="measured time of one rank's training step, SC and GC-2L on n processors, at least halved when n doubles "
        "and from SC to n = 4 shortened as often as in the paper; decided if the fastest and slowest steps agree",
        evaluate=_b1,
    ),
    Claim(
        id="B3",
        source="Section 3.2",
        statement="Only one channel per group and layer is communicated, never a weight.",
        test="every collective of a training step, wrapped and counted, against the closed form",
        evaluate=_b3,
    ),
)
