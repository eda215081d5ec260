"""What is said about a model after a request: scores, losses and membership on three sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speu_cli.evaluation import intervals
from speu_cli.evaluation.language_membership import language_membership
from speu_cli.evaluation.membership import membership
from speu_cli.evaluation.membership_per_class import per_class_attacks
from speu_cli.evaluation.metric import Metric, not_computed
from speu_cli.evaluation.scores import FURTHER, SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speu_cli.tasks.outcomes import Outcomes


def measure(
    forget: Outcomes, remaining: Outcomes, test: Outcomes, *, score_name: str, seed: int = 0
) -> dict[str, Metric]:
    """Measure a model on the forget, remaining and test sets.

    Args:
        forget: Outcomes on D_f.
        remaining: Outcomes on D_r, or on a random part of it.
        test: Outcomes on the test set.
        score_name: A key of `SCORES`: the task's score.
        seed: Of the draw that the membership attack is fitted on.

    Returns:
        By name, in reading order: `unlearning_<score>`, `remaining_<score>` and `testing_<score>` (the
        score on D_f, D_r and the test set; all three higher for a model that knows more), `<score>.forget`,
        `<score>.remaining` and `<score>.test` of each further score of the task that the outcomes allow,
        `loss.forget`, `loss.remaining`, `loss.test`, those of `membership`, where there are classes those of
        `per_class_attacks`, and of language models those of `language_membership`.

    Raises:
        ValueError: If there is no score of that name.
    """
    if score_name not in SCORES:
        raise ValueError(f"score {score_name!r}, expected one of: {', '.join(SCORES)}")
    sets = {"forget": forget, "remaining": remaining, "test": test}
    return {
        f"unlearning_{score_name}": _score(forget, score_name),
        f"remaining_{score_name}": _score(remaining, score_name),
        f"testing_{score_name}": _score(test, score_name),
        **_further(sets, score_name),
        "loss.forget": intervals.mean(forget.losses),
        "loss.remaining": intervals.mean(remaining.losses),
        "loss.test": intervals.mean(test.losses),
        **membership(forget.confidences, remaining.confidences, test.confidences, seed=seed),
        **per_class_attacks(forget, remaining, test, seed=seed),
        **language_membership(forget, test),
    }


def _further(sets: Mapping[str, Outcomes], score_name: str) -> dict[str, Metric]:
    known = [
        name
        for name in FURTHER.get(score_name, ())
        if any(SCORES[name].made_of <= outcomes.answers.keys() for outcomes in sets.values())
    ]
    return {f"{name}.{place}": _score(outcomes, name) for name in known for place, outcomes in sets.items()}


def _score(outcomes: Outcomes, score_name: str) -> Metric:
    score, answers = SCORES[score_name], outcomes.answers
    # The largest of NaN logits is still some class: a score of a broken model would look like a score.
    finite = all(np.isfinite(x).all() for x in (outcomes.losses, *answers.values()))
    if not finite or not score.made_of <= answers.keys():
        return not_computed(len(outcomes))
    return score.of(answers)
