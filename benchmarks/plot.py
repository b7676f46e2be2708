"""Draws size against latency, one point for each contestant, its error next to it."""

import itertools

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from keras_poolformer.images.drawing import BLUE, GRAY, ORANGE, plot_style

COLORS = {"ours": BLUE, "peer": ORANGE, "floor": GRAY}
MARKERS = {"ours": "o", "peer": "s", "floor": "^"}
MEANINGS = {"ours": "ours", "peer": "alternatives", "floor": "floor: convolutions + activations"}
# Where a label may go, nearest first: distances in points, directions in degrees.
DISTANCES = range(10, 140, 10)
DIRECTIONS = (
    45,
    -45,
    135,
    -135,
    20,
    -20,
    160,
    -160,
    65,
    -65,
    115,
    -115,
    80,
    -80,
    100,
    -100,
    0,
    180,
)
MARGIN = 3  # pixels around a label
SWEEPS = 4


def draw(results, path, title):
    """Writes the picture.

    Args:
        results: Results of `compare.compare`.
        path: PNG file to write.
        title: Name of the network.
    """
    with mpl.rc_context(plot_style()):
        figure = Figure(figsize=(10, 6.5), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        rows = results["contestants"]
        for kind, meaning in MEANINGS.items():
            _scatter(axes, [row for row in rows if row["kind"] == kind], kind, meaning)
        _style(axes, rows)
        axes.set_title(
            f"{title}, {results['size']} pixels, batch 1, one thread\n{results['machine']['cpu']}"
        )
        axes.legend(loc="lower right")
        canvas.draw()
        figure.set_layout_engine("none")  # labels keep their places
        _label(canvas.get_renderer(), axes, rows)
        figure.savefig(path)


def _scatter(axes, rows, kind, meaning):
    if not rows:
        return
    x = np.array([row["ms"]["value"] for row in rows])
    ends = np.array([[row["ms"]["low"], row["ms"]["high"]] for row in rows]).T
    axes.errorbar(
        x, [_megabytes(row) for row in rows], xerr=np.abs(ends - x), fmt=MARKERS[kind],
        color=COLORS[kind], markersize=6, elinewidth=1, markeredgecolor="white", label=meaning,
        zorder=3,
    )  # fmt: skip


def _style(axes, rows):
    """Logarithmic axes with plain numbers, and room around the points for the labels."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, values, room in (
        (axes.xaxis, [row["ms"]["value"] for row in rows], 1.5),
        (axes.yaxis, [_megabytes(row) for row in rows], 2.2),
    ):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        limits = (min(values) / room, max(values) * room)
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(limits)
    axes.set_xlabel("milliseconds an image (median, 95 % interval)")
    axes.set_ylabel("file size in MB")


def _label(renderer, axes, rows):
    """Puts name and error of each point on a free spot near it, with a line to it."""
    points = _pixels(axes, rows, "value")
    labels, spots = [], []
    for row, point in zip(rows, points, strict=True):
        error = "" if row["error"] is None else f"\nerror {row['error']:.0e}"
        label = axes.annotate(
            f"{row['name']}{error}", point, point, xycoords="figure pixels",
            textcoords="figure pixels", color=COLORS[row["kind"]], fontsize=8, ha="center",
            va="center", arrowprops={"arrowstyle": "-", "color": GRAY, "linewidth": 0.7},
        )  # fmt: skip
        labels.append(label)
        extent = label.get_window_extent(renderer)
        spots.append(list(_spots(point, extent, axes.figure.dpi / 72)))
    dots = [_box(x - 6, y - 6, 12, 12) for x, y in points]
    ends = zip(_pixels(axes, rows, "low"), _pixels(axes, rows, "high"), strict=True)
    intervals = [_box(low[0], low[1] - 3, high[0] - low[0], 6) for low, high in ends]
    legend = axes.get_legend().get_window_extent(renderer)
    chosen = _choose(points, spots, dots, intervals, legend, axes.get_window_extent(renderer))
    for label, (centre, _, _) in zip(labels, chosen, strict=True):
        label.set_position(centre)


def _pixels(axes, rows, end):
    """Where the latency of each row, or an end of its interval, is drawn."""
    return axes.transData.transform([(row["ms"][end], _megabytes(row)) for row in rows])


def _choose(points, spots, dots, intervals, legend, inside):
    """One of each label's spots, so that labels, lines and points touch as little as may be.

    Each label in turn takes its best spot, given where the others are; then all again.
    """
    chosen = {}
    for _, index in itertools.product(range(SWEEPS), np.argsort([x for x, _ in points])):
        others = [spot for place, spot in chosen.items() if place != index]
        boxes = [legend, *(box for _, box, _ in others)]
        lines = [line for _, _, line in others]
        # A line may start in the dots of close neighbours, but not cross others.
        distant = boxes + [dot for dot in dots if not dot.contains(*points[index])]

        def faults(spot, boxes=boxes, lines=lines, distant=distant):
            _, box, line = spot
            outside = box.x0 < inside.x0 or box.x1 > inside.x1
            outside |= box.y0 < inside.y0 or box.y1 > inside.y1
            touched = sum(line.intersects_bbox(one, filled=False) for one in distant)
            touched += sum(one.intersects_bbox(box, filled=False) for one in lines)
            touched += sum(line.intersects_path(one, filled=False) for one in lines)
            return outside, box.count_overlaps(boxes + dots + intervals), touched

        chosen[index] = min(spots[index], key=faults)  # the nearest of the best
    return [chosen[index] for index in range(len(points))]


def _spots(point, extent, pixels_per_point):
    """(centre, box, line to the point) of where a label may go, nearest first."""
    width, height = extent.width + 2 * MARGIN, extent.height + 2 * MARGIN
    for distance, direction in itertools.product(DISTANCES, DIRECTIONS):
        angle, reach = np.radians(direction), distance * pixels_per_point
        # From the edge of the label that faces the point.
        x = point[0] + np.cos(angle) * (reach + width / 2)
        y = point[1] + np.sin(angle) * (reach + height / 2)
        box = _box(x - width / 2, y - height / 2, width, height)
        yield (x, y), box, Path([point, (x, y)])


def _box(x, y, width, height):
    return Bbox.from_bounds(x, y, width, height)


def _megabytes(row):
    return row["bytes"] / 1e6
