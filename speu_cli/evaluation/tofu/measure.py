"""All measures of TOFU of one model, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speu_cli.evaluation.metric import Metric, not_computed
from speu_cli.evaluation.scores import average
from speu_cli.evaluation.tofu import truth_ratio
from speu_cli.evaluation.tofu.probability import probability, probability_among
from speu_cli.evaluation.tofu.quality import forget_quality
from speu_cli.evaluation.tofu.utility import model_utility

Floats = npt.NDArray[np.float64]

FORGET, RETAIN, AUTHORS, FACTS = "forget", "retain", "authors", "facts"
SETS = (FORGET, RETAIN, AUTHORS, FACTS)
KNOWN = (RETAIN, AUTHORS, FACTS)  # what the model's utility is made of
# Sets of questions that were not trained on: the right answer is one of several that are offered.
OFFERED = (AUTHORS, FACTS)


@dataclass(frozen=True)
class Perturbed:
    """What a model makes of questions with right and wrong answers.

    Attributes:
        losses: ℓ of the right answers [n].
        right: ℓ of the right answers in other words [n].
        wrong: ℓ of each one's wrong answers, n arrays [k].
        recalls: ROUGE-L recall of what the model answers itself [n].
    """

    losses: Floats
    right: Floats
    wrong: Sequence[Floats]
    recalls: Floats

    @property
    def log_ratios(self) -> Floats:
        """Log truth ratio of each question, as published."""
        return truth_ratio.log_ratios(self.right, self.wrong)

    @property
    def finite(self) -> bool:
        """All losses are numbers: those of a broken model are not."""
        parts = (self.losses, self.right, *self.wrong)
        return all(bool(np.isfinite(part).all()) for part in parts)


def measure_set(name: str, found: Perturbed) -> dict[str, Metric]:
    """Measure one set.

    Args:
        name: One of `SETS`.
        found: What the model made of it.

    Returns:
        `tofu.<set>.probability`, `tofu.<set>.rouge_l`, `tofu.<set>.truth_ratio` and
        `tofu.<set>.truth_ratio_arithmetic`, each a mean of fractions with the t interval, cut at 0 and 1. NaN
        where a loss is no number.
    """
    names = [f"tofu.{name}.{part}" for part in ("probability", "rouge_l", "truth_ratio")]
    names.append(f"tofu.{name}.truth_ratio_arithmetic")
    if not found.finite:
        return {one: not_computed(len(found.losses)) for one in names}
    told = truth_ratio.of_forgotten if name == FORGET else truth_ratio.of_known
    offered = name in OFFERED
    values = (
        probability_among(found.losses, found.wrong) if offered else probability(found.losses),
        found.recalls,
        told(found.log_ratios),
        told(truth_ratio.arithmetic_log_ratios(found.right, found.wrong)),
    )
    return {one: average({one: each}, name=one) for one, each in zip(names, values, strict=True)}


def measure_tofu(
    found: Mapping[str, Perturbed], reference: Mapping[str, Perturbed] | None = None
) -> dict[str, Metric]:
    """Measure a model on the sets that are there.

    Args:
        found: What the model made of each set, by a name of `SETS`; none gives nothing.
        reference: What a model retrained without the forget set made of them.

    Returns:
        Those of `measure_set`; `tofu.model_utility`, NaN unless all of `KNOWN` are there; with a forget set
        `tofu.forget_quality` and `tofu.forget_distance`, NaN without a reference.
    """
    if not found:
        return {}
    metrics: dict[str, Metric] = {}
    for name in (one for one in SETS if one in found):
        metrics |= measure_set(name, found[name])
    parts = [f"tofu.{name}.{part}" for name in KNOWN for part in ("probability", "rouge_l", "truth_ratio")]
    metrics["tofu.model_utility"] = model_utility([metrics.get(part, not_computed(0)) for part in parts])
    if FORGET in found:
        other = reference[FORGET].log_ratios if reference else np.array([])
        quality, distance = forget_quality(found[FORGET].log_ratios, other)
        metrics |= {"tofu.forget_quality": quality, "tofu.forget_distance": distance}
    return metrics
