"""A model under attack: the metrics of before once more, and the steps of relearning it withstands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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


Curve = Sequence[Point]


def point(step: int, held_back: Outcomes, score_name: str) -> Point:
    """Measure a model after some steps of relearning."""
    found = measure_forgotten(held_back, score_name)
    return Point(step, found[f"unlearning_{score_name}"], found["loss.forget"])


def level_between(model: Curve, original: Curve | None) -> float:
    """The loss at which half of what was forgotten is back: halfway from the model's to the original's.

    Args:
        model: Of the model in question.
        original: Of the model before the request, if it was given.

    Returns:
        The mean of their losses before the first step; NaN without an original, and for a model that has no
        higher loss than it, which has forgotten nothing.
    """
    if original is None or not model[0].loss.value > original[0].loss.value:
        return math.nan
    return (model[0].loss.value + original[0].loss.value) / 2


def withstood(curve: Curve, level: float) -> Metric:
    """Count the steps that a model withstands: the last point before its loss is first at the level or below.

    Args:
        curve: From step 0 on.
        level: From `level_between`.

    Returns:
        Steps, without an interval: those of the last point if the loss never comes down, 0 if it is there
        at the first step that was looked at, or from the start. NaN without a level, and where a loss
        is not finite.
    """
    n = curve[0].loss.n
    last = 0
    for one in curve:
        if not math.isfinite(one.loss.value) or math.isnan(level):
            return not_computed(n)
        if one.loss.value <= level:
            break
        last = one.step
    return Metric(float(last), math.nan, math.nan, n)


def of_relearning(curve: Curve, level: float, score_name: str) -> dict[str, Metric]:
    """Tell what relearning brought back.

    Args:
        curve: From step 0 to the last.
        level: From `level_between`.
        score_name: The task's score.

    Returns:
        ``attack.relearn.unlearning_<score>`` and ``attack.relearn.loss.forget`` after the last step, and
        ``attack.relearn.steps`` (see `withstood`).
    """
    end = curve[-1]
    found: Mapping[str, Metric] = {
        f"unlearning_{score_name}": end.score,
        "loss.forget": end.loss,
        STEPS: withstood(curve, level),
    }
    return under_attack(RELEARN, found)
