import importlib
import sys
from itertools import combinations
from pathlib import Path

import matplotlib
import pytest
from analysis.figure_runs import STORES, drawn, full
from analysis.samples import CIFAR, PRESETS
from matplotlib.colors import to_hex
from records.samples import record

from gc2l.analysis import RunIndex
from gc2l.analysis.figures import FIGURES, FILE_FORMATS, style, to_bytes
from gc2l.analysis.figures.style import mark
from gc2l.variants import VARIANTS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STARTS = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}


def test_every_variant_has_its_own_colour_marker_and_line():
    for attribute in ("color", "marker", "linestyle"):
        assert len({getattr(one, attribute) for one in style._MARKS}) == len(style._MARKS)
    assert len({mark(variant) for variant in VARIANTS}) == len(VARIANTS)


def test_a_variant_looks_the_same_in_every_figure():
    for name in FIGURES:
        for axes in drawn(name, "full").axes:
            for line in axes.get_lines():
                for variant, entry in VARIANTS.items():
                    if line.get_label() in (entry.label, f"fit {entry.label}"):
                        assert to_hex(line.get_color()) == mark(variant).color.lower(), name


def test_a_new_variant_gets_the_next_mark_as_long_as_there_are_marks(monkeypatch):
    few = {name: VARIANTS[name] for name in list(VARIANTS)[:5]}
    marks = len(style._MARKS)
    monkeypatch.setattr(style, "VARIANTS", few | {f"new{number}": VARIANTS["gc"] for number in range(marks - 4)})
    assert mark("new0") not in [mark(variant) for variant in few]
    with pytest.raises(ValueError, match=f"is number {marks + 1}, there are only {marks} marks"):
        mark(list(style.VARIANTS)[marks])


def test_what_is_unknown_is_refused():
    with pytest.raises(ValueError, match="variant='dense' is unknown; choose one of 'sc', 'gc'"):
        mark("dense")
    with pytest.raises(ValueError, match="file_format='gif' is unknown; choose one of 'svg', 'pdf', 'png'"):
        to_bytes(drawn("schematic", "empty"), "gif")


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("kind", STORES)
def test_nothing_is_cut_off_and_no_panel_lies_on_another(name, kind):
    figure = drawn(name, kind)
    page, inked = figure.bbox_inches, figure.get_tightbbox()
    assert inked.x0 >= 0
    assert inked.y0 >= 0
    assert inked.x1 <= page.x1
    assert inked.y1 <= page.y1
    caption = figure.texts[-1].get_window_extent()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert not any(first.overlaps(second) for first, second in combinations([*boxes, caption], 2))


@pytest.mark.parametrize("columns", [2, 3])
@style.styled
def test_a_title_that_is_too_wide_is_broken_and_its_panel_makes_room(columns):
    lines = "digits: MobileNetV2 x 0.25, seeds 1 to 3, k = 3", "a very long name of a data set without commas"
    figure, axes = style.panels(columns, panel_height=2.0)
    for one in axes:
        one.set_title("\n".join(lines), loc="left")
    style.add_caption(figure, ["A caption."])
    boxes = [one.set_title(one.get_title("left"), loc="left").get_window_extent() for one in axes]
    titles = [one.get_title("left").replace("\N{NO-BREAK SPACE}", " ") for one in axes]
    assert all(title.replace("\n", " ") == " ".join(lines) for title in titles)
    assert all(title.split("\n")[0].endswith(",") for title in titles)
    assert all(any(line.endswith("k = 3") for line in title.split("\n")) for title in titles)
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))
    assert all(box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)


@style.styled
def test_text_is_as_wide_in_the_layout_as_in_the_files():
    figure, _ = style.panels(1, panel_height=2.0)
    text = figure.text(0, 0.5, "stages.2.0.shortcut, 11 illegible lines", fontsize=7.5)
    widths = []
    for dpi in (figure.dpi, 1600):
        figure.set_dpi(dpi)
        figure.draw_without_rendering()
        widths.append(text.get_window_extent().width / dpi)
    assert widths[0] == pytest.approx(widths[1], rel=0.005)


@pytest.mark.parametrize("kind", ["partial", "full"])
def test_marks_and_fits_lie_inside_their_panels(kind):
    for axes in drawn("fig5_error_vs_groups", kind).axes:
        low, high = axes.get_ylim()
        assert all(low < height < high for line in axes.get_lines() for height in line.get_ydata())


@pytest.mark.parametrize("smallest", [0.02147, 2.3])
def test_numbers_of_parameters_do_not_run_into_each_other(smallest):
    millions = [smallest, 1.88 * smallest, 3.63 * smallest, 7.1 * smallest, 14.1 * smallest]
    records = [
        record(CIFAR.cell(variant, n, 1)).model_copy(update={"parameters": round(1e6 * count)})
        for (variant, n), count in zip([("gc", 16), ("gc", 8), ("gc", 4), ("gc", 2), ("sc", 1)], millions, strict=True)
    ]
    figure = FIGURES["error_vs_parameters"](PRESETS, RunIndex(records), ())
    (axes,) = (axes for axes in figure.axes if axes.get_title("left").startswith("tiny"))
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(boxes) == 5
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_the_same_figure_is_the_same_file_whatever_the_caller_has_set(file_format):
    def file():
        return to_bytes(FIGURES["fig7_error_vs_groups"](PRESETS, RunIndex(full()), ()), file_format)

    first = file()
    assert first.startswith(STARTS[file_format])
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "svg.hashsalt": "other", "savefig.dpi": 50}):
        assert file() == first
        assert matplotlib.rcParams["font.size"] == 20


def test_the_script_writes_every_figure_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    script = importlib.import_module("figures")
    some = {name: FIGURES[name] for name in ("fig4_loss", "fig7_error_vs_groups")}  # all of them take long
    monkeypatch.setattr(script, "FIGURES", some)
    monkeypatch.setattr(
        sys, "argv", ["figures.py", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "out")]
    )
    assert script.main() == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == [f"{name}.{suffix}" for name in some for suffix in FILE_FORMATS]
    assert all(path.read_bytes().startswith(STARTS[path.suffix[1:]]) for path in paths)
