"""Membership inference on language models: attacks that need no fitting, each at every threshold at once.

Every attack gives an example one number, higher for what looks known: minus the mean loss; that over the
compressed length of the text (zlib); the mean log p of the least likely tokens (Min-K); that of log p
standardised under the model's own distribution over the vocabulary (Min-K++).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from speu_cli.evaluation.membership import auc
from speu_cli.evaluation.metric import Metric, not_computed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speu_cli.tasks.outcomes import Outcomes

ATTACKS = ("zlib", "min_k", "min_k_plus_plus")
LEAK, LEAK_OF = "membership.privleak", "membership.min_k.auc"


def language_membership(forget: Outcomes, test: Outcomes) -> dict[str, Metric]:
    """Attack the forget set beside the test set.

    Args:
        forget: Outcomes on D_f.
        test: Outcomes on the test set.

    Returns:
        `membership.loss.auc`, `membership.zlib.auc`, `membership.min_k.auc` and
        `membership.min_k_plus_plus.auc`: the chance that a random forget example looks better known than a
        random test example, 0.5 where the two cannot be told apart. Nothing for other tasks' outcomes.
    """
    if not all(set(ATTACKS) <= outcomes.answers.keys() for outcomes in (forget, test)):
        return {}
    sides = {"loss": (-forget.losses, -test.losses)}
    sides |= {name: (forget.answers[name], test.answers[name]) for name in ATTACKS}
    return {f"membership.{name}.auc": auc(*both) for name, both in sides.items()}


def privacy_leak(metrics: Mapping[str, Metric], reference: Mapping[str, Metric]) -> dict[str, Metric]:
    """Compare the area of Min-K with that of a model retrained without the forget set.

    Args:
        metrics: Of the model, with those of `language_membership`; without them there is nothing to compare.
        reference: Of the retrained model.

    Returns:
        `membership.privleak` in per cent, 100·((1 − A) − (1 − A_r))/(1 − A_r): 0 as after retraining, below 0
        where the forget set still looks known, above 0 where it looks less known than retraining leaves it.
        The interval is that of A, with A_r held fixed. NaN where A_r is 1 or either is missing.
    """
    if LEAK_OF not in metrics:
        return {}
    found, other = metrics[LEAK_OF], reference.get(LEAK_OF, not_computed(0)).value
    if not (math.isfinite(found.value) and math.isfinite(other)) or other == 1:
        return {LEAK: not_computed(found.n)}
    # A higher area is a lower value: the bounds change places.
    value, low, high = (100 * (other - area) / (1 - other) for area in (found.value, found.high, found.low))
    return {LEAK: Metric(value, low, high, found.n)}
