import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from analysis.figure_runs import STORES, approximated, drawn, errors_of, full
from analysis.samples import CIFAR, IMAGENET, PRESETS
from matplotlib.colors import to_hex
from matplotlib.text import Text
from records.samples import record
from scipy import stats

from gc2l.analysis import RunIndex
from gc2l.analysis.figures import FIGURES
from gc2l.analysis.figures.agreement import rank_correlation
from gc2l.analysis.figures.loss import log_ticks
from gc2l.cells import DataConfig, Preset
from gc2l.variants import VARIANTS

PAPER = Path(__file__).parents[2] / "src" / "gc2l" / "paper"
LABELS = {variant.label: name for name, variant in VARIANTS.items()}


def drawn_from(name, records):
    return FIGURES[name](PRESETS, RunIndex(records), approximated(records))


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\N{NO-BREAK SPACE}", " ")


def caption(figure):
    return figure.texts[-1].get_text().replace("\N{NO-BREAK SPACE}", " ").replace("\n", " ")


def lines(axes):
    """The lines of a panel by label."""
    return {line.get_label(): line for line in axes.get_lines()}


def legend_texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def printed(table):
    with (PAPER / f"{table}.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("name", ["fig5_error_vs_groups", "fig7_error_vs_groups"])
def test_the_reported_points_are_those_of_the_csv_file(name):
    table = {"fig5": "table3", "fig7": "table4"}[name[:4]]
    rows = printed(table)
    panels = dict.fromkeys((row["network"], row["dataset"]) for row in rows)
    figure = drawn(name, "empty")
    assert len(figure.axes) == len(panels)
    for axes, panel in zip(figure.axes, panels, strict=True):
        here = [row for row in rows if (row["network"], row["dataset"]) == panel and row["variant"] != "SC"]
        found = {
            (label, n, error)
            for label, line in lines(axes).items()
            if label in LABELS and label != "SC"
            for n, error in zip(line.get_xdata(), line.get_ydata(), strict=True)
        }
        assert found == {(row["variant"], int(row["groups"]), float(row["error_percent"])) for row in here}


def test_the_standard_convolution_stands_at_one_group():
    (standard,) = (row for row in printed("table1") if row["variant"] == "SC" and row["dataset"] == "cifar100")
    line = lines(drawn("fig5_error_vs_groups", "empty").axes[1])["SC"]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1], [float(standard["error_percent"])])


def test_the_reported_parameters_are_those_of_the_csv_file():
    rows = [row for row in printed("table1") if (row["dataset"], row["variant"]) == ("cifar10", "GC-2L")]
    line = lines(drawn("error_vs_parameters", "empty").axes[0])["GC-2L"]
    assert list(line.get_xdata()) == [float(row["parameters_millions"]) for row in rows]
    assert list(line.get_ydata()) == [float(row["error_percent"]) for row in rows]


@pytest.mark.parametrize("variant", ["gc", "gc2l", "shuffle", "flgc"])
def test_the_slopes_drawn_and_written_are_those_of_another_least_squares(variant):
    axes = drawn("fig5_error_vs_groups", "full").axes[3]
    x, y = np.array([(np.log2(n), errors_of(variant, n, seed) / 100) for n in (2, 4, 8, 16) for seed in (1, 2, 3)]).T
    slope, intercept = np.polyfit(x, y, 1)
    label = VARIANTS[variant].label
    line = lines(axes)[f"fit {label}"]
    np.testing.assert_allclose(line.get_ydata(), slope * np.log2(line.get_xdata()) + intercept, rtol=1e-12)
    of_seeds = [np.polyfit([1, 2, 3, 4], y.reshape(4, 3)[:, seed], 1)[0] for seed in range(3)]
    half = stats.t.ppf(0.975, 2) * np.std(of_seeds, ddof=1) / np.sqrt(3)
    expected = f"{label}  {slope:.2f} [{slope - half:.2f}, {slope + half:.2f}]".replace("-0.", "\N{MINUS SIGN}0.")
    assert expected in legend_texts(axes)


def test_one_seeds_slope_has_the_interval_of_its_line():
    x, y = np.array([(np.log2(n), errors_of("gc", n, 1) / 100) for n in (2, 4, 8, 16)]).T
    records = [record(CIFAR.cell("gc", n, 1), errors=errors_of("gc", n, 1)) for n in (2, 4, 8, 16)]
    line = stats.linregress(x, y)
    half = stats.t.ppf(0.975, 2) * line.stderr
    expected = f"GC  {line.slope:.2f} [{line.slope - half:.2f}, {line.slope + half:.2f}]"
    assert legend_texts(drawn_from("fig5_error_vs_groups", records).axes[3]) == [expected]


def test_a_seed_that_lacks_an_n_has_no_part_in_the_slope():
    whole = [record(CIFAR.cell("gc", n, seed), errors=500 + 50 * n * seed) for n in (2, 4, 8) for seed in (1, 2)]
    more = [record(CIFAR.cell("gc", 2, 3), errors=9000), record(CIFAR.cell("gc", 8, 3), errors=None)]
    drawings = [drawn_from("fig5_error_vs_groups", runs).axes[3] for runs in (whole, whole + more)]
    first, second = (lines(axes)["fit GC"].get_ydata() for axes in drawings)
    np.testing.assert_array_equal(first, second)
    assert legend_texts(drawings[0]) == legend_texts(drawings[1])


def test_a_seed_whose_runs_differ_in_device_has_no_part_in_the_slope():
    def runs(device_of_last):
        for n in (2, 4, 8):
            for seed in (1, 2, 3):
                made = record(CIFAR.cell("gc", n, seed), errors=500 + 50 * n * seed)
                device = device_of_last if (n, seed) == (8, 3) else "cpu"
                yield made.model_copy(update={"execution": made.execution.model_copy(update={"device": device})})

    without = [one for one in runs("cpu") if one.seed < 3]
    drawings = [drawn_from("fig5_error_vs_groups", found).axes[3] for found in (without, list(runs("mps")))]
    assert legend_texts(drawings[0]) == legend_texts(drawings[1])


def test_a_falling_error_has_a_minus_sign_and_the_name_keeps_its_hyphen():
    records = [record(CIFAR.cell("gc2l", n, 1), errors=900 - n) for n in (2, 4, 8)]
    (entry,) = legend_texts(drawn_from("fig5_error_vs_groups", records).axes[3])
    assert entry.startswith("GC-2L  \N{MINUS SIGN}0.03 [\N{MINUS SIGN}")


def test_means_and_their_bands():
    axes = drawn("fig5_error_vs_groups", "full").axes[3]
    errors = np.array([[errors_of("gc", n, seed) / 100 for seed in (1, 2, 3)] for n in (2, 4, 8, 16)])
    np.testing.assert_allclose(lines(axes)["GC"].get_ydata(), errors.mean(axis=1))
    half = stats.t.ppf(0.975, 2) * errors.std(axis=1, ddof=1) / np.sqrt(3)
    edges = np.concatenate([errors.mean(axis=1) - half, errors.mean(axis=1) + half])
    bands = [np.unique(band.get_paths()[0].vertices[:, 1]) for band in axes.collections if band.get_paths()]
    assert any(np.isin(edges.round(9), band.round(9)).all() for band in bands)


def test_one_seed_has_no_band():
    axes = drawn_from("fig5_error_vs_groups", full(seeds=(1,))).axes[3]
    assert not axes.collections


def test_the_marks_stand_once_for_all_panels():
    figure = drawn("fig5_error_vs_groups", "full")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["SC", "GC", "GC-2L", "Shuffle", "FLGC"]
    marks = {line.get_label(): line for line in legend.get_lines()}
    for axes in figure.axes:
        assert len(legend_texts(axes)) == 4
        assert all(line.get_linestyle() == line.get_marker() == "None" for line in axes.get_legend().get_lines())
        for text in axes.get_legend().get_texts():
            assert to_hex(text.get_color()) == to_hex(marks[text.get_text().split("  ")[0]].get_color())


@pytest.mark.parametrize("name", FIGURES)
def test_the_first_line_says_in_one_sentence_what_is_to_be_seen(name):
    for kind in ("full", "empty"):
        first, _, rest = drawn(name, kind).texts[-1].get_text().partition("\n")
        assert first.endswith(".")
        assert first.count(".") == 1
        assert rest[0].isupper()


def test_panels_stand_below_the_column_that_they_reproduce():
    second = replace(CIFAR, dataset="cifar100", template=replace(CIFAR.template, data=DataConfig(name="cifar100")))
    later = replace(second, template=replace(second.template, preset="later"))
    presets = {
        "tiny": Preset(name="tiny", description="for tests", columns=(CIFAR, second)),
        "later": Preset(name="later", description="for tests", columns=(later,)),
    }
    runs = [record(column.cell("gc", 2, 1), errors=400) for column in (CIFAR, second, later)]
    figure = FIGURES["fig5_error_vs_groups"](presets, RunIndex(runs), ())
    found = {}
    for axes in figure.axes:
        place = axes.get_subplotspec()
        preset, _, rest = axes.get_title("left").partition(":")
        found[preset, rest.split("\n")[1].split(",")[0]] = place.rowspan.start, place.colspan.start
    assert found == {
        ("reported", "CIFAR-10"): (0, 0),
        ("reported", "CIFAR-100"): (0, 1),
        ("reported", "ImageNet"): (0, 2),
        ("tiny", "Digits"): (1, 0),
        ("tiny", "CIFAR-100"): (1, 1),
        ("later", "CIFAR-100"): (2, 1),
    }


@pytest.mark.parametrize(("errors", "sign"), [((400, 500, 600), ""), ((600, 500, 400), "\N{MINUS SIGN}")])
def test_the_sign_of_a_correlation_is_a_minus_and_that_in_a_name_a_hyphen(errors, sign):
    model = replace(CIFAR.template.model, width=0.5)
    narrow = replace(CIFAR, template=replace(CIFAR.template, model=model))
    presets = {"tiny": Preset(name="tiny", description="for tests", columns=(narrow,))}
    runs = [record(narrow.cell("gc", n, 1), errors=wrong) for n, wrong in zip((2, 4, 8), errors, strict=True)]
    (axes,) = FIGURES["reported_vs_reproduced"](presets, RunIndex(runs), ()).axes
    title = axes.get_title("left").replace("\N{NO-BREAK SPACE}", " ").replace("\n", " ")
    assert title == f"tiny: WideResNet-10-0.5, k = 1 Digits, 1 epoch rank correlation {sign}1.00 (3 marks)"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.02, 2.3, (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)),
        (0.57, 1.7, (0.7, 1, 1.4)),
        (1.2, 2.3, (1.4, 2)),
        (2.05, 4.3, (2.5, 3, 3.5, 4)),
    ],
)
def test_a_logarithmic_axis_has_a_few_ticks(low, high, expected):
    found = [tick for tick in log_ticks(low, high).tick_values(low, high) if low <= tick <= high]
    np.testing.assert_allclose(found, expected)


def test_runs_that_all_err_alike_are_a_level_line():
    records = [record(CIFAR.cell("gc", n, 1), errors=9000) for n in (2, 4, 8)]  # one class for every image
    axes = drawn_from("fig5_error_vs_groups", records).axes[3]
    assert legend_texts(axes) == ["GC  0.00 [0.00, 0.00]"]
    assert set(lines(axes)["fit GC"].get_ydata()) == {90}


def test_too_few_points_have_no_slope():
    axes = drawn("fig5_error_vs_groups", "partial").axes[3]
    assert legend_texts(axes) == ["GC  too few for a slope", "GC-2L  too few for a slope"]
    assert not any(str(label).startswith("fit") for label in lines(axes))


def test_a_scale_says_what_was_run_and_what_was_left_out():
    figure = drawn("fig5_error_vs_groups", "partial")
    said = "Preset tiny: WideResNet-10-2 on Digits, 1 epoch, for WideResNet-28-10 on CIFAR-10; k = 1\N{EN DASH}2"
    assert f"{said}; diverged and left out: GC n = 4, seed 2." in caption(figure)
    assert "Not run at any scale yet: WideResNet-28-10 on CIFAR-100, WideResNet-34-2 on ImageNet." in caption(figure)
    assert "tiny: WideResNet-10-2, k = 1\N{EN DASH}2\nDigits, 1 epoch" in [
        axes.get_title("left") for axes in figure.axes
    ]


def test_a_scale_where_every_run_diverged_says_so():
    figure = drawn("fig7_error_vs_groups", "partial")
    assert "every run diverged" in texts(figure)
    assert "diverged and left out: GC n = 2, seed 1." in caption(figure)


@pytest.mark.parametrize("name", ["fig4_loss", "reported_vs_reproduced"])
def test_without_runs_the_figure_says_so(name):
    assert "no run is recorded yet" in texts(drawn(name, "empty"))


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ("schematic", "layer_approximation")])
@pytest.mark.parametrize("kind", STORES)
def test_every_scale_is_in_the_caption(name, kind):
    said = caption(drawn(name, kind))
    cifar = "tiny: WideResNet-10-2 on Digits, 1 epoch, for WideResNet-28-10 on CIFAR-10"
    mobile = "tiny: MobileNetV2 x 0.25 on Digits at 32 px, 2 epochs, for MobileNetV2 on ImageNet"
    assert (cifar in said) == (kind != "empty" and name != "fig7_error_vs_groups")
    assert (mobile in said) == (kind != "empty" and name not in ("fig4_loss", "fig5_error_vs_groups"))


def test_loss_curves_are_means_over_the_finished_seeds():
    cells = [CIFAR.cell("gc", 4, seed) for seed in (1, 2, 3)]
    runs = [record(cells[0]), record(cells[1]), record(cells[2], errors=None)]
    doubled = runs[1].curve[0].model_copy(update={"train_loss": 3.0})
    runs[1] = runs[1].model_copy(update={"curve": (doubled,)})
    panels = drawn_from("fig4_loss", runs).axes
    assert [axes.get_title() for axes in panels] == ["n = 2", "n = 4", "n = 8", "n = 16"]
    assert [[list(line.get_ydata()) for line in axes.get_lines()] for axes in panels] == [[], [[2.0]], [], []]


def test_the_standard_convolution_is_in_every_loss_panel():
    panels = drawn("fig4_loss", "full").axes
    assert all(list(lines(axes)) == ["SC", "GC", "GC-2L"] for axes in panels)


def test_marks_of_agreement_are_reported_and_reproduced_errors():
    axes = drawn("reported_vs_reproduced", "full").axes[1]
    offsets = {marks.get_label(): marks.get_offsets() for marks in axes.collections}
    rows = [row for row in printed("table4") if row["variant"] == "FLGC"]
    expected = [
        (
            float(row["error_percent"]),
            np.mean([errors_of("flgc", int(row["groups"]), seed) for seed in (1, 2, 3)]) / 100,
        )
        for row in rows
    ]
    np.testing.assert_allclose(offsets["FLGC"], expected)
    assert "(13 marks)" in axes.get_title("left")


def test_approximations_are_drawn_with_their_random_baseline_and_interval():
    figure = drawn("layer_approximation", "full")
    (cifar, mobile), (cifar_share, _) = (figure.axes[:2], figure.axes[2:])
    group, two_level = cifar.get_lines()[1], cifar.get_lines()[3]
    np.testing.assert_allclose(group.get_ydata(), [49.9, 74.85, 87.325, 93.5625])
    of_seeds = 0.89 * 0.999 + 0.88 * 0.998 + 0.87 * 0.997
    np.testing.assert_allclose(two_level.get_ydata(), of_seeds / 3 * np.array([50, 75, 87.5, 93.75]))
    random, restored = cifar_share.get_lines()
    np.testing.assert_allclose(random.get_ydata(), [5] * 4)
    np.testing.assert_allclose(restored.get_ydata(), [12] * 4)  # 11, 12 and 13 %
    half = stats.t.ppf(0.975, 2) / np.sqrt(3)
    (segment,) = cifar_share.collections[0].get_segments()
    np.testing.assert_allclose(segment, [[2, 12 - half], [2, 12 + half]])
    low, high = cifar_share.get_ylim()
    assert low == 0
    assert high > 12
    assert "tiny: WideResNet-10-2, k = 3" in cifar.get_title("left")
    assert "tiny: MobileNetV2 x 0.25, k = 3" in mobile.get_title("left")
    assert "Preset tiny: WideResNet-10-2 on Digits, 1 epoch, for WideResNet-28-10 on CIFAR-10; k = 3." in caption(
        figure
    )


def test_only_measured_networks_count_as_seeds():
    records = full()
    measured = [one for one in approximated(records) if one.seed < 3]
    figure = FIGURES["layer_approximation"](PRESETS, RunIndex(records), measured)
    assert "tiny: WideResNet-10-2, k = 2" in figure.axes[0].get_title("left")


def test_without_measured_networks_the_figure_says_so():
    assert "no trained network is measured yet" in texts(drawn("layer_approximation", "partial"))


def test_rank_correlation():
    assert rank_correlation([(1, 10), (2, 20), (3, 15), (4, 40)]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation([(1, 3), (2, 2), (3, 1)]) == pytest.approx(-1)
    assert rank_correlation([(1, 3), (2, 2)]) is None
    assert rank_correlation([(1, 3), (2, 3), (3, 3)]) is None


def test_runs_of_other_configurations_are_not_drawn():
    changed = IMAGENET.cell("gc", 2, 1)
    foreign = record(type(changed)(preset="tiny", model=changed.model, data=changed.data))
    assert len(drawn_from("fig7_error_vs_groups", [foreign]).axes) == 1
