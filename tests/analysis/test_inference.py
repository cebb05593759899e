import pytest
from analysis.inference_times import record, time

from gc2l.analysis.figures.inference import inference_against_groups
from gc2l.analysis.inference import against, best_other, inference_tables, scalings


def test_a_ratio_is_the_geometric_mean_over_grouped_layers():
    measured = record(
        *(time(library, seconds, case=case, n=n)
          for library, seconds, case, n in (
              ("a", 2.0, "one", 4), ("b", 1.0, "one", 4), ("a", 8.0, "two", 4), ("b", 1.0, "two", 4),
              ("a", 99.0, "one", 1), ("b", 1.0, "one", 1))),
        time("a", 99.0, kernel=1), time("b", 1.0, kernel=1), time("a", 99.0, threads=2), time("b", 1.0, threads=2),
    )  # fmt: skip
    found = against(measured, "a", "b", kernel=2, threads=1)
    assert found.value == pytest.approx(4)
    assert (found.low, found.high) == (pytest.approx(4 / 1.01**2), pytest.approx(4 * 1.01**2))
    assert found.layers == 2
    assert against(measured, "a", "c", kernel=2, threads=1) is None


def test_the_best_other_is_right_and_none_of_ours():
    measured = time("ours", 1.0), time("GSPC as published", 1.0), time("fast", 2.0, error=1e-3), time("slow", 3.0)
    times = {one.library: one for one in measured}
    assert best_other(times).library == "slow"


def test_scaling_needs_both_ends():
    times = [time("a", 16.0, n=1), time("a", 2.0, n=16), time("a", 1.0, n=16, case="other")]
    assert scalings(times) == {"8->8 3x3 @8": 1 / 8}


def test_tables_name_targets_errors_and_what_is_left_out():
    text = inference_tables(
        record(
            *(time("ours", 1.0, n=n) for n in (8, 16)),
            *(time("PyTorch NCHW", 2.0, n=n) for n in (8, 16)),
            time("loose", 0.1, n=8, error=2e-3),
            time("ours", 1.0, n=16, kernel=0, case="wide_resnet_28_10"),
            time("ours", 1.2, n=16, kernel=0, case="wide_resnet_28_10", variant="gc2l"),
            refusals=("loose",),
        )
    )
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert lines["best other / ours, 3 x 3 of WRN-28-10, n = 8 and 16, 1 thread"].endswith("2.00        met")
    assert lines["PyTorch NCHW / ours, all layers, n >= 4, 1 thread"].endswith("2.00        MISSED")
    assert lines["GC-2L / GC, wide_resnet_28_10, n = 16, 1 thread"].endswith("1.20        MISSED")
    assert "100000 !" in text
    assert "loose: largest error 2.0e-03, wrong in 1 of 1" in text
    assert "loose refuses x (gc, n = 4): no" in text
    assert "ExecuTorch left out: not installed: pip install executorch" in text


def test_the_figure_has_a_panel_for_each_layer_and_the_ideal():
    times = [time("ours", 1.0 / n, n=n, case=case) for n in (1, 8) for case in ("a", "b")]
    figure = inference_against_groups(record(*times, time("ours", 1.0, case="c/2")))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b"]
    ideal = next(line for line in figure.axes[0].get_lines() if line.get_label() == "ideal 1/n")
    assert list(ideal.get_ydata()) == pytest.approx([1000, 125])
    assert inference_against_groups(record(time("ours", 1.0, kernel=1))).axes
