"""What the coarse level has learned, layer by layer."""

from matplotlib.figure import Figure

from gc2l.analysis.coarse_level import error_percent
from gc2l.analysis.figures.style import FAINT, add_caption, empty_figure, mark, styled
from gc2l.records.coarse_level import CoarseLevelRecord

_CAPTION = (
    "What the coarse level of each layer does in a trained network.",
    "Trained GC-2L network, layer by layer. Left: energy of C z in percent of the output's, over the test images. "
    "Middle: effective rank of C (exponential of the entropy of its normalised singular values); dotted: n m, the "
    "largest possible. Right: test error when the layer's r x is replaced by the mean of each group's channels, times "
    "the factor that fits best; solid: as trained, dashed: all layers replaced, dotted: C = 0 in all layers.",
)


@styled
def coarse_level(record: CoarseLevelRecord | None) -> Figure:
    """One row of three panels for each network."""
    if record is None or not record.networks:
        return empty_figure("not measured", _CAPTION)
    figure = Figure(figsize=(7.2, 0.6 + 2.2 * len(record.networks)), layout="constrained")
    grid = figure.subplots(len(record.networks), 3, squeeze=False, sharey="row")
    color = mark("gc2l").color
    for (share, rank, error), network in zip(grid, record.networks, strict=True):
        places = range(len(network.layers))
        share.barh(places, [100 * layer.share for layer in network.layers], color=color)
        rank.barh(places, [layer.effective_rank for layer in network.layers], color=color)
        for place, layer in zip(places, network.layers, strict=True):
            rank.plot([layer.coarse_channels] * 2, [place - 0.4, place + 0.4], ":", color=FAINT)
        error.plot(
            [error_percent(network, layer.mean_errors) for layer in network.layers], places, "o", color=color, ms=4
        )
        for errors, line in ((network.errors, "-"), (network.mean_errors, "--"), (network.removed_errors, ":")):
            error.axvline(error_percent(network, errors), linestyle=line, color=FAINT, linewidth=1)
        share.set_yticks(places, [layer.name for layer in network.layers])
        share.invert_yaxis()
        share.set_title(network.slug, loc="left")
    for place, label in zip(grid[-1], ("C z, % of energy", "effective rank of C", "test error (%)"), strict=True):
        place.set_xlabel(label)
    add_caption(figure, _CAPTION)
    return figure
