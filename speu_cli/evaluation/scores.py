"""The scores of tasks, each from what a model answered on one set of examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from speu_cli.evaluation import intervals
from speu_cli.evaluation.metric import Metric, not_computed

Floats = npt.NDArray[np.float64]
Answers = Mapping[str, Floats]


@dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        made_of: Names of the answers that it needs.
        of: Computes it from them, each [n].
    """

    made_of: frozenset[str]
    of: Callable[[Answers], Metric]


def accuracy(answers: Answers) -> Metric:
    """Measure the fraction of right predictions.

    Args:
        answers: ``predictions`` and ``labels``.

    Returns:
        The accuracy, with Wilson's interval.
    """
    right = int(np.count_nonzero(answers["predictions"] == answers["labels"]))
    return intervals.proportion(right, len(answers["labels"]))


def class_shift(answers: Answers) -> Metric:
    """Measure how far the classes are from being predicted as often as they are true.

    Args:
        answers: ``predictions`` and ``labels``.

    Returns:
        The total variation distance of the two distributions over the classes, ½ Σ_c |p_c − q_c|; without
        bounds.
    """
    predictions, labels = answers["predictions"], answers["labels"]
    n = len(labels)
    if not n:
        return not_computed(0)
    differences = [
        np.count_nonzero(predictions == one) - np.count_nonzero(labels == one)
        for one in np.union1d(predictions, labels)
    ]
    return Metric(float(np.abs(differences).sum()) / (2 * n), math.nan, math.nan, n)


def spearman(answers: Answers) -> Metric:
    """Measure the rank correlation of ``predictions`` and ``labels``, with Bonett and Wright's interval."""
    return intervals.spearman(answers["predictions"], answers["labels"])


def pearson(answers: Answers) -> Metric:
    """Measure the linear correlation of ``predictions`` and ``labels``, with Fisher's interval."""
    return intervals.pearson(answers["predictions"], answers["labels"])


def fraction(answers: Answers, *, name: str) -> Metric:
    """Measure how often what is 0 or 1 is 1, with Wilson's interval."""
    return intervals.proportion(int(answers[name].sum()), len(answers[name]))


def average(answers: Answers, *, name: str) -> Metric:
    """Measure the mean of a number from 0 to 1, with the t interval, cut at 0 and 1."""
    found = intervals.mean(answers[name])
    low, high = (float(bound) for bound in np.clip([found.low, found.high], 0, 1))
    return Metric(found.value, low, high, found.n)


def best_threshold(answers: Answers, *, name: str) -> tuple[float, float]:
    """Find the threshold on the margin of having no answer at which a score is highest.

    As the evaluation script of SQuAD 2.0 does: at first every question counts as unanswerable; in ascending
    order of their margins they are given the best span instead.

    Args:
        answers: ``margin``, ``answerable`` and the score of the best spans, each [n], at least one.
        name: Of that score.

    Returns:
        The mean score, and the threshold: a question above it is said to have no answer.
    """
    answerable = answers["answerable"] > 0
    gains = np.where(answerable, answers[name], -1.0)
    order = np.argsort(answers["margin"], kind="stable")
    totals = np.concatenate([[0.0], np.cumsum(gains[order])]) + np.count_nonzero(~answerable)
    best = int(np.argmax(totals))
    threshold = float(answers["margin"][order[best - 1]]) if best else 0.0
    return float(totals[best]) / len(gains), threshold


def _at_best(answers: Answers, *, name: str, which: int) -> Metric:
    n = len(answers[name])
    if not n:
        return not_computed(0)
    return Metric(best_threshold(answers, name=name)[which], math.nan, math.nan, n)


def _of_spans(name: str, which: int) -> Score:
    made_of = frozenset({name, "margin", "answerable"})
    return Score(made_of, partial(_at_best, name=name, which=which))


_BOTH = frozenset({"predictions", "labels"})

SCORES = {
    "accuracy": Score(_BOTH, accuracy),
    "spearman": Score(_BOTH, spearman),
    "pearson": Score(_BOTH, pearson),
    "class_shift": Score(_BOTH, class_shift),
    "f1": Score(frozenset({"f1"}), partial(average, name="f1")),
    "exact": Score(frozenset({"exact"}), partial(fraction, name="exact")),
    "best_f1": _of_spans("span_f1", 0),
    "best_exact": _of_spans("span_exact", 0),
    "threshold_f1": _of_spans("span_f1", 1),
    "threshold_exact": _of_spans("span_exact", 1),
    "probability": Score(frozenset({"probability"}), partial(average, name="probability")),
    "rouge_l": Score(frozenset({"rouge_l"}), partial(average, name="rouge_l")),
    "token_accuracy": Score(frozenset({"token_accuracy"}), partial(average, name="token_accuracy")),
    "exact_memorisation": Score(
        frozenset({"exact_memorisation"}), partial(average, name="exact_memorisation")
    ),
    "extraction_strength": Score(
        frozenset({"extraction_strength"}), partial(average, name="extraction_strength")
    ),
}
# What is told beside a task's own score.
FURTHER = {
    "accuracy": ("class_shift",),
    "spearman": ("pearson",),
    "f1": ("exact", "best_f1", "best_exact", "threshold_f1", "threshold_exact"),
    "probability": ("token_accuracy", "exact_memorisation", "extraction_strength", "rouge_l"),
}
