"""All figures of a report."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from speu_cli.evaluation.report import attacked, unit_figures
from speu_cli.evaluation.report.contents import FORGET, MODEL, REMAINING, TEST, Contents
from speu_cli.evaluation.report.drawing import Drawing
from speu_cli.evaluation.report.lines import lines
from speu_cli.evaluation.report.palette import AFTER, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]
LEAST_LOSS = 1e-5  # a logarithm needs an end; what is below is counted there
BINS = 24
MOST_POINTS = 300
_SETS = {
    FORGET: ("Forgotten examples", "the examples to forget"),
    REMAINING: ("Remaining examples", "the remaining training examples"),
    TEST: ("Held-out examples", "examples that no model was trained on"),
}


def figures(contents: Contents) -> list[Drawing]:
    """Make the figures that there is something to draw of.

    Args:
        contents: Of the report.

    Returns:
        Histograms of losses, the curves of attacks, and what is known of the mask and of the weights.
    """
    return [
        *_histograms(contents),
        *_curves(contents),
        *attacked.of_relearning(contents.relearning),
        *unit_figures.of_mask(contents.known.selected),
        *unit_figures.of_movement(contents.known.movement),
    ]


def _histograms(contents: Contents) -> Iterator[Drawing]:
    for place, (title, words) in _SETS.items():
        losses = {
            name: found[np.isfinite(found)]
            for name in contents.metrics
            if len(found := contents.outcomes[name][place].losses)
        }
        losses = {name: found for name, found in losses.items() if len(found)}
        if not losses:
            continue
        medians = ", ".join(f"{name} {np.median(found):.3g}" for name, found in losses.items())
        description = f"Histogram of the loss of {words}, on a logarithmic axis. Medians: {medians}."
        yield Drawing(f"losses-{place}", f"{title}: loss", description, partial(_draw_losses, losses))


def _draw_losses(losses: Mapping[str, Floats], axes: "Axes") -> None:
    clipped = {name: np.log10(np.maximum(found, LEAST_LOSS)) for name, found in losses.items()}
    low = min(float(found.min()) for found in clipped.values())
    high = max(float(found.max()) for found in clipped.values())
    edges = 10 ** np.linspace(low, max(high, low + 1), BINS + 1)
    for name, line in lines(list(losses)).items():
        shares = np.histogram(np.maximum(losses[name], LEAST_LOSS), edges)[0] / len(losses[name])
        axes.stairs(100 * shares, edges, label=name, fill=False, **line)
        if name == MODEL:
            axes.stairs(100 * shares, edges, fill=True, color=AFTER, alpha=0.2)
    axes.set(xscale="log", xlabel="loss of an example", ylabel="% of examples")
    axes.legend()


def _curves(contents: Contents) -> Iterator[Drawing]:
    curves = {}
    for name in contents.metrics:
        forget, test = (contents.outcomes[name][place].confidences for place in (FORGET, TEST))
        if len(forget) and len(test) and np.isfinite(forget).all() and np.isfinite(test).all():
            truth = np.concatenate([np.ones(len(forget)), np.zeros(len(test))])
            curves[name] = _thinned(*roc_curve(truth, np.concatenate([forget, test]))[:2])
    if not curves:
        return
    areas = {name: metric.value for name in curves if (metric := contents.metric(name, "membership.auc"))}
    told = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    description = (
        "Share of forgotten examples that the attack recognises against the share of held-out examples that "
        f"it takes for trained ones, at every threshold. The diagonal is guessing. Areas: {told}."
    )
    yield Drawing("membership", "Membership attack", description, partial(_draw_curves, curves, areas))


def _thinned(false: Floats, true: Floats) -> tuple[Floats, Floats]:
    kept = np.unique(np.linspace(0, len(false) - 1, MOST_POINTS).round().astype(int))
    return false[kept], true[kept]


def _draw_curves(
    curves: Mapping[str, tuple[Floats, Floats]], areas: Mapping[str, float], axes: "Axes"
) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, label="guessing 0.500")
    for name, line in lines(list(curves)).items():
        axes.plot(*curves[name], label=f"{name} {areas[name]:.3f}" if name in areas else name, **line)
    axes.set(xlabel="held-out examples called trained", ylabel="forgotten called trained")
    axes.legend(loc="lower right")
