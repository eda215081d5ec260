"""The figures of a comparison: what was forgotten against what was kept, and against time."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from speu_cli.evaluation.report.drawing import HEIGHT, Drawing
from speu_cli.evaluation.report.palette import AFTER, BEFORE, RETRAINED
from speu_cli.evaluation.report.visible import visible
from speu_cli.evaluation.runs.lineup import ORIGINAL, REFERENCE, RUN, ComparedModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST = 24  # characters of a name in a legend
COLUMNS = 2
LINE = 0.17  # inches of a line of the legend
NEAR = 0.06  # of an axis: points that would hide each other's numbers
_MARKS = {ORIGINAL: (BEFORE, "s"), REFERENCE: (RETRAINED, "*"), RUN: (AFTER, "o")}


@dataclass(frozen=True)
class Point:
    """A model in a plane.

    Attributes:
        model: The model.
        mark: What stands beside it: a number, or a letter for one that is no run.
        x: Its place, finite.
        y: Likewise.
    """

    model: ComparedModel
    mark: str
    x: float
    y: float

    @property
    def label(self) -> str:
        """Its line in the legend."""
        # A dollar would begin a formula.
        return f"{self.mark}  {visible(self.model.name, LONGEST)}".replace("$", r"\$")


def figures(models: Sequence[ComparedModel], score: str) -> list[Drawing]:
    """Make the figures that there is something to draw of.

    Args:
        models: In the order of the tables.
        score: Name of the task's score.

    Returns:
        Efficacy against fidelity; efficacy against time, if times are known.
    """
    return [*_of_fidelity(models, score), *_of_time(models, score)]


def _of_fidelity(models: Sequence[ComparedModel], score: str) -> Iterator[Drawing]:
    """Distances from the retrained model, or without one the scores themselves."""
    compared = any(model.gaps for model in models)

    def gap(model: ComparedModel, place: str) -> float:
        if model.kind == REFERENCE:
            return 0.0
        return (model.gaps or {}).get(f"gap.{place}_{score}", math.nan)

    def share(model: ComparedModel, place: str) -> float:
        metric = model.metrics.get(f"{place}_{score}")
        return math.nan if metric is None else 100 * metric.value

    value = gap if compared else share
    points = _points(
        models,
        lambda model: value(model, "unlearning"),
        lambda model: (value(model, "remaining") + value(model, "testing")) / 2,
    )
    if not points:
        return
    words = score.replace("_", " ")
    axes = (
        (f"gap in {words} on the forgotten examples, in points", "gap on the others, in points")
        if compared
        else (f"{words} on the forgotten examples, in %", f"{words} on the others, in %")
    )
    told = (
        "Distance from the retrained model, which is at 0 on both axes: on the forgotten examples to the "
        "right, on the remaining and the test examples, in the mean, upwards. The lower left corner is best."
        if compared
        else "Score on the forgotten examples to the right, on the remaining and the test examples, in the "
        "mean, upwards. Without a retrained model nothing says where a model should be."
    )
    yield _drawing("fidelity", "Forgotten and kept", f"{told} {_listed(points)}", points, axes)


def _of_time(models: Sequence[ComparedModel], score: str) -> Iterator[Drawing]:
    compared = any(model.gaps for model in models)

    def distance(model: ComparedModel) -> float:
        if not compared:
            return 100 * model.metrics[f"unlearning_{score}"].value
        return 0.0 if model.kind == REFERENCE else (model.gaps or {}).get("gap.average", math.nan)

    points = _points(models, lambda model: model.seconds or math.nan, distance)
    if not points:
        return
    words = score.replace("_", " ")
    name = "average gap, in points" if compared else f"{words} on the forgotten examples, in %"
    told = f"Time of the request, on a logarithmic axis, against {name.replace(', in points', ' in points')}."
    axes = ("time of the request, in seconds", name)
    yield _drawing("time", "Time", f"{told} {_listed(points)}", points, axes, logarithmic=True)


def _points(
    models: Sequence[ComparedModel], x: Callable[[ComparedModel], float], y: Callable[[ComparedModel], float]
) -> list[Point]:
    """The models that have a place, numbered as they come: the same number in every figure."""
    found, number = [], 0
    for model in models:
        number += model.kind == RUN
        mark = str(number) if model.kind == RUN else model.kind[0].upper()
        place = x(model), y(model)
        if all(map(math.isfinite, place)):
            found.append(Point(model, mark, *place))
    return found if any(point.model.kind == RUN for point in found) else []


def _listed(points: Sequence[Point]) -> str:
    places = (f"{visible(one.model.name, LONGEST)} {one.x:.3g} and {one.y:.3g}" for one in points)
    return f"Right and up: {'; '.join(places)}."


def _drawing(
    name: str,
    title: str,
    description: str,
    points: Sequence[Point],
    axes: tuple[str, str],
    *,
    logarithmic: bool = False,
) -> Drawing:
    draw = partial(_draw, points, axes, logarithmic)
    return Drawing(name, title, description, draw, HEIGHT + LINE * math.ceil(len(points) / COLUMNS))


def _draw(points: Sequence[Point], names: tuple[str, str], logarithmic: bool, axes: "Axes") -> None:
    for point in points:
        color, shape = _MARKS[point.model.kind]
        size = 9 if point.model.kind == REFERENCE else 6
        axes.plot(
            point.x, point.y, shape, color=color, markersize=size, clip_on=False, label=point.label, zorder=3
        )
    axes.set(xlabel=names[0], ylabel=names[1])
    if logarithmic:
        _scale_logarithmically(axes)
    axes.margins(0.1)
    for marks, x, y in _together(points, logarithmic):
        axes.annotate(", ".join(marks), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncol=COLUMNS, frameon=False)


def _scale_logarithmically(axes: "Axes") -> None:
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        """0.3 rather than 3e-01."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(Plain())
    axes.xaxis.set_minor_formatter(Plain(minor_thresholds=(2, 0.5)))


def _together(points: Sequence[Point], logarithmic: bool) -> list[tuple[list[str], float, float]]:
    """Marks by place: those of points that nearly coincide stand in one text."""
    places = [(math.log(one.x) if logarithmic else one.x, one.y) for one in points]
    spans = [max(side) - min(side) or 1.0 for side in zip(*places, strict=True)]
    found: list[tuple[list[str], float, float, tuple[float, float]]] = []
    for point, place in zip(points, places, strict=True):
        for marks, _, _, other in found:
            if all(abs(a - b) <= NEAR * span for a, b, span in zip(place, other, spans, strict=True)):
                marks.append(point.mark)
                break
        else:
            found.append(([point.mark], point.x, point.y, place))
    return [(marks, x, y) for marks, x, y, _ in found]
