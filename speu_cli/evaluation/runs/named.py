"""Numbers of a model by name: what can be shown as a column, and sorted by."""

import math
from collections.abc import Iterable, Sequence

from speu_cli.errors import InputError
from speu_cli.evaluation.definitions.lookup import nearest
from speu_cli.evaluation.runs.lineup import RUN, ComparedModel
from speu_cli.evaluation.table import cell, points
from speu_cli.wording import duration, size

NOT_MEASURED = "not measured"
SECONDS, CHANGED, WRITTEN = "seconds", "parameters_changed", "bytes_written"
DESCENDING = "-"


def value_of(model: ComparedModel, name: str) -> float:
    """Look up a number of a model.

    Args:
        model: The model.
        name: A metric, ``gap.<metric>``, ``gap.average``, ``seconds``, ``parameters_changed`` or
            ``bytes_written``.

    Returns:
        It; NaN where the model has none.
    """
    if name in model.metrics:
        return model.metrics[name].value
    found = model.seconds if name == SECONDS else _of_request(model, name)
    found = found if found is not None else (model.gaps or {}).get(name)
    return math.nan if found is None else float(found)


def told(model: ComparedModel, name: str) -> str:
    """Write a number of a model for a person, a metric with its interval.

    Args:
        model: The model.
        name: As of `value_of`.

    Returns:
        It with its unit.
    """
    if name in model.metrics:
        return cell(name, model.metrics[name])
    value = value_of(model, name)
    if name in (model.gaps or {}):
        return points(value)
    if math.isnan(value):
        return NOT_MEASURED
    if name == SECONDS:
        return duration(value)
    return size(value) if name == WRITTEN else f"{value:,.0f}"


def require_known(models: Sequence[ComparedModel], names: Iterable[str]) -> None:
    """Refuse names that no model has a number of.

    Args:
        models: All of them.
        names: As of `value_of`.

    Raises:
        InputError: One is of no model.
    """
    known = {SECONDS, CHANGED, WRITTEN}
    for model in models:
        known |= {*model.metrics, *(model.gaps or {})}
    for name in names:
        if name not in known:
            near = nearest(name, sorted(known)) or sorted(known)[:3]
            raise InputError(f"no model has {name!r}, expected a metric such as {', '.join(near)}")


def sort(models: Sequence[ComparedModel], by: str) -> list[ComparedModel]:
    """Order the runs by a number; originals and retrained models stay in front.

    Args:
        models: All of them.
        by: As of `value_of`: the smallest comes first; with ``-`` before it the largest.

    Returns:
        The models; runs without the number come last.
    """
    name = by.removeprefix(DESCENDING)
    require_known(models, [name])
    sign = -1 if by.startswith(DESCENDING) else 1

    def rank(model: ComparedModel) -> float:
        value = sign * value_of(model, name)
        return math.inf if math.isnan(value) else value

    runs = sorted((model for model in models if model.kind == RUN), key=rank)
    return [*(model for model in models if model.kind != RUN), *runs]


def _of_request(model: ComparedModel, name: str) -> int | None:
    if model.forgetting is None:
        return None
    return {CHANGED: model.forgetting.parameters_changed, WRITTEN: model.forgetting.bytes_written}.get(name)
