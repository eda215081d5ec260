"""A model beside the original and the retrained ones: distances, agreement, and the floor of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speu_cli.evaluation.agreement import Divergences, Sets, agreement, agreement_of_references
from speu_cli.evaluation.gaps import gaps
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.noise import inside_noise, mean_of_references, noise

MODEL, ORIGINAL = "model", "original"


@dataclass(frozen=True)
class Comparison:
    """Metrics side by side.

    Attributes:
        model: Of the model, with its agreement with the references.
        original: Likewise of the model before, if there is one.
        reference: Means over the references, with their agreement with each other; None without one.
        gaps: Distance of the model from the mean of the references, in points.
        noise: Distance between references, in points; None of fewer than two.
        inside_noise: Which gaps are no larger than the noise.
    """

    model: dict[str, Metric]
    original: dict[str, Metric] | None
    reference: dict[str, Metric] | None
    gaps: dict[str, float] | None
    noise: dict[str, float] | None
    inside_noise: dict[str, bool | None] | None


def compare(
    measured: Mapping[str, Mapping[str, Metric]],
    references: Sequence[str],
    outcomes: Mapping[str, Sets],
    divergences: Divergences,
) -> Comparison:
    """Compare a model with references.

    Args:
        measured: Metrics of ``model``, of ``original`` if there is one, and of the references.
        references: Names of these; may be none.
        outcomes: Of all of them, on every set.
        divergences: Gives KL(one ‖ other) of each example of a set.

    Returns:
        The comparison.
    """
    model = dict(measured[MODEL])
    original = dict(measured[ORIGINAL]) if ORIGINAL in measured else None
    if not references:
        return Comparison(model, original, None, None, None, None)
    each = [measured[name] for name in references]
    reference = mean_of_references(each)
    distances, floor = gaps(model, reference), noise(each)
    model |= agreement(MODEL, references, outcomes, divergences)
    if original is not None:
        original |= agreement(ORIGINAL, references, outcomes, divergences)
    reference |= agreement_of_references(references, outcomes, divergences)
    inside = None if floor is None else inside_noise(distances, floor)
    return Comparison(model, original, reference, distances, floor, inside)
