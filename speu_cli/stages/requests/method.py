"""How the requests of a state are served: settled once, for all of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.localization import MaskSettings
from speu_cli.stages.unlearn import SecondOrder
from speu_cli.unlearning.settings import StepSettings


@dataclass(frozen=True)
class StateMethod:
    """Method, mask and step.

    Attributes:
        name: ``spe-so``, or ``so`` with a mask of ones (Eq. 2).
        mask: How units are chosen; unused with ``so``.
        step: How steps are made.

    Raises:
        InputError: There is no such method, or it is not for requests in a row.
    """

    name: SecondOrder
    mask: MaskSettings
    step: StepSettings

    def __post_init__(self) -> None:
        known = get_args(SecondOrder)
        if self.name not in known:
            raise InputError(f"no method '{self.name}', expected one of {', '.join(known)}")
        if self.mask.objective != "mlr" or self.mask.within is not None:
            raise InputError(
                "requests in a row choose units by objective mlr, and all entries of these, but got "
                f"objective {self.mask.objective} and within {self.mask.within}"
            )

    def with_rate(self, rate: float | None) -> StepSettings:
        """The step, with a rate of its own if one is given."""
        return self.step if rate is None else replace(self.step, rate=rate)

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"step": self.step.record()}


def method_of(record: Mapping[str, Any], source: Path) -> StateMethod:
    """Read the method of a state.

    Args:
        record: From its settings.
        source: Where they were read from.

    Returns:
        The method.

    Raises:
        ArtifactError: It is not one that this speu knows.
    """
    try:
        return StateMethod(record["name"], MaskSettings(**record["mask"]), StepSettings.of(record["step"]))
    except (KeyError, TypeError, InputError) as error:
        raise ArtifactError(f"{source} holds a method that this speu does not know: {error}") from error
