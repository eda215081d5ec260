"""How metrics of a model under attack are called: ``attack.<attack>.<metric>``."""

from collections.abc import Mapping

from speu_cli.evaluation.metric import Metric

PREFIX = "attack."
RELEARN, PARAPHRASE = "relearn", "paraphrase"
# Of relearning alone; no metric of a model as it is has this name.
STEPS = "steps"


def under_attack(attack: str, metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Name metrics after the attack that they were measured under."""
    return {f"{PREFIX}{attack}.{name}": metric for name, metric in metrics.items()}
