"""Selective synaptic dampening (SSD, Foster et al. 2024): shrink what matters to the forget set above all."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from speu_cli.errors import InputError
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Part, wanted_slices
from speu_cli.structures.entries import put, take
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.forget_examples import ForgetExamples
from speu_cli.unlearning.second_order import slices_of


@dataclass(frozen=True)
class DampeningSettings:
    """What is dampened and how much; recorded with the model that it gives.

    Attributes:
        alpha: α, how many times more important to the forget set than to the training set a parameter is.
        strength: λ, the scale of the factor.
        target_loss: Mean loss of unseen examples; None where it is not known.
        max_overshoot: Most that the forget loss may be afterwards, as a multiple of the target.
        forget_examples: Whose gradients count.

    Raises:
        InputError: A value is out of range.
    """

    alpha: float = 10.0
    strength: float = 1.0
    target_loss: float | None = None
    max_overshoot: float = 2.0
    forget_examples: ForgetExamples = "all"

    def __post_init__(self) -> None:
        target = math.inf if self.target_loss is None else self.target_loss
        limits = (
            (0 <= self.alpha < math.inf, "--ssd-alpha", self.alpha, "at least 0"),
            (0 < self.strength < math.inf, "--ssd-lambda", self.strength, "above 0"),
            (target > 0, "--target-loss", target, "above 0"),
            (1 <= self.max_overshoot < math.inf, "--max-overshoot", self.max_overshoot, "at least 1"),
        )
        for holds, option, value, expected in limits:
            if not holds:
                raise InputError(f"{option} is {value}, expected {expected}")
        if self.forget_examples not in get_args(ForgetExamples):
            raise InputError(f"--forget-examples is {self.forget_examples!r}, expected all or remembered")

    def record(self) -> dict[str, Any]:
        """As JSON values, under the names of the publication."""
        return {"lambda" if name == "strength" else name: value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Dampening:
    """Factors β of parameters; where β is 1, and of what is not named, nothing changes.

    Attributes:
        factors: By parameter name, in the shape of its part.
        parts: Where in the parameter they belong; None = all of it.
    """

    factors: Mapping[str, Tensor]
    parts: Mapping[str, Part | None]

    @property
    def size(self) -> int:
        """Number of parameter entries that are dampened."""
        return sum(int((factor < 1).sum()) for factor in self.factors.values())

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Dampen the model, in place: θ ← β·θ where β < 1, and the very bits elsewhere."""
        for name, of_name in self.factors.items():
            parameter, part = model.get_parameter(name), self.parts[name]
            factor = of_name.to(parameter.device)
            if part is None:
                parameter.copy_(_dampened(parameter, factor))
                continue
            indices = part.indices.to(parameter.device)
            slices = take(parameter, part.axes, indices)
            put(parameter, part.axes, indices, _dampened(slices, factor))


def _dampened(values: Tensor, factor: Tensor) -> Tensor:
    return torch.where(factor < 1, values * factor.to(values), values)


def dampening(
    forget: Statistics, full: Statistics, mask: Mask | None, settings: DampeningSettings
) -> Dampening:
    """β = min(λ·(F_D/n_D) / (F_f/n_f), 1) where F_f/n_f > α·F_D/n_D, else 1.

    Args:
        forget: Statistics of the forget examples; only F and n_f are used.
        full: S(D), not S(D_r); only F and n_D are used. Both are of whole parameters, or of the mask's
            slices.
        mask: What may change; None: all parameters that there are statistics of.
        settings: α and λ.

    Returns:
        The factors.
    """
    parts: dict[str, Part | None] = dict.fromkeys(full.fisher)
    if mask is not None:
        parts = dict(wanted_slices(mask))
    factors = {}
    for name, part in parts.items():
        of_forget, of_full = forget.fisher[name], full.fisher[name]
        if part is not None:
            of_forget, of_full = (slices_of(sums, part.axes, part.indices) for sums in (of_forget, of_full))
        entries = mask.entries(name) if mask is not None else None
        factors[name] = _factor(of_forget / max(forget.count, 1), of_full / full.count, entries, settings)
    return Dampening(factors, parts)


def _factor(forget: Tensor, full: Tensor, entries: Tensor | None, settings: DampeningSettings) -> Tensor:
    """β of mean squares F_f/n_f and F_D/n_D."""
    chosen = forget > settings.alpha * full
    if entries is not None:
        chosen &= entries
    return torch.where(chosen, settings.strength * full / forget, 1.0).clamp(max=1.0)
