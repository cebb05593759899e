"""Table 2's cost model and tables, on machines whose rates are known."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from gc2l.analysis.figures import to_bytes
from gc2l.analysis.scaling import (
    LINKS,
    Link,
    fit_cost_model,
    parts_of_table2,
    predict_speedups,
    speedup_against_groups,
    to_csv,
    to_latex,
    to_text,
)
from gc2l.evidence.publish import publish_table2
from gc2l.evidence.verification import check_tables
from gc2l.records import Hardware, LinkTime, RanksTime, ScalingRecord, ShareTime, Timing, Work

RATES = {"flops": 1e-11, "elements": 3e-9, "own_parameters": 2e-9, "layers": 5e-6}
LATENCY, BANDWIDTH = 2e-4, 1e9
MEASURED = Link(name="measured", latency=LATENCY, bandwidth=BANDWIDTH)


def _work(k: int, n: int, ranks: int | None = None) -> Work:
    """Made-up numbers of the sizes that such networks have, none a multiple of another."""
    p = ranks or n
    return Work(
        depth=28,
        widen_factor=k,
        variant="sc" if n == 1 else "gc2l",
        groups=n,
        stem_channels=16,
        ranks=p,
        images=16,
        parameters=360_000 * k * k // n + 1000 * k,
        own_parameters=360_000 * k * k // n // p + 1000 * k // p,
        flops=5_000_000_000 * k * k // n // p + 30_000_000 * k,
        elements=6_000_000 * k // p + 100_000,
        layers=54 + n,
        collectives=0 if p == 1 else 55,
        received_bytes=0 if p == 1 else 1_000_000 * n * (p - 1) // p,
    )


SPLIT = _work(60, 1, ranks=2).model_copy(update={"split": "layers"})


def _timing(seconds: float) -> Timing:
    return Timing(seconds=seconds, low=seconds, high=seconds, repeats=3)


def _compute(work: Work) -> float:
    return sum(rate * getattr(work, name) for name, rate in RATES.items())


def _step(work: Work, link: Link = MEASURED) -> float:
    return _compute(work) + work.collectives * link.latency + work.received_bytes / link.bandwidth


@pytest.fixture
def record() -> ScalingRecord:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    together = [_work(4, n, p) for n, p in ((2, 1), (2, 2), (4, 1), (4, 2), (1, 1))]
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
            for work in (_work(k, n) for k, n in product((4, 8, 12), (1, 2, 4, 8)))
        ),
        together=tuple(RanksTime(work=work, threads=1, overlap=True, time=_timing(_step(work))) for work in together),
        link=tuple(
            LinkTime(collective="all_gather", ranks=2, received_bytes=size, time=_timing(LATENCY + size / BANDWIDTH))
            for size in (1000, 100_000, 10_000_000)
        ),
        planned=tuple(SPLIT if (k, n) == (60, 1) else _work(k, n) for k, n in product((40, 60, 80), (1, 2, 4))),
    )


def test_the_model_finds_the_rates_of_the_machine(record):
    model = fit_cost_model(record)
    assert model.per_flop == pytest.approx(RATES["flops"], rel=1e-6)
    assert model.per_element == pytest.approx(RATES["elements"], rel=1e-6)
    assert model.per_parameter == pytest.approx(RATES["own_parameters"], rel=1e-6)
    assert model.per_layer == pytest.approx(RATES["layers"], rel=1e-6)
    assert model.link.latency == pytest.approx(LATENCY, rel=1e-6)
    assert model.link.bandwidth == pytest.approx(BANDWIDTH, rel=1e-6)
    assert max(map(abs, (*model.errors, *model.errors_of_widest))) < 1e-6


def test_a_share_that_takes_longer_than_the_model_says_shows_as_an_error(record):
    slow = record.shares[-1]
    slow = slow.model_copy(update={"time": _timing(2 * slow.time.seconds)})
    model = fit_cost_model(record.model_copy(update={"shares": (*record.shares[:-1], slow)}))
    assert min(model.errors) < -0.2
    # fitted without the widest network, whose last share takes twice what it should
    assert min(model.errors_of_widest) == pytest.approx(-0.5)


def test_speedups_are_ratios_of_whole_steps(record):
    found = {(one.widen_factor, one.groups, one.link.name): one for one in predict_speedups(record)}
    assert len(found) == 3 * 2 * len(LINKS)
    link = LINKS[0]
    expected = _compute(_work(40, 1)) / _step(_work(40, 4), link)
    prediction = found[40, 4, link.name]
    assert prediction.speedup == pytest.approx(expected, rel=1e-6)
    assert found[60, 4, link.name].speedup == pytest.approx(_step(SPLIT, link) / _step(_work(60, 4), link), rel=1e-6)
    assert prediction.ideal == 16
    assert prediction.reported == pytest.approx(178977 / 31187)
    assert found[80, 4, link.name].reported == pytest.approx(12.6, abs=0.05)


def test_the_baseline_is_named_as_it_was_planned(record):
    expected = "SC on 1 rank (k = 40), layers split over 2 ranks (k = 60), 1 rank (k = 80)"
    assert [note.count(expected) for part in parts_of_table2([record]) for note in part.notes].count(1) == 2


def test_too_little_is_refused(record):
    with pytest.raises(ValueError, match="3 timed shares do not determine"):
        fit_cost_model(record.model_copy(update={"shares": record.shares[:3]}))
    with pytest.raises(ValueError, match="nothing has been measured"):
        parts_of_table2([])
    without = tuple(work for work in record.planned if work.variant != "sc")
    with pytest.raises(ValueError, match="k=40 is planned without SC"):
        predict_speedups(record.model_copy(update={"planned": without}))


def test_the_parts_and_their_formats(record):
    parts = parts_of_table2([record])
    letters = [part.title.split(":")[0] for part in parts]
    assert letters[:3] == ["Table 2 (a)", "Table 2 (b)", "Table 2 (c)"]
    assert "PREDICTED" in parts[-1].title
    measured = next(part for part in parts if "(b)" in part.title)
    row = dict(zip(measured.headers, measured.rows[1], strict=True))
    assert (row["n"], row["p"]) == ("2", "2")
    assert row["over p = 1, 1 thread"] == f"{_step(_work(4, 2, 1)) / _step(_work(4, 2, 2)):.2f}x"
    against = next(part for part in parts if "cost model" in part.title)
    assert {line[-1] for line in against.rows} <= {"+0 %", "-0 %"}
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
    expected = [_compute(_work(4, 1)) / _compute(_work(4, n)) for n in (1, 2, 4, 8)]
    assert list(measured.get_ydata()) == pytest.approx(expected)
    for axes in figure.axes[1:]:
        labels = {line.get_label() for line in axes.get_lines()}
        assert {f"predicted, {link.name}" for link in LINKS} | {"paper", "ideal n^2"} == labels
    assert to_bytes(figure, "svg").startswith(b"<?xml")


def test_a_gpu_record_has_no_ranks_together(record):
    gpu = record.model_copy(update={"together": (), "link": (), "device": "cuda"})
    assert replace(fit_cost_model(gpu), errors=(), errors_of_widest=()).link is None
    assert not [part for part in parts_of_table2([gpu]) if part.title.startswith("Table 2 (b)")]


def test_written_tables_are_verified_against_the_measurements(record, tmp_path):
    publish_table2([record], tmp_path, tmp_path)
    assert (tmp_path / "table2_speedup_cpu.svg").exists()
    assert check_tables({}, [], tmp_path, [record]).passed == 3
    slower = record.model_copy(update={"shares": (record.shares[0], *record.shares[:-1])})
    for other in ([slower], []):
        assert len(check_tables({}, [], tmp_path, other).failures) == 3
