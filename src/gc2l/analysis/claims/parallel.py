"""Claims about channel-parallel training: B1, from measured step times, and B3, from bytes counted on the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import exp, hypot, inf, log, prod

from gc2l.analysis.claims.claim import Claim, Evidence, Finding
from gc2l.analysis.claims.verdict import Claimed, Part, Verdict, exact_part
from gc2l.analysis.scaling import CostModel, fit_cost_model
from gc2l.paper import reported_rows, reported_speedup
from gc2l.records import ScalingRecord, ShareTime, Timing, WireCount, WireRecord
from gc2l.variants import VARIANTS

Network = tuple[int, int]
"""A width k and a number of groups n."""

HALVED = Claimed(">=", 2)
GROWS = Claimed(">", 1)
NOTHING = Claimed("<=", 0)
DOUBLINGS = ((1, 2), (2, 4))
HALVING_WIDTHS = (60, 80)
FEWEST_STEPS = 6
"""Of so many the shortest and the longest enclose the median with more than 95 % (1 - 2^(1 - steps))."""


def _b1(evidence: Evidence) -> tuple[Finding, ...]:
    records = [record for record in evidence.scaling if record.device != "cpu"]
    if not records:
        return (Finding(missing="step times of the channel-parallel networks' shares on a GPU (make table2)"),)
    models = [fit_cost_model(record) for record in records]
    parts = tuple(part for record, model in zip(records, models, strict=True) for part in _parts_on(record, model))
    bound = [
        f"{_name(network)} ({_machine(record)})"
        for record, model in zip(records, models, strict=True)
        for network, share in _shares(record).items()
        if network in _networks() and model.is_launch_bound(share)
    ]
    undecided = any(part.verdict is Verdict.INCONCLUSIVE for part in parts)
    missing = f"step times without launching of {', '.join(bound)}" if bound and undecided else ""
    return (Finding(parts=parts, missing=missing, basis="measured"),)


def _parts_on(record: ScalingRecord, model: CostModel) -> list[Part]:
    """For each doubling of n whether the step is halved, then whether the factor grows from width to width."""
    shares, widths = _shares(record), sorted({k for k, _ in _networks()})
    parts = []
    for k, (few, many) in product(widths, DOUBLINGS):
        if k in HALVING_WIDTHS:
            name = f"k = {k}, n = {few} to {many}: step"
            parts.append(_ratio(name, HALVED, [(k, few)], [(k, many)], shares, model))
    for (few, many), (narrow, wide) in product(DOUBLINGS, pairwise(widths)):
        name = f"n = {few} to {many}: factor at k = {wide} over that at k = {narrow}"
        above, below = [(wide, few), (narrow, many)], [(wide, many), (narrow, few)]
        parts.append(_ratio(name, GROWS, above, below, shares, model))
    return [replace(part, note=f"{_machine(record)}; {part.note}") for part in parts]


def _ratio(
    name: str,
    claimed: Claimed,
    above: Sequence[Network],
    below: Sequence[Network],
    shares: Mapping[Network, ShareTime],
    model: CostModel,
) -> Part:
    """The device's times of `above`, multiplied, over those of `below`.

    A launch-bound step is an upper bound of the device's: above the line it leaves no lower bound of the ratio, below
    it no upper one. The steps' errors are independent, their distances from the median add up as squares of logarithms.
    """
    if lacks := [network for network in (*above, *below) if network not in shares]:
        note = f"no step of {_names(lacks)}"
        return Part(name=name, verdict=Verdict.NOT_YET_TESTED, claimed=claimed, unit="times", note=note)
    tops, bottoms = ([shares[network].time for network in side] for side in (above, below))
    value = prod(time.seconds for time in tops) / prod(time.seconds for time in bottoms)
    hidden_above, hidden_below = (
        [network for network in side if model.is_launch_bound(shares[network])] for side in (above, below)
    )
    low = 0.0 if hidden_above else value / _reach(bottoms, tops)
    high = inf if hidden_below else value * _reach(tops, bottoms)
    fewest = min(time.repeats for time in (*tops, *bottoms))
    notes = [f"{low:.2f} to {high:.2f} by the range of {fewest} or more steps each"]
    if (paper := _paper_factor(above, below)) is not None:
        notes.append(f"the paper's, on other GPUs: {paper:.2f}")
    if hidden := [*hidden_above, *hidden_below]:
        notes.append(f"launch-bound, the device may take less: {_names(hidden)}")
    agree = claimed.holds(low) == claimed.holds(high) and fewest >= FEWEST_STEPS
    part = exact_part(name, value, claimed, "times", "; ".join(notes))
    return part if agree else replace(part, verdict=Verdict.INCONCLUSIVE)


def _reach(slower: Sequence[Timing], faster: Sequence[Timing]) -> float:
    """How many times larger the ratio may be if the former took longer than their median and the latter less."""
    return exp(hypot(*(log(t.high / t.seconds) for t in slower), *(log(t.seconds / t.low) for t in faster)))


def _paper_factor(above: Sequence[Network], below: Sequence[Network]) -> float | None:
    """The same ratio of the paper's training times; those of SC, on 1 to 3 GPUs, cancel or are part of it."""
    (top, bottom) = ([reported_speedup(k, n) for k, n in side] for side in (below, above))
    if None in top or None in bottom:
        return None
    return prod(one for one in top if one) / prod(one for one in bottom if one)


def _machine(record: ScalingRecord) -> str:
    return record.hardware.accelerator or record.hardware.processor


def _shares(record: ScalingRecord) -> dict[Network, ShareTime]:
    return {(share.work.widen_factor, share.work.groups): share for share in record.shares}


def _name(network: Network) -> str:
    return f"k = {network[0]}, n = {network[1]}"


def _names(networks: Sequence[Network]) -> str:
    return " and ".join(map(_name, networks))


def _networks() -> list[Network]:
    """Width and number of groups of the paper's rows."""
    return [(int(row.network.rpartition("_")[2]), row.groups) for row in reported_rows("table2")]


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
    name = f"n = {n}: bytes beyond one channel per group and layer, each way, and the logits"
    note = f"{own.calls} collectives of {wire.network} on {wire.ranks} ranks, {sent:,} bytes; that is {shares}"
    return exact_part(name, effect, NOTHING, "bytes", note)


CLAIMS = (
    Claim(
        id="B1",
        source="Table 2",
        statement="Doubling n cuts the training time: by about half at k = 40, to almost a third at k = 60 and 80.",
        test="step times of one card's shares, free of the time the host takes to launch them: at k = 60 and 80 each "
        "doubling up to n = 4 at least halves the step, and the factor grows with k; decided if the range of the "
        "repeated steps agrees. The paper's factors, another card's, are shown beside ours and are no thresholds",
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
