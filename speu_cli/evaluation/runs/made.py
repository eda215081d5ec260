"""How long the request or the training took that made a model, from the result that it printed."""

import math
from collections.abc import Mapping

from speu_cli.evaluation.runs.fields import Fields
from speu_cli.evaluation.runs.lineup import ComparedModel


def seconds_of(
    values: Mapping[str, object], source: str, model: ComparedModel, forget_examples: int
) -> float:
    """Read the time of a request or of a training.

    Args:
        values: What ``speu unlearn --json`` or ``speu train --json`` printed.
        source: Where it comes from: messages name it.
        model: That it is said to have made.
        forget_examples: Size of the forget set that the model was measured on.

    Returns:
        The time in seconds.

    Raises:
        ArtifactError: It is something else, made nothing, or made another model than this.
    """
    fields = Fields(source, values)
    if "output" not in values or "seconds" not in values:
        raise fields.refused("this is not what speu unlearn --json or speu train --json prints")
    if "dry_run" in values and fields.flag("dry_run"):
        raise fields.refused("it is of a --dry-run, which made no model")
    seconds = fields.number("seconds")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise fields.refused(f"seconds is {seconds}, expected a time")
    expected: dict[str, object] = {"forget_examples": forget_examples}
    if model.forgetting is not None:
        expected |= {
            "method": model.forgetting.method,
            "parameters_changed": model.forgetting.parameters_changed,
        }
    for name, value in expected.items():
        found = values.get(name)
        if found is not None and value is not None and found != value:
            raise fields.refused(f"{name} is {found!r}, but {value!r} where {model.name!r} was evaluated")
    return seconds
