"""The style of all figures and their output formats: one mark per variant, legible at the printed width."""

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from matplotlib import style as matplotlib_style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.typing import LineStyleType

from gc2l.names import unknown
from gc2l.records import Interval
from gc2l.variants import VARIANTS

INK = "0.15"
FAINT = "0.55"
WHITE_EDGE: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.5}

_SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 8,
    # Hinted text is up to 7 % narrower or wider at the resolution of the layout than in the files.
    "text.hinting": "no_hinting",
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "0.4",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "pdf.fonttype": 42,
    "svg.hashsalt": "gc2l",
    "savefig.dpi": 200,
}

styled = matplotlib_style.context(_SETTINGS, after_reset=True)
"""Decorates a function that builds or saves a figure, so that it depends on no setting of the caller."""

# Without the date the same figure is the same file.
_METADATA = MappingProxyType({"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None})
FILE_FORMATS = tuple(_METADATA)
"""The kinds of file that a figure is written to."""

_WIDTHS = (3.5, 5.2, 7.2)
_TITLE_MARGIN = 0.12
_CAPTION_MARGIN = 0.1
_CAPTION_LETTERS_PER_INCH = 19.8


@dataclass(frozen=True)
class Mark:
    """The colour, marker and line style of a variant; distinct in greyscale too."""

    color: str
    marker: str
    linestyle: LineStyleType

    @property
    def line(self) -> dict[str, Any]:
        """All of it, as arguments of `Axes.plot`."""
        return asdict(self)


# The palette of Okabe and Ito, readable without red or green vision, less its yellow, too light for lines; then three
# colours of Paul Tol's muted palette, for further variants.
_MARKS = (
    Mark("#000000", "D", (0, (1, 1.2))),
    Mark("#D55E00", "s", "--"),
    Mark("#0072B2", "o", "-"),
    Mark("#009E73", "^", "-."),
    Mark("#CC79A7", "v", (0, (6, 1.5, 1, 1.5, 1, 1.5))),
    Mark("#E69F00", "P", (0, (3, 1))),
    Mark("#56B4E9", "X", (0, (8, 2))),
    Mark("#882255", "p", (0, (4, 1, 1, 1))),
    Mark("#44AA99", "*", (0, (2, 2))),
    Mark("#999933", "h", (0, (10, 1, 1, 1))),
)


def mark(variant: str) -> Mark:
    """The mark of a variant, the same in every figure: that of its place in `VARIANTS`.

    Raises:
        ValueError: an unknown variant, or one for which no mark is left.
    """
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    place = list(VARIANTS).index(variant)
    if place >= len(_MARKS):
        raise ValueError(f"variant={variant!r} is number {place + 1}, there are only {len(_MARKS)} marks: add one")
    return _MARKS[place]


def panels(count: int, *, panel_height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, three to a row, see `grid`."""
    return grid([divmod(place, 3) for place in range(count)], panel_height=panel_height)


def grid(places: Sequence[tuple[int, int]], *, panel_height: float) -> tuple[Figure, list[Axes]]:
    """A figure with a panel at each of these (row, column), from (0, 0) on, in three columns at most.

    `panel_height` in inches includes title, axis and legend.
    """
    rows, columns = (1 + max(numbers) for numbers in zip(*places, strict=True))
    figure = Figure(figsize=(_WIDTHS[columns - 1], rows * panel_height), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, row * columns + column + 1) for row, column in places]


def empty_figure(text: str, caption: Sequence[str]) -> Figure:
    """A figure that says why it is empty."""
    figure, (axes,) = panels(1, panel_height=0.6)
    placeholder(axes, text)
    add_caption(figure, caption)
    return figure


def draw_interval(axes: Axes, x: float, interval: Interval | None, color: str, linewidth: float) -> None:
    """A vertical line, where there is an interval."""
    if interval is not None:
        axes.vlines(x, interval.low, interval.high, color=color, linewidth=linewidth)


def groups_axis(axes: Axes, groups: Sequence[int]) -> None:
    """Make x the number of groups, on a binary logarithmic scale."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(groups, [str(n) for n in groups])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("groups n")


def add_legend(figure: Figure, axes: Iterable[Axes], **place: Any) -> None:
    """One legend for all axes above them, each label once; `place` changes its location or number of columns."""
    handles = {handle.get_label(): handle for one in axes for handle in one.get_legend_handles_labels()[0]}
    if handles:
        settings: dict[str, Any] = {"loc": "outside upper center", "ncols": len(handles)} | place
        figure.legend(handles=list(handles.values()), **settings)


def ticks() -> MaxNLocator:
    """At most five round steps, for an axis of errors."""
    return MaxNLocator(5, steps=(1, 2, 2.5, 5, 10))


def placeholder(axes: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, transform=axes.transAxes)


def add_caption(figure: Figure, paragraphs: Sequence[str]) -> None:
    """Add a caption below everything, as the last step: the figure grows by its height and its layout is settled.

    The first paragraph is one short line that says what is to be seen.
    """
    width, height = figure.get_size_inches()
    letters = int(_CAPTION_LETTERS_PER_INCH * (width - 2 * _CAPTION_MARGIN))
    lines = [line for paragraph in paragraphs for line in textwrap.wrap(_unbroken(paragraph), letters)]
    caption = figure.text(
        _CAPTION_MARGIN / width, 0, "\n".join(lines), va="bottom", fontsize=6.5, linespacing=1.3, color="0.3"
    )
    added = caption.get_window_extent().height / figure.dpi + 2 * _CAPTION_MARGIN
    share = added / (height + added)
    caption.set_y(_CAPTION_MARGIN / (height + added))
    figure.set_size_inches(width, height + added)
    layout = ConstrainedLayoutEngine(rect=(0, share, 1, 1 - share), h_pad=0.07)
    figure.set_layout_engine(layout)
    # Once for all formats, as the layout takes longer than the drawing; twice, as its first pass changes the ticks.
    layout.execute(figure)
    if _break_titles(figure):
        layout.execute(figure)
    layout.execute(figure)
    figure.set_layout_engine("none")
    # The solver of the layout differs from process to process in the last bits, from which SVG files derive names.
    for axes in figure.axes:
        left, bottom, width, height = (round(value, 9) for value in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def _break_titles(figure: Figure) -> bool:
    """Break the titles of panels that would reach into the next panel or beyond the page; whether there was one.

    The layout makes room for the height of a title only.
    """
    boxes = [axes.get_window_extent() for axes in figure.axes]
    broken = False
    for axes, box in zip(figure.axes, boxes, strict=True):
        if not (text := axes.get_title("left")):
            continue
        right = [other.x0 for other in boxes if other.x0 > box.x0 and other.y0 < box.y1 and other.y1 > box.y0]
        room = min([figure.bbox.x1, *right]) - box.x0 - _TITLE_MARGIN * figure.dpi
        title = axes.set_title(text, loc="left")

        def fits(line: str, title: Text = title, room: float = room) -> bool:
            title.set_text(line)
            return title.get_window_extent().width <= room

        lines = text.split("\n")
        if not all(map(fits, lines)):
            text = "\n".join(part for line in lines for part in _broken(_unbroken(line), fits))
            broken = True
        title.set_text(text)
    return broken


def _broken(line: str, fits: Callable[[str], bool]) -> list[str]:
    """The line in parts that fit, broken after commas where there are any, else at spaces."""
    if fits(line):
        return [line]
    for separator in (", ", " "):
        heads = [line[: found.start()] + separator.rstrip() for found in re.finditer(separator, line)]
        if fitting := [head for head in heads if fits(head)]:
            return [fitting[-1], *_broken(line[len(fitting[-1]) + 1 :], fits)]
    return [line]


def _unbroken(text: str) -> str:
    """Keep numbers with their names and units."""
    return text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}").replace(" %", "\N{NO-BREAK SPACE}%")


@styled
def to_bytes(figure: Figure, file_format: str) -> bytes:
    """The figure as a file, the same bytes every time.

    Raises:
        ValueError: a format that is not in `FILE_FORMATS`.
    """
    if file_format not in FILE_FORMATS:
        raise unknown("file_format", file_format, FILE_FORMATS)
    stream = io.BytesIO()
    figure.savefig(stream, format=file_format, metadata=_METADATA[file_format])
    return stream.getvalue()
