"""A model under attack: the metrics of before once more, and the steps of relearning it withstands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speu_cli.evaluation import intervals
from speu_cli.evaluation.attack_names import RELEARN, STEPS, under_attack
from speu_cli.evaluation.metric import Metric, not_computed
from speu_cli.evaluation.metrics import measure
from speu_cli.tasks.outcomes import Outcomes

_NOTHING = Outcomes(np.zeros(0), np.zeros(0), {})


def measure_forgotten(forgotten: Outcomes, score_name: str) -> dict[str, Metric]:
    """Measure a model on forgotten examples, or on what stands for them, alone.

    Args:
        forgotten: Outcomes on them.
        score_name: The task's score.

    Returns:
        ``unlearning_<score>`` and ``loss.forget``.
    """
    found = measure(forgotten, _NOTHING, _NOTHING, score_name=score_name)
    return {name: found[name] for name in (f"unlearning_{score_name}", "loss.forget")}


def measure_changed(
    forget: Outcomes, remaining: Outcomes, test: Outcomes, *, score_name: str, seed: int
) -> dict[str, Metric]:
    """Measure a model whose weights were changed: what it knows again, and what it is still good for.

    Args:
        forget: Outcomes on D_f.
        remaining: Outcomes on D_r, or on a random part of it.
        test: Outcomes on the test set.
        score_name: The task's score.
        seed: As of `measure`.

    Returns:
        The scores on the three sets, ``loss.forget`` and ``membership.auc``.
    """
    found = measure(forget, remaining, test, score_name=score_name, seed=seed)
    scores = [f"{place}_{score_name}" for place in ("unlearning", "remaining", "testing")]
    return {name: found[name] for name in (*scores, "loss.forget", "membership.auc")}


@dataclass(frozen=True)
class Point:
    """A model after some steps of relearning, measured on the forgotten examples that it was not shown.

    Attributes:
        step: Steps done.
        score: The task's score.
        loss: Mean loss.
    """

    step: int
    score: Metric
    loss: Metric


@dataclass(frozen=True)
class Curve:
    """The course of a relearning.

    Attributes:
        points: From step 0 to the last.
        fall: How far an example's loss fell from the first to the last of them, in the mean.
    """

    points: Sequence[Point]
    fall: Metric


def curve(seen: Sequence[tuple[int, Outcomes]], score_name: str) -> Curve:
    """Measure the course of a relearning.

    Args:
        seen: Steps done, and the outcomes on the examples that were not shown; from step 0 on.
        score_name: The task's score.

    Returns:
        The curve. The interval of the fall is that of differences example by example.
    """
    points = []
    for step, held_back in seen:
        found = measure_forgotten(held_back, score_name)
        points.append(Point(step, found[f"unlearning_{score_name}"], found["loss.forget"]))
    before, after = seen[0][1].losses, seen[-1][1].losses
    return Curve(points, intervals.mean(before - after))


def level_between(model: Curve, original: Curve | None) -> float:
    """The loss at which half of what was forgotten is back: halfway from the model's to the original's.

    Args:
        model: Of the model in question.
        original: Of the model before the request, if it was given.

    Returns:
        The mean of their losses before the first step; NaN without an original, and for a model that has no
        higher loss than it, which has forgotten nothing.
    """
    if original is None:
        return math.nan
    loss, target = model.points[0].loss.value, original.points[0].loss.value
    return (loss + target) / 2 if loss > target else math.nan


def withstood(curve: Curve, level: float) -> Metric:
    """Count the steps that a model withstands: the last point before its loss is first at the level or below.

    Args:
        curve: The course.
        level: From `level_between`.

    Returns:
        Steps, without an interval: those of the last point if the loss never comes down, 0 if it is there
        at the first step that was looked at, or from the start. NaN without a level, and where a loss
        is not finite.
    """
    n = curve.points[0].loss.n
    last = 0
    for one in curve.points:
        if not math.isfinite(one.loss.value) or math.isnan(level):
            return not_computed(n)
        if one.loss.value <= level:
            break
        last = one.step
    return Metric(float(last), math.nan, math.nan, n)


def of_relearning(curve: Curve, level: float, score_name: str) -> dict[str, Metric]:
    """Tell what relearning brought back.

    Args:
        curve: The course.
        level: From `level_between`.
        score_name: The task's score.

    Returns:
        ``attack.relearn.unlearning_<score>`` and ``attack.relearn.loss.forget`` after the last step,
        ``attack.relearn.loss.fall`` and ``attack.relearn.steps`` (see `withstood`).
    """
    end = curve.points[-1]
    found: Mapping[str, Metric] = {
        f"unlearning_{score_name}": end.score,
        "loss.forget": end.loss,
        "loss.fall": curve.fall,
        STEPS: withstood(curve, level),
    }
    return under_attack(RELEARN, found)
