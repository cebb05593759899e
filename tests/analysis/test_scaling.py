"""Table 2's cost model and tables, on machines whose rates are known."""

from datetime import UTC, datetime
from itertools import product
from types import SimpleNamespace

import pytest

from gc2l.analysis.figures import to_bytes
from gc2l.analysis.scaling import (
    LINKS,
    Link,
    fit_cost_model,
    parts_of_table2,
    predict_speedups,
    to_csv,
    to_latex,
    to_text,
)
from gc2l.analysis.scaling.figure import speedup_against_groups
from gc2l.analysis.scaling.least_squares import Range
from gc2l.evidence.publish import publish_table2
from gc2l.evidence.verification import check_tables
from gc2l.records import Hardware, LinkTime, RanksTime, ScalingRecord, ShareTime, Timing, Work

RATES = {"flops": 1e-11, "elements": 3e-9, "own_parameters": 1e-8, "layers": 5e-3}
LATENCY, BANDWIDTH = 2e-4, 1e9
MEASURED = Link(name="measured", latency=LATENCY, bandwidth=BANDWIDTH)


def _work(k: int, n: int, ranks: int | None = None) -> Work:
    """Made-up numbers of the sizes that such networks have, none a multiple of another; the batch depends on k."""
    p = ranks or n
    images = {40: 16, 60: 8}.get(k, 4)
    return Work(
        depth=28,
        widen_factor=k,
        variant="sc" if n == 1 else "gc2l",
        groups=n,
        stem_channels=16,
        ranks=p,
        images=images,
        parameters=360_000 * k * k // n + 1000 * k,
        own_parameters=360_000 * k * k // n // p + 1000 * k // p,
        flops=(300_000_000 * k * k // n // p + 2_000_000 * k) * images,
        elements=(400_000 * k // p + 10_000) * images,
        layers=54 + n,
        collectives=0 if p == 1 else 55,
        received_bytes=0 if p == 1 else 1_000_000 * n * (p - 1) // p,
    )


SPLIT = _work(60, 1).model_copy(update={"split": "layers", "ranks": 2, "collectives": 2, "received_bytes": 10**8})


def _timing(seconds: float) -> Timing:
    return Timing(seconds=seconds, low=seconds, high=seconds, repeats=3)


def _compute(work: Work) -> float:
    return sum(rate * getattr(work, name) for name, rate in RATES.items())


def _step(work: Work, link: Link = MEASURED) -> float:
    return _compute(work) + work.collectives * link.latency + work.received_bytes / link.bandwidth


@pytest.fixture
def record() -> ScalingRecord:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    together = [_work(k, n, p) for k, n, p in ((40, 2, 1), (40, 2, 2), (40, 4, 4), (40, 1, 1), (4, 2, 2))]
    return ScalingRecord(
        commit="abc",
        dirty=False,
        versions={"torch": "2"},
        hardware=Hardware(
            platform="Linux", machine="x86_64", processor="A processor", cores=2, memory_bytes=1, accelerator=None
        ),
        device="cpu",
        precision="float32",
        started=now,
        finished=now,
        shares=tuple(
            ShareTime(work=work, time=_timing(_compute(work)), peak_memory_bytes=2**30)
            for work in (_work(k, n) for k, n in product((40, 60, 80), (1, 2, 4, 8)))
        ),
        together=tuple(RanksTime(work=work, threads=1, overlap=True, time=_timing(_step(work))) for work in together),
        link=tuple(
            LinkTime(collective="all_gather", ranks=2, received_bytes=size, time=_timing(LATENCY + size / BANDWIDTH))
            for size in (1000, 100_000, 10_000_000)
        ),
        planned=tuple(SPLIT if (k, n) == (60, 1) else _work(k, n) for k, n in product((40, 60, 80), (1, 2, 4, 64))),
    )


def _gpu(record, seconds):
    """The record of a GPU whose shares take `seconds` of their work."""
    shares = [share.model_copy(update={"time": _timing(seconds(share.work))}) for share in record.shares]
    return record.model_copy(update={"device": "cuda", "shares": tuple(shares), "together": (), "link": ()})


def _rates(model):
    return {term.members[0]: term.rate and term.rate.value for term in model.terms}


def test_the_model_finds_the_rates_of_the_machine(record):
    model = fit_cost_model(record)
    members = [term.members for term in model.terms]
    assert members == [("layers",), ("FLOPs",), ("numbers written",), ("parameters",)]
    for found, expected in zip(_rates(model).values(), (RATES[name] for name in _ORDER), strict=True):
        assert found == pytest.approx(expected, rel=1e-3)
    assert model.link.latency == pytest.approx(LATENCY, rel=1e-6)
    assert model.link.bandwidth == pytest.approx(BANDWIDTH, rel=1e-6)
    assert model.fit.error < 1e-4
    for share, found in zip(record.shares, model.left_out, strict=True):
        assert found.value == pytest.approx(share.time.seconds, rel=1e-4)


_ORDER = ("layers", "flops", "elements", "own_parameters")


def test_a_share_that_takes_longer_than_the_others_say_shows(record):
    slow = record.shares[-1]
    slow = slow.model_copy(update={"time": _timing(2 * slow.time.seconds)})
    model = fit_cost_model(record.model_copy(update={"shares": (*record.shares[:-1], slow)}))
    assert model.fit.error > 0.05
    assert model.left_out[-1].value == pytest.approx(slow.time.seconds / 2, rel=0.05)


def test_on_a_gpu_the_longer_of_host_and_device_counts(record):
    per_layer = 2 * _compute(_work(40, 8)) / 62
    gpu = _gpu(record, lambda work: max(per_layer * work.layers, _compute(work) - RATES["layers"] * work.layers))
    model = fit_cost_model(gpu)
    assert _rates(model)["layers"] == pytest.approx(per_layer, rel=1e-3)
    bound = {(share.work.widen_factor, share.work.groups) for share in gpu.shares if model.is_launch_bound(share)}
    assert (40, 8) in bound
    assert not {(k, n) for k in (40, 60, 80) for n in (1, 2)} & bound
    assert model.fit.error < model.error_otherwise
    # The link's time hides behind the host's.
    slow = Link(name="slow", latency=per_layer / 100, bandwidth=1e12)
    assert model.predict(_work(40, 8), slow).value == pytest.approx(model.predict(_work(40, 8)).value)


def test_a_cpu_launches_and_computes_with_one_processor(record):
    model = fit_cost_model(record)
    assert not any(map(model.is_launch_bound, record.shares))
    assert model.error_otherwise > model.fit.error


def test_what_grows_alike_is_not_told_apart_and_widens_the_interval(record):
    def alike(work, factor=1.0):
        return work.model_copy(update={"own_parameters": int(factor * work.flops / 1e5), "layers": 54})

    shares = tuple(
        share.model_copy(update={"work": alike(share.work), "time": _timing(_compute(alike(share.work)))})
        for share in record.shares
    )
    model = fit_cost_model(record.model_copy(update={"shares": shares}))
    assert [term.members for term in model.terms] == [
        ("layers", "steps"),
        ("FLOPs", "parameters"),
        ("numbers written",),
    ]
    same, fewer = (model.predict(alike(_work(60, 1), factor)) for factor in (1.0, 0.5))
    assert same.value == pytest.approx(_compute(alike(_work(60, 1))), rel=1e-3)
    # If all of it is the parameters' cost, half of them halve it.
    assert fewer.high == pytest.approx(same.high, rel=1e-3)
    assert 0.5 * same.low < fewer.low < 0.75 * same.low
    text = " ".join(
        note for part in parts_of_table2([record.model_copy(update={"shares": shares})]) for note in part.notes
    )
    assert "The costs of FLOPs and parameters are indistinguishable" in text


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (_work(400, 1), "FLOPs, measured"),
        (_work(100, 1), "FLOPs, measured"),  # half as many again as the most that were
        (_work(4, 8), "FLOPs, measured"),
        (_work(40, 1).model_copy(update={"layers": 100}), "100 layers, at most 62 measured"),
        (
            _work(40, 8).model_copy(update={"elements": _work(80, 1).elements}),
            "so many FLOPs were not measured with so many numbers written and parameters",
        ),
    ],
)
def test_outside_of_the_measured_range_nothing_is_predicted(record, work, reason):
    model = fit_cost_model(record)
    assert reason in model.outside(work)
    with pytest.raises(ValueError, match=f"k={work.widen_factor}, n={work.groups} is outside the measured range"):
        model.predict(work)


def test_long_times_of_the_link_count_no_more_than_short_ones(record):
    def time(size, seconds):
        return LinkTime(collective="all_gather", ranks=2, received_bytes=size, time=_timing(seconds))

    # The latency for which (x - 1) / 1 and (x - 3) / 3 are smallest, in squares, is 1.2; the mean of 1 and 3 is 2.
    link = (time(1, 1e-4), time(1, 3e-4), time(10**8, 1.2e-4 + 0.1))
    found = fit_cost_model(record.model_copy(update={"link": link})).link
    assert found.latency == pytest.approx(1.2e-4, rel=1e-3)
    assert found.bandwidth == pytest.approx(1e9, rel=1e-3)


def test_the_errors_of_both_steps_are_in_the_interval_of_a_speedup():
    # Powers of two with errors 3 and 4, which together are 5, and 6 and 8, which are 10.
    steps = {"sc": Range(2**9, 2**6, 2**15), "gc2l": Range(2**8, 2**0, 2**12)}
    model = SimpleNamespace(outside=lambda _: "", predict=lambda work, _: steps[work.variant])
    (found,) = predict_speedups(model, [_work(40, 1), _work(40, 2)], [MEASURED])
    speedup = found.speedups["measured"]
    assert [speedup.low, speedup.value, speedup.high] == pytest.approx([2 * 2**-5, 2, 2 * 2**10])


def test_a_mixture_of_shares_is_inside(record):
    model = fit_cost_model(record)
    assert not any(model.outside(share.work) for share in record.shares)
    assert not model.outside(_work(50, 2))


def test_speedups_are_ratios_of_whole_steps(record):
    model = fit_cost_model(record)
    found = {(one.widen_factor, one.groups): one for one in predict_speedups(model, record.planned)}
    assert len(found) == 3 * 3
    link = LINKS[0]
    expected = _compute(_work(40, 1)) / _step(_work(40, 4), link)
    prediction = found[40, 4]
    speedup = prediction.speedups[link.name]
    assert speedup.value == pytest.approx(expected, rel=1e-3)
    assert speedup.low < speedup.value < speedup.high
    assert found[60, 4].speedups[link.name].value == pytest.approx(
        _step(SPLIT, link) / _step(_work(60, 4), link), rel=1e-3
    )
    assert prediction.ideal == 16
    assert prediction.reported == pytest.approx(178977 / 31187)
    assert found[80, 4].reported == pytest.approx(12.6, abs=0.05)
    assert (found[80, 64].step, found[80, 64].speedups) == (None, {})
    assert "measured" in found[80, 64].outside


def test_without_its_standard_convolution_nothing_is_compared(record):
    model = fit_cost_model(record)
    huge = _work(60, 1).model_copy(update={"flops": 10**20})
    (found,) = predict_speedups(model, [huge, _work(60, 2)])
    assert found.outside.startswith("SC: 1e+20 FLOPs, measured")


def test_the_baseline_is_named_as_it_was_planned(record):
    expected = "SC on 1 rank (k = 40), layers split over 2 ranks (k = 60), 1 rank (k = 80)"
    assert [note.count(expected) for part in parts_of_table2([record]) for note in part.notes].count(1) == 2


def test_too_little_is_refused(record):
    with pytest.raises(ValueError, match="3 timed shares do not determine"):
        fit_cost_model(record.model_copy(update={"shares": record.shares[:3]}))
    fit_cost_model(record.model_copy(update={"shares": record.shares[:5]}))
    with pytest.raises(ValueError, match="4 timed shares do not determine"):  # four costs would fit any times
        fit_cost_model(record.model_copy(update={"shares": record.shares[:4]}))
    with pytest.raises(ValueError, match="nothing has been measured"):
        parts_of_table2([])
    without = tuple(work for work in record.planned if work.variant != "sc")
    with pytest.raises(ValueError, match="k=40 is planned without SC"):
        predict_speedups(fit_cost_model(record), without)


def test_the_parts_and_their_formats(record):
    parts = parts_of_table2([record])
    letters = [part.title.split(":")[0] for part in parts]
    assert letters[:3] == ["Table 2 (a)", "Table 2 (b)", "Table 2 (c)"]
    assert "PREDICTED" in parts[-1].title
    measured = next(part for part in parts if "(b)" in part.title)
    row = dict(zip(measured.headers, measured.rows[1], strict=True))
    assert (row["n"], row["p"]) == ("2", "2")
    assert row["over p = 1, 1 thread"] == f"{_step(_work(40, 2, 1)) / _step(_work(40, 2, 2)):.2f}x"
    against = next(part for part in parts if "against part (b)" in part.title)
    lines = [dict(zip(against.headers, line, strict=True)) for line in against.rows]
    assert {line["error"] for line in lines if not line["not predicted"]} <= {"+0 %", "-0 %"}
    assert [bool(line["not predicted"]) for line in lines].count(False) >= 2
    assert lines[-1]["not predicted"]
    assert not lines[-1]["predicted s"]
    text, markdown, latex = to_text(parts, "simple"), to_text(parts, "pipe"), to_latex(parts)
    for part in parts:
        assert part.title in text
        assert f"## {part.title}" in markdown
    assert latex.count("\\toprule") == len(parts)
    lines = to_csv(parts).splitlines()
    assert len(lines) == 1 + sum(len(part.rows) * len(part.headers) for part in parts)


def test_the_figure_shows_measured_and_predicted_apart(record):
    figure = speedup_against_groups(record)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["measured, one rank alone", *(f"WRN-28-{k}, predicted" for k in (40, 60, 80))]
    measured = figure.axes[0].get_lines()[0]
    expected = [_compute(_work(40, 1)) / _compute(_work(40, n)) for n in (1, 2, 4, 8)]
    assert list(measured.get_ydata()) == pytest.approx(expected)
    for axes in figure.axes[1:]:
        labels = {line.get_label() for line in axes.get_lines()}
        assert {f"predicted, {link.name}" for link in LINKS} | {"paper", "ideal n^2"} == labels
    assert to_bytes(figure, "svg").startswith(b"<?xml")


def test_where_nothing_is_predicted_the_figure_has_the_measured_panel_only(record):
    narrow = record.model_copy(update={"planned": (_work(400, 1), _work(400, 2))})
    (axes,) = speedup_against_groups(narrow).axes
    assert axes.get_title(loc="left") == "measured, one rank alone"


def test_a_gpu_record_has_no_ranks_together(record):
    gpu = _gpu(record, _compute)
    assert fit_cost_model(gpu).link is None
    titles = [part.title for part in parts_of_table2([gpu])]
    assert not [title for title in titles if "(b)" in title]


def test_written_tables_are_verified_against_the_measurements(record, tmp_path):
    publish_table2([record], tmp_path, tmp_path)
    assert (tmp_path / "table2_speedup_cpu.svg").exists()
    assert check_tables({}, [], tmp_path, [record]).passed == 3
    slower = record.model_copy(update={"shares": (record.shares[0], *record.shares[:-1])})
    for other in ([slower], []):
        assert len(check_tables({}, [], tmp_path, other).failures) == 3
