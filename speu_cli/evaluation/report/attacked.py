"""Attacks in a report: how what was forgotten comes back, as figures and as a table."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from speu_cli.evaluation.attack_names import PARAPHRASE, PREFIX, RELEARN
from speu_cli.evaluation.attacks import Curve
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.report.contents import MODEL, Contents, Relearning
from speu_cli.evaluation.report.drawing import Drawing
from speu_cli.evaluation.report.lines import lines
from speu_cli.evaluation.report.palette import MUTED
from speu_cli.evaluation.table import Table, cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Measure = Literal["loss", "score"]
FORGOTTEN = "unlearning_"
MOST_TICKS = 9


def of_relearning(relearning: Relearning | None) -> Iterator[Drawing]:
    """Draw how the loss and the score of the forgotten examples that were not shown come back, step by step.

    Args:
        relearning: Its course; None without.

    Yields:
        A figure of the loss, and one of the score.
    """
    if relearning is None:
        return
    measures: tuple[tuple[Measure, str], ...] = (("loss", "loss"), ("score", relearning.score))
    for measure, words in measures:
        each = "; ".join(
            f"{name} from {_told(curve, measure, 0)} to {_told(curve, measure, -1)}"
            for name, curve in relearning.curves.items()
        )
        said = (
            f"Mean {words.replace('_', ' ')} of the forgotten examples that were not shown, by step of a "
            f"training on the others, with 95 % intervals. From the first to the last step: {each}."
        )
        name, title = f"relearning-{measure}", f"Relearning: {words.replace('_', ' ')}"
        yield Drawing(name, title, said, partial(_draw, relearning, measure))


def attack_table(contents: Contents) -> Table | None:
    """List what each attack finds of the forgotten examples, beside the models as they are.

    Args:
        contents: Of the report.

    Returns:
        The score and below it the loss of each model, a row an attack; None without attacks.
    """
    score = next((name for name in contents.metrics[MODEL] if name.startswith(FORGOTTEN)), None)
    attacks = _attacks(contents.metrics[MODEL])
    if score is None or not attacks:
        return None
    titles = {score: score.removeprefix(FORGOTTEN).replace("_", " "), "loss.forget": "loss"}
    prefixes = {"no attack": "", **{_words(one): f"{PREFIX}{one}." for one in attacks}}
    rows = [
        [
            f"{title}: {words}",
            *(
                cell(f"{prefix}{name}", metrics.get(f"{prefix}{name}"))
                for metrics in contents.metrics.values()
            ),
        ]
        for name, title in titles.items()
        for words, prefix in prefixes.items()
    ]
    return Table(["measured", *contents.metrics], rows, _note(contents.relearning))


def _attacks(metrics: Mapping[str, Metric]) -> list[str]:
    names = [name.removeprefix(PREFIX).partition(".")[0] for name in metrics if name.startswith(PREFIX)]
    return list(dict.fromkeys(names))


def _words(attack: str) -> str:
    return {RELEARN: "relearning, last step", PARAPHRASE: "in other words"}.get(
        attack, f"weights as {attack}"
    )


def _note(relearning: Relearning | None) -> str:
    if relearning is None:
        return ""
    return (
        f"Relearning: trained on {relearning.shown:,} of the forgotten examples, measured on the other "
        f"{relearning.held_back:,} alone."
    )


def _told(curve: Curve, measure: Measure, place: int) -> str:
    return f"{getattr(curve.points[place], measure).value:.3g}"


def _draw(relearning: Relearning, measure: Measure, axes: "Axes") -> None:
    steps: Sequence[int] = []
    for name, style in lines(list(relearning.curves)).items():
        points = relearning.curves[name].points
        found: list[Metric] = [getattr(point, measure) for point in points]
        steps = [point.step for point in points]
        axes.plot(steps, [metric.value for metric in found], label=name, marker=".", **style)
        low, high = ([getattr(metric, side) for metric in found] for side in ("low", "high"))
        axes.fill_between(steps, low, high, color=style["color"], alpha=0.12, linewidth=0)
    if measure == "loss" and relearning.level == relearning.level:  # NaN is no level
        axes.axhline(relearning.level, color=MUTED, linewidth=0.8, label="half is back")
    axes.set_xscale("symlog", linthresh=1)
    shown = steps[:: -(-len(steps) // MOST_TICKS)] if steps else []
    axes.set_xticks(shown, [str(step) for step in shown])
    axes.minorticks_off()
    axes.set_xlim(left=-0.1)
    words = relearning.score if measure == "score" else "loss"
    axes.set(xlabel="steps of training", ylabel=words.replace("_", " "))
    axes.legend()
