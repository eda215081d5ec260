"""The objectives by the name of their method; a new one is one file and one line here."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from speu_cli.errors import InputError
from speu_cli.unlearning.objectives.ascent import GradientAscent
from speu_cli.unlearning.objectives.base import Objective
from speu_cli.unlearning.objectives.difference import EpochOver, GradientDifference
from speu_cli.unlearning.objectives.direct_preference import DirectPreference
from speu_cli.unlearning.objectives.fine_tuning import FineTuning
from speu_cli.unlearning.objectives.negative_preference import NegativePreference
from speu_cli.unlearning.objectives.sparsity import GammaSchedule, SparsityAware

OBJECTIVES: dict[str, type[Any]] = {
    "ft": FineTuning,
    "sa": SparsityAware,
    "ga": GradientAscent,
    "gd": GradientDifference,
    "npo": NegativePreference,
    "dpo": DirectPreference,
}
TrainingMethod = Literal["ft", "sa", "ga", "gd", "npo", "dpo"]


@dataclass(frozen=True)
class ObjectiveChoice:
    """Settings of an objective; None takes the method's own default.

    Attributes:
        gamma: γ of ``sa``.
        gamma_schedule: How γ goes on.
        beta: β of ``npo`` and ``dpo``.
        retain_weight: α of ``gd``, ``npo`` and ``dpo``.
        epoch_over: What an epoch of ``gd`` passes over.
    """

    gamma: float | None = None
    gamma_schedule: GammaSchedule | None = None
    beta: float | None = None
    retain_weight: float | None = None
    epoch_over: EpochOver | None = None


def make_objective(method: str, choice: ObjectiveChoice) -> Objective:
    """Make the objective of a method.

    Args:
        method: Its name.
        choice: Settings.

    Returns:
        The objective.

    Raises:
        InputError: No method has that name, it has no such setting, or the setting is out of range.
    """
    if method not in OBJECTIVES:
        raise InputError(f"no training method '{method}', expected one of {', '.join(OBJECTIVES)}")
    given = {name: value for name, value in asdict(choice).items() if value is not None}
    known = {field.name for field in fields(OBJECTIVES[method])}
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if name not in known:
            takers = [
                one for one, kind in OBJECTIVES.items() if name in {field.name for field in fields(kind)}
            ]
            raise InputError(f"method '{method}' takes no {option}, it belongs to {', '.join(takers)}")
        _check_range(option, value)
    objective: Objective = OBJECTIVES[method](**given)
    return objective


def _check_range(option: str, value: float | str) -> None:
    if isinstance(value, str):
        choices = get_args(EpochOver if option == "--epoch-over" else GammaSchedule)
        if value not in choices:
            raise InputError(f"{option} is {value!r}, expected {' or '.join(choices)}")
    elif not math.isfinite(value) or value < 0 or (option == "--beta" and value == 0):
        least = "above 0" if option == "--beta" else "at least 0"
        raise InputError(f"{option} is {value}, expected a finite number {least}")
